"""The official OpenAI SDK: what works without the gateway works through it."""

import json

import openai

from gateway import CLIENT_KEY, PROMPT, GatewayTest

MESSAGES = [{"role": "user", "content": PROMPT}]
TOOLS = [{
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}]


def client(running, base="/v1"):
    return running.closing(openai.OpenAI(base_url=running.origin + base, api_key=CLIENT_KEY, max_retries=0))


def async_client(running):
    return openai.AsyncOpenAI(base_url=running.origin + "/v1", api_key=CLIENT_KEY, max_retries=0)


class OpenAiTest(GatewayTest):
    def test_chat(self):
        first = self.upstream("chat")
        running = self.gateway(["first"], first=first)
        raw = client(running).chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES, seed=7)
        completion = raw.parse()
        self.assertEqual(completion.choices[0].message.content, "Hello, Oslo")
        self.assertEqual(completion.usage.total_tokens, 7)
        self.assertEqual(raw.headers["x-request-id"], "req_openai_1")
        self.assertEqual(raw.headers["x-ratelimit-remaining-requests"], "9999")
        self.assertEqual(raw.headers["x-gateway-upstream"], "first")
        self.assert_gateway_headers(raw.headers, attempts=1)

        (received,) = first.received
        self.assertEqual(received.path, "/v1/chat/completions")
        self.assertEqual(received.json, {"model": "gpt-4o", "messages": MESSAGES, "seed": 7})
        self.assertEqual(received.headers["authorization"], "Bearer key-of-first")
        self.assertEqual(received.headers["x-gateway-request-id"], raw.headers["x-gateway-request-id"])
        self.assertNotIn(CLIENT_KEY, str(received.headers))

    def test_base_url_without_version(self):
        first = self.upstream("chat")
        running = self.gateway(["first"], first=first)
        completion = client(running, base="").chat.completions.create(model="gpt-4o", messages=MESSAGES)
        self.assertEqual(completion.choices[0].message.content, "Hello, Oslo")
        self.assertEqual(first.received[0].path, "/v1/chat/completions")

    def test_streamed_chat(self):
        running = self.gateway(["first"], first=self.upstream("chat_stream"))
        stream = client(running).chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        chunks = list(stream)
        self.assertEqual("".join(chunk.choices[0].delta.content or "" for chunk in chunks), "Hello, Oslo")
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        self.assertEqual(stream.response.headers["x-request-id"], "req_openai_1")

    def test_tools(self):
        first = self.upstream("chat_tool")
        running = self.gateway(["first"], first=first)
        completion = client(running).chat.completions.create(model="gpt-4o", messages=MESSAGES, tools=TOOLS)
        (call,) = completion.choices[0].message.tool_calls
        self.assertEqual((call.id, call.function.name), ("call_1", "get_weather"))
        self.assertEqual(json.loads(call.function.arguments), {"city": "Oslo"})
        self.assertEqual(first.received[0].json["tools"], TOOLS)

    def test_streamed_tools(self):
        running = self.gateway(["first"], first=self.upstream("chat_tool_stream"))
        with client(running).chat.completions.stream(model="gpt-4o", messages=MESSAGES, tools=TOOLS) as stream:
            completion = stream.get_final_completion()
        (call,) = completion.choices[0].message.tool_calls
        self.assertEqual(json.loads(call.function.arguments), {"city": "Oslo"})
        self.assertEqual(completion.choices[0].finish_reason, "tool_calls")

    def test_embeddings(self):
        first = self.upstream("embeddings")
        running = self.gateway(["first"], model="text-embedding-3-small", first=first)
        made = client(running).embeddings.create(model="text-embedding-3-small", input="text", encoding_format="float")
        self.assertEqual(made.data[0].embedding, [0.25, -0.5])
        self.assertEqual(first.received[0].path, "/v1/embeddings")

    def test_responses(self):
        first = self.upstream("response")
        running = self.gateway(["first"], first=first)
        response = client(running).responses.create(model="gpt-4o", input=PROMPT)
        self.assertEqual(response.output_text, "Hello, Oslo")
        self.assertEqual(first.received[0].path, "/v1/responses")

    def test_streamed_responses(self):
        running = self.gateway(["first"], first=self.upstream("response_stream"))
        events = list(client(running).responses.create(model="gpt-4o", input=PROMPT, stream=True))
        self.assertEqual(events[0].type, "response.created")
        self.assertEqual("".join(event.delta for event in events if event.type == "response.output_text.delta"), "Hello, Oslo")
        self.assertEqual(events[-1].response.output_text, "Hello, Oslo")

    def test_models(self):
        running = self.gateway(["first"], first=self.upstream("chat"))
        self.assertEqual([model.id for model in client(running).models.list()], ["gpt-4o"])
        self.assertEqual(client(running).models.retrieve("gpt-4o").id, "gpt-4o")

    def test_model_of_the_target(self):
        first = self.upstream("chat")
        running = self.gateway(["first/vendor/other-model"], first=first)
        raw = client(running).chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
        self.assertEqual(first.received[0].json, {"model": "vendor/other-model", "messages": MESSAGES})
        self.assertEqual(raw.headers["x-gateway-model"], "vendor/other-model")

    async def test_async_chat(self):
        running = self.gateway(["first"], first=self.upstream("chat"))
        async with async_client(running) as asynchronous:
            completion = await asynchronous.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        self.assertEqual(completion.choices[0].message.content, "Hello, Oslo")

    async def test_async_streamed_chat(self):
        running = self.gateway(["first"], first=self.upstream("chat_stream"))
        text = ""
        async with async_client(running) as asynchronous:
            stream = await asynchronous.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
        self.assertEqual(text, "Hello, Oslo")

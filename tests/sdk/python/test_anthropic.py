"""The official Anthropic SDK: what works without the gateway works through it."""

import anthropic

from gateway import CLIENT_KEY, PROMPT, GatewayTest

MODEL = "claude-switchback"
REQUEST = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": PROMPT}]}
TOOLS = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


def client(running, base=""):
    return running.closing(anthropic.Anthropic(base_url=running.origin + base, api_key=CLIENT_KEY, max_retries=0))


def async_client(running):
    return anthropic.AsyncAnthropic(base_url=running.origin, api_key=CLIENT_KEY, max_retries=0)


class AnthropicTest(GatewayTest):
    def claude(self, *script):
        """A gateway with one Anthropic upstream, and that upstream."""
        first = self.upstream(*script)
        return self.gateway(["first"], model=MODEL, first=(first, "anthropic")), first

    def test_message(self):
        running, first = self.claude("message")
        raw = client(running).messages.with_raw_response.create(**REQUEST)
        message = raw.parse()
        self.assertEqual(message.content[0].text, "Hello, Oslo")
        self.assertEqual(message._request_id, "req_anthropic_1")
        self.assertEqual(raw.headers["anthropic-ratelimit-requests-remaining"], "49")
        self.assert_gateway_headers(raw.headers, attempts=1)

        (received,) = first.received
        self.assertEqual(received.path, "/v1/messages")
        self.assertEqual(received.json, REQUEST)
        self.assertEqual(received.headers["x-api-key"], "key-of-first")
        self.assertIn("anthropic-version", received.headers)
        self.assertNotIn(CLIENT_KEY, str(received.headers))

    def test_base_url_with_version(self):
        running, first = self.claude("message")
        self.assertEqual(client(running, base="/v1").messages.create(**REQUEST).content[0].text, "Hello, Oslo")
        self.assertEqual(first.received[0].path, "/v1/messages")

    def test_streamed_message(self):
        running, _ = self.claude("message_stream")
        with client(running).messages.stream(**REQUEST) as stream:
            self.assertEqual("".join(stream.text_stream), "Hello, Oslo")
            self.assertEqual(stream.get_final_message().stop_reason, "end_turn")
            self.assertEqual(stream.request_id, "req_anthropic_1")

    def test_tools(self):
        running, first = self.claude("message_tool")
        (use,) = client(running).messages.create(**REQUEST, tools=TOOLS).content
        self.assertEqual((use.name, use.input), ("get_weather", {"city": "Oslo"}))
        self.assertEqual(first.received[0].json["tools"], TOOLS)

    def test_streamed_tools(self):
        running, _ = self.claude("message_tool_stream")
        with client(running).messages.stream(**REQUEST, tools=TOOLS) as stream:
            (use,) = stream.get_final_message().content
        self.assertEqual((use.name, use.input), ("get_weather", {"city": "Oslo"}))

    def test_count_tokens(self):
        running, first = self.claude("count_tokens")
        counted = client(running).messages.count_tokens(model=MODEL, messages=REQUEST["messages"])
        self.assertEqual(counted.input_tokens, 5)
        self.assertEqual(first.received[0].path, "/v1/messages/count_tokens")

    async def test_async_message(self):
        running, _ = self.claude("message")
        async with async_client(running) as asynchronous:
            self.assertEqual((await asynchronous.messages.create(**REQUEST)).content[0].text, "Hello, Oslo")

    async def test_async_streamed_message(self):
        running, _ = self.claude("message_stream")
        async with async_client(running) as asynchronous, asynchronous.messages.stream(**REQUEST) as stream:
            self.assertEqual("".join([text async for text in stream.text_stream]), "Hello, Oslo")

"""Errors that an upstream reports in mid-stream, as the SDKs see them.

Where nobody can go on, the SDK does what it does without a gateway, with the upstream's own words. With `prefill` it gets
the whole answer, and hears of no error.
"""

from dataclasses import replace

import anthropic
import openai

import test_anthropic
import test_openai
from gateway import CLIENT_KEY, GatewayTest
from test_anthropic import MODEL as CLAUDE
from test_anthropic import REQUEST
from test_openai import MESSAGES
from test_resume import chat, message
from upstream import ANSWERS, End, answer, event_bytes

CHAT = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
RESPONSE = {"model": "gpt-4o", "input": "text", "stream": True}
#: What came before the error, and what is missing.
SAID, REST = "Hello, ", "Oslo"

DISCONNECTED = {"code": 502, "message": "The provider has disconnected."}
OVERLOADED = {"type": "overloaded_error", "message": "Overloaded, says the provider."}
FAILED = {"code": "server_error", "message": "The model has stopped, says the provider."}
LIMITED = {"type": "tokens", "code": "rate_limit_exceeded", "message": "Too many tokens a minute, says the provider.", "param": None}


def reporting(name, count, *events, end=End.WHOLE):
    """The first events of an answer of answers.json, and then these."""
    whole = answer(name)
    return replace(whole, events=(*whole.events[:count], *map(event_bytes, events)), end=end)


def failing_chats():
    """An object with an error; the same in a choice that ends with it, as OpenRouter does."""
    chunk = ANSWERS["chat_stream"]["events"][0]["data"]
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "error"}
    done = {"data": "[DONE]"}
    yield "an error", reporting("chat_stream", 3, {"data": {"error": DISCONNECTED}}, done)
    yield "an error, and a cut", reporting("chat_stream", 3, {"data": {"error": DISCONNECTED}}, end=End.CUT)
    yield "an error in a chunk", reporting("chat_stream", 3, {"data": {**chunk, "error": DISCONNECTED, "choices": [choice]}}, done)


def failing_message(end=End.WHOLE):
    return reporting("message_stream", 4, {"event": "error", "data": {"type": "error", "error": OVERLOADED}}, end=end)


def failing_responses():
    """With what the SDK makes of it: an event with such a message, or an exception."""
    failed = {**ANSWERS["response_stream"]["events"][0]["data"]["response"], "status": "failed", "error": FAILED}
    event = {"type": "response.failed", "sequence_number": 5, "response": failed}
    yield reporting("response_stream", 5, {"event": "response.failed", "data": event}), "response.failed", FAILED["message"]
    event = {"type": "error", "sequence_number": 5, **{name: LIMITED[name] for name in ["code", "message", "param"]}}
    yield reporting("response_stream", 5, {"event": "error", "data": event}), "error", LIMITED["message"]
    event = {"type": "error", "sequence_number": 5, "error": LIMITED}
    yield reporting("response_stream", 5, {"event": "error", "data": event}), openai.APIError, LIMITED["message"]


def read_chat(client):
    """The text, and what ended it."""
    text = ""
    try:
        for chunk in client.chat.completions.create(**CHAT):
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
    except openai.APIError as error:
        return text, type(error), error.message, error.body
    return text, None


def read_message(client):
    text = ""
    try:
        with client.messages.stream(**REQUEST) as stream:
            for piece in stream.text_stream:
                text += piece
    except anthropic.APIError as error:
        return text, type(error), error.message, error.body
    return text, None


def read_response(client):
    """The events, and what ended them."""
    events = []
    try:
        for event in client.responses.create(**RESPONSE):
            events.append(event.to_dict())
    except openai.APIError as error:
        return events, type(error), error.message, error.body
    return events, None


class ReportedErrorTest(GatewayTest):
    def straight(self, script):
        """OpenAI's SDK at such an upstream, without a gateway."""
        return self.closed(openai.OpenAI(base_url=self.upstream(script).origin + "/v1", api_key=CLIENT_KEY, max_retries=0))

    def straight_anthropic(self, script):
        return self.closed(anthropic.Anthropic(base_url=self.upstream(script).origin, api_key=CLIENT_KEY, max_retries=0))

    def closed(self, client):
        self.addCleanup(client.close)
        return client


class NotResumedTest(ReportedErrorTest):
    def test_chat(self):
        for how, failing in failing_chats():
            with self.subTest(how):
                first, second = self.upstream(failing), self.upstream("chat_stream")
                running = self.gateway(["first", "second"], first=first, second=second)
                seen = read_chat(test_openai.client(running))
                self.assertEqual(seen, (SAID, openai.APIError, DISCONNECTED["message"], DISCONNECTED))
                self.assertEqual(seen, read_chat(self.straight(failing)))
                self.assertEqual((len(first.received), len(second.received)), (1, 0))

    async def test_async_chat(self):
        for how, failing in failing_chats():
            with self.subTest(how):
                running = self.gateway(["first"], first=self.upstream(failing))
                text = ""
                async with test_openai.async_client(running) as asynchronous:
                    with self.assertRaises(openai.APIError) as raised:
                        async for chunk in await asynchronous.chat.completions.create(**CHAT):
                            text += chunk.choices[0].delta.content or ""
                self.assertEqual((text, raised.exception.message), (SAID, DISCONNECTED["message"]))

    def test_messages(self):
        for end in [End.WHOLE, End.CUT]:
            with self.subTest(end):
                first, second = self.upstream(failing_message(end)), self.upstream("message_stream")
                running = self.gateway(["first", "second"], model=CLAUDE, first=(first, "anthropic"), second=(second, "anthropic"))
                seen = read_message(test_anthropic.client(running))
                text, kind, words, body = seen
                self.assertEqual((text, body), (SAID, {"type": "error", "error": OVERLOADED}))
                self.assertTrue(issubclass(kind, anthropic.APIStatusError), kind)
                self.assertIn(OVERLOADED["message"], words)
                self.assertEqual(seen, read_message(self.straight_anthropic(failing_message(end))))
                self.assertEqual((len(first.received), len(second.received)), (1, 0))

    def test_responses(self):
        # There is nothing by which to go on with one, so `prefill` makes no difference.
        for failing, ended_by, words in failing_responses():
            for prefill in [False, True]:
                with self.subTest(ended_by, prefill=prefill):
                    first, second = self.upstream(failing), self.upstream("response_stream")
                    route = [{"upstream": name, "prefill": prefill} for name in ["first", "second"]]
                    running = self.gateway(route, first=first, second=second)
                    seen = read_response(test_openai.client(running))
                    events, kind, *error = seen
                    self.assertEqual(events[4]["delta"], SAID)
                    if kind is None:
                        self.assertEqual(events[-1]["type"], ended_by)
                        told = events[-1]["response"]["error"] if ended_by == "response.failed" else events[-1]
                        self.assertEqual(told["message"], words)
                    else:
                        self.assertEqual((kind, *error), (ended_by, words, LIMITED))
                    self.assertEqual(seen, read_response(self.straight(failing)))
                    self.assertEqual((len(first.received), len(second.received)), (1, 0))

    def test_the_one_that_fails_so_each_time_is_left(self):
        for failing, ended_by, _ in failing_responses():
            with self.subTest(ended_by):
                first, second = self.upstream(failing), self.upstream("response_stream")
                policy = {"cooldown": {"after": 3, "base": "60s"}}
                running = self.gateway(["first", "second"], policy=policy, first=first, second=second)
                client = test_openai.client(running)
                ends = [read_response(client) for _ in range(4)]
                self.assertEqual(ends[3][0][-1]["type"], "response.completed")
                self.assertLessEqual(len(first.received), 3)
                self.assertGreaterEqual(len(second.received), 1)


class ResumedTest(ReportedErrorTest):
    """Whole, and without a word of the error."""

    def resuming(self, model, **upstreams):
        return self.gateway([{"upstream": name, "prefill": True} for name in upstreams], model=model, **upstreams)

    def test_chat(self):
        for how, failing in failing_chats():
            for by in ["first", "second"]:
                with self.subTest(how, by=by):
                    rest = chat("two", REST, 50)
                    first = self.upstream(failing, rest if by == "first" else answer("overloaded"))
                    second = self.upstream(rest)
                    running = self.resuming("gpt-4o", first=first, second=second)
                    self.assertEqual(read_chat(test_openai.client(running)), (SAID + REST, None))
                    continued = first.received[1] if by == "first" else second.received[0]
                    self.assertEqual(continued.json["messages"], [*MESSAGES, {"role": "assistant", "content": SAID.rstrip()}])
                    self.assertEqual(len(first.received) + len(second.received), 2 if by == "first" else 3)

    def test_messages(self):
        for end in [End.WHOLE, End.CUT]:
            with self.subTest(end):
                first, second = self.upstream(failing_message(end), "message_rate_limited"), self.upstream(message("two", REST, 50))
                running = self.resuming(CLAUDE, first=(first, "anthropic"), second=(second, "anthropic"))
                with test_anthropic.client(running).messages.stream(**REQUEST) as stream:
                    whole = stream.get_final_message()
                self.assertEqual([block.text for block in whole.content], [SAID + REST])
                self.assertEqual((whole.id, whole.stop_reason), ("msg_1", "end_turn"))
                self.assertEqual((len(first.received), len(second.received)), (2, 1))

    def test_where_nobody_can_go_on_the_error_comes_as_it_was(self):
        _, failing = next(failing_chats())
        first, second = self.upstream(failing, "server_error"), self.upstream("rate_limited")
        running = self.resuming("gpt-4o", first=first, second=second)
        seen = read_chat(test_openai.client(running))
        self.assertEqual(seen, (SAID, openai.APIError, DISCONNECTED["message"], DISCONNECTED))
        self.assertEqual((len(first.received), len(second.received)), (2, 1))

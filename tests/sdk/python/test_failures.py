"""Failures as the SDKs see them: a fallback is invisible, and a failed chain is the provider's own error, whole."""

import json

import anthropic
import openai

import test_anthropic
import test_openai
from gateway import GatewayTest
from test_anthropic import MODEL as CLAUDE
from test_anthropic import REQUEST
from test_openai import MESSAGES
from upstream import ANSWERS, Refusing, answer

CHAT = {"model": "gpt-4o", "messages": MESSAGES}


def error_of(name):
    return ANSWERS[name]["json"]["error"]


class FallbackTest(GatewayTest):
    def test_chat_switches(self):
        for failure in ["rate_limited", "out_of_credits", "server_error", "error_in_200"]:
            with self.subTest(failure):
                first, second = self.upstream(failure), self.upstream("chat")
                running = self.gateway(["first", "second/other"], first=first, second=second)
                raw = test_openai.client(running).chat.completions.with_raw_response.create(**CHAT)
                self.assertEqual(raw.parse().choices[0].message.content, "Hello, Oslo")
                self.assertEqual(raw.headers["x-gateway-upstream"], "second")
                self.assertEqual(raw.headers["x-request-id"], "req_openai_1")
                self.assert_gateway_headers(raw.headers, attempts=len(first.received) + 1)
                self.assertEqual(second.received[0].json["model"], "other")
                self.assertEqual(second.received[0].headers["authorization"], "Bearer key-of-second")

    def test_streamed_chat_switches(self):
        complete = answer("chat_stream")
        for how, failure in [
            ("limited", answer("rate_limited")),
            ("ends after the role", complete.first_events(1)),
            ("cut after the role", complete.cut_after(1)),
        ]:
            with self.subTest(how):
                first, second = self.upstream(failure), self.upstream("chat_stream")
                running = self.gateway(["first", "second"], first=first, second=second)
                stream = test_openai.client(running).chat.completions.create(**CHAT, stream=True)
                text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
                self.assertEqual(text, "Hello, Oslo")
                self.assertEqual(stream.response.headers["x-gateway-upstream"], "second")

    def test_responses_switch_on_a_late_quota_error(self):
        first, second = self.upstream("response_quota_stream"), self.upstream("response_stream")
        running = self.gateway(["first", "second"], first=first, second=second)
        with test_openai.client(running).responses.stream(model="gpt-4o", input="text") as stream:
            self.assertEqual(stream.get_final_response().output_text, "Hello, Oslo")

    def test_message_switches(self):
        first, second = self.upstream("message_overloaded"), self.upstream("message")
        running = self.gateway(["first", "second"], model=CLAUDE, first=(first, "anthropic"), second=(second, "anthropic"))
        raw = test_anthropic.client(running).messages.with_raw_response.create(**REQUEST)
        self.assertEqual(raw.parse().content[0].text, "Hello, Oslo")
        self.assertEqual(raw.headers["x-gateway-upstream"], "second")

    def test_streamed_message_switches(self):
        first, second = self.upstream(answer("message_stream").cut_after(3)), self.upstream("message_stream")
        running = self.gateway(["first", "second"], model=CLAUDE, first=(first, "anthropic"), second=(second, "anthropic"))
        with test_anthropic.client(running).messages.stream(**REQUEST) as stream:
            self.assertEqual("".join(stream.text_stream), "Hello, Oslo")


class ExhaustedTest(GatewayTest):
    def assert_openai_error(self, error, name):
        """Status, body, request id and rate-limit headers are the provider's."""
        self.assertEqual(error.status_code, ANSWERS[name]["status"])
        self.assertEqual(error.body, error_of(name))
        self.assertEqual(error.response.content, json.dumps(ANSWERS[name]["json"]).encode())
        self.assertEqual((error.code, error.type), (error_of(name)["code"], error_of(name)["type"]))
        self.assertEqual(error.request_id, ANSWERS[name]["headers"]["x-request-id"])
        for header, value in ANSWERS[name]["headers"].items():
            self.assertEqual(error.response.headers[header], value)
        self.assertEqual(error.response.headers["x-gateway-error-origin"], "upstream")

    def test_openai(self):
        for exhausted, expected in [("last", "rate_limited"), ("first", "server_error")]:
            for stream in [False, True]:
                with self.subTest(exhausted, stream=stream):
                    first, second = self.upstream("server_error"), self.upstream("rate_limited")
                    running = self.gateway(["first", "second"], policy={"exhausted": exhausted}, first=first, second=second)
                    with self.assertRaises(openai.APIStatusError) as raised:
                        test_openai.client(running).chat.completions.create(**CHAT, stream=stream)
                    self.assert_openai_error(raised.exception, expected)
                    # The first answered 500, was asked again, and answered 500.
                    self.assertEqual((len(first.received), len(second.received)), (2, 1))
                    self.assert_gateway_headers(raised.exception.response.headers, attempts=3)

    def test_openai_exception_classes(self):
        for name, expected in [
            ("rate_limited", openai.RateLimitError),
            ("server_error", openai.InternalServerError),
            ("bad_request", openai.BadRequestError),
        ]:
            with self.subTest(name):
                running = self.gateway(["first"], first=self.upstream(name))
                with self.assertRaises(expected) as raised:
                    test_openai.client(running).chat.completions.create(**CHAT)
                self.assert_openai_error(raised.exception, name)

    async def test_openai_async(self):
        running = self.gateway(["first"], first=self.upstream("out_of_credits"))
        async with test_openai.async_client(running) as asynchronous:
            with self.assertRaises(openai.RateLimitError) as raised:
                await asynchronous.chat.completions.create(**CHAT)
        self.assert_openai_error(raised.exception, "out_of_credits")

    def test_anthropic(self):
        for name, expected in [
            ("message_rate_limited", anthropic.RateLimitError),
            ("message_overloaded", anthropic.OverloadedError),
        ]:
            with self.subTest(name):
                running = self.gateway(["first"], model=CLAUDE, first=(self.upstream(name), "anthropic"))
                with self.assertRaises(expected) as raised:
                    test_anthropic.client(running).messages.create(**REQUEST)
                error = raised.exception
                self.assertEqual(error.status_code, ANSWERS[name]["status"])
                self.assertEqual(error.body, ANSWERS[name]["json"])
                self.assertEqual(error.request_id, ANSWERS[name]["headers"]["request-id"])
                for header, value in ANSWERS[name]["headers"].items():
                    self.assertEqual(error.response.headers[header], value)
                self.assertIn("x-gateway-request-id", error.response.headers)

    async def test_anthropic_async_stream(self):
        running = self.gateway(["first"], model=CLAUDE, first=(self.upstream("message_rate_limited"), "anthropic"))
        async with test_anthropic.async_client(running) as asynchronous:
            with self.assertRaises(anthropic.RateLimitError) as raised:
                async with asynchronous.messages.stream(**REQUEST):
                    self.fail("a failed chain began a stream")
        self.assertEqual(raised.exception.request_id, "req_anthropic_limited")


class GatewayErrorTest(GatewayTest):
    def test_openai_unknown_model(self):
        running = self.gateway(["first"], first=self.upstream("chat"))
        with self.assertRaises(openai.NotFoundError) as raised:
            test_openai.client(running).chat.completions.create(model="gpt-4p", messages=MESSAGES)
        self.assertIn("gpt-4o", raised.exception.message)
        self.assertEqual(raised.exception.response.headers["x-gateway-error-origin"], "gateway")

    def test_anthropic_unknown_model(self):
        running = self.gateway(["first"], model=CLAUDE, first=(self.upstream("message"), "anthropic"))
        with self.assertRaises(anthropic.NotFoundError) as raised:
            test_anthropic.client(running).messages.create(**{**REQUEST, "model": "claude-switchbak"})
        self.assertEqual(raised.exception.body["type"], "error")
        self.assertIn(CLAUDE, str(raised.exception.body))

    def test_nobody_listens(self):
        refusing = Refusing()
        self.addCleanup(refusing.close)
        running = self.gateway(["first"], first=refusing)
        with self.assertRaises(openai.InternalServerError) as raised:
            test_openai.client(running).chat.completions.create(**CHAT)
        self.assertEqual(raised.exception.status_code, 502)
        self.assertIn("first/gpt-4o", raised.exception.message)
        self.assertIn("connect", raised.exception.message)


class BrokenStreamTest(GatewayTest):
    """A stream that broke is an exception: never a short success. (One of chat that is cut or stalls: test_faults.py.)"""

    def test_chat_that_ends_too_early(self):
        broken = answer("chat_stream").first_events(3)
        running = self.gateway(["first", "second"], first=self.upstream(broken), second=self.upstream("chat_stream"))
        stream = test_openai.client(running).chat.completions.create(**CHAT, stream=True)
        text = ""
        with self.assertRaises(openai.APIError) as raised:
            for chunk in stream:
                text += chunk.choices[0].delta.content or ""
        # After commit nobody else may go on: the second's answer would be another one.
        self.assertEqual(text, "Hello, ")
        self.assertIn(stream.response.headers["x-gateway-request-id"], json.dumps(raised.exception.body))

    def test_messages(self):
        complete = answer("message_stream")
        for broken in [complete.cut_after(4), complete.first_events(4)]:
            with self.subTest(broken.end):
                running = self.gateway(["first"], model=CLAUDE, first=(self.upstream(broken), "anthropic"))
                with test_anthropic.client(running).messages.stream(**REQUEST) as stream:
                    request_id = stream.response.headers["x-gateway-request-id"]
                    with self.assertRaises(anthropic.APIError) as raised:
                        for _ in stream.text_stream:
                            pass
                self.assertIn(request_id, json.dumps(raised.exception.body))

    def test_responses(self):
        complete = answer("response_stream")
        for broken in [complete.cut_after(6), complete.first_events(6)]:
            with self.subTest(broken.end):
                running = self.gateway(["first"], first=self.upstream(broken))
                with self.assertRaises(openai.APIError):
                    for _ in test_openai.client(running).responses.create(model="gpt-4o", input="text", stream=True):
                        pass

    async def test_async_chat(self):
        running = self.gateway(["first"], first=self.upstream(answer("chat_stream").cut_after(3)))
        async with test_openai.async_client(running) as asynchronous:
            stream = await asynchronous.chat.completions.create(**CHAT, stream=True)
            with self.assertRaises(openai.APIError):
                async for _ in stream:
                    pass

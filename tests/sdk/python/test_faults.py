"""Faults as a user meets them: the configuration's defaults, the official SDK, and bounds on time and on attempts.

The SDK is used with its own two retries. Where the gateway has dealt with a fault it must not have needed them
(`FaultTest.ask`); where it ends as an exception there is nothing that it would retry (`FaultTest.assert_attempts` would
tell). Only who asks all through an outage has none, so that each request is seen.

An outage lasts a minute: the tests of this file run side by side.
"""

import contextlib
import json
import time
from dataclasses import replace

import openai

import test_openai
from gateway import GatewayTest
from side_by_side import SideBySide
from test_openai import MESSAGES
from upstream import ANSWERS, HANGS, RESETS, answer, event_bytes

CHAT = {"model": "gpt-4o", "messages": MESSAGES}

#: For clocks whose defaults are minutes, since answers may take so long.
CLOCK_SECONDS = 3
# The defaults (docs/configuration.md, `policy`).
#: So many failures in a row begin a cooldown; each trial that fails doubles it, up to the longest.
COOLDOWN_AFTER, COOLDOWN_BASE_SECONDS, COOLDOWN_MAX_SECONDS = 3, 5, 15

#: How late anything may be on a busy machine.
SLACK_SECONDS = 4

WORDS = [f"{word} " for word in "The gateway loses nothing: what began here must end here, or say that it did not.".split()]


def load_tests(_loader, tests, _pattern):
    return SideBySide(tests)


def long_stream():
    """A stream with an event for each of `WORDS`."""
    role, word, *_, finish, done = ANSWERS["chat_stream"]["events"]
    words = [{"data": {**word["data"], "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}} for text in WORDS]
    return replace(answer("chat_stream"), events=tuple(map(event_bytes, [role, *words, finish, done])))


def text_of(chunk):
    return chunk.choices[0].delta.content or "" if chunk.choices else ""


class FaultTest(GatewayTest):
    """The first upstream has a fault, and the second is well."""

    def chain(self, *script, second="chat", route=("first", "second/other"), clock=None, **options):
        self.first, self.second = self.upstream(*script, **options), self.upstream(second)
        timeouts = {clock: f"{CLOCK_SECONDS}s"} if clock else None
        running = self.gateway_by_default(list(route), timeouts=timeouts, first=self.first, second=self.second)
        self.client = test_openai.client(running).with_options(max_retries=openai.DEFAULT_MAX_RETRIES)

    def ask(self, **more):
        """The answer as it came, to a request that the SDK made once."""
        raw = self.client.chat.completions.with_raw_response.create(**CHAT, **more)
        self.assertEqual(raw.retries_taken, 0, "the gateway left the fault to the SDK")
        return raw

    def assert_answered_by(self, name, raw):
        self.assertEqual(raw.headers["x-gateway-upstream"], name)
        self.assertEqual(raw.parse().choices[0].message.content, "Hello, Oslo")

    def assert_attempts(self, *, first, second):
        self.assertEqual((len(self.first.received), len(self.second.received)), (first, second))

    @contextlib.contextmanager
    def assert_takes(self, seconds):
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.assertGreaterEqual(took, seconds)
        self.assertLess(took, seconds + SLACK_SECONDS)


class BeforeCommitTest(FaultTest):
    """The client sees nothing of it."""

    def test_rate_limit_with_a_short_hint(self):
        self.chain(answer("rate_limited").with_header("retry-after", "2"), "chat")
        with self.assert_takes(2):
            raw = self.ask()
        self.assert_answered_by("first", raw)
        self.assert_attempts(first=2, second=0)

    def test_rate_limit_without_a_hint(self):
        self.chain(answer("rate_limited").with_header("retry-after", None))
        with self.assert_takes(0):
            raw = self.ask()
        self.assert_answered_by("second", raw)
        # One request asks once, and many together ask no more than three times before it is left alone.
        self.assert_attempts(first=1, second=1)
        for _ in range(20):
            self.assert_answered_by("second", self.ask())
        times = [received.at for received in self.first.received]
        for since in times:
            self.assertLessEqual(len([at for at in times if since <= at < since + 3]), 4, times)

    def test_one_server_error(self):
        self.chain("server_error", "chat")
        with self.assert_takes(0):
            raw = self.ask()
        self.assert_answered_by("first", raw)
        self.assert_attempts(first=2, second=0)

    def test_persistent_overload(self):
        self.chain("overloaded")
        with self.assert_takes(0):
            raw = self.ask()
        self.assert_answered_by("second", raw)
        self.assert_attempts(first=2, second=1)

    def test_reset_before_headers(self):
        self.chain(RESETS)
        with self.assert_takes(0):
            raw = self.ask()
        self.assert_answered_by("second", raw)
        self.assert_attempts(first=2, second=1)

    def test_no_response_at_all(self):
        self.chain(HANGS, clock="answer")
        with self.assert_takes(CLOCK_SECONDS):
            raw = self.ask()
        self.assert_answered_by("second", raw)
        self.assert_attempts(first=1, second=1)

    def test_late_first_token(self):
        self.chain(answer("chat_stream").stalled_after(1), second="chat_stream", clock="first_token")
        with self.assert_takes(CLOCK_SECONDS):
            raw = self.ask(stream=True)
            text = "".join(map(text_of, raw.parse()))
        self.assertEqual((text, raw.headers["x-gateway-upstream"]), ("Hello, Oslo", "second"))
        self.assert_attempts(first=1, second=1)

    def test_context_too_long(self):
        self.chain("context_too_long")
        with self.assert_takes(0):
            raw = self.ask()
        self.assert_answered_by("second", raw)
        self.assert_attempts(first=1, second=1)

    def test_model_and_usage_are_those_of_who_answered(self):
        usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
        self.chain("overloaded", second=answer("chat").with_members(model="other-2026-11", usage=usage))
        raw = self.ask()
        completion = raw.parse()
        self.assertEqual((completion.model, completion.usage.to_dict()), ("other-2026-11", usage))
        self.assertEqual(raw.headers["x-gateway-model"], "other")
        self.assertEqual(self.second.received[0].json["model"], "other")


class DeliveredTest(FaultTest):
    def test_refused_content(self):
        self.chain("content_refused")
        with self.assert_takes(0), self.assertRaises(openai.BadRequestError) as raised:
            self.ask()
        self.assertEqual(raised.exception.code, "content_policy_violation")
        self.assertEqual(raised.exception.body, ANSWERS["content_refused"]["json"]["error"])
        self.assert_attempts(first=1, second=0)

    def test_retries_do_not_multiply(self):
        # Everybody is overloaded, and the SDK retries twice: two attempts each for its first request, one for the others.
        self.chain("overloaded", second="overloaded")
        with self.assertRaises(openai.InternalServerError) as raised:
            self.ask()
        self.assertEqual(raised.exception.body, ANSWERS["overloaded"]["json"]["error"])
        self.assertLessEqual(len(self.first.received), 4)
        self.assertLessEqual(len(self.second.received), 4)
        retries = {received.headers["x-stainless-retry-count"] for received in self.second.received}
        self.assertEqual(retries, {"0", "1", "2"})


class AfterCommitTest(FaultTest):
    """What was sent can't be taken back: whole, or an exception; never a short success."""

    def read(self, raw):
        """The text that came, and what it ended with."""
        text = ""
        try:
            for chunk in raw.parse():
                text += text_of(chunk)
        except openai.APIError as error:
            return text, error
        return text, None

    def assert_broken(self, raw):
        """Two thirds of the words, then the gateway's error event."""
        text, error = self.read(raw)
        self.assertEqual(text, "".join(WORDS[: self.two_thirds]))
        self.assertIsNotNone(error, "a broken stream looks whole")
        self.assertIn(raw.headers["x-gateway-request-id"], json.dumps(error.body))
        self.assert_attempts(first=1, second=0)

    #: Of the words; before them comes the role.
    two_thirds = len(WORDS) * 2 // 3

    def test_cut_stream(self):
        self.chain(long_stream().cut_after(1 + self.two_thirds), second="chat_stream")
        with self.assert_takes(0):
            self.assert_broken(self.ask(stream=True))

    def test_stalled_stream(self):
        self.chain(long_stream().stalled_after(1 + self.two_thirds), second="chat_stream", clock="idle")
        with self.assert_takes(CLOCK_SECONDS):
            self.assert_broken(self.ask(stream=True))

    def test_malformed_event(self):
        whole = long_stream()
        half = len(whole.events) // 2
        malformed = replace(whole, events=(*whole.events[:half], b'data: {"choices": [}\n\n', *whole.events[half:]))
        self.chain(malformed, malformed, "chat")
        with self.assert_takes(0):
            # It is no business of the gateway's: every byte arrives, and the SDK says of it what it says without a gateway.
            with self.client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
                self.assertEqual(b"".join(response.iter_bytes()), b"".join(malformed.events))
            with self.assertRaises(json.JSONDecodeError):
                self.read(self.ask(stream=True))
            self.assert_answered_by("first", self.ask())
        self.assert_attempts(first=3, second=0)

    def test_reason_without_done(self):
        *events, done = long_stream().events
        self.assertIn(b"[DONE]", done)
        self.chain(long_stream().first_events(len(events)), second="chat_stream")
        with self.assert_takes(0):
            chunks = list(self.ask(stream=True).parse())
        self.assertEqual("".join(map(text_of, chunks)), "".join(WORDS))
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        self.assert_attempts(first=1, second=0)


class OutageTest(FaultTest):
    DOWN_SECONDS = 60
    BACK_WITHIN_SECONDS = 30
    ASKING_EVERY_SECONDS = 0.25

    def ask_steadily(self, seconds):
        """Asks all the time; who answered, and what the ledger says."""
        began = time.monotonic()
        tick = 0
        while time.monotonic() < began + seconds:
            raw = self.ask()
            self.assertEqual(raw.parse().choices[0].message.content, "Hello, Oslo")
            yield raw.headers["x-gateway-upstream"], raw.headers["x-gateway-attempts"]
            tick += 1
            time.sleep(max(0, began + tick * self.ASKING_EVERY_SECONDS - time.monotonic()))

    def failures_max(self):
        """How many requests can meet an upstream that is down: those that open the cooldown, and then one a cooldown."""
        failures, at, cooldown = COOLDOWN_AFTER, COOLDOWN_BASE_SECONDS, COOLDOWN_BASE_SECONDS
        while at < self.DOWN_SECONDS:
            failures += 1
            cooldown = min(2 * cooldown, COOLDOWN_MAX_SECONDS)
            at += cooldown
        return failures

    def test_a_minute(self):
        self.chain("chat", host="127.0.0.2")
        # An outage that its retries hide would be hidden from this test.
        self.client = self.client.with_options(max_retries=0)
        self.assert_answered_by("first", self.ask())

        self.first.go_down()
        outage = list(self.ask_steadily(self.DOWN_SECONDS))
        self.assertEqual({served for served, _ in outage}, {"second"})
        self.assertGreater(len(outage), 2 * self.DOWN_SECONDS, "too few asked to prove anything")
        failures = [ledger for _, ledger in outage if "first/" in ledger]
        # Three, and then one 5, 15, 30 and 45 s later.
        self.assertIn(len(failures), range(COOLDOWN_AFTER + 1, self.failures_max() + 1), failures)

        self.first.come_back()
        for served, _ in self.ask_steadily(self.BACK_WITHIN_SECONDS):
            if served == "first":
                break
        else:
            self.fail("the first is back, and not used again")
        self.assertEqual({served for served, _ in self.ask_steadily(1)}, {"first"})

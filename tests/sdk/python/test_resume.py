"""Streams that are cut two thirds through, as the SDKs see them: with `prefill` they get the whole answer."""

import json

import anthropic
import openai

import test_anthropic
import test_openai
from gateway import GatewayTest
from test_anthropic import MODEL as CLAUDE
from test_anthropic import REQUEST
from test_openai import MESSAGES
from upstream import Answer, End

WORDS = [f"word {number}, " for number in range(30)]
WHOLE = "".join(WORDS)
#: What has come when the stream is cut.
SAID = "".join(WORDS[:20])
EVENT_STREAM = {"content-type": "text/event-stream"}
REFUSAL = Answer(400, {"content-type": "application/json"}, json.dumps({"error": {"message": "no prefill here"}}).encode())


def _sse(data, name=None):
    event = f"event: {name}\n" if name else ""
    return f"{event}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def chat(identity, text, prompt_tokens):
    """A chat's stream, a word an event."""

    def chunk(delta, reason=None, **more):
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
        return _sse({"id": identity, "object": "chat.completion.chunk", "created": 1, "model": identity, "choices": choices, **more})

    words = text.split(" ")
    words = [*(f"{word} " for word in words[:-1]), words[-1]]
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(words), "total_tokens": prompt_tokens + len(words)}
    return Answer(
        200,
        EVENT_STREAM,
        events=(
            chunk({"role": "assistant", "content": ""}),
            *(chunk({"content": word}) for word in words),
            chunk({}, "stop"),
            chunk(None, usage=usage),
            _sse("[DONE]"),
        ),
    )


def message(identity, text, input_tokens):
    """A message's stream, a word an event."""
    words = text.split(" ")
    words = [*(f"{word} " for word in words[:-1]), words[-1]]
    start = {"id": identity, "type": "message", "role": "assistant", "model": identity, "content": [], "stop_reason": None}
    events = [
        ("message_start", {"message": {**start, "usage": {"input_tokens": input_tokens, "output_tokens": 1}}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        *(("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}}) for word in words),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": len(words)}}),
        ("message_stop", {}),
    ]
    return Answer(200, EVENT_STREAM, events=tuple(_sse({"type": name, **data}, name) for name, data in events))


def cut(whole, before):
    """Two thirds of it, after `before` events without text, and half an event more."""
    shown = whole.cut_after(before + 40)
    half = whole.events[before + 40]
    return Answer(200, EVENT_STREAM, events=(*shown.events, half[: len(half) // 2]), end=End.CUT)


class ResumeTest(GatewayTest):
    def resuming(self, model, **upstreams):
        chain = [{"upstream": name, "prefill": True} for name in upstreams]
        return self.gateway(chain, model=model, **upstreams)

    def chat(self, running):
        client = test_openai.client(running)
        request = {"model": "gpt-4o", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
        return list(client.chat.completions.create(**request))

    def test_a_cut_chat_is_whole_by_the_same_upstream(self):
        first = self.upstream(cut(chat("one", WHOLE, 10), 1), chat("two", WHOLE[len(SAID.rstrip()) :], 50))
        chunks = self.chat(self.resuming("gpt-4o", first=first))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(text, WHOLE)
        self.assertEqual({chunk.id for chunk in chunks}, {"one"})
        self.assertEqual([chunk.choices[0].delta.role for chunk in chunks if chunk.choices].count("assistant"), 1)
        self.assertEqual(chunks[-1].usage.total_tokens, chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens)
        self.assertEqual(chunks[-1].usage.prompt_tokens, 10)
        self.assertEqual(len(first.received), 2)
        self.assertEqual(first.received[1].json["messages"], [*MESSAGES, {"role": "assistant", "content": SAID.rstrip()}])

    def test_a_cut_message_is_whole_by_the_next_upstream(self):
        first = self.upstream(cut(message("one", WHOLE, 10), 2), REFUSAL)
        second = self.upstream(message("two", WHOLE[len(SAID.rstrip()) :], 50))
        running = self.resuming(CLAUDE, first=(first, "anthropic"), second=(second, "anthropic"))
        with test_anthropic.client(running).messages.stream(**REQUEST) as stream:
            whole = stream.get_final_message()
        self.assertEqual([block.text for block in whole.content], [WHOLE])
        self.assertEqual((whole.id, whole.stop_reason), ("one", "end_turn"))
        self.assertEqual(whole.usage.input_tokens, 10)
        self.assertEqual(whole.usage.output_tokens, 40 + len(WHOLE[len(SAID.rstrip()) :].split(" ")))
        self.assertEqual((len(first.received), len(second.received)), (2, 1))

    def test_a_fallback_that_refuses_prefill_does_not_hide_the_break(self):
        for model, protocol, whole, before in [("gpt-4o", "openai", chat, 1), (CLAUDE, "anthropic", message, 2)]:
            with self.subTest(protocol):
                first = self.upstream(cut(whole("one", WHOLE, 10), before), REFUSAL)
                second = self.upstream(REFUSAL)
                running = self.resuming(model, first=(first, protocol), second=(second, protocol))
                with self.assertRaises((openai.APIError, anthropic.APIError)) as raised:
                    if protocol == "openai":
                        self.chat(running)
                    else:
                        with test_anthropic.client(running).messages.stream(**REQUEST) as stream:
                            stream.get_final_message()
                self.assertIn("broke off", str(raised.exception))
                self.assertNotIn("prefill", str(raised.exception))
                self.assertEqual((len(first.received), len(second.received)), (2, 1))

"""Steady traffic with the official OpenAI SDK, without its own retries: what fails is seen.

`python traffic.py BASE_URL` runs until its standard input ends. For each line there it prints, as one line of JSON, what
has happened since the line before: `{"requests": …, "slowest_ms": …, "failures": [text, …]}`. The line `stream SECONDS`
starts a stream of that length; its end is told by itself: `{"stream": text, "failure": …}`.
"""

import json
import sys
import threading
import time

import httpx2
import openai

WORKERS = 3
PAUSE_SECONDS = 0.01
MESSAGES = [{"role": "user", "content": "hello"}]

lock = threading.Lock()
out = threading.Lock()
seen = {"requests": 0, "slowest_ms": 0.0, "failures": []}


def say(message):
    with out:
        print(json.dumps(message), flush=True)


def cause(error):
    """The innermost reason: the SDK wraps what httpx wraps."""
    texts = []
    while error is not None and len(texts) < 5:
        texts.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    return " <- ".join(texts)


def client(kept):
    limits = httpx2.Limits(max_keepalive_connections=4 if kept else 0)
    http = httpx2.Client(limits=limits, timeout=30, trust_env=False)
    return openai.OpenAI(base_url=sys.argv[1], api_key="sk-of-the-client", max_retries=0, http_client=http)


def work(kept):
    sdk, number = client(kept), 0
    while True:
        number += 1
        begin, failure = time.monotonic(), None
        try:
            if number % 2:
                text = sdk.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content
            else:
                stream = sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True)
                text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            if text != "0 1 2":
                failure = f"the answer is {text!r}"
        except Exception as error:  # Whatever it is, it is what is counted.
            failure = cause(error)
        taken = (time.monotonic() - begin) * 1000
        with lock:
            seen["requests"] += 1
            seen["slowest_ms"] = max(seen["slowest_ms"], round(taken, 1))
            if failure:
                seen["failures"].append(failure)
        time.sleep(PAUSE_SECONDS)


def stream(seconds):
    text, failure = "", None
    try:
        for chunk in client(False).chat.completions.create(model=f"long-{seconds}", messages=MESSAGES, stream=True):
            text += chunk.choices[0].delta.content or ""
            if text == "0":
                say({"stream_begun": seconds})
    except Exception as error:
        failure = cause(error)
    say({"stream": text, "failure": failure})


for worker in range(WORKERS):
    threading.Thread(target=work, args=(worker % 2 == 0,), daemon=True).start()
for line in sys.stdin:
    if line.startswith("stream "):
        threading.Thread(target=stream, args=(int(line.split()[1]),), daemon=True).start()
        continue
    with lock:
        say(seen)
        seen = {"requests": 0, "slowest_ms": 0.0, "failures": []}

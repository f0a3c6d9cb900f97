"""Resident memory: idle, after load, with many streams open, with a large table loaded."""

import contextlib
import json
import subprocess
import sys
import time

from .load import EXCHANGES, send
from .programs import Proxy, end, progress

SETTLE_SECONDS = 1.0


def settled_kib(proxy):
    time.sleep(SETTLE_SECONDS)
    return proxy.rss_kib()


def of_sides(options, programs, sides, at_exit):
    figures = {"sides": list(sides), "streams": options.streams,
               "idle_kib": [], "loaded_kib": [], "stream_kib": []}
    for name, start in sides.items():
        progress(f"memory of {name}")
        proxy = Proxy(*start(["good"]), at_exit)
        figures["idle_kib"].append(settled_kib(proxy))
        for exchange, share, _ in EXCHANGES:
            send(programs, proxy.port, exchange, max(1, round(options.connections * share)),
                 "--seconds", options.seconds)
        loaded = settled_kib(proxy)
        figures["loaded_kib"].append(loaded)
        with silent_streams(programs, proxy, options.streams):
            figures["stream_kib"].append((settled_kib(proxy) - loaded) / options.streams)
    return figures


@contextlib.contextmanager
def silent_streams(programs, proxy, count):
    """So many streams that have begun and say nothing."""
    command = [programs["bench_traffic"], "hold", "--to", f"127.0.0.1:{proxy.port}", "--streams", str(count)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        line = holder.stdout.readline()
        if not line or json.loads(line)["open"] != count:
            sys.exit(f"bench: {count} streams could not be opened (`ulimit -n` has to allow twice as many descriptors)")
        yield
    finally:
        end(holder)


def of_table(switchback, at_exit):
    models, upstreams = 1_000, 50
    progress("memory with a large table")
    proxy = Proxy(*switchback(models=models, upstreams=upstreams), at_exit)
    return {"models": models, "upstreams": upstreams, "kib": settled_kib(proxy)}

"""Requests through a proxy, and what is measured by them: times of each exchange, of failovers, at a fixed rate."""

import json
import os
import statistics
import subprocess
import sys

from .programs import Proxy, progress

WARM_UP_SECONDS = 0.3
# Exchange, its connections as a share of --connections, its name in the report.
EXCHANGES = [
    ("json1k", 1.0, "1 KiB JSON"),
    ("json1m", 0.25, "1 MiB JSON request"),
    ("sse20", 1.0, "SSE, 20 events"),
]
# Chain of upstreams before the good one, its name in the report.
FAILURES = [("broken", "first answers 500"), ("refusing", "first refuses")]


def send(programs, port, exchange, connections, *pace):
    """What the generator reports. It ends the run if an answer was wrong."""
    command = [programs["bench_traffic"], "load", "--to", f"127.0.0.1:{port}", "--exchange", exchange,
               "--connections", str(connections), *map(str, pace)]
    quiet = {**os.environ, "RUST_BACKTRACE": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode != 0:
        sys.exit(f"bench: not every answer was right: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def measured(programs, upstream, proxy, exchange, connections, *pace):
    """One measurement, after a short one that fills the connection pools and is thrown away."""
    send(programs, proxy.port, exchange, connections, "--seconds", WARM_UP_SECONDS)
    cpu_before, broken_before = proxy.cpu_seconds(), upstream.broken_answers()
    result = send(programs, proxy.port, exchange, connections, *pace)
    result["cpu_us"] = (proxy.cpu_seconds() - cpu_before) * 1e6 / result["requests"]
    result["broken_answers"] = upstream.broken_answers() - broken_before
    return result


def rounds(options, measure):
    """What `measure()` has found, as often as asked for: a list of dictionaries by what was measured."""
    found = []
    for number in range(options.rounds):
        progress(f"round {number + 1} of {options.rounds}")
        found.append(measure())
    return found


def side_by_side(found, key, field):
    """The medians of a field for each side, and the medians of the rounds' ratios to the last side."""
    each = [[side[field] for side in one[key]] for one in found]
    return {"values": [statistics.median(column) for column in zip(*each)],
            "ratios": [statistics.median(column) for column in zip(*([value / row[-1] for value in row]
                                                                     for row in each))]}


def compare(options, programs, upstream, sides, at_exit):
    """Every exchange and failure; each measurement is taken on one side and then at once on the others."""
    proxies = {name: {chain[0]: Proxy(*start(chain), at_exit)
                      for chain in (["good"], *([failure, "good"] for failure, _ in FAILURES))}
               for name, start in sides.items()}

    def one_round():
        def all_sides(chain, exchange, connections, seconds):
            results = []
            for name, of_chain in proxies.items():
                result = measured(programs, upstream, of_chain[chain], exchange, connections, "--seconds", seconds)
                if chain == "broken" and result["broken_answers"] < result["requests"]:
                    sys.exit(f"bench: {name} did not switch for every request: the broken upstream was left out")
                results.append(result)
            return results

        results = {}
        for exchange, share, _ in EXCHANGES:
            connections = max(1, round(options.connections * share))
            results["plain", exchange] = all_sides("good", exchange, connections, options.seconds)
        for chain in ("good", *(failure for failure, _ in FAILURES)):
            results["alone", chain] = all_sides(chain, "json1k", 1, options.seconds / 2)
        for failure, _ in FAILURES:
            results["switch", failure] = all_sides(failure, "json1k", options.connections, options.seconds)
            for failed, plain in zip(results["alone", failure], results["alone", "good"]):
                failed["added_ms"] = (failed["p50_us"] - plain["p50_us"]) / 1e3
        return results

    found = rounds(options, one_round)
    fields = ("cpu_us", "requests_per_second", "p50_us", "p99_us")
    figures = {"sides": list(sides), "exchanges": {}, "failures": {}}
    for exchange, _, _ in EXCHANGES:
        figures["exchanges"][exchange] = {field: side_by_side(found, ("plain", exchange), field) for field in fields}
    for failure, _ in FAILURES:
        figures["failures"][failure] = {field: side_by_side(found, ("switch", failure), field) for field in fields[:2]}
        added = [[side["added_ms"] for side in one["alone", failure]] for one in found]
        figures["failures"][failure]["added_ms"] = {"values": [statistics.median(column) for column in zip(*added)]}
    return figures


def fixed_rate(options, programs, upstream, sides, at_exit):
    """Latencies at a rate that leaves every proxy idle most of the time, from when each request was to be sent."""
    proxies = [Proxy(*start(["good"]), at_exit) for start in sides.values()]

    def one_round():
        return {"rate": [measured(programs, upstream, proxy, "json1k", options.rate_connections,
                                  "--rate", options.rate, "--seconds", options.seconds) for proxy in proxies]}

    found = rounds(options, one_round)
    figures = {"sides": list(sides), "per_second": options.rate}
    for field in ("p50_us", "p99_us", "late_p99_us", "cpu_us"):
        each = [[side[field] for side in one["rate"]] for one in found]
        figures[field] = {"values": [statistics.median(column) for column in zip(*each)],
                          "added": [statistics.median(column) for column in zip(*([value - row[-1] for value in row]
                                                                                  for row in each))]}
    return figures


def tables(options, programs, upstream, switchback, at_exit):
    """A large table of routes against a small one."""
    sizes = [(10_000, 100), (10, 2)]
    proxies = [Proxy(*switchback(models=models, upstreams=upstreams), at_exit) for models, upstreams in sizes]

    def one_round():
        return {"table": [measured(programs, upstream, proxy, "json1k", options.connections,
                                   "--seconds", options.seconds) for proxy in proxies]}

    found = rounds(options, one_round)
    return {"sides": [f"{models:,} models × {upstreams} upstreams" for models, upstreams in sizes],
            **{field: side_by_side(found, "table", field) for field in ("cpu_us", "requests_per_second", "p99_us")}}

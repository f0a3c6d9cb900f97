"""Markdown of what was measured."""

import os
import pathlib
import platform
import subprocess

from .instructions import NAMES as EXCHANGE_NAMES
from .load import EXCHANGES, FAILURES
from .programs import ROOT

# What is measured in rounds.
TIMES = {"load", "rate", "tables", "memory"}


def said(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def setting(options):
    cpus = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in cpus if line.startswith("model name")), platform.machine())
    return {"commit": said("git", "describe", "--always", "--dirty"), "rustc": said("rustc", "--version"),
            "profile": options.profile, "cpu": model, "cores": len(os.sched_getaffinity(0)),
            "linux": platform.release(), "rounds": options.rounds, "seconds": options.seconds,
            "connections": options.connections, "threads": options.threads, "log_level": options.log_level}


def sentences(figures):
    about = figures["setting"]
    lines = ["Commit {commit}, {rustc}, profile {profile}; {cpu}, {cores} cores, Linux {linux}.".format(**about)]
    if TIMES & figures.keys():
        lines.append("Times: {rounds} rounds of {seconds:g} s, {connections} connections, {threads} worker threads, log "
                     "level {log_level}; medians of the rounds, ratios are medians of their ratios.".format(**about))
    return " ".join(lines)


def table(title, columns, rows):
    """`rows`: a name and the cells as they are printed."""
    return ["", f"| {title} | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}",
            *(f"| {name} | {' | '.join(cells)} |" for name, *cells in rows)]


def compared(title, sides, rows):
    """A table of sides with their ratios to the last one. `rows`: name, {"values", "ratios"}, digits."""
    others = [f"{side} ÷ {sides[-1]}" if len(sides) > 2 else "ratio" for side in sides[:-1]]
    cells = []
    for name, found, digits in rows:
        ratios = [f"{ratio:.2f}" for ratio in found["ratios"][:-1]] if "ratios" in found else [""] * len(others)
        cells.append((name, *(f"{value:,.{digits}f}" for value in found["values"]), *ratios))
    return table(title, [*sides, *others], cells)


def load(figures):
    lines, sides = [], figures["sides"]
    for exchange, _, title in EXCHANGES:
        found = figures["exchanges"][exchange]
        lines += compared(title, sides, [
            ("CPU per request, µs", found["cpu_us"], 1),
            ("requests per second", found["requests_per_second"], 0),
            ("p50, µs", found["p50_us"], 0),
            ("p99, µs", found["p99_us"], 0),
        ])
    for failure, title in FAILURES:
        found = figures["failures"][failure]
        lines += compared(f"failover: {title}", sides, [
            ("switches per second", found["requests_per_second"], 0),
            ("CPU per switched request, µs", found["cpu_us"], 1),
            ("added to p50 (one client), ms", found["added_ms"], 3),
        ])
    return lines


def rate(figures):
    sides = figures["sides"]
    added = [f"{side} − {sides[-1]}" for side in sides[:-1]]
    rows = [(name, *(f"{value:,.0f}" for value in figures[field]["values"]),
             *(f"{value:+,.0f}" for value in figures[field]["added"][:-1]))
            for name, field in (("p50, µs", "p50_us"), ("p99, µs", "p99_us"), ("CPU per request, µs", "cpu_us"),
                                ("sent late (p99), µs", "late_p99_us"))]
    return table(f"{figures['per_second']:,.0f} requests a second, 1 KiB JSON", [*sides, *added], rows)


def tables(figures):
    return compared("size of the table", figures["sides"], [
        ("CPU per request, µs", figures["cpu_us"], 1),
        ("requests per second", figures["requests_per_second"], 0),
        ("p99, µs", figures["p99_us"], 0),
    ])


def memory(figures):
    rows = [(name, *(f"{value / unit:,.1f}" for value in figures["sides"][field]))
            for name, field, unit in (("idle, MiB", "idle_kib", 1024), ("after the load, MiB", "loaded_kib", 1024),
                                      ("for each idle stream, KiB", "stream_kib", 1))]
    large = figures["table"]
    rows.append((f"{large['models']:,} models × {large['upstreams']} upstreams loaded, MiB",
                 f"{large['kib'] / 1024:,.1f}", *[""] * (len(figures["sides"]["sides"]) - 1)))
    return table(f"resident memory ({figures['sides']['streams']:,} idle streams)", figures["sides"]["sides"], rows)


def instructions(counted):
    sides = list(counted)
    rows = []
    for exchange in counted[sides[0]]:
        counts = [counted[side][exchange]["instructions"] for side in sides]
        rows.append((EXCHANGE_NAMES[exchange], *(f"{count:,}" for count in counts),
                     *(f"{count / counts[-1]:.3f}" for count in counts[:-1]),
                     f"{max(counted[side][exchange]['spread'] for side in sides):.1%}"))
    return table("instructions per request", [*sides, *["ratio"] * (len(sides) - 1), "spread"], rows)


def parts(counted):
    """From the least to the whole; each column's difference to the one before is what that part costs."""
    sides = list(counted)
    rows = []
    for exchange in counted[sides[0]]:
        counts = [counted[side][exchange]["instructions"] for side in sides]
        rows.append((EXCHANGE_NAMES[exchange], f"{counts[0]:,}",
                     *(f"{count:,} ({count - before:+,})" for before, count in zip(counts, counts[1:])),
                     f"{counts[-1] / counts[0]:.2f}"))
    return table("instructions per request", [*sides, "whole ÷ bare"], rows)


def markdown(figures):
    lines = [sentences(figures)]
    for name, written in (("load", load), ("rate", rate), ("tables", tables), ("memory", memory),
                          ("instructions", instructions), ("parts", parts)):
        if name in figures:
            lines += written(figures[name])
    return "\n".join(lines)

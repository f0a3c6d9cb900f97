"""Instructions per request under callgrind: they are steady to one percent where times are not.

A proxy runs with one worker thread. Only while a known number of requests is on its way is anything counted, after others
that fill pools and set up what is set up once. The kernel's share is not in it.
"""

import json
import pathlib
import re
import statistics
import subprocess
import sys

from .load import EXCHANGES, send
from .programs import ROOT, Proxy, progress, require

# What the C library makes of the processor's caches, it copies long bodies by. Here it is the same on all machines:
# from 4 KiB on with `rep movsb`, of which callgrind counts every byte as an instruction.
COPIES = "glibc.cpu.x86_rep_movsb_threshold=4096:glibc.cpu.x86_non_temporal_threshold=268435456"
CHECKED_IN = ROOT / "scripts/lib/instructions.json"
GROWTH_MAX = 0.03
CONNECTIONS = 4
# The median of them counts: something that a process does once in a while is in one of them only.
BLOCKS = 3
WARM_UP = {"json1k": 60, "sse20": 40, "json1m": 12}
REQUESTS = {"json1k": 400, "sse20": 240, "json1m": 24}
NAMES = {exchange: name for exchange, _, name in EXCHANGES}
ORDER = ("json1k", "sse20", "json1m")


class Counted:
    """A proxy under callgrind, which counts nothing until it is told to."""

    def __init__(self, command, port, directory, at_exit):
        self.out = directory / f"callgrind-{port}"
        self.prefix = directory / "vgdb"
        valgrind = ["valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no", f"--callgrind-out-file={self.out}",
                    f"--vgdb-prefix={self.prefix}"]
        self.proxy = Proxy([*valgrind, *command], port, at_exit, GLIBC_TUNABLES=COPIES)
        self.dumps = 0

    def tell(self, *command):
        done = subprocess.run(["vgdb", f"--pid={self.proxy.process.pid}", f"--vgdb-prefix={self.prefix}", "--wait=30",
                               *command], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"bench: callgrind does not answer `{' '.join(command)}`: {done.stderr.strip()}")

    def block(self, programs, exchange):
        """Instructions per request of one block, and the file that says where they were."""
        requests = REQUESTS[exchange]
        self.tell("instrumentation", "on")
        done = send(programs, self.proxy.port, exchange, CONNECTIONS, "--requests", requests)["requests"]
        self.tell("instrumentation", "off")
        self.tell("dump")
        self.dumps += 1
        dump = pathlib.Path(f"{self.out}.{self.dumps}")
        return total(dump) / done, dump


def total(dump):
    """What callgrind has counted in all (its format: the line that starts with `totals:` or `summary:`)."""
    found = re.findall(r"^(?:totals|summary): (\d+)", dump.read_text(errors="replace"), re.MULTILINE)
    if not found:
        sys.exit(f"bench: callgrind has written no total into {dump}")
    return max(map(int, found))


def count(programs, sides, directory, at_exit, exchanges=ORDER):
    """{side: {exchange: {"instructions": …, "spread": …}}}, and the last dump of each."""
    require("valgrind")
    counted, dumps = {}, {}
    for name, (command, port) in sides.items():
        progress(f"counting {name}")
        under = Counted(command, port, directory, at_exit)
        counted[name] = {}
        for exchange in exchanges:
            send(programs, port, exchange, CONNECTIONS, "--requests", WARM_UP[exchange])
            blocks = []
            for _ in range(BLOCKS):
                per_request, dumps[name, exchange] = under.block(programs, exchange)
                blocks.append(per_request)
            median = statistics.median(blocks)
            counted[name][exchange] = {"instructions": round(median),
                                       "spread": (max(blocks) - min(blocks)) / median}
            progress(f"  {NAMES[exchange]}: {median:,.0f} ({'  '.join(f'{one:,.0f}' for one in blocks)})")
        under.proxy.end()
    return counted, dumps


def where(dump, exchange, rows):
    """Lines of a table: the functions below which most instructions are, callers included."""
    text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show-percs=no", dump],
                          capture_output=True, text=True, check=True).stdout
    lines = []
    for instructions, function in re.findall(r"^ *([\d,]+) +(?:\(\S+\) +)?\S*?:(\S.*)$", text, re.MULTILINE):
        thousands = int(instructions.replace(",", "")) / REQUESTS[exchange] / 1000
        name = re.sub(r" \[[^]]*\]$", "", function)
        lines.append(f"| {thousands:,.1f} | `{name}` |")
        if len(lines) == rows:
            break
    return ["| thousands per request | function and what it calls |", "| ---: | --- |", *lines]


def ratios(counted, side="Switchback", to="bare Pingora"):
    return {exchange: counted[side][exchange]["instructions"] / counted[to][exchange]["instructions"]
            for exchange in counted[side]}


def accept(counted, profile):
    figure = {"profile": profile, "ratios": {exchange: round(ratio, 3) for exchange, ratio in ratios(counted).items()}}
    CHECKED_IN.write_text(json.dumps(figure, indent=2) + "\n")
    progress(f"wrote {CHECKED_IN.relative_to(ROOT)}")


def check(counted, profile):
    """What has grown against the figure that is checked in: messages, empty if nothing has."""
    checked_in = json.loads(CHECKED_IN.read_text())
    if checked_in["profile"] != profile:
        sys.exit(f"bench: the figures that are checked in are of `--profile {checked_in['profile']}`, not of {profile}")
    grown = []
    for exchange, now in ratios(counted).items():
        before = checked_in["ratios"][exchange]
        if now > before * (1 + GROWTH_MAX):
            grown.append(f"{NAMES[exchange]}: {now:.3f} × bare Pingora's instructions, {before:.3f} checked in "
                         f"({now / before - 1:+.1%})")
        elif now < before * (1 - GROWTH_MAX):
            progress(f"{NAMES[exchange]}: {now:.3f}, {before:.3f} checked in: `scripts/bench --instructions --accept "
                     f"--profile {profile}` keeps what was won")
    return grown

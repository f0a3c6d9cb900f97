"""The command line: what is asked for, measured and printed."""

import argparse
import contextlib
import json
import pathlib
import signal
import sys
import tempfile

from . import instructions, load, memory, report
from .programs import Upstream, build, nginx, progress, raise_descriptor_limit
from .sides import Sides

TIMES = ("load", "rate", "tables", "memory")
COUNTS = ("instructions", "parts")
FIRST = ("good", *(chain for chain, _ in load.FAILURES))
COMPARED = {"switchback": "Switchback", "floor": "the floor", "bare": "bare Pingora"}


def main(description):
    options = arguments(description)
    floor = ["floor_proxy"] if "parts" in options.measured or options.of == "floor" else []
    programs = build(options.profile, "bench_traffic", "bare_proxy", *floor)
    if options.nginx:
        programs["nginx"] = nginx()
    raise_descriptor_limit()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with contextlib.ExitStack() as at_exit:
        directory = pathlib.Path(at_exit.enter_context(tempfile.TemporaryDirectory(prefix="switchback-bench-")))
        upstream = Upstream(programs, at_exit)
        if options.annotate:
            print("\n".join(annotated(options, programs, upstream, directory, at_exit)))
            return
        figures = {"setting": report.setting(options)}
        for what in options.measured:
            # The proxies of one measurement are gone before the next begins.
            with contextlib.ExitStack() as at_end:
                figures[what] = MEASURE[what](options, programs, upstream, directory, at_end)
    print(report.markdown(figures), flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    if options.accept:
        instructions.accept(figures["instructions"], options.profile)
    if options.check:
        grown = instructions.check(figures["instructions"], options.profile)
        if grown:
            sys.exit("\n".join(["", "A request costs more instructions than is checked in:", *grown,
                                CHECK_FAILED.format(profile=options.profile)]))


CHECK_FAILED = """\
`scripts/bench --annotate json1k` says where they are (json1m, sse20 as well). If they are worth it, `scripts/bench
--instructions --accept --profile {profile}` writes scripts/lib/instructions.json anew: commit it together with what needs
them."""


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_argument_group("what is measured")
    what.add_argument("--only", metavar="WHAT", help=f"of {', '.join((*TIMES, *COUNTS))}; several with commas")
    what.add_argument("--all", action="store_true", help="everything: the tables of docs/performance.md")
    what.add_argument("--instructions", action="store_true", help="instructions per request, and their ratio")
    what.add_argument("--parts", action="store_true", help="instructions of bare Pingora, of its custom connector with "
                      "a session that judges nothing, of Switchback without and with its access log")
    what.add_argument("--annotate", metavar="EXCHANGE", choices=instructions.ORDER,
                      help=f"where the instructions are: {', '.join(instructions.ORDER)}")
    what.add_argument("--nginx", action="store_true", help="nginx as a third side")
    what.add_argument("--bare-both", action="store_true", help="bare Pingora on both sides: shows the noise")
    how = parser.add_argument_group("how")
    how.add_argument("--quick", action="store_true", help="two rounds of one second: a trial, not a result")
    how.add_argument("--rounds", type=int, help="how often each side is measured (5)")
    how.add_argument("--seconds", type=float, help="length of one measurement (4)")
    how.add_argument("--connections", type=int, default=32, help="clients at once (%(default)s)")
    how.add_argument("--threads", type=int, default=2, help="worker threads of each proxy (%(default)s)")
    how.add_argument("--rate", type=float, default=2000, help="requests a second of the fixed rate (%(default)g)")
    how.add_argument("--rate-connections", type=int, default=64, help="connections that share it (%(default)s)")
    how.add_argument("--streams", type=int, default=1000, help="idle streams held open (%(default)s)")
    how.add_argument("--log-level", default="info", help="Switchback's; info logs each request (%(default)s)")
    how.add_argument("--profile", default="release", help="cargo profile of everything, or "
                     "`tests`: what .ci/run counts (%(default)s)")
    how.add_argument("--of", choices=COMPARED, default="switchback", help="what --annotate looks at (%(default)s)")
    how.add_argument("--first", choices=FIRST, default="good",
                     help="what the first upstream does that --annotate has requests switch from ")
    how.add_argument("--rows", type=int, default=60, help="how many functions --annotate prints (%(default)s)")
    then = parser.add_argument_group("what becomes of it")
    then.add_argument("--json", metavar="FILE", help="writes all figures there too")
    then.add_argument("--check", action="store_true",
                      help="with --instructions: fails if a ratio has grown by more than 3 %% over the checked-in one")
    then.add_argument("--accept", action="store_true", help="with --instructions: checks the ratios in")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 4.0)
    options.measured = measured(parser, options)
    return options


def measured(parser, options):
    asked = [name for name in COUNTS if getattr(options, name)]
    asked += options.only.split(",") if options.only else []
    unknown = set(asked) - {*TIMES, *COUNTS}
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: there is {', '.join((*TIMES, *COUNTS))}")
    if (options.check or options.accept) and "instructions" not in asked:
        parser.error("--check and --accept are about --instructions")
    if options.all:
        asked = [*TIMES, *COUNTS]
    return asked or TIMES


def by_name(options, sides):
    """The sides that are compared; the last is the one that ratios are to."""
    def switchback(chain):
        return sides.switchback(chain, options.log_level)

    named = {"bare Pingora again": sides.bare} if options.bare_both else {"Switchback": switchback}
    if options.nginx:
        named["nginx"] = sides.nginx
    return {**named, "bare Pingora": sides.bare}


def with_times(measure):
    def run(options, programs, upstream, directory, at_exit):
        sides = by_name(options, Sides(programs, upstream, directory, options.threads))
        return measure(options, programs, upstream, sides, at_exit)
    return run


def measure_tables(options, programs, upstream, directory, at_exit):
    sides = Sides(programs, upstream, directory, options.threads)
    return load.tables(options, programs, upstream, sides.switchback, at_exit)


def measure_memory(options, programs, upstream, directory, at_exit):
    sides = Sides(programs, upstream, directory, options.threads)
    return {"sides": memory.of_sides(options, programs, by_name(options, sides), at_exit),
            "table": memory.of_table(sides.switchback, at_exit)}


def measure_instructions(options, programs, upstream, directory, at_exit):
    sides = Sides(programs, upstream, directory, threads=1)
    counted = {"Switchback": sides.switchback(log_level=options.log_level), "bare Pingora": sides.bare()}
    return instructions.count(programs, counted, directory, at_exit)[0]


def measure_parts(options, programs, upstream, directory, at_exit):
    sides = Sides(programs, upstream, directory, threads=1)
    counted = {"bare Pingora": sides.bare(), "the floor": sides.floor(),
               "Switchback, log level error": sides.switchback(log_level="error"),
               "Switchback, log level info": sides.switchback(log_level="info")}
    return instructions.count(programs, counted, directory, at_exit)[0]


def annotated(options, programs, upstream, directory, at_exit):
    sides = Sides(programs, upstream, directory, threads=1)
    chain = dict.fromkeys([options.first, "good"])
    started = {"switchback": lambda: sides.switchback(chain, log_level=options.log_level), "floor": sides.floor,
               "bare": lambda: sides.bare(chain)}[options.of]()
    name, exchange = COMPARED[options.of], options.annotate
    counted, dumps = instructions.count(programs, {name: started}, directory, at_exit, [exchange])
    progress("reading what callgrind has written")
    return [f"{name}, {instructions.NAMES[exchange]}: {counted[name][exchange]['instructions']:,} instructions per "
            "request", "", *instructions.where(dumps[name, exchange], exchange, options.rows)]


MEASURE = {
    "load": with_times(load.compare),
    "rate": with_times(load.fixed_rate),
    "tables": measure_tables,
    "memory": measure_memory,
    "instructions": measure_instructions,
    "parts": measure_parts,
}

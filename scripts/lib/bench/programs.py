"""The programs that are measured, and those around them: built, started, watched, and ended."""

import contextlib
import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 120
END_SECONDS_MAX = 10

# Profiles that are none of Cargo.toml's. `tests`: the dependencies as `cargo test` has built them, and only Switchback and
# the examples built once more, with what a release does. So .ci/run needs a minute where a release build takes six.
PROFILES = {"tests": ["--profile", "dev", "--config", "profile.dev.package.switchback.opt-level=3",
                      "--config", "profile.dev.package.switchback.debug-assertions=false",
                      "--config", "profile.dev.package.switchback.overflow-checks=false"]}


def progress(text):
    print(text, file=sys.stderr, flush=True)


def build(profile, *examples):
    """Where Switchback and the examples are, all built with the same profile."""
    progress(f"building ({profile}; a first build takes minutes)")
    chosen = [word for example in examples for word in ("--example", example)]
    command = ["cargo", "build", "--locked", *PROFILES.get(profile, ["--profile", profile]), "--bins", *chosen]
    # Built in increments, a program would not be the same on two machines.
    whole = {**os.environ, "CARGO_INCREMENTAL": "0"}
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr, env=whole)
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"],
        cwd=ROOT, check=True, capture_output=True,
    )
    target = pathlib.Path(json.loads(metadata.stdout)["target_directory"])
    directory = target / ("debug" if profile in ("dev", *PROFILES) else profile)
    return {"switchback": directory / "switchback", **{name: directory / "examples" / name for name in examples}}


def require(*tools):
    """Installs what is missing, or ends with what to install."""
    if subprocess.run(["bash", "-c", '. scripts/lib/tools.sh && require_tools "$@" >&2', "bench", *tools],
                      cwd=ROOT, check=False).returncode:
        sys.exit(1)


def nginx():
    """Where nginx is. It is unpacked, not installed: installed it would start a server."""
    found = subprocess.run(["bash", "-c", ". scripts/lib/tools.sh && require_nginx >&2 && command -v nginx"],
                           cwd=ROOT, check=False, capture_output=True, text=True)
    if found.returncode:
        sys.exit(found.stderr.strip() or "bench: no nginx")
    return found.stdout.strip()


def raise_descriptor_limit():
    """For as many streams as are held open at once; what is started inherits it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end(process):
    """Ends one process that this script started."""
    if process.stdin:
        process.stdin.close()
    elif process.poll() is None:
        process.kill()
    process.wait()


class Proxy:
    """A running proxy that is alone on its port."""

    def __init__(self, command, port, at_exit, **environment):
        self.port = port
        # The access log is written, and goes nowhere: what the disk costs is not the proxy's.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env={**os.environ, **environment})
        at_exit.callback(self.end)
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            if self.process.poll() is not None:
                progress(f"ended as it started; once more, to see what it says: {' '.join(map(str, command))}")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=5, check=False)
                sys.exit("bench: a proxy did not start")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            if time.monotonic() > deadline:
                sys.exit(f"bench: nobody listens on port {port} after {START_SECONDS_MAX} s: {command}")
            time.sleep(0.02)

    def pids(self):
        """The process and its children: nginx' workers."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu_seconds(self):
        """utime + stime so far (proc(5))."""
        ticks = 0
        for pid in self.pids():
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            fields = stat[stat.rindex(")") + 2:].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_SECOND

    def rss_kib(self):
        return sum(next(int(line.split()[1])
                        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                        if line.startswith("VmRSS:"))
                   for pid in self.pids())

    def end(self):
        """Nginx ends its workers when it is asked to end, not when it is killed."""
        if self.process.poll() is None and len(self.pids()) > 1:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS_MAX)
        end(self.process)


class Upstream:
    """The mock upstream: a port that answers well, one that answers 500, one that refuses."""

    def __init__(self, programs, at_exit):
        self.process = subprocess.Popen([programs["bench_traffic"], "upstream"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        at_exit.callback(end, self.process)
        line = self.process.stdout.readline()
        if not line:
            sys.exit("bench: the mock upstream did not start")
        self.ports = json.loads(line)

    def broken_answers(self):
        """How many requests the broken port has answered so far."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

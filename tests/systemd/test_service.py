"""The package's own units and program under a real systemd, with official-SDK traffic meanwhile.

`SWITCHBACK_BINARY` names the program. Where there can be no container this says why; with `CI=true` that is a failure.
"""

import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time
import unittest

import sandbox
from sandbox import PATIENCE_SECONDS, wait_until

HERE = pathlib.Path(__file__).parent
UNITS = HERE.parent.parent / "systemd"
BINARY = os.environ["SWITCHBACK_BINARY"]
INSTALLED = "/usr/bin/switchback"
CONFIG = "/etc/switchback/switchback.yaml"
SERVICE, SOCKET = "switchback.service", "switchback.socket"
ADDRESS = "127.0.0.1:8080"
UPSTREAM_PORT = 9101
#: How much longer than before a request may take while something happens. The machine has other things to do, too.
SLOWER_MS = 1000
LONG_STREAM_SECONDS = 60


def yaml(listen=ADDRESS, routes="  m: [up]\n  long-*: [up]\n", more=""):
    listeners = listen if listen.startswith("[") else f"[{listen}]"
    return (
        f"listen: {listeners}\n"
        f"upstreams:\n  up: {{ url: http://127.0.0.1:{UPSTREAM_PORT}/v1, key: {{ credential: keys_up }} }}\n"
        f"routes:\n{routes}{more}"
    )


class Lines:
    """A program outside of the container, but in its network, that speaks in lines."""

    def __init__(self, box, script, *arguments):
        self._process = subprocess.Popen(
            box.command(sys.executable, "-B", str(HERE / script), *arguments, only_network=True),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line.strip())

    def say(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self, seconds=PATIENCE_SECONDS):
        return self._lines.get(timeout=seconds)

    def end(self):
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()


class Traffic(Lines):
    def __init__(self, box):
        super().__init__(box, "traffic.py", f"http://{ADDRESS}/v1")

    def since_last(self):
        self.say("report")
        return json.loads(self.hear())


BOX = None
UPSTREAM = None


def setUpModule():
    missing = sandbox.why_not()
    if missing:
        if os.environ.get("CI"):
            raise AssertionError(f"the systemd tests can't run: {missing}")
        raise unittest.SkipTest(missing)
    global BOX, UPSTREAM
    BOX = sandbox.Sandbox()
    unittest.addModuleCleanup(BOX.off)
    for unit in (SERVICE, SOCKET):
        BOX.install(UNITS / unit, f"/etc/systemd/system/{unit}", 0o644)
    BOX.install(BINARY, INSTALLED)
    BOX.write("/etc/switchback/keys/up", "key-of-the-test\n", 0o600)
    BOX.run("systemctl", "daemon-reload")
    UPSTREAM = Lines(BOX, "upstream.py", str(UPSTREAM_PORT))
    unittest.addModuleCleanup(UPSTREAM._process.kill)
    UPSTREAM.hear()


class ServiceTest(unittest.TestCase):
    def setUp(self):
        BOX.write(CONFIG, yaml())
        self.cursor = BOX.out("journalctl", "--lines=0", "--show-cursor", "--quiet").removeprefix("-- cursor: ")
        self.addCleanup(self.leave_nothing)

    def leave_nothing(self):
        BOX.run("systemctl", "stop", SOCKET, SERVICE, check=False)
        BOX.run("systemctl", "kill", "--signal=KILL", SERVICE, check=False)
        BOX.run("systemctl", "reset-failed", check=False)
        BOX.run("rm", "-rf", "/run/systemd/system/switchback.service.d", "/run/systemd/system/switchback.socket.d")
        BOX.run("systemctl", "daemon-reload")

    # What is done.

    def start(self):
        BOX.run("systemctl", "start", SERVICE)
        return self.main_pid()

    def drop_in(self, unit, text):
        BOX.write(f"/run/systemd/system/{unit}.d/test.conf", text)
        BOX.run("systemctl", "daemon-reload")

    def traffic(self):
        """It has begun, and nothing has failed yet."""
        traffic = Traffic(BOX)
        self.addCleanup(traffic.end)
        total = {"requests": 0}

        def enough():
            report = traffic.since_last()
            self.assertEqual(report["failures"], [], "before anything has happened")
            total["requests"] += report["requests"]
            return total["requests"] >= 30

        wait_until("traffic", enough)
        traffic.since_last()
        traffic.usual_ms = self.busy(traffic)["slowest_ms"]
        return traffic

    def busy(self, traffic, requests=60):
        """What has been seen once so many more requests were answered."""
        seen = {"requests": 0, "slowest_ms": 0, "failures": []}

        def more():
            report = traffic.since_last()
            seen["requests"] += report["requests"]
            seen["slowest_ms"] = max(seen["slowest_ms"], report["slowest_ms"])
            seen["failures"] += report["failures"]
            return seen["requests"] >= requests

        wait_until(f"{requests} requests", more)
        return seen

    # What is seen.

    def main_pid(self):
        return int(BOX.show(SERVICE, "MainPID"))

    def status(self):
        return BOX.show(SERVICE, "StatusText")

    def journal(self):
        return BOX.out("journalctl", "--quiet", f"--after-cursor={self.cursor}", "--output=cat", f"--unit={SERVICE}")

    def manager(self):
        """What systemd itself says about the unit."""
        return BOX.out("journalctl", "--quiet", f"--after-cursor={self.cursor}", "--output=cat", "_PID=1")

    def in_journal(self, text):
        wait_until(f"{text!r} in the journal", lambda: text in self.journal() or text in self.manager())

    def get(self, path="/v1/models", address=ADDRESS):
        """`(exit status of curl, body)` from within the container's network."""
        where = ["--unix-socket", address.removeprefix("unix:"), "http://localhost"] if address.startswith("unix:") else [f"http://{address}"]
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", *where[:-1], where[-1] + path]
        done = BOX.run(*command, check=False)
        return done.returncode, done.stdout

    def ask(self):
        """One chat completion's body."""
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
        return BOX.out("curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--json", body,
                       f"http://{ADDRESS}/v1/chat/completions")

    def assert_nothing_lost(self, seen, usual_ms, what):
        self.assertEqual(seen["failures"], [], f"{what}: of {seen['requests']} requests")
        self.assertLess(seen["slowest_ms"], usual_ms + SLOWER_MS, f"{what}: the slowest request, milliseconds")
        print(f"\n    {what}: {seen['requests']} requests, none lost; slowest {seen['slowest_ms']} ms, before {usual_ms} ms", end=" ")


class UnitsTest(ServiceTest):
    def test_systemd_has_nothing_to_say_about_the_units(self):
        done = BOX.run("systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{SERVICE}", f"/etc/systemd/system/{SOCKET}")
        self.assertEqual((done.stdout, done.stderr), ("", ""))


class StartTest(ServiceTest):
    def test_it_starts_says_so_and_uses_its_credential(self):
        self.start()
        self.assertEqual(BOX.show(SERVICE, "ActiveState"), "active")
        self.assertIn("2 routes", self.status())
        self.assertIn("0 1 2", self.ask(), "an answer of an upstream that wants the credential")
        pid = self.main_pid()
        status = BOX.out("cat", f"/proc/{pid}/status")
        self.assertRegex(status, r"Uid:\s+6[1-5]\d{3}\s", "a user of its own")
        self.assertRegex(status, r"NoNewPrivs:\s+1\n")
        self.assertRegex(status, r"CapBnd:\s+0000000000000000\n")
        self.in_journal("listening")

    def test_a_faulty_file_is_told_in_the_journal(self):
        BOX.write(CONFIG, yaml(routes="  m: [upp]\n"))
        self.assertNotEqual(BOX.run("systemctl", "start", SERVICE, check=False).returncode, 0)
        self.in_journal("error[unknown-upstream]")

    def test_a_cooling_target_is_in_the_status(self):
        routes = "  m: [down, up]\n  long-*: [up]\n"
        down = "  down: { url: http://127.0.0.1:9 }\n"
        BOX.write(CONFIG, yaml(routes=routes).replace("upstreams:\n", "upstreams:\n" + down))
        self.start()
        for _ in range(3):
            self.assertIn("0 1 2", self.ask())
        wait_until("the cooldown in the status", lambda: "cooling down: down" in self.status())


class StopTest(ServiceTest):
    def test_a_stop_waits_for_what_runs_and_no_longer(self):
        self.start()
        traffic = self.traffic()
        traffic.say("stream 4")
        self.assertEqual(json.loads(traffic.hear()), {"stream_begun": 4})
        begin = time.monotonic()
        BOX.run("systemctl", "stop", SERVICE)
        taken = time.monotonic() - begin
        self.assertEqual(json.loads(traffic.hear()), {"stream": "0 1 2 3 4", "failure": None})
        self.assertLess(taken, 15, "seconds of a stop, drain being 10 minutes")
        self.assertEqual(BOX.show(SERVICE, "Result"), "success")
        self.in_journal("stopped: nothing was in flight")


class ReloadTest(ServiceTest):
    def test_good_and_bad_files(self):
        pid = self.start()
        traffic = self.traffic()
        BOX.write(CONFIG, yaml(routes="  m: [up]\n  long-*: [up]\n  added: [up]\n"))
        BOX.run("systemctl", "reload", SERVICE)
        wait_until("the added route", lambda: '"added"' in self.get()[1])
        self.assertIn("3 routes", self.status())
        self.assert_nothing_lost(self.busy(traffic), traffic.usual_ms, "reload of a good file")

        BOX.write(CONFIG, yaml(routes="  m: [upp]\n"))
        self.assertNotEqual(BOX.run("systemctl", "reload", SERVICE, check=False).returncode, 0, "exit status of the reload")
        self.in_journal("error[unknown-upstream]")
        wait_until("the fault in the status", lambda: "reload failed" in self.status())
        self.assertIn('"added"', self.get()[1])
        self.assert_nothing_lost(self.busy(traffic), traffic.usual_ms, "reload of a bad file")
        self.assertEqual((self.main_pid(), BOX.show(SERVICE, "ActiveState")), (pid, "active"))


    def test_a_reload_says_what_became_of_a_new_key(self):
        self.start()
        self.addCleanup(BOX.run, "rm", "/etc/switchback/keys/added")
        BOX.write("/etc/switchback/keys/added", "another-key\n", 0o600)
        added = "  added: { url: http://127.0.0.1:9/v1, key: { credential: keys_added } }\nroutes:\n  added: [added]\n"
        BOX.write(CONFIG, yaml().replace("routes:\n", added))
        done = BOX.run("systemctl", "reload", SERVICE, check=False)
        taken = wait_until("an outcome", lambda: "3 routes" in self.status() and "taken" or "reload failed" in self.status() and "rejected")
        self.assertEqual(taken, "taken" if done.returncode == 0 else "rejected", f"{done}\n{self.status()}")


class SocketTest(ServiceTest):
    def test_a_restart_refuses_no_connection(self):
        BOX.run("systemctl", "start", SOCKET)
        pid = self.start()
        self.in_journal("listening on systemd's socket")
        traffic = self.traffic()
        for _ in range(3):
            BOX.run("systemctl", "restart", SERVICE)
            seen = self.busy(traffic)
            refused = [failure for failure in seen["failures"] if "refused" in failure.lower()]
            self.assertEqual(refused, [], "refused connections")
            self.assertEqual(seen["failures"], [], f"failures of {seen['requests']} requests during a restart")
            self.assertNotEqual(self.main_pid(), pid)
        print(f"\n    restart: none refused; slowest {seen['slowest_ms']} ms, before {traffic.usual_ms} ms", end=" ")

    def test_the_first_connection_starts_the_service(self):
        BOX.run("systemctl", "start", SOCKET)
        self.assertEqual(BOX.show(SERVICE, "ActiveState"), "inactive")
        self.assertEqual(self.get()[0], 0)
        self.assertEqual(BOX.show(SERVICE, "ActiveState"), "active")

    def test_sockets_and_listen_need_not_agree(self):
        self.drop_in(SOCKET, "[Socket]\nListenStream=\nListenStream=[::]:8081\nListenStream=127.0.0.1:8082\nListenStream=/run/front.sock\nFileDescriptorName=front\n")
        BOX.write(CONFIG, yaml(listen=f'["{ADDRESS}", "0.0.0.0:8081", "unix:/run/front.sock"]'))
        BOX.run("systemctl", "start", SOCKET)
        self.start()
        for address, why in [
            (ADDRESS, "`listen` names it, systemd does not hand it in"),
            ("127.0.0.1:8081", "a wildcard for a wildcard"),
            ("127.0.0.1:8082", "systemd hands it in, no `listen` names it"),
            ("unix:/run/front.sock", "a unix socket that systemd made"),
        ]:
            self.assertEqual(self.get(address=address)[0], 0, f"{address}: {why}")
        self.in_journal("a socket that no `listen` names")

    def test_an_upgrade_passes_systemd_s_sockets_on(self):
        self.drop_in(SOCKET, "[Socket]\nListenStream=/run/front.sock\n")
        BOX.write(CONFIG, yaml(listen=f'["{ADDRESS}", "unix:/run/front.sock"]'))
        BOX.run("systemctl", "start", SOCKET)
        pid = self.start()
        BOX.run("switchback", "upgrade")
        self.assertNotEqual(self.main_pid(), pid)
        BOX.run("systemctl", "restart", SERVICE)
        for address in (ADDRESS, "unix:/run/front.sock"):
            self.assertEqual(self.get(address=address)[0], 0, address)


class UpgradeTest(ServiceTest):
    def upgrade(self, expected=0):
        done = BOX.run("switchback", "upgrade", check=False)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_an_upgrade_loses_nothing_and_a_failed_one_changes_nothing(self):
        old = self.start()
        traffic = self.traffic()
        traffic.say(f"stream {LONG_STREAM_SECONDS}")
        begin = time.monotonic()
        self.assertEqual(json.loads(traffic.hear()), {"stream_begun": LONG_STREAM_SECONDS})
        self.addCleanup(BOX.install, BINARY, INSTALLED)

        for name, program, reason in [
            ("ends", "#!/bin/sh\necho no such thing >&2; exit 7\n", "exit status 7"),
            ("is not ready", "#!/bin/sh\nsleep 300\n", "not ready within 30 s"),
        ]:
            BOX.write(INSTALLED, program, 0o755)
            self.fail_to_upgrade(name, reason, traffic)
            self.assertEqual((self.main_pid(), BOX.show(SERVICE, "ActiveState")), (old, "active"))

        BOX.install(BINARY, INSTALLED)
        BOX.write(CONFIG, yaml(routes="  m: [upp]\n"))
        self.assertIn("not upgraded", self.upgrade(expected=1))
        self.in_journal("error[unknown-upstream]")
        self.assertEqual(self.main_pid(), old)
        self.assert_nothing_lost(self.busy(traffic), traffic.usual_ms, "upgrade to a program that rejects the file")
        BOX.write(CONFIG, yaml())

        inode = BOX.out("stat", "--format=%i", INSTALLED)
        told = self.upgrade()
        new = self.main_pid()
        self.assertIn(f"serves as process {new}", told)
        self.assertNotEqual(new, old)
        self.assertEqual(BOX.out("stat", "--dereference", "--format=%i", f"/proc/{new}/exe"), inode, "the program that runs")
        self.assert_nothing_lost(self.busy(traffic, 150), traffic.usual_ms, "upgrade")
        self.assertNotIn("upgrade failed", self.status())
        self.assertEqual(BOX.out("sh", "-c", f"grep PPid /proc/{new}/status").split()[1], "1", "the new process is systemd's child")

        stream = json.loads(traffic.hear(LONG_STREAM_SECONDS + PATIENCE_SECONDS))
        self.assertGreaterEqual(time.monotonic() - begin, LONG_STREAM_SECONDS - 1)
        whole = " ".join(map(str, range(LONG_STREAM_SECONDS + 1)))
        self.assertEqual(stream, {"stream": whole, "failure": None}, "a stream that ran through all of it")
        self.assertEqual((self.main_pid(), BOX.show(SERVICE, "ActiveState")), (new, "active"))
        self.assertNotRegex(self.manager(), r"(?i)reception only permitted|not our child|failed")

    def fail_to_upgrade(self, name, reason, traffic):
        # By hand: the command is the program that has been replaced.
        pid = self.main_pid()
        BOX.run("systemctl", "kill", "--kill-who=main", "--signal=USR2", SERVICE)
        wait_until(f"{reason!r} in the status", lambda: reason in self.status(), PATIENCE_SECONDS + 15)
        self.in_journal("the upgrade failed: this process carries on")
        self.assertEqual(BOX.run("pgrep", "-f", "sleep 300", check=False).stdout, "", "what was left of the program")
        self.assertEqual(self.main_pid(), pid)
        self.assert_nothing_lost(self.busy(traffic), traffic.usual_ms, f"upgrade to a program that {name}")

    def test_a_stop_after_an_upgrade_waits_for_the_old_process_too(self):
        old = self.start()
        traffic = self.traffic()
        traffic.say("stream 6")
        traffic.hear()
        self.upgrade()
        self.assertNotEqual(self.main_pid(), old)
        begin = time.monotonic()
        BOX.run("systemctl", "stop", SERVICE)
        self.assertEqual(json.loads(traffic.hear()), {"stream": "0 1 2 3 4 5 6", "failure": None})
        self.assertLess(time.monotonic() - begin, 20, "seconds until both have ended")
        self.assertEqual(BOX.show(SERVICE, "Result"), "success")

    def test_after_an_upgrade_systemd_hears_of_the_new_process_s_end(self):
        self.start()
        self.upgrade()
        new = self.main_pid()
        BOX.run("kill", "-KILL", str(new))
        wait_until("another process", lambda: self.main_pid() not in (0, new))
        wait_until("an answer", lambda: self.get()[0] == 0)


class FailureTest(ServiceTest):
    def test_a_killed_process_is_started_again(self):
        pid = self.start()
        BOX.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", SERVICE)
        wait_until("another process", lambda: self.main_pid() not in (0, pid))
        wait_until("an answer", lambda: self.get()[0] == 0)
        self.assertEqual(BOX.show(SERVICE, "NRestarts"), "1")

    def test_a_blocked_data_path_starves_the_watchdog(self):
        self.drop_in(SERVICE, "[Service]\nWatchdogSec=2s\n")
        pid = self.start()
        heard = BOX.show(SERVICE, "WatchdogTimestampMonotonic")
        wait_until("a sign of life", lambda: BOX.show(SERVICE, "WatchdogTimestampMonotonic") != heard)
        # Only the threads that serve requests are stopped; those that talk to systemd go on.
        freeze = subprocess.Popen(
            [sys.executable, "-B", str(HERE / "freeze.py"), str(BOX.host_pid(pid)), "gateway"],
            stdout=subprocess.PIPE, text=True,
        )
        self.addCleanup(freeze.wait)
        self.addCleanup(freeze.stdout.close)
        self.addCleanup(freeze.kill)
        self.assertGreaterEqual(int(freeze.stdout.readline()), 1, "threads that were stopped")
        wait_until("another process", lambda: self.main_pid() not in (0, pid))
        self.in_journal("requests are not answered any more")
        self.in_journal("Watchdog timeout")
        wait_until("an answer", lambda: self.get()[0] == 0)

    def test_a_stopped_process_starves_the_watchdog(self):
        self.drop_in(SERVICE, "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n")
        pid = self.start()
        BOX.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", SERVICE)
        wait_until("another process", lambda: self.main_pid() not in (0, pid))
        self.in_journal("Watchdog timeout")
        wait_until("an answer", lambda: self.get()[0] == 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)

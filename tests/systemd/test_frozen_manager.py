"""systemd itself stands still, as PID 1 does on a machine in trouble: nobody waits for it, and when it moves again it hears
how things are."""

import contextlib
import json
import os
import pathlib
import signal
import time
import unittest

import test_service as service
from sandbox import wait_until
from test_service import SERVICE

#: Of the watchdog, here.
WATCHDOG_SECONDS = 2


def setUpModule():
    service.setUpModule()


class FrozenManagerTest(service.ServiceTest):
    @contextlib.contextmanager
    def frozen(self):
        os.kill(service.BOX.leader, signal.SIGSTOP)
        try:
            wait_until("PID 1 to stand still", lambda: self.state(service.BOX.leader) == "T")
            yield
        finally:
            os.kill(service.BOX.leader, signal.SIGCONT)

    def state(self, host_pid):
        """Of a process outside: `T` is stopped, `Z` has ended and nobody has asked how."""
        return pathlib.Path(f"/proc/{host_pid}/stat").read_text().rpartition(")")[2].split()[0]

    def waits_for_the_manager(self, host_pid):
        """Whether what the program has to say to systemd has no more room on its way."""
        tasks = pathlib.Path(f"/proc/{host_pid}/task").iterdir()
        (sender,) = [task for task in tasks if (task / "comm").read_text().strip() == "notify-send"]
        return (sender / "wchan").read_text().startswith(("unix_", "sock_"))

    def fill(self, host_pid):
        """Reloads until systemd's socket takes no more of what is said about them."""

        def is_full():
            os.kill(host_pid, signal.SIGHUP)
            return self.waits_for_the_manager(host_pid)

        wait_until("a full socket", is_full)

    def serves(self, route):
        return f'"{route}"' in self.get()[1]

    def box(self, *command):
        return service.BOX.run(*command)

    def write(self, **what):
        service.BOX.write(service.CONFIG, service.yaml(**what))

    def assert_content(self, main_pid):
        """Nobody has been started again, or put in charge who is not."""
        shown = [service.BOX.show(SERVICE, name) for name in ("ActiveState", "NRestarts", "MainPID")]
        self.assertEqual(shown, ["active", "0", str(main_pid)])

    def test_requests_and_reloads_go_on_and_the_watchdog_is_content(self):
        self.drop_in(SERVICE, f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}s\n")
        pid = self.start()
        host_pid = service.BOX.host_pid(pid)
        traffic = self.traffic()
        with self.frozen():
            self.fill(host_pid)
            full = time.monotonic()
            routes = "  m: [up]\n  long-*: [up]\n"
            for number in range(5):
                routes += f"  added-{number}: [up]\n"
                self.write(routes=routes)
                self.box("kill", "-HUP", str(pid))
                wait_until("the added route", lambda: self.serves(f"added-{number}"))
            self.write(routes="  m: [upp]\n")
            self.box("kill", "-HUP", str(pid))
            self.in_journal("reload failed")
            seen = self.busy(traffic, 300)
            time.sleep(max(0, full + 3 * WATCHDOG_SECONDS - time.monotonic()))
            self.assertTrue(self.waits_for_the_manager(host_pid))
        wait_until("the last reload in the status", lambda: "reload failed" in self.status())
        self.assert_nothing_lost(seen, traffic.usual_ms, "reloads while systemd stood still")
        self.assertTrue(self.serves("added-4"))
        self.assert_content(pid)
        self.write()
        self.box("systemctl", "reload", SERVICE)
        wait_until("the next one", lambda: self.status().startswith("2 routes"))

    def upgrades(self, before):
        old = self.start()
        traffic = self.traffic()
        with self.frozen():
            before(service.BOX.host_pid(old))
            self.box("kill", "-USR2", str(old))
            self.in_journal("upgraded: the new process serves")
            seen = self.busy(traffic)
        wait_until("another main process", lambda: self.main_pid() not in (0, old))
        self.assert_nothing_lost(seen, traffic.usual_ms, "upgrade while systemd stood still")
        new = self.main_pid()
        self.box("systemctl", "reload", SERVICE)
        self.assert_content(new)
        self.assertEqual(self.get()[0], 0)

    def test_an_upgrade_goes_on(self):
        self.upgrades(lambda _host_pid: None)

    def test_an_upgrade_goes_on_when_nothing_more_can_be_said(self):
        self.upgrades(self.fill)

    def stops(self, before):
        pid = self.start()
        traffic = self.traffic()
        traffic.say("stream 3")
        traffic.hear()
        host_pid = service.BOX.host_pid(pid)
        with self.frozen():
            before(host_pid)
            self.box("kill", "-TERM", str(pid))
            self.assertEqual(json.loads(traffic.hear()), {"stream": "0 1 2 3", "failure": None})
            wait_until("the process to have ended", lambda: self.state(host_pid) == "Z")
        wait_until("systemd to have seen it", lambda: service.BOX.show(SERVICE, "ActiveState") == "inactive")
        self.assertEqual(service.BOX.show(SERVICE, "Result"), "success")

    def test_a_stop_goes_on(self):
        self.stops(lambda _host_pid: None)

    def test_a_stop_goes_on_when_nothing_more_can_be_said(self):
        self.stops(self.fill)


if __name__ == "__main__":
    unittest.main(verbosity=2)

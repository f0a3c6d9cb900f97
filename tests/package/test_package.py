"""The Debian package under a real systemd: nothing without keys, started with them, upgraded under SDK traffic, removed.

`FIRST_PACKAGE` and `SECOND_PACKAGE` name two versions of it. Where there can be no container this says why; with `CI=true`
that is a failure.
"""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "systemd"))

import sandbox  # noqa: E402
from sandbox import wait_until  # noqa: E402
from test_service import Lines, Traffic  # noqa: E402

UNIT = "switchback.service"
CONFIG = "/etc/switchback/switchback.yaml"
KEYS = "/etc/switchback/keys"
ADDRESS = "127.0.0.1:8080"
UPSTREAM_PORT = 9101
#: Traffic that must have passed before and after an upgrade.
REQUESTS = 60

FIRST, SECOND = "/root/first.deb", "/root/second.deb"
BOX = None


def setUpModule():
    missing = sandbox.why_not()
    if missing:
        if os.environ.get("CI"):
            raise AssertionError(f"the package can't be tried under systemd: {missing}")
        raise unittest.SkipTest(missing)
    global BOX
    BOX = sandbox.Sandbox()
    unittest.addModuleCleanup(BOX.off)
    # Images for containers forbid packages to start services; a machine does not.
    BOX.run("rm", "-f", "/usr/sbin/policy-rc.d")
    BOX.install(os.environ["FIRST_PACKAGE"], FIRST, 0o644)
    BOX.install(os.environ["SECOND_PACKAGE"], SECOND, 0o644)
    upstream = Lines(BOX, "upstream.py", str(UPSTREAM_PORT))
    unittest.addModuleCleanup(upstream.end)
    upstream.hear()


class PackageTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.addCleanup(BOX.run, "dpkg", "--purge", "switchback", check=False)

    def dpkg(self, *arguments):
        done = BOX.run("dpkg", *arguments)
        return done.stdout + done.stderr

    def state(self):
        return BOX.show(UNIT, "ActiveState")

    def enabled(self):
        return BOX.run("systemctl", "is-enabled", UNIT, check=False).stdout.strip()

    def key(self, name, value):
        BOX.write(f"{KEYS}/{name}", value + "\n", 0o600)

    def serve_from_the_scripted_upstream(self):
        BOX.write(
            CONFIG,
            f"listen: ['{ADDRESS}']\n"
            f"upstreams:\n  up: {{ url: http://127.0.0.1:{UPSTREAM_PORT}/v1, key: {{ credential: keys_up }} }}\n"
            "routes:\n  m: [up]\n",
        )
        self.key("up", "key-of-the-test")

    def requests(self, traffic, what):
        """So many more, none of which failed."""
        seen = {"requests": 0, "failures": []}

        def more():
            report = traffic.since_last()
            seen["requests"] += report["requests"]
            seen["failures"] += report["failures"]
            return seen["requests"] >= REQUESTS

        wait_until(f"{REQUESTS} requests", more)
        self.assertEqual(seen["failures"], [], f"{what}: of {seen['requests']} requests")

    def test_a_first_installation_waits_for_keys_and_says_how_to_go_on(self):
        told = self.dpkg("--install", FIRST)
        self.assertIn("no keys yet", told)
        self.assertIn("systemctl enable --now switchback", told)
        self.assertEqual((self.state(), self.enabled()), ("inactive", "disabled"))

        failed = BOX.run("systemctl", "start", UNIT, check=False)
        self.assertNotEqual(failed.returncode, 0, "it started without keys")
        journal = lambda: BOX.out("journalctl", "--quiet", "--output=cat", f"--unit={UNIT}")
        wait_until("the missing key in the journal", lambda: "keys_openai" in journal())
        BOX.run("systemctl", "stop", UNIT)
        BOX.run("systemctl", "reset-failed", UNIT, check=False)

        self.key("openai", "sk-first")
        self.key("openrouter", "sk-second")
        BOX.run("systemctl", "enable", "--now", UNIT)
        self.assertEqual(self.state(), "active")
        self.assertIn('"gpt-', BOX.out("curl", "--silent", "--noproxy", "*", f"http://{ADDRESS}/v1/models") + '"gpt-')

    def test_with_keys_in_place_it_is_started_by_the_installation(self):
        BOX.run("install", "-d", "-m", "700", KEYS)
        self.key("openai", "sk-first")
        self.key("openrouter", "sk-second")
        told = self.dpkg("--install", FIRST)
        self.assertNotIn("no keys yet", told)
        self.assertEqual((self.state(), self.enabled()), ("active", "enabled"))

    def test_an_upgrade_takes_over_and_loses_nothing(self):
        self.dpkg("--install", FIRST)
        self.serve_from_the_scripted_upstream()
        BOX.run("systemctl", "enable", "--now", UNIT)
        before = BOX.show(UNIT, "MainPID")
        traffic = Traffic(BOX)
        self.addCleanup(traffic.end)
        self.requests(traffic, "before the upgrade")

        told = self.dpkg("--install", SECOND)
        self.assertNotIn("restarting instead", told)
        self.requests(traffic, "the upgrade")
        after = BOX.show(UNIT, "MainPID")
        self.assertNotEqual(before, after, "the first version still serves")
        self.assertEqual(self.state(), "active")
        self.assertEqual(BOX.out("readlink", f"/proc/{after}/exe"), "/usr/bin/switchback", "the program that serves was replaced")
        self.assertIn("keys_up", BOX.out("cat", CONFIG), "the changed configuration was kept")

    def test_an_upgrade_leaves_a_stopped_service_stopped(self):
        self.dpkg("--install", FIRST)
        self.serve_from_the_scripted_upstream()
        self.assertIn("is left so", self.dpkg("--install", SECOND))
        self.assertEqual(self.state(), "inactive")

    def test_a_removal_stops_it_and_a_purge_leaves_nothing(self):
        self.dpkg("--install", FIRST)
        self.serve_from_the_scripted_upstream()
        BOX.run("systemctl", "enable", "--now", UNIT)
        self.dpkg("--remove", "switchback")
        self.assertEqual(BOX.show(UNIT, "LoadState"), "not-found")
        self.assertEqual(BOX.run("pidof", "switchback", check=False).stdout, "")
        self.assertIn("keys_up", BOX.out("cat", CONFIG))
        self.dpkg("--purge", "switchback")
        left = BOX.run("find", "/etc/switchback", "/etc/systemd/system", "-name", "*switchback*", check=False).stdout
        self.assertEqual(left, "")


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""The real binary in front of scripted upstreams."""

import asyncio
import json
import math
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest

import upstream

CLIENT_KEY = "sk-of-the-client"
PROMPT = "a prompt that no log may show"
START_SECONDS = 30
STOP_SECONDS = 30


class Gateway:
    """`switchback run` with `config`; ready when this returns, because the binary has told its NOTIFY_SOCKET so."""

    def __init__(self, config, environment):
        self._directory = tempfile.TemporaryDirectory(prefix="switchback-sdk-")
        directory = pathlib.Path(self._directory.name)
        self._log = directory / "log"
        self._clients = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.origin = "http://127.0.0.1:%d" % probe.getsockname()[1]
        config = {"listen": [self.origin.removeprefix("http://")], **config}
        # JSON is YAML.
        (directory / "switchback.yaml").write_text(json.dumps(config))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, open(self._log, "wb") as log:
            notified.bind(str(directory / "notify"))
            self._process = subprocess.Popen(
                [os.environ["SWITCHBACK_BINARY"], "run", "--config", directory / "switchback.yaml"],
                env={**environment, "NOTIFY_SOCKET": str(directory / "notify")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                self._wait_for_ready(notified)
            except BaseException:
                self._process.kill()
                self._process.wait()
                raise

    def _wait_for_ready(self, notified):
        notified.settimeout(0.2)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if b"READY=1" in notified.recv(4096).split(b"\n"):
                    return
            except TimeoutError:
                pass
        raise AssertionError("the gateway did not become ready:\n" + self.log())

    def closing(self, client):
        """`client`, closed when the gateway is stopped."""
        self._clients.append(client)
        return client

    def log(self):
        return self._log.read_text()

    def stop(self):
        """SIGTERM, and the exit status. What still runs after `STOP_SECONDS` is a failure."""
        for client in self._clients:
            client.close()
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def forget(self):
        self._directory.cleanup()


class GatewayTest(unittest.IsolatedAsyncioTestCase):
    """Starts upstreams and a gateway for one test, and checks what the gateway logged when the test is over."""

    async def asyncSetUp(self):
        # unittest turns asyncio's debugging on, which complains of everything that a test waits for.
        asyncio.get_running_loop().slow_callback_duration = math.inf

    def upstream(self, *script, **options):
        started = upstream.Upstream(*script, **options)
        self.addCleanup(started.close)
        return started

    def gateway(self, route, *, model="gpt-4o", policy=None, **upstreams):
        """A gateway that hurries, with one route. An upstream is `NAME=Upstream`, or `NAME=(Upstream, "anthropic")`; its key is
        `key-of-NAME`."""
        hurried = {
            "policy": {"retry": {"backoff": "5ms", "max_backoff": "10ms"}, **(policy or {})},
            "server": {"threads": 1, "drain": "5s"},
            "log": {"level": "info", "format": "json"},
        }
        return self._start(route, model, upstreams, hurried)

    def gateway_by_default(self, route, *, model="gpt-4o", timeouts=None, **upstreams):
        """The same with upstreams and a route in its configuration, and nothing else but these clocks."""
        return self._start(route, model, upstreams, {"policy": {"timeouts": timeouts}} if timeouts else {})

    def _start(self, route, model, upstreams, more):
        environment = {}
        configured = {}
        for name, given in upstreams.items():
            started, protocol = given if isinstance(given, tuple) else (given, "openai")
            path = "/v1" if protocol == "openai" else ""
            variable = f"KEY_OF_{name.upper()}"
            environment[variable] = f"key-of-{name}"
            configured[name] = {"url": started.origin + path, "protocol": protocol, "key": "${%s}" % variable}
        running = Gateway({"upstreams": configured, "routes": {model: route}, **more}, environment)
        self.addCleanup(self._stop, running, [*environment.values(), CLIENT_KEY, PROMPT])
        return running

    def _stop(self, running, secrets):
        try:
            status = running.stop()
            log = running.log()
        finally:
            running.forget()
        self.assertEqual(status, 0, log)
        for secret in secrets:
            self.assertNotIn(secret, log)
        for line in log.splitlines():
            json.loads(line)

    def assert_gateway_headers(self, headers, attempts):
        """The gateway's own headers stand beside those of the provider."""
        self.assertRegex(headers["x-gateway-request-id"], r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$")
        self.assertEqual(headers["x-gateway-attempts"].count("status="), attempts, headers["x-gateway-attempts"])

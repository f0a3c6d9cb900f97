"""The real binary with an admin listener, in front of an upstream that fails as it is told."""

import http.server
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

PATIENCE_SECONDS = 30
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "well"}, "finish_reason": "stop"}],
}


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


class Upstream:
    """Answers well, or with `failure`, a status and an error. `/balance` tells `balance`. What else it was asked is in `asked`."""

    def __init__(self):
        self.asked = []
        self.failure = None
        self.balance = 12.5
        told = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                told.asked.append((self.command, self.path, self.headers["authorization"]))
                self.rfile.read(int(self.headers["content-length"]))
                if told.failure is None:
                    self.answer(200, COMPLETION)
                else:
                    status, error = told.failure
                    self.answer(status, {"error": error})

            def do_GET(self):
                if self.path != "/balance":
                    told.asked.append((self.command, self.path, self.headers["authorization"]))
                self.answer(200, {"data": {"left": told.balance}})

            def answer(self, status, body):
                body = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.send_header("x-request-id", "req_of_the_provider")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = "http://127.0.0.1:%d" % self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Site:
    """Serves an empty page at every path."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = b"<!doctype html><html lang=en><link rel=icon href=data:,><title>a site</title><body></body></html>"
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def origin(self, name):
        """As a browser sees it that has come by this name."""
        return f"http://{name}:{self.port}"

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Gateway:
    """`switchback run`; ready when this returns. `listener` is what its listener says besides its address."""

    def __init__(self, config, **listener):
        self._directory = tempfile.TemporaryDirectory(prefix="switchback-page-")
        self.file = pathlib.Path(self._directory.name) / "switchback.yaml"
        self.listen, self.admin = free_address(), free_address()
        self.config = {
            "listen": [{"address": self.listen, **listener}],
            "admin": self.admin,
            "log": {"format": "json"},
            **config,
        }
        self.write(json.dumps(self.config))
        self._log = self.file.with_name("log")
        self._process = None
        self.start()

    def start(self):
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [os.environ["SWITCHBACK_BINARY"], "run", "--config", self.file],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the gateway did not become ready:\n" + self._log.read_text())
            time.sleep(0.02)

    def _is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.admin}/readyz", timeout=PATIENCE_SECONDS) as response:
                return response.status == 200
        except OSError:
            return False

    def write(self, text):
        """What is no configuration is rejected. Replaced as editors do it."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    def ask(self, model="m"):
        """The status of a chat completion."""
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "a prompt that no page may show"}]}).encode()
        request = urllib.request.Request(f"http://{self.listen}/v1/chat/completions", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
                response.read()
                return response.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def refused(self):
        """Why it has refused requests, each by the code of its error."""
        lines = (json.loads(line) for line in self._log.read_text().splitlines())
        return [line["refused"] for line in lines if "refused" in line]

    def stop(self):
        self._process.terminate()
        return self._process.wait(PATIENCE_SECONDS)

    def close(self):
        if self._process.poll() is None:
            self.stop()
        self._directory.cleanup()

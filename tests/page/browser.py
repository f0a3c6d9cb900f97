"""Headless Chromium by the WebDriver protocol (W3C), spoken directly: it is JSON over HTTP."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

START_SECONDS = 60
PATIENCE_SECONDS = 60
ARGUMENTS = [
    "--headless=new",
    # Root, as in CI, has no sandbox in Chromium.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-default-browser-check",
    "--hide-scrollbars",
]
#: Nothing but loopback is there, and for the browser these names lead to it.
SITES = ["evil.example", "chat.example", "rebound.example"]
NAMES = ["MAP %s 127.0.0.1" % site for site in SITES] + ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1", "EXCLUDE localhost"]


class Browser:
    """One window. Everything that it writes to its console and asks of the network is written down."""

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="switchback-page-")
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            self._base = f"http://127.0.0.1:{self._port()}"
            capabilities = {
                "browserName": "chrome",
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "goog:chromeOptions": {
                    "binary": shutil.which("chromium"),
                    "args": [
                        *ARGUMENTS,
                        "--host-resolver-rules=" + " , ".join(NAMES),
                        f"--user-data-dir={self._directory.name}",
                    ],
                },
            }
            session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}}, START_SECONDS)
            self._session = f"/session/{session['sessionId']}"
        except BaseException:
            self._end()
            raise

    def _port(self):
        for line in self._driver.stdout:
            if "started successfully on port" in line:
                return int(line.rsplit("port", 1)[1].strip(" .\n"))
        raise AssertionError("chromedriver did not start")

    def _call(self, method, path, body=None, seconds=PATIENCE_SECONDS):
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._base + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from None

    def close(self):
        try:
            self._call("DELETE", self._session)
        finally:
            self._end()

    def _end(self):
        self._driver.terminate()
        self._driver.wait(PATIENCE_SECONDS)
        self._driver.stdout.close()
        self._directory.cleanup()

    def open(self, url):
        self._call("POST", self._session + "/url", {"url": url})

    def run(self, script, *arguments):
        """What the function body `script` returns, or its promise is kept with."""
        return self._call("POST", self._session + "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector):
        """What is seen of the first such element; nothing if there is none."""
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def until(self, what, look):
        """What `look` returns, once that is true."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := look()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain for {what}; the page says\n{self.text('body')}")
            time.sleep(0.05)
        return found

    def until_text(self, selector, *texts):
        self.until(f"{texts} in {selector}", lambda: all(text in self.text(selector) for text in texts))

    def size(self, width, height):
        """Of what is shown; smaller than a window may be."""
        parameters = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", parameters)

    def scheme(self, name):
        """`light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": name}, {"name": "prefers-reduced-motion", "value": "reduce"}]
        self._devtools("Emulation.setEmulatedMedia", {"features": features})

    def _devtools(self, command, parameters):
        return self._call("POST", self._session + "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def key(self, key):
        """Presses and releases one key."""
        strokes = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._call("POST", self._session + "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def screenshot(self, file):
        """Of the whole page."""
        shot = self._devtools("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def console(self):
        """What it has complained of since the last call."""
        return self._log("browser")

    def requests(self):
        """The URLs that it has asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def _log(self, kind):
        return self._call("POST", self._session + "/se/log", {"type": kind})

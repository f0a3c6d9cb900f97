"""Scripted upstreams: real sockets, port 0, one per test."""

import http.server
import json
import pathlib
import socket
import threading
from dataclasses import dataclass, replace

ANSWERS = json.loads((pathlib.Path(__file__).parent.parent / "answers.json").read_text())


@dataclass(frozen=True)
class Answer:
    """One response. With `events` it is a chunked event stream, else one JSON body."""

    status: int
    headers: dict
    body: bytes = b""
    events: tuple = ()
    #: Close the connection after the events instead of ending the stream.
    cut: bool = False

    def first_events(self, count):
        """The stream's first events, and then its clean end."""
        return replace(self, events=self.events[:count])

    def cut_after(self, count):
        """The stream's first events, and then a closed connection."""
        return replace(self, events=self.events[:count], cut=True)


def answer(name):
    """An answer of answers.json."""
    written = ANSWERS[name]
    return Answer(
        status=written["status"],
        headers=written["headers"],
        body=json.dumps(written.get("json")).encode(),
        events=tuple(map(_event, written.get("events", ()))),
    )


def _event(event):
    data = event["data"] if isinstance(event["data"], str) else json.dumps(event["data"])
    name = f"event: {event['event']}\n" if "event" in event else ""
    return f"{name}data: {data}\n\n".encode()


@dataclass(frozen=True)
class Received:
    """What an upstream was sent."""

    method: str
    path: str
    #: Names in lower case.
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Upstream:
    """Gives its answers in order, the last one for ever, and remembers what it received."""

    def __init__(self, *script):
        self.received = []
        self._script = [answer(item) if isinstance(item, str) else item for item in script]
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def origin(self):
        return "http://127.0.0.1:%d" % self._server.server_port

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, received):
        with self._lock:
            self.received.append(received)
            return self._script[min(len(self.received), len(self._script)) - 1]

    def _handler(upstream):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                taken = upstream._take(Received(self.command, self.path, headers, body))
                try:
                    self._give(taken)
                except ConnectionError:  # The gateway left: its own business.
                    self.close_connection = True

            do_GET = do_POST

            def _give(self, taken):
                self.send_response(taken.status)
                for name, value in taken.headers.items():
                    self.send_header(name, value)
                if not taken.events:
                    self.send_header("content-length", str(len(taken.body)))
                    self.end_headers()
                    self.wfile.write(taken.body)
                    return
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for event in taken.events:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                if taken.cut:
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        return Handler


class Refusing:
    """A port that is taken, and where nobody listens: connecting is refused, whatever else runs."""

    def __init__(self):
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.origin = "http://127.0.0.1:%d" % self._socket.getsockname()[1]

    def close(self):
        self._socket.close()

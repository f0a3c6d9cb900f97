"""Scripted upstreams: real sockets, port 0, one per test."""

import contextlib
import enum
import http.server
import json
import pathlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field, replace

ANSWERS = json.loads((pathlib.Path(__file__).parent.parent / "answers.json").read_text())


class End(enum.Enum):
    """What follows an answer's last byte."""

    WHOLE = "the body's proper end"
    CUT = "a closed connection"
    RESET = "a reset connection"
    STALL = "nothing, until the gateway leaves"


@dataclass(frozen=True)
class Answer:
    """One response. With `events` it is a chunked event stream, else one JSON body. Without a status it has no byte at all."""

    status: int | None = None
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    events: tuple = ()
    end: End = End.WHOLE

    def first_events(self, count):
        """The stream's first events, and then its clean end."""
        return replace(self, events=self.events[:count])

    def cut_after(self, count):
        """The stream's first events, and then a closed connection."""
        return replace(self, events=self.events[:count], end=End.CUT)

    def stalled_after(self, count):
        """The stream's first events, and then nothing more."""
        return replace(self, events=self.events[:count], end=End.STALL)

    def with_header(self, name, value):
        """The same with this header; without it if `value` is None."""
        headers = {**self.headers, name: value}
        return replace(self, headers={name: value for name, value in headers.items() if value is not None})

    def with_members(self, **members):
        """The same with these members in its JSON body."""
        return replace(self, body=json.dumps({**json.loads(self.body), **members}).encode())


RESETS = Answer(end=End.RESET)
HANGS = Answer(end=End.STALL)


def answer(name):
    """An answer of answers.json."""
    written = ANSWERS[name]
    return Answer(
        status=written["status"],
        headers=written["headers"],
        body=json.dumps(written.get("json")).encode(),
        events=tuple(map(event_bytes, written.get("events", ()))),
    )


def event_bytes(event):
    """An event of answers.json as it is sent."""
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
    #: On the monotonic clock, in seconds.
    at: float

    @property
    def json(self):
        return json.loads(self.body)


class Upstream:
    """Gives its answers in order, the last one for ever, and remembers what it received."""

    def __init__(self, *script, host="127.0.0.1"):
        self.received = []
        self._script = [answer(item) if isinstance(item, str) else item for item in script]
        self._lock = threading.Lock()
        self._connections = set()
        self._listen(host, 0)
        self._host, self._port = self._server.server_address

    @property
    def origin(self):
        return f"http://{self._host}:{self._port}"

    def _listen(self, host, port):
        self._server = http.server.ThreadingHTTPServer((host, port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def go_down(self):
        """Nobody listens any more, and every connection is closed."""
        self.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # The gateway was quicker.
                    connection.shutdown(socket.SHUT_RDWR)

    def come_back(self):
        """Listens again where it did. For this `host` should be one that no outgoing connection takes its port from: 127.0.0.2."""
        self._listen(self._host, self._port)

    def _take(self, received):
        with self._lock:
            self.received.append(received)
            return self._script[min(len(self.received), len(self._script)) - 1]

    def _handler(upstream):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                with upstream._lock:
                    upstream._connections.add(self.connection)

            def finish(self):
                with upstream._lock:
                    upstream._connections.discard(self.connection)
                super().finish()

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                taken = upstream._take(Received(self.command, self.path, headers, body, time.monotonic()))
                try:
                    self._give(taken)
                except ConnectionError:  # The gateway left: its own business.
                    self.close_connection = True

            do_GET = do_POST

            def _give(self, taken):
                if taken.status is not None:
                    self._send(taken)
                if taken.end is End.RESET:
                    # Closed at once and without lingering, which is a reset.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.rfile.close()
                    self.connection.close()
                elif taken.end is End.STALL:
                    self.rfile.read(1)
                if taken.end is not End.WHOLE:
                    self.close_connection = True

            def _send(self, taken):
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
                if taken.end is End.WHOLE:
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

"""The upstream of the traffic: short answers, and one stream that takes as long as its model's name says.

`python upstream.py PORT`; it says `listening` once it does.
"""

import http.server
import json
import sys
import time


def event(content=None, finish=None):
    delta = {} if content is None else {"role": "assistant", "content": content}
    data = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers.get("authorization") != "Bearer key-of-the-test":
            return self.answer(401, {"error": {"message": "wrong key", "code": "invalid_api_key"}})
        name, _, seconds = request["model"].partition("-")
        if not request.get("stream"):
            message = {"role": "assistant", "content": "0 1 2"}
            return self.answer(200, {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": request["model"],
                                     "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        pieces = [str(number) for number in range(int(seconds) + 1 if seconds else 3)]
        for number, piece in enumerate(pieces):
            if seconds and number:
                time.sleep(1)
            self.chunk(event(piece if number == 0 else " " + piece))
        self.chunk(event(finish="stop"))
        self.chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that leaves, or is killed, is no news."""


server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
print("listening", flush=True)
server.serve_forever()

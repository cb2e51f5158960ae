"""An example of your own service under load: a wallet in memory that reads, decides and then writes.

    python3 examples/foreign/server.py [PORT] [--fixed]

It is broken on purpose: between the read and the write of one thread, another thread may read the same value. --fixed
holds a lock around both.
"""

import argparse
import contextlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

START = {1: 10_000, 2: 10_000, 3: 10_000}
QUERY_TIME_S = 0.0005  # about the time of a query to a database
accounts = dict(START)
guard = contextlib.nullcontext()


def debit(number, cents):
    with guard:
        available = accounts[number]  # read
        if available < cents:  # decide
            return 402, {"problem": "not enough"}
        time.sleep(QUERY_TIME_S)
        accounts[number] = available - cents  # write, whatever the current value is
    return 200, {"account": {"id": number, "available": available - cents}}


def route(method, path, body):
    if (method, path) == ("POST", "/admin/restore"):
        accounts.update(START)
        return 200, {"restored": len(START)}
    found = re.fullmatch(r"/accounts/([0-9]{1,9})(/debit)?", path)
    if not found or (method == "POST") != bool(found[2]) or int(found[1]) not in accounts:
        return 404, {"problem": "no such thing"}
    number = int(found[1])
    if method == "GET":
        return 200, {"id": number, "available": accounts[number]}
    try:
        return debit(number, int(json.loads(body)["cents"]))
    except (ValueError, KeyError, TypeError):
        return 400, {"problem": "how many cents?"}


class Wallet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    wbufsize = -1  # send an answer in one write: a second one would wait for the client's acknowledgement
    timeout = 60

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, content = route(self.command, self.path, body)
        answer = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET
    log_message = lambda *_: None  # noqa: E731 - no line per request

    def handle(self):
        with contextlib.suppress(ConnectionError):  # a client that disconnects
            super().handle()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int, nargs="?", default=4000)
    parser.add_argument("--fixed", action="store_true")
    arguments = parser.parse_args()
    guard = threading.Lock() if arguments.fixed else guard
    ThreadingHTTPServer.request_queue_size = 1024  # many clients connect at once; by default only five may wait
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Wallet)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()

"""An HTTP server that behaves as the outside world does, and remembers who called.

The path says how it behaves: `/ok`, `/flaky/2` (425 twice for each idempotency key, which no
breaker counts, then 200), `/slow/300` (milliseconds), `/gate` (not before `World.gate` is open),
`/status/500`, `/big` and `/endless` (30 MB with and without a declared length), `/flood/100` (so
many MB).
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "Idempotency-Key"
BIG_BYTES = 30 * 1024 * 1024
CHUNK = b"x" * 65_536
GATE_S = 120.0


@dataclass(frozen=True)
class Call:
    """One request as it came, and the status of the answer; `key` is empty where none came."""

    key: str
    method: str
    path: str
    body: Any
    status: int


@dataclass
class World:
    """What has happened outside: every call, in order."""

    host: str
    port: int
    calls: list[Call] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    gate: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = "") -> str:
        """Return the address of a path."""
        return f"http://{host or self.host}:{self.port}{path}"

    def note(self, key: str, method: str, path: str, body: Any, rest: str) -> int:
        """Remember a call, and return the status that its path asks for."""
        with self.lock:
            before = sum(1 for call in self.calls if (call.key, call.path) == (key, path))
            status = 200
            if path.startswith("/flaky/"):
                status = 425 if before < int(rest) else 200
            elif path.startswith("/status/"):
                status = int(rest)
            self.calls.append(Call(key, method, path, body, status))
        return status

    def to(self, path: str) -> list[Call]:
        """Return the calls to a path."""
        with self.lock:
            return [call for call in self.calls if call.path == path]

    def done(self) -> Counter[str]:
        """Return how often each idempotency key was answered with success."""
        with self.lock:
            return Counter(call.key for call in self.calls if call.status < 400 and call.key)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes: Nagle's algorithm would hold the second for 40 ms.
    disable_nagle_algorithm = True
    world: World

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(length)
        if len(raw) < length:  # whoever asked was killed in the middle
            self.close_connection = True
            return
        rest = self.path.rpartition("/")[2]
        body = json.loads(raw) if raw else None
        status = self.world.note(self.headers.get(KEY, ""), self.command, self.path, body, rest)
        if self.path.startswith("/slow/"):
            time.sleep(int(rest) / 1000)
        if self.path.startswith("/gate"):
            self.world.gate.wait(GATE_S)
        if self.path in ("/big", "/endless"):
            self._flood(BIG_BYTES, declared=self.path == "/big")
            return
        if self.path.startswith("/flood/"):
            self._flood(int(rest) * 1024 * 1024, declared=False)
            return
        answer = json.dumps({"status": status, "path": self.path}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _flood(self, count: int, *, declared: bool) -> None:
        """Send so many bytes, for as long as the other side takes them."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        if declared:
            self.send_header("content-length", str(count))
        else:
            self.send_header("connection", "close")
        self.end_headers()
        try:
            for _ in range(count // len(CHUNK)):
                self.wfile.write(CHUNK)
        except ConnectionError:
            return  # the other side has had enough, which is what it should say

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the calls are remembered."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that are killed break off in the middle of a request."""


@contextmanager
def outside_world(host: str = "127.0.0.1") -> Generator[World]:
    """Serve on a free port for as long as the block lasts."""
    handler = type("Handler", (_Handler,), {})
    server = _Server((host, 0), handler)
    world = handler.world = World(host, int(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

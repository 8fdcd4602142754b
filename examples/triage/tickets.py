"""The ticket service of the triage example: small, local, and unreliable on purpose.

It is no part of perdure and stands for any service that fails now and then. `POST /tickets`
answers 503 once for each new Idempotency-Key and makes the ticket at the second request. A key
that has a ticket is answered with that ticket again, so a request that is repeated makes no
second one. `GET /tickets` lists the tickets. They are kept in memory and end with the process.

    python tickets.py [PORT]
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any, cast

PORT = 8099
REFUSALS = 1
"""How often a new key is answered with 503 before its ticket is made.

Five failures in a row would open the breaker of this service, and all would wait for 30 s.
"""

BODY_BYTES_MAX = 64 * 1024


class Tickets:
    """The tickets by their keys, and how often each key was refused."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tickets: dict[str, dict[str, Any]] = {}
        self._refused: dict[str, int] = {}

    def post(self, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer to a request to make a ticket."""
        with self._lock:
            known = self._tickets.get(key)
            if known is not None:
                return 200, known
            refused = self._refused.get(key, 0)
            if refused < REFUSALS:
                self._refused[key] = refused + 1
                return 503, {"error": "the ticket service is busy, try again"}
            number = len(self._tickets) + 1
            self._tickets[key] = {**body, "number": f"T-{number}"}
            return 201, self._tickets[key]

    def all(self) -> list[dict[str, Any]]:
        """Return every ticket in the order in which they were made."""
        with self._lock:
            return list(self._tickets.values())


class Server(ThreadingHTTPServer):
    """Serves the tickets of one process on this machine alone."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.tickets = Tickets()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """List the tickets."""
        if self.path != "/tickets":
            self._answer(404, {"error": "there is only /tickets"})
            return
        self._answer(200, {"tickets": self._tickets().all()})

    def do_POST(self) -> None:
        """Make a ticket, or fail."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(413, {"error": f"at most {BODY_BYTES_MAX} bytes"})
            return
        raw = self.rfile.read(length)
        key = self.headers.get("Idempotency-Key")
        if self.path != "/tickets":
            self._answer(404, {"error": "there is only /tickets"})
            return
        if not key:
            self._answer(400, {"error": "send the header Idempotency-Key"})
            return
        try:
            body: Any = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self._answer(400, {"error": "send a JSON object"})
            return
        self._answer(*self._tickets().post(key, cast("dict[str, Any]", body)))

    def _tickets(self) -> Tickets:
        assert isinstance(self.server, Server)
        return self.server.tickets

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the requests are seen in the workflow."""


def main() -> None:
    """Serve until the process is told to stop."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else PORT
    server = Server(port)
    print(f"tickets on http://127.0.0.1:{server.server_address[1]}/tickets", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()

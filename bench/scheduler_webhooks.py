"""Signed webhooks a second: verified, safe in Kafka and answered; and how long an answer takes.

A scheduler with its servers takes requests that are signed by Standard Webhooks, each with an id of
its own, over connections that stay open. First as many as it takes, then half as many at fixed
instants: latency counts from the instant at which a request was due, so that waiting counts too.
The load is made in this process, on the same two cores; the scheduler goes on to start executions
meanwhile (nobody runs them: the engine is not up).

    QUICK=1 python -m bench.scheduler_webhooks
"""

import asyncio
import base64
import hmac
import json
import os
import sys
import time
import uuid
from collections import deque
from urllib.parse import urlsplit

from perdure_cli import platform
from perdure_cli.client import Client
from perdure_cli.credentials_key import own_key
from perdure_cli.deploying import deploy
from perdure_common.credentials import PostgresCredentials, Seal
from perdure_common.ids import sha256_of_json
from perdure_common.settings import DEFAULT_TENANT

from bench import machine, stack

QUICK = os.environ.get("QUICK") == "1"
CONNECTIONS = 64
IDLE_PERCENT = 15.0
WARM_S = 1.0 if QUICK else 5.0
FULL_S = 2.0 if QUICK else 20.0
HALF_S = 2.0 if QUICK else 20.0
SETTLE_S = 0.4 if QUICK else 1.0
"""How long the last answers are waited for."""

KEY = os.urandom(32)
PATH = "/orders"
BODY = json.dumps(
    {"order": 7, "lines": [{"sku": f"A-{n}", "count": n} for n in range(10)]}
).encode()
PLAN = {
    "name": "bench-webhooks",
    "nodes": [
        {
            "node_id": "hook",
            "node_type": "TRIGGER",
            "node_subtype": "WEBHOOK",
            "parameters": {"path": PATH, "auth": "standard", "credential": "bench"},
        }
    ],
    "connections": [],
}


def request(host: str) -> bytes:
    """Return one signed request; no two are the same."""
    message_id, stamp = uuid.uuid4().hex.encode(), b"%d" % time.time()
    signed = hmac.digest(KEY, b"%b.%b.%b" % (message_id, stamp, BODY), "sha256")
    return (
        b"POST /hooks/%b%b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\n"
        b"webhook-id: %b\r\nwebhook-timestamp: %b\r\nwebhook-signature: v1,%b\r\n"
        b"content-length: %d\r\n\r\n%b"
    ) % (
        DEFAULT_TENANT.encode(),
        PATH.encode(),
        host.encode(),
        message_id,
        stamp,
        base64.b64encode(signed),
        len(BODY),
        BODY,
    )


class Sender(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._due = 0.0
        self._come = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be there for requests."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._load.free.append(self)

    def send(self, due: float) -> None:
        """Send a request that was due at an instant of the loop's clock."""
        assert self._transport is not None
        self._due = due
        self._transport.write(request(self._load.host))

    def data_received(self, data: bytes) -> None:
        """Take an answer, whose body is an object and may come by itself."""
        self._come += data
        if self._come.endswith(b"}"):
            came, self._come = self._come, b""
            self._load.answered(self, came, self._due)


class Load:
    """Sends requests and measures the answers: as fast as they come, or at fixed instants."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.free: deque[Sender] = deque()
        self.late: deque[float] = deque()
        self.took_s: list[float] = []
        self.wrong: dict[bytes, int] = {}
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def answered(self, sender: Sender, data: bytes, due: float) -> None:
        """Note an answer and send what is next on its connection."""
        now = self._loop.time()
        if data[9:12] != b"202":
            self.wrong[data[9:12]] = self.wrong.get(data[9:12], 0) + 1
        self.took_s.append(now - due)
        if self._closed:
            sender.send(now)
        elif self.late:
            sender.send(self.late.popleft())
        else:
            self.free.append(sender)

    async def full(self, seconds: float) -> float:
        """Keep every connection busy; return the answers a second."""
        self._closed, self.took_s = True, []
        for sender in list(self.free):
            sender.send(self._loop.time())
        self.free.clear()
        began = self._loop.time()
        await asyncio.sleep(seconds)
        rate = len(self.took_s) / (self._loop.time() - began)
        self._closed = False
        await asyncio.sleep(SETTLE_S)
        return rate

    async def paced(self, per_second: float, seconds: float) -> list[float]:
        """Send at fixed instants; return how long after its own each was answered."""
        self.took_s = []
        began = self._loop.time()
        sent = 0
        while sent < per_second * seconds:
            due = began + sent / per_second
            if (wait_s := due - self._loop.time()) > 0:
                await asyncio.sleep(wait_s)
            sent += 1
            if self.free:
                self.free.popleft().send(due)
            else:
                self.late.append(due)
        await asyncio.sleep(SETTLE_S)
        return sorted(self.took_s)


async def prepare(running: platform.Running) -> None:
    """Give the scheduler a workflow to start, and the secret of its requests."""
    store = PostgresCredentials(running.database_url, Seal(own_key()))
    await store.set(DEFAULT_TENANT, "bench", {"secret": "whsec_" + base64.b64encode(KEY).decode()})
    await store.close()
    version = {
        "workflow_id": str(uuid.uuid4()), "version": 1,
        "sha256": sha256_of_json(PLAN), "name": PLAN["name"],
    }  # fmt: skip
    async with Client(running) as client:
        await deploy(client, version, PLAN)


async def until_idle(running: platform.Running) -> None:
    """Wait until the scheduler has worked off what the full load has left it."""
    scheduler = machine.processes(running)["scheduler"]
    for _ in range(120):
        scheduler.cpu_percent()
        await asyncio.sleep(0.5)
        if scheduler.cpu_percent() < IDLE_PERCENT:
            return


async def measured(running: platform.Running) -> dict[str, float]:
    """Return requests a second at most, and the 99th percentile in ms at half of that."""
    await prepare(running)
    address = urlsplit(running.hooks_url)
    assert address.hostname is not None and address.port is not None
    load = Load(address.netloc)
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Sender(load), address.hostname, address.port)
    await load.full(WARM_S)
    before = machine.cpu_s(machine.processes(running))
    rate = await load.full(FULL_S)
    after = machine.cpu_s(machine.processes(running))
    for name in sorted(after):
        used_us = (after[name] - before.get(name, 0.0)) / (rate * FULL_S) * 1e6
        print(f"{name:>12} {used_us:8.0f} µs of CPU for each request")
    await until_idle(running)
    took_s = await load.paced(rate / 2, HALF_S)
    assert not load.wrong, f"answers other than 202: {load.wrong}"
    assert took_s
    return {
        "webhook_requests_per_s": round(rate, 1),
        "webhook_p50_ms": round(took_s[len(took_s) // 2] * 1000, 2),
        "webhook_p99_ms": round(took_s[int(len(took_s) * 0.99)] * 1000, 2),
    }


def webhooks() -> dict[str, float]:
    """Bring a scheduler up with servers of its own, measure it, and take all away again."""
    with stack.servers():
        return webhooks_here()


def webhooks_here() -> dict[str, float]:
    """Measure a scheduler on the servers that `stack.servers` holds."""
    before = os.environ.get("PERDURE_HOOKS_PER_MINUTE")
    os.environ["PERDURE_HOOKS_PER_MINUTE"] = "0"
    try:
        with stack.services(platform.known(["scheduler"])) as running:
            return asyncio.run(measured(running))
    finally:
        os.environ.pop("PERDURE_HOOKS_PER_MINUTE")
        if before is not None:
            os.environ["PERDURE_HOOKS_PER_MINUTE"] = before


def main() -> int:
    """Run the benchmark."""
    print(f"scheduler_webhooks ({machine.about()}; {CONNECTIONS} connections)")
    result = webhooks()
    for name, value in result.items():
        print(f"{name:>24} {value:9.1f}")
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

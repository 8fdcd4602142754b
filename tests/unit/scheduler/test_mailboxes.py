"""Mailboxes that several deployments reach in their own ways: who serves is read meanwhile."""

import asyncio
import json
import socketserver
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.settings import Settings
from perdure_scheduler.mail.mailboxes import Mailboxes
from perdure_scheduler.settling import OURS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAID = {
    "CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
    "EXAMINE": b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 1] x\r\n",
    "UID": b"* SEARCH\r\n",
}


class Server(socketserver.ThreadingTCPServer):
    """An IMAP server with an empty mailbox; every password but `wrong` opens it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.port = int(self.server_address[1])
        self.logins: list[str] = []
        self.open: list[str] = []
        """The passwords of those who are connected."""


class Connection(socketserver.StreamRequestHandler):
    """What one client says, and is told."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        password = ""
        self.wfile.write(b"* OK hello\r\n")
        for line in self.rfile:
            tag, command, *words = line.decode().split()
            said = b" OK done\r\n"
            if command == "LOGIN":
                password = words[-1].strip('"')
                server.logins.append(password)
                if password == "wrong":
                    said = b" NO wrong\r\n"
                else:
                    server.open.append(password)
            self.wfile.write(SAID.get(command, b"") + tag.encode() + said)
            if command == "LOGOUT":
                break
        if password in server.open:
            server.open.remove(password)


@contextmanager
def serving() -> Generator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


class Secrets:
    """Credentials whose passwords are their names."""

    async def fields_of(self, tenant_id: str, handle: str) -> Mapping[str, str]:
        del tenant_id
        return {"password": handle}


class Pool:
    """The triggers that need mailboxes."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        del query, arguments
        return self.rows

    async def fetchrow(self, query: str, *arguments: Any) -> None:
        """No mailbox was read before."""

    async def execute(self, query: str, *arguments: Any) -> None:
        """How far reading has come need not be known here."""


class Ground:
    """Mailboxes of one scheduler that reads them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._broker = MemoryBroker({OURS: 1})
        owner: Any = SimpleNamespace(bus=self._broker.client("mail"), shards={"0": None})
        settings = Settings.read(
            "scheduler",
            {
                "PERDURE_DATABASE_URL": "postgresql://nobody@x/y",
                "PERDURE_KAFKA_BOOTSTRAP": "nowhere:1",
                "PERDURE_PARTITIONS": "1",
                "PERDURE_HTTP_ALLOW": f"localhost:{server.port}",
            },
        )
        self.pool = Pool()
        secrets: Any = Secrets()
        self.mailboxes = Mailboxes(settings, owner, self.pool, secrets)

    def trigger(
        self, workflow: int, version: int, credential: str, after_s: int, status: str = "active"
    ) -> dict[str, Any]:
        mailbox = {"host": "localhost", "port": self._server.port, "tls": "none", "user": "u"}
        mailbox |= {"credential": credential, "folder": "INBOX", "poll_s": 1}
        return {
            "workflow_id": f"0190f3c0-0000-7000-8000-{workflow:012}",
            "deployment_version": version,
            "node_id": "mail",
            "index_key": f"{workflow}@example.com",
            "trigger_config": {"mailbox": mailbox},
            "deployment_status": status,
            "created_at": NOW + timedelta(seconds=after_s),
        }

    def told(self) -> list[tuple[int, bool, str]]:
        """What deployments were told: of which version, whether it is well, why not."""
        told = [json.loads(record.value) for record in self._broker.records(OURS)]
        return [(each["version"], each["ok"], each.get("code", "")) for each in told]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                await self.mailboxes.look()
                await asyncio.sleep(0.02)


@pytest.fixture
def server() -> Generator[Server]:
    with serving() as found:
        yield found


async def test_who_began_to_serve_last_says_how_a_mailbox_is_reached(server: Server) -> None:
    ground = Ground(server)
    ground.pool.rows = [ground.trigger(1, 9, "first", 0), ground.trigger(2, 1, "last", 60)]
    try:
        await ground.until(lambda: server.open == ["last"])
        assert server.logins == ["last"]
        del ground.pool.rows[1]
        await ground.until(lambda: server.open == ["first"])
    finally:
        ground.mailboxes.close()


async def test_a_deployment_that_cannot_reach_a_mailbox_leaves_the_reader_that_serves(
    server: Server,
) -> None:
    ground = Ground(server)
    ground.pool.rows = [ground.trigger(1, 1, "right", 0)]
    try:
        await ground.until(lambda: server.open == ["right"])
        ground.pool.rows.append(ground.trigger(1, 2, "wrong", 60, "pending"))
        await ground.until(lambda: ground.told() != [])
        assert ground.told() == [(2, False, "mailbox_refused")]
        assert server.open == ["right"]
        # Deployed again it is tried again: what was found before may be right by now.
        ground.pool.rows[1] = ground.trigger(1, 2, "wrong", 120, "pending")
        await ground.until(lambda: server.logins.count("wrong") == 2)
        assert server.open == ["right"] and server.logins.count("right") == 1
    finally:
        ground.mailboxes.close()


async def test_a_deployment_reads_by_its_own_way_once_it_serves(server: Server) -> None:
    ground = Ground(server)
    ground.pool.rows = [ground.trigger(1, 1, "old", 0)]
    try:
        await ground.until(lambda: server.open == ["old"])
        ground.pool.rows.append(ground.trigger(1, 2, "new", 60, "pending"))
        await ground.until(lambda: ground.told() != [])
        assert ground.told() == [(2, True, "")]
        await ground.until(lambda: server.open == ["old"])
        assert server.logins.count("old") == 1, "it went on reading"
        ground.pool.rows = [ground.trigger(1, 2, "new", 61)]
        await ground.until(lambda: server.open == ["new"])
    finally:
        ground.mailboxes.close()


async def test_a_mailbox_of_which_nobody_serves_is_reached_as_who_waits_for_it_says(
    server: Server,
) -> None:
    ground = Ground(server)
    ground.pool.rows = [ground.trigger(1, 1, "new", 0, "pending")]
    try:
        await ground.until(lambda: ground.told() == [(1, True, "")])
        assert server.logins == ["new"]
    finally:
        ground.mailboxes.close()

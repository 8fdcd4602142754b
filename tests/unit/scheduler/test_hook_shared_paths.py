"""One path, several credentials: what is signed by one is not what another has signed."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import pytest
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_scheduler.hook_settings import UNCAPPED
from perdure_scheduler.hooks.answers import Answers
from perdure_scheduler.hooks.files import Files
from perdure_scheduler.hooks.limits import Rates
from perdure_scheduler.hooks.listener import Listener
from perdure_scheduler.hooks.metrics import HookMetrics
from perdure_scheduler.hooks.receipts import Intake
from perdure_scheduler.hooks.routes import Routes
from perdure_scheduler.hooks.secrets import Secrets
from perdure_scheduler.hooks.store import HookStore
from perdure_scheduler.hooks.tools import Tools
from perdure_scheduler.hooks.trials import Trials
from prometheus_client import CollectorRegistry

TENANT = "t"
SECRETS = {
    "org": {"secret": "of the organisation"},
    "repo": {"secret": "of the repository"},
    "repo-too": {"secret": "of the repository"},
}
BODY = orjson.dumps({"repository": {"full_name": "acme/shop"}, "ref": "refs/heads/main"})
PLAIN = "sha256:" + hashlib.sha256(BODY).hexdigest()


class Tables:
    """The receipts and triggers of a listener, in memory."""

    tenant_id = TENANT

    def __init__(self, *credentials: str) -> None:
        self._credentials = credentials
        self.receipts: dict[tuple[str, str], Mapping[str, Any]] = {}

    async def run(self, name: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        if name == "routes":
            return [_row(each) for each in self._credentials]
        if name == "put_receipts":
            return self._put(*arguments[1:])
        assert name == "receipts"
        names = zip(*arguments[1:], strict=True)
        return [self.receipts[each] for each in names if each in self.receipts]

    def _put(self, *columns: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        new: list[Mapping[str, Any]] = []
        for source, id, event_id, at, execution_id, _ in zip(*columns, strict=True):
            if (source, id) not in self.receipts:
                self.put(source, id, event_id, at, execution_id)
                new.append({"source": source, "id": id})
        return new

    def put(self, source: str, id: str, event_id: str, at: datetime, execution_id: Any) -> None:
        self.receipts[source, id] = {
            "source": source,
            "id": id,
            "event_id": event_id,
            "received_at": at,
            "execution_id": execution_id,
            "executions": None,
            "body_sha256": None,
            "watched": False,
        }


def _row(credential: str) -> Mapping[str, Any]:
    config = {"path": "/github", "auth": "github", "credential": credential}
    return {
        "path": "/github",
        "workflow_id": f"of {credential}",
        "workflow_name": credential,
        "deployment_version": 1,
        "node_id": "hook",
        "trigger_subtype": "GITHUB",
        "trigger_config": orjson.dumps(config).decode(),
        "index_key": "acme/shop",
    }


class Topic:
    """Keeps what is published; may refuse what is for one workflow."""

    def __init__(self) -> None:
        self.events: list[tuple[str, list[str]]] = []
        """The id of each event, and the workflows that it is for."""
        self.refuses = ""

    async def partitions(self, topic: str) -> int:
        del topic
        return 1

    async def send(self, records: Sequence[Outbound]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        for record in records:
            headers = dict(record.headers)
            nodes = [name for name, _ in orjson.loads(headers["ce_nodes"])]
            refused = self.refuses in nodes
            results.append(Unreachable("not now") if refused else None)
            if not refused:
                self.events.append(((record.key or b"").decode(), nodes))
        return results


class Known:
    """The credentials."""

    async def fields_of(self, tenant_id: str, handle: str) -> Mapping[str, str]:
        del tenant_id
        return SECRETS[handle]


class Sender:
    """Sends to a listener."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def sends(self, secret_of: str, delivery: str) -> tuple[int, Mapping[str, Any]]:
        digest = hmac.digest(SECRETS[secret_of]["secret"].encode(), BODY, "sha256").hex()
        headers = {
            "content-type": "application/json",
            "x-github-event": "push",
            "x-github-delivery": delivery,
            "x-hub-signature-256": f"sha256={digest}",
        }
        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/hooks/{TENANT}/github",
            "query_string": b"",
            "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
        }
        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": BODY, "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        await self._listener(scope, receive, send)
        return said[0]["status"], orjson.loads(said[1]["body"])


@asynccontextmanager
async def listening(tables: Tables, topic: Topic) -> AsyncGenerator[Sender]:
    store, bus = cast("HookStore", tables), cast("Bus", topic)
    intake, drained = Intake(store, bus), asyncio.Event()
    files = Files("http://x", TENANT)
    tools = Tools(
        tenant_id=TENANT,
        store=store,
        routes=Routes(store),
        secrets=Secrets(cast("Any", Known()), TENANT),
        rates=Rates(0),
        intake=intake,
        answers=Answers(store),
        trials=Trials(store, bus, 1),
        files=files,
        metrics=HookMetrics(CollectorRegistry()),
        bytes_max=10_000,
        caps=UNCAPPED,
        public_url="http://x",
        bodies_url="http://x/",
    )
    working = asyncio.create_task(intake.run(drained))
    try:
        yield Sender(Listener(tools))
    finally:
        drained.set()
        await working
        await files.close()


@pytest.mark.parametrize("delivery", ["d1", "d2"])
async def test_what_two_hooks_send_starts_the_workflows_of_both_once(delivery: str) -> None:
    topic = Topic()
    async with listening(Tables("repo", "org"), topic) as sender:
        status, said = await sender.sends("repo", "d1")
        assert (status, said["status"]) == (202, "accepted")
        status, said = await sender.sends("org", delivery)
        assert (status, said["status"]) == (202, "accepted")
        for secret_of in ("repo", "org"):
            status, said = await sender.sends(secret_of, "d3")
            assert (status, said["status"]) == (200, "duplicate")
    # What was not known to be published is published again, as the first was.
    assert [nodes for _, nodes in topic.events] == [["of repo"], ["of org"]] * 2
    ids = [event_id for event_id, _ in topic.events]
    assert ids == [f"{PLAIN}@repo", f"{PLAIN}@org"] * 2


async def test_what_two_credentials_prove_is_for_both_and_each_knows_it_again() -> None:
    topic = Topic()
    async with listening(Tables("repo", "repo-too"), topic) as sender:
        assert (await sender.sends("repo", "d1"))[0] == 202
        assert sorted(topic.events) == [
            (f"{PLAIN}@repo", ["of repo"]),
            (f"{PLAIN}@repo-too", ["of repo-too"]),
        ]
        assert (await sender.sends("repo", "d1"))[0] == 200


async def test_what_kafka_has_not_taken_for_one_of_them_is_not_lost() -> None:
    topic = Topic()
    topic.refuses = "of repo-too"
    async with listening(Tables("repo", "repo-too"), topic) as sender:
        assert (await sender.sends("repo", "d1"))[0] == 503
        topic.refuses = ""
        assert (await sender.sends("repo", "d1"))[0] == 200
    assert topic.events == [
        (f"{PLAIN}@repo", ["of repo"]),
        (f"{PLAIN}@repo", ["of repo"]),
        (f"{PLAIN}@repo-too", ["of repo-too"]),
    ]


@pytest.mark.parametrize("delivery", ["d1", "d2"])
async def test_what_came_to_the_version_before_stays_a_duplicate(delivery: str) -> None:
    tables, topic = Tables("repo", "org"), Topic()
    for id in ("d1", PLAIN):
        tables.put("/hooks/github", id, PLAIN, datetime.now(UTC), None)
    async with listening(tables, topic) as sender:
        status, said = await sender.sends("repo", delivery)
        assert (status, said["status"]) == (200, "duplicate")
    assert topic.events == [(PLAIN, ["of repo"])]

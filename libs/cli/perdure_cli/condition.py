"""How the platform is now: its servers and services, what is open, and what is stuck and why."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.shell.ports import Unreachable
from perdure_contracts.publish import TRIGGERS
from prometheus_client.parser import text_string_to_metric_families

from perdure_cli import platform, promises
from perdure_cli.blocked import Blocked, blocked
from perdure_cli.blocked import told as told_blocked
from perdure_cli.client import Client, Counted, Row
from perdure_cli.errors import CommandError
from perdure_cli.output import duration, instant

CONNECT_S = 5.0

UNSENT_S = 5.0
"""From which age on an unsent message is worth a word."""

CLOCK_BEHIND_S = 5.0
"""From how far ahead of the clock what is settled is worth a word: the clock was set back."""

TRIGGERS_ASKED = """
    SELECT max(extract(epoch FROM settled_until - now())) FILTER (
            WHERE next_fire_at IS NOT NULL AND is_active
        ) AS behind_s,
        count(*) FILTER (WHERE filter_errors > 0) AS failing
      FROM scheduler.trigger_index WHERE deployment_status = 'active'
"""

UNTOLD_ASKED = """
    SELECT p.stream
      FROM recovery.parked_stream p CROSS JOIN LATERAL (
            SELECT n, raw FROM recovery.parked_message WHERE stream = p.stream ORDER BY n LIMIT 1
        ) m
     WHERE m.n > 0 AND convert_from(m.raw, 'UTF8')::json ->> 'topic' LIKE '%.dlt'
     ORDER BY p.stream
"""
"""Streams of recovery that are parked behind a dead letter which it could not keep."""

OPEN_S = 600.0
"""From which age on an open execution is worth a word."""

FIGURES: Mapping[str, str] = {
    "perdure_unpublished": "unsent",
    "perdure_oldest_unsent_seconds": "oldest_unsent_s",
    "perdure_records_queued": "queued",
    "perdure_parked_streams": "parked_streams",
    "perdure_gaps_open": "gaps",
    "perdure_shards_stopped": "shards_stopped",
    "perdure_missing_topics": "missing_topics",
}
"""What is read of a service's metrics, and what it is called here."""


@dataclass
class Status:
    """Everything the page shows. `trouble` has a sentence for each thing that is stuck.

    `untold` are parked streams that no dead letter tells of: recovery could not keep it.
    """

    servers: list[Row] = field(default_factory=list)
    services: list[Row] = field(default_factory=list)
    executions: list[Row] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    dead_letters: Counted | None = None
    clock_behind_s: float = 0.0
    failing_filters: int = 0
    blocked: Blocked = field(default_factory=Blocked)
    trouble: list[str] = field(default_factory=list)

    @property
    def works(self) -> bool:
        """Whether every server answers and every service is ready."""
        return all(row["ok"] for row in (*self.servers, *self.services))


async def examined(client: Client) -> Status:
    """Return how the platform is now; what does not answer is part of the answer."""
    found = Status()
    running = client.running
    database, kafka = await asyncio.gather(_database(client, found), _kafka(client))
    found.servers = [database, kafka]
    found.services = list(await asyncio.gather(*(_service(client, name) for name in running.urls)))
    if "recovery" in running.urls:
        try:
            found.dead_letters = await client.count("recovery", "dead_letters", status="waiting")
        except CommandError:
            found.dead_letters = None  # the row of the service says that it does not answer
    found.trouble = list(trouble(found))
    return found


async def _database(client: Client, found: Status) -> Row:
    url = client.running.database_url
    row: Row = {"name": "PostgreSQL", "where": url.rpartition("@")[2], "ok": False, "why": ""}
    try:
        connection: Any = await asyncpg.connect(url, timeout=CONNECT_S)
    except (OSError, TimeoutError, *promises.UNREACHABLE) as error:
        row["why"] = str(error) or type(error).__name__
        return row
    row["ok"] = True
    try:
        found.executions = list(await promises.open_executions(connection))
        triggers = await connection.fetchrow(TRIGGERS_ASKED)
        found.clock_behind_s = float(triggers["behind_s"] or 0.0)
        found.failing_filters = int(triggers["failing"])
        found.untold = [row["stream"] for row in await connection.fetch(UNTOLD_ASKED)]
        found.blocked = await blocked(connection)
    except asyncpg.UndefinedTableError:
        row |= {"ok": False, "why": "the schema is not there; run `perdure migrate`"}
    finally:
        await connection.close()
    return row


async def _kafka(client: Client) -> Row:
    bootstrap = client.running.kafka_bootstrap
    row: Row = {"name": "Kafka", "where": bootstrap, "ok": False, "why": ""}
    bus = KafkaBus(bootstrap, "perdure-status", client.settings.topic_prefix)
    try:
        await bus.partitions(TRIGGERS)
        row["ok"] = True
    except (Unreachable, LookupError) as error:
        row["why"] = str(error)
    finally:
        await bus.close()
    return row


async def _service(client: Client, name: str) -> Row:
    row: Row = {"name": name, "where": client.url(name), "ok": False, "why": ""}
    try:
        ready = await client.get(name, "/readyz")
        row["ok"] = ready.is_success
        if not ready.is_success:
            row["why"] = _detail(ready)
        metrics = await client.get(name, "/metrics")
    except CommandError:
        row["why"] = "it does not answer"
        return row
    if metrics.is_success:
        row |= figures(metrics.text)
    return row


def _detail(response: Any) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"


def figures(text: str) -> Row:
    """Return what the page shows of a service's metrics; `lag` is the sum over its topics."""
    row: Row = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in FIGURES:
                key = FIGURES[sample.name]
                value = sample.value if key.endswith("_s") else int(sample.value)
                row[key] = row.get(key, 0) + value
            elif sample.name == "perdure_mailboxes_failing":
                codes = row.setdefault("mailboxes_failing", {})
                codes[sample.labels["code"]] = int(sample.value)
            elif sample.name == "perdure_consumer_lag":
                row["lag"] = row.get("lag", 0) + int(sample.value)
    return row


def trouble(found: Status) -> Iterable[str]:
    """Return a sentence for each thing that is stuck, with what to do."""
    logs = platform.home() / "logs"
    for row in (*found.servers, *found.services):
        if not row["ok"]:
            yield f"{row['name']} is not ready: {row['why']}; its log is in {logs}"
    for row in found.services:
        name = row["name"]
        if row.get("oldest_unsent_s", 0) > UNSENT_S:
            age = duration(row["oldest_unsent_s"] * 1000)
            yield (
                f"{name} cannot send: {row['unsent']} messages wait, the oldest for {age}; "
                "is Kafka up?"
            )
        untold = found.untold if name == "recovery" else []
        if (told := row.get("parked_streams", 0) - len(untold)) > 0:
            yield (
                f"{told} streams of {name} wait for a person: "
                "`perdure dead-letters list` shows why, `redrive` lets them go on"
            )
        if untold:
            yield (
                f"recovery could not keep {len(untold)} dead letters, so that none is listed; its "
                f"log says why (`poison`, the stream {untold[0]}): a mended recovery tries again "
                f"when it starts, `perdure dead-letters unpark recovery {untold[0]}` at once"
            )
        if row.get("shards_stopped"):
            yield f"{row['shards_stopped']} shards of {name} wait for a newer version of it"
        if row.get("missing_topics"):
            yield (
                f"{name} has messages for {row['missing_topics']} partitions that do not exist: "
                "`perdure migrate` makes them, and what waits goes by itself"
            )
        for code, count in row.get("mailboxes_failing", {}).items():
            yield (
                f"{count} mailboxes of EMAIL triggers cannot be read: {code}; the log of {name} "
                f"says which, in {logs}, `perdure triggers list --subtype EMAIL` whose they are"
            )
        if row.get("gaps"):
            yield f"{name} misses messages of {row['gaps']} sources and has asked for them again"
    if found.clock_behind_s > CLOCK_BEHIND_S:
        yield (
            f"the clock was set back by {duration(found.clock_behind_s * 1000)} or more: CRON "
            "triggers wait until it has caught up, so that nothing fires twice"
        )
    if found.failing_filters:
        yield (
            f"{found.failing_filters} triggers have filters that fail: `perdure triggers list` "
            "shows why"
        )
    yield from told_blocked(found.blocked)
    if found.dead_letters is not None and found.dead_letters.count:
        yield f"{found.dead_letters} dead letters wait: `perdure dead-letters list` shows them"
    now = datetime.now(UTC)
    for row in found.executions:
        began = instant(row["oldest_start"])
        age_s = (now - began).total_seconds() if began is not None else 0.0
        if age_s > OPEN_S:
            yield (
                f"execution {row['oldest']} is {row['status']} for {duration(age_s * 1000)}: "
                f"`perdure executions why {row['oldest']}` says what it waits for"
            )

"""What holds the platform's work up from outside: topics, mailboxes, deployments, dependencies.

Read from the tables by `perdure status`, which tells each with its reason and what to run next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from perdure_cli.client import Row
from perdure_cli.output import clock, duration, short

NAMED_MAX = 5
"""Of one kind so many are named; the command in the sentence lists the others."""

REASON_MAX = 200

TOPICS_ASKED = """
    SELECT topic, count(*) AS partitions, min(since) AS since, min(message) AS reason
      FROM scheduler.topic_troubles GROUP BY topic ORDER BY topic
"""

TRIGGERS_ASKED = """
    SELECT workflow_name, node_id, trigger_subtype, error_message AS reason
      FROM scheduler.trigger_index
     WHERE deployment_status = 'active' AND is_active AND error_message <> ''
     ORDER BY workflow_name, node_id
"""

DEPLOYMENTS_ASKED = """
    SELECT workflow_name, deployment_version, min(updated_at) AS since,
           min(error_message) AS reason
      FROM scheduler.trigger_index
     WHERE deployment_status = 'pending' AND updated_at < now() - interval '10 seconds'
     GROUP BY workflow_name, deployment_version ORDER BY workflow_name
"""

BREAKERS_ASKED = """
    SELECT dependency, credential, state, until, reason
      FROM recovery.recovery_breakers
     WHERE state <> 'closed' AND kept_until > now()
     ORDER BY dependency, credential
"""


@dataclass
class Blocked:
    """What is in the way, a row for each thing."""

    topics: Sequence[Row] = field(default_factory=list[Row])
    triggers: Sequence[Row] = field(default_factory=list[Row])
    deployments: Sequence[Row] = field(default_factory=list[Row])
    breakers: Sequence[Row] = field(default_factory=list[Row])


async def blocked(connection: Any) -> Blocked:
    """Return what is in the way now.

    Raises:
        asyncpg.PostgresError: The tables are not there, or cannot be read.
    """

    async def rows(sql: str) -> Sequence[Row]:
        return [dict(row) for row in await connection.fetch(sql)]

    return Blocked(
        topics=await rows(TOPICS_ASKED),
        triggers=await rows(TRIGGERS_ASKED),
        deployments=await rows(DEPLOYMENTS_ASKED),
        breakers=await rows(BREAKERS_ASKED),
    )


def told(found: Blocked) -> Iterable[str]:
    """Return a sentence for each thing, with its reason and the command to run next."""
    for row in found.topics[:NAMED_MAX]:
        yield (
            f"topic {row['topic']} cannot be read for {_age(row['since'])}: {_reason(row)}; "
            "`perdure triggers list --subtype KAFKA` shows whose trigger it is"
        )
    for row in found.triggers[:NAMED_MAX]:
        yield (
            f"{row['trigger_subtype']} trigger {row['node_id']} of {row['workflow_name']} does not "
            f"fire: {_reason(row)}; "
            f"`perdure triggers list --workflow {_word(row['workflow_name'])}` shows it"
        )
    for row in found.deployments[:NAMED_MAX]:
        yield (
            f"version {row['deployment_version']} of {row['workflow_name']} waits to serve for "
            f"{_age(row['since'])}{_because(row)}; "
            f"`perdure workflow show {_word(row['workflow_name'])}` shows its versions"
        )
    for row in found.breakers[:NAMED_MAX]:
        whose = f" with the credential {row['credential']}" if row["credential"] else ""
        tried = f", tried again at {clock(row['until'].isoformat())}" if row["until"] else ""
        yield (
            f"calls to {row['dependency']}{whose} wait, its breaker is {row['state']}{tried}: "
            f"{_reason(row)}; `perdure recovery breakers` lists breakers, "
            "`perdure recovery attempts --status parked` what waits"
        )
    for what, rows, command in (
        ("topics cannot be read", found.topics, "triggers list --subtype KAFKA"),
        ("triggers do not fire", found.triggers, "triggers list"),
        ("deployments wait", found.deployments, "workflow list"),
        ("breakers are not closed", found.breakers, "recovery breakers"),
    ):
        if (more := len(rows) - NAMED_MAX) > 0:
            yield f"{more} more {what}: `perdure {command}` has all"


def _reason(row: Row) -> str:
    return short(row["reason"], REASON_MAX) or "no reason is known"


def _because(row: Row) -> str:
    return f": {_reason(row)}" if row["reason"] else ""


def _age(since: datetime) -> str:
    return duration(max(0.0, (datetime.now(UTC) - since).total_seconds()) * 1000)


def _word(name: str) -> str:
    """Return a name as it can be typed."""
    return f"'{name}'" if " " in name else name

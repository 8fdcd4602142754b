"""What the facts say that were looked up for a failure: modes, and what retries taught."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from perdure_common.decider import Facts, Row
from perdure_common.ids import derived
from perdure_contracts.deciding import Gate
from perdure_contracts.failures import People, RecoveryMode, Sampler, Strategy
from perdure_contracts.patterns import FailureType

from .cases import Record
from .classify import Classification
from .guard import BUCKET_MAX, Allowance, Breaker
from .instants import parsed
from .transience import Counts

STORM_S: Final = 60.0
FAILURES_MIN: Final = 10
"""Failures of a pattern within so many seconds that are a storm."""

SAMPLER: Final[Sampler] = "rules"
PEOPLE: Final[People] = "ask"
"""Who chooses, and what an escalation does, where nobody has set anything."""

EVERYWHERE = "*"
"""The workspace whose mode is above all others: the kill switch."""


def modes_in(facts: Facts, workspace_id: str) -> tuple[RecoveryMode, RecoveryMode]:
    """Return the workspace's mode and that of the switch above it; `auto` where none is set."""
    found: dict[str, RecoveryMode] = {
        row["workspace_id"]: row["mode"] for row in facts.get("modes", ())
    }
    return found.get(workspace_id, "auto"), found.get(EVERYWHERE, "auto")


def experience_in(
    facts: Facts, workspace_id: str, dependency: str
) -> tuple[Counts, Sequence[Counts], datetime | None]:
    """Return the pattern's own counts, those of each other workspace, and its last try.

    Others count by provider (`llm:openai`), never by host: a host tells who its users are.
    """
    own, tried_at = Counts(), None
    others: dict[str, Counts] = {}
    for row in facts.get("patterns", ()):
        if row["workspace_id"] == workspace_id:
            if row["dependency"] == dependency:
                own = _counts(row)
                tried_at = parsed(row["last_tried_at"]) if row["last_tried_at"] else None
        elif provider_of(row["dependency"]) == provider_of(dependency):
            known, more = others.get(row["workspace_id"], Counts()), _counts(row)
            others[row["workspace_id"]] = Counts(
                known.successes + more.successes,
                known.failures + more.failures,
                max(known.at, more.at),
            )
    return own, [others[name] for name in sorted(others)], tried_at


def provider_of(dependency: str) -> str:
    """Return the part of a dependency key that may be shared: `llm:openai`, `http`."""
    kind, _, rest = dependency.partition(":")
    return f"{kind}:{rest.partition(':')[0]}" if kind == "llm" else kind


def kind_of(dependency: str) -> str:
    """Return the class of a dependency: `llm`, `http`, `tool`; `none` without one."""
    return dependency.partition(":")[0] or "none"


def _counts(row: Row) -> Counts:
    at = parsed(row["weighed_at"]).timestamp() if row["weighed_at"] else 0.0
    return Counts(row["lesson_successes"] or 0.0, row["lesson_failures"] or 0.0, at)


def policy_in(facts: Facts, workspace_id: str) -> tuple[Sampler, People]:
    """Return who chooses in a workspace, and what an escalation does; see `SetMode`.

    What nobody has set for a workspace is as in the one that stands for all of them.
    """
    found = {row["workspace_id"]: row for row in facts.get("modes", ())}
    own, all_ = found.get(workspace_id, {}), found.get(EVERYWHERE, {})
    return (
        own.get("sampler") or all_.get("sampler") or SAMPLER,
        own.get("people") or all_.get("people") or PEOPLE,
    )


def incident_in(facts: Facts, storm_id: str) -> tuple[Gate | None, str]:
    """Return the gate of a storm's open incident and its line, None where there is none."""
    for row in facts.get("incidents", ()):
        if row["storm_id"] == storm_id and row["closed_at"] is None:
            return row["gate"], line_of(storm_id)
    return None, ""


def breakers_in(facts: Facts, dependencies: Sequence[str], credential: str) -> tuple[Breaker, ...]:
    """Return how the breakers of some dependencies stand: everybody's, and the credential's."""
    return tuple(
        Breaker(
            dependency=row["dependency"],
            state=row["state"],
            until=parsed(row["until"]) if row["until"] else None,
            line=line_of(row["breaker_id"]),
        )
        for row in sorted(facts.get("breakers", ()), key=lambda row: row["breaker_id"])
        if row["dependency"] in dependencies and row["credential"] in ("", credential)
    )


def allowance_in(facts: Facts, now: datetime) -> Allowance:
    """Return what a workspace may spend now: its bucket has been filled up meanwhile."""
    for row in facts.get("allowance", ()):
        at = parsed(row["tokens_at"])
        back = max(0.0, (now - at).total_seconds()) * BUCKET_MAX / 3600.0
        this_month = row["month"] == month_of(now)
        return Allowance(
            tokens=min(BUCKET_MAX, row["tokens"] + back),
            month_usd=row["month_usd"] if this_month else 0.0,
            recovery_usd=row["recovery_usd"],
        )
    return Allowance()


def records_in(facts: Facts, failure_type: FailureType) -> Mapping[Strategy, Record]:
    """Return what came of each strategy for a failure type in the workspace."""
    return {
        row["strategy"]: Record(row["tried"], row["recovered"])
        for row in facts.get("records", ())
        if row["failure_type"] == failure_type
    }


def limited_of(kind: Classification, credential: str) -> str:
    """Return the credential that a failure is one of alone: the one whose calls are limited."""
    limited = kind.failure_type == "rate_limit" and kind.source != "neighbour"
    return credential if limited else ""


def storm_of(pattern_id: str, credential: str) -> str:
    """Return what storms are told apart by: the pattern, and the credential it is one of alone."""
    return derived("storm", pattern_id, credential) if credential else pattern_id


def incident_of(storm_id: str) -> str:
    """Return the stream of a storm's incidents."""
    return f"{storm_id}/incident"


def line_of(gate: str) -> str:
    """Return the stream of the line that waits at a breaker or an incident."""
    return f"{gate}/line"


def month_of(moment: datetime) -> str:
    """Return the UTC month of an instant: `2026-01`."""
    return moment.astimezone(UTC).strftime("%Y-%m")

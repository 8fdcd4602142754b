"""What the facts say that were looked up for a failure: modes, and what retries taught."""

from collections.abc import Sequence
from datetime import datetime

from perdure_common.decider import Facts, Row
from perdure_contracts.recovery import RecoveryMode

from .instants import parsed
from .transience import Counts

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

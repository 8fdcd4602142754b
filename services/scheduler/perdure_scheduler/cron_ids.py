"""The ids of firings and of the executions that they start, which follow from their instants."""

import hashlib
from datetime import UTC, datetime, timedelta

from perdure_common.ids import canonical_json, derived, time_ordered

SOURCE = "/scheduler/cron"
"""The source of the CloudEvents that firings are."""


def written(at: datetime) -> str:
    """Return an instant of a firing as text: whole seconds in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fire_id(workflow_id: str, node_id: str, scheduled_at: datetime, force_id: str = "") -> str:
    """Return the id of a firing; no deployment changes it. A forced backfill has ids of its own."""
    parts = [workflow_id, node_id, written(scheduled_at), *([force_id] if force_id else [])]
    return derived(canonical_json(parts).decode())


def execution_id(
    tenant_id: str, workflow_id: str, node_id: str, scheduled_at: datetime, identity: str
) -> str:
    """Return the id of the execution that a firing starts; it begins with its instant."""
    parts = [tenant_id, SOURCE, identity, workflow_id, node_id]
    milliseconds = int(scheduled_at.timestamp() * 1000)
    return time_ordered(max(0, milliseconds), canonical_json(parts).decode())


def jitter(identity: str, jitter_s: int) -> timedelta:
    """Return how much later than scheduled a firing happens: 0 to `jitter_s` seconds, by its id."""
    digest = hashlib.sha256(identity.encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8], "big") % (jitter_s + 1))

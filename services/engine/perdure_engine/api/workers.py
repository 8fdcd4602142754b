"""Which runner has an attempt that an execution waits for, and what it does there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import Request

from .ground import SQL, Ground

LOST = "lost/"
"""How the claims of runners begin that let their leases run out."""

STEP = ("n", "kind", "name", "state", "began_at", "finished_at")


async def with_workers(
    ground: Ground, request: Request, waits: Sequence[dict[str, Any]]
) -> Sequence[dict[str, Any]]:
    """Give each attempt among what is waited for its `worker`, None where no runner has claimed it.

    A worker is `{runner, since, lease_until, lost, stopping, step}`: `lost` says that the lease ran
    out, `stopping` that the attempt was told to stop; `step` is the call of a model or a tool that
    an agent began last, `{n, kind, name, state, began_at, finished_at}`, None for others. Attempts
    that claim nothing (short, and harmless if run twice) have none: whoever reads their partition
    runs them.
    """
    attempts = [each for each in waits if each["waits_for"] == "attempt"]
    found: dict[str, Mapping[str, Any]] = {}
    tokens = [each["token"] for each in attempts if each["claims"]]
    if tokens:
        rows = await ground.reading.rows(SQL["workers"], ground.tenant(request), tokens)
        found = {str(row["token"]): row for row in rows}
    for each in attempts:
        row = found.get(each["token"])
        each["worker"] = None if row is None else _worker(row)
    return waits


def _worker(row: Mapping[str, Any]) -> dict[str, Any]:
    runner = str(row["runner"])
    return {
        "runner": runner.removeprefix(LOST),
        "since": row["claimed_at"],
        "lease_until": row["lease_until"],
        "lost": runner.startswith(LOST),
        "stopping": row["canceled"],
        "step": None if row["n"] is None else dict(_named(row)),
    }


def _named(row: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, row[name]) for name in STEP)

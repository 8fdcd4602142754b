"""The engine's HTTP API: a file for each group of endpoints, on the tables that every service has.

What is read comes from tables and the journal, what is written goes as a command by the bus.

Read next: ground.py (what a group is given), executions.py (a group that writes). To add a
group: a file with `add(ground)`, and its name in `GROUPS`.
"""

from collections.abc import Callable

from fastapi import FastAPI
from perdure_common.api.reading import Reading
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner

from . import (
    bulk,
    events,
    executions,
    files,
    history,
    importing,
    kept,
    logs,
    purging,
    reruns,
    signals,
    specifications,
    steering,
    stuck,
    templates,
    travel,
    uploads,
    why,
    workflows,
)
from .ground import Ground, owner_ground
from .tables import ROWS, TABLES

GROUPS: tuple[Callable[[Ground], None], ...] = (
    workflows.add,
    importing.add,
    templates.add,
    kept.add,
    executions.add,
    steering.add,
    bulk.add,
    purging.add,
    reruns.add,
    signals.add,
    files.add,
    uploads.add,
    history.add,
    logs.add,
    events.add,
    why.add,
    travel.add,
    stuck.add,
    specifications.add,
)
"""Everything that the engine answers beside its tables."""


def add_groups(
    service: Service, app: FastAPI, settings: Settings, owner: Owner, reading: Reading
) -> None:
    """Add every group to the API of a process that owns shards."""
    add_all(owner_ground(app, service, settings, owner, reading))


def add_all(ground: Ground) -> None:
    """Add every group."""
    for add in GROUPS:
        add(ground)


__all__ = ["GROUPS", "ROWS", "TABLES", "Ground", "add_all", "add_groups"]

"""Workflows that are deployed under paths, and the paths' streams: messages go as one lets them."""

import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from perdure_common.decider import Decider, Due, Recorded, Rejected
from perdure_common.ids import sha256_of_json
from perdure_contracts.scheduler import DeployWorkflow, UndeployWorkflow
from perdure_scheduler.app import deployments, paths
from perdure_scheduler.cron_route import OWN
from perdure_scheduler.hook_settings import methods_of
from perdure_scheduler.paths import Path, path_id
from perdure_scheduler.promises import Judge

START = datetime(2026, 1, 1, tzinfo=UTC)
TENANT = "00000000-0000-7000-8000-000000000001"
DECIDERS: tuple[Decider[Any, Any, Any], ...] = (deployments, paths)


def workflow(number: int) -> str:
    """Return the id of a workflow."""
    return str(uuid.UUID(int=number))


def hook(path: str, node_id: str = "hook", subtype: str = "WEBHOOK", **more: Any) -> dict[str, Any]:
    """Return a trigger node that listens under a path."""
    given = {"auth": "none"} if subtype == "WEBHOOK" else {"credential": "hooks"}
    if subtype == "GITHUB":
        given["repository"] = "acme/shop"
    return {
        "node_id": node_id,
        "node_type": "TRIGGER",
        "node_subtype": subtype,
        "parameters": {"path": path, **given, **more},
    }


def deploy(number: int, version: int, *nodes: Mapping[str, Any]) -> DeployWorkflow:
    """Return the command that lets a workflow listen with these nodes."""
    definition = {"name": f"w{number}", "nodes": list(nodes)}
    return DeployWorkflow(
        workflow_id=workflow(number),
        version=version,
        sha256=sha256_of_json(definition),
        definition=definition,
        credentials={"hooks": ("secret",)},
    )


class PathStage:
    """All streams and rows; what one stream sends to another arrives in its order, when told to."""

    def __init__(self) -> None:
        self.now = START
        self.states: dict[str, Any] = {}
        self.history: dict[str, list[Any]] = {}
        self.rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.grants: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.on_the_way: dict[tuple[str, str], deque[Any]] = {}
        self.broken: list[tuple[str, str, str]] = []
        self._judges: dict[str, Judge] = {}

    def tell(self, command: Any) -> tuple[Any, ...] | Rejected:
        """Let a command be decided and written; what it asks of others is on the way then."""
        if isinstance(command, Due):
            decider, stream = deployments, command.stream
        else:
            decider = next(each for each in DECIDERS if isinstance(command, each.commands))
            stream = decider.stream_of(command)
        state = self.states.get(stream, decider.initial)
        facts = {
            name: [row for row in self.rows.values() if _fits(row, lookup.where)]
            for name, lookup in decider.facts(state, command).items()
        }
        decided = decider.decide(state, command, facts, self.now)
        if not isinstance(decided, Rejected):
            self._happen(decider, stream, decided)
        return decided

    def happened(self, stream: str, *events: Any) -> None:
        """Let events of a deployment stand in the journal that nobody asked for here."""
        self._happen(deployments, stream, events)

    def _happen(self, decider: Decider[Any, Any, Any], stream: str, events: Iterable[Any]) -> None:
        state = self.states.get(stream, decider.initial)
        for event in events:
            state = decider.evolve(state, event)
            past = self.history.setdefault(stream, [])
            past.append(event)
            recorded = Recorded(event, TENANT, stream, len(past), self.now)
            self.broken += self._judges.setdefault(stream, Judge()).see(recorded)
            for upsert in decider.project(state, recorded):
                table = {"trigger_index": self.rows, "path_grants": self.grants}.get(upsert.table)
                if table is not None:
                    row = table.setdefault(tuple(upsert.key.values()), {})
                    row.update({**upsert.key, **upsert.set})
            for each in decider.route(state, recorded):
                if each.topic == OWN:  # else it is for the engine
                    self.on_the_way.setdefault((stream, each.stream), deque()).append(each.message)
        self.states[stream] = state

    def deliver(self, way: tuple[str, str], times: int = 1) -> Any:
        """Let the first message between two streams arrive; return it."""
        message = self.on_the_way[way].popleft()
        if not self.on_the_way[way]:
            del self.on_the_way[way]
        for _ in range(times):
            self.tell(message)
        return message

    def settle(self) -> None:
        """Let everything arrive that is on the way."""
        while self.on_the_way:
            self.deliver(next(iter(self.on_the_way)))

    def does(self, *commands: Any) -> None:
        """Give commands one after the other, each to its end."""
        for command in commands:
            decided = self.tell(command)
            assert not isinstance(decided, Rejected), decided
            self.settle()

    def status(self, number: int) -> str:
        """Return where a workflow's deployment stands."""
        state = self.states.get(workflow(number))
        return "IDLE" if state is None else state.status

    def last(self, number: int) -> Any:
        """Return the last event of a workflow's deployment."""
        return self.history[workflow(number)][-1]

    def path(self, path: str) -> Path:
        """Return the state of a path."""
        return self.states.get(path_id(TENANT, path), Path())

    def listening(self) -> list[tuple[str, str, str, int]]:
        """Return (path, method, workflow, attempt) of everything that serves."""
        return [
            (row["path"], method, row["workflow_id"], row["attempt"])
            for row in self.rows.values()
            if row["deployment_status"] == "active" and row["path"] is not None
            for method in methods_of(row["trigger_config"])
        ]

    def check(self) -> None:
        """Nothing serves that another serves too, or that was not granted; all states fold."""
        owners: dict[tuple[str, str], str] = {}
        for path, method, workflow_id, attempt in self.listening():
            assert owners.setdefault((path, method), workflow_id) == workflow_id
            assert f"{workflow_id}/{attempt}" in self.path(path).holders
            assert self.grants[TENANT, path, workflow_id, attempt]["released_at"] is None
        for stream, past in self.history.items():
            decider = next(each for each in DECIDERS if isinstance(past[0], each.events))
            assert decider.fold(past) == self.states[stream]
        assert self.broken == []


def undeploy(number: int) -> UndeployWorkflow:
    """Return the command that lets a workflow serve no more."""
    return UndeployWorkflow(workflow_id=workflow(number))


def _fits(row: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    for column, wanted in where.items():
        found = row[column]
        if found != wanted and not (isinstance(wanted, tuple) and found in wanted):
            return False
    return True

"""An execution as it can be seen from outside: its row, its node runs, what recovery says."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from perdure_cli.client import Client, Row
from perdure_cli.errors import CommandError

TERMINAL = frozenset({"SUCCESS", "ERROR", "TIMEOUT", "CANCELED"})
"""Statuses of an execution that has ended."""

OPEN_RUNS = frozenset({"PENDING", "RUNNING", "RETRYING", "WAITING_INPUT"})
"""Statuses of a node run that has not ended."""

_Definitions = dict[tuple[str, int], Any]


@dataclass
class Picture:
    """What is known of an execution now.

    `nodes` are its node runs in the order of the file, then of scope and run; `attempts` are
    recovery's decisions, the oldest first, `explanations` their texts by attempt id.
    `definition` is the frozen version that it runs.
    """

    execution: Row
    definition: Any = None
    nodes: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    explanations: dict[str, Row] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The execution's id."""
        return str(self.execution["execution_id"])

    @property
    def status(self) -> str:
        """The execution's status."""
        return str(self.execution["status"])

    @property
    def ended(self) -> bool:
        """Whether the execution has ended."""
        return self.status in TERMINAL

    @property
    def settled(self) -> bool:
        """Whether it has ended and recovery has noted what came of what it tried."""
        return self.ended and not any(row["status"] == "planned" for row in self.attempts)

    @property
    def workflow_name(self) -> str:
        """The name that the workflow had in the version that runs."""
        return str(self.execution["metadata"].get("workflow_name") or self.execution["workflow_id"])

    def name_of(self, node_id: str) -> str:
        """Return a node's name."""
        return str(_definition_nodes(self.definition).get(node_id, {}).get("name") or node_id)

    def unreached(self) -> list[str]:
        """Return the nodes without a run, in the order of the file."""
        ran = {row["node_id"] for row in self.nodes}
        return [node_id for node_id in _definition_nodes(self.definition) if node_id not in ran]

    def failures(self) -> list[Row]:
        """Return the newest runs of nodes that ended with ERROR."""
        newest = {(row["node_id"], row["scope"]): row for row in self.nodes}
        return [row for row in newest.values() if row["status"] == "ERROR"]


def _definition_nodes(definition: Any) -> dict[str, Row]:
    values = cast("dict[str, Any]", definition if isinstance(definition, dict) else {})
    nodes: list[Row] = values.get("nodes") or []
    return {str(node["node_id"]): node for node in nodes}


async def look(
    client: Client, ids: Sequence[str], definitions: _Definitions | None = None
) -> dict[str, Picture]:
    """Return the pictures of executions by id; those that are not shown (yet) are left out.

    `definitions` keeps what is looked up once, by workflow and version.
    """
    rows = await client.rows("engine", "workflow_executions", execution_id=ids)
    found = {str(row["execution_id"]): Picture(row) for row in rows}
    if not found:
        return found
    known = definitions if definitions is not None else {}
    there = list(found)
    if "recovery" in client.running.urls:
        nodes, attempts, texts = await asyncio.gather(
            client.rows("engine", "node_executions", most=5_000, execution_id=there),
            client.rows("recovery", "recovery_attempts", execution_id=there),
            client.rows("recovery", "recovery_explanations", execution_id=there),
        )
    else:
        nodes = await client.rows("engine", "node_executions", most=5_000, execution_id=there)
        attempts, texts = [], []
    for picture in found.values():
        picture.definition = await _definition(client, picture.execution, known)
    for row in _in_order(nodes, found):
        found[str(row["execution_id"])].nodes.append(row)
    for row in sorted(attempts, key=lambda row: (row["started_at"], row["attempt_number"])):
        found[str(row["execution_id"])].attempts.append(row)
    for row in texts:
        found[str(row["execution_id"])].explanations[str(row["recovery_attempt_id"])] = row
    return found


def _in_order(nodes: Iterable[Row], pictures: dict[str, Picture]) -> list[Row]:
    def place(row: Row) -> tuple[Any, ...]:
        order = list(_definition_nodes(pictures[str(row["execution_id"])].definition))
        node_id = row["node_id"]
        at = order.index(node_id) if node_id in order else len(order)
        return (at, scope_of(row), row["run"])

    return sorted(nodes, key=place)


async def _definition(client: Client, execution: Row, known: _Definitions) -> Any:
    key = (str(execution["workflow_id"]), int(execution["workflow_version"]))
    if key not in known:
        rows = await client.rows(
            "engine", "workflow_versions", most=1, workflow_id=key[0], version=str(key[1])
        )
        known[key] = rows[0]["definition"] if rows else None
    return known[key]


async def require(client: Client, execution_id: str) -> Picture:
    """Return the picture of an execution.

    Raises:
        CommandError: There is none.
    """
    try:
        found = await look(client, [execution_id])
    except CommandError as error:
        if not error.code.startswith("invalid_value"):
            raise
        found = {}
    if execution_id not in found:
        raise CommandError(
            f"there is no execution {execution_id!r}; `perdure executions list` shows those "
            "there are",
            exit_code=2,
            code="unknown_execution",
        )
    return found[execution_id]


def as_json(picture: Picture) -> Row:
    """Return an execution as `executions show --json` prints it."""
    execution = picture.execution
    return {
        "execution_id": picture.id,
        "status": picture.status,
        "error": error_of(execution),
        "result": result_of(execution),
        "nodes": [
            {
                "node_id": row["node_id"],
                "scope": scope_of(row),
                "run": row["run"],
                "attempt": attempt_of(row),
                "status": row["status"],
                "ports": row["output_data"] or {},
                "error": row["error_data"],
            }
            for row in picture.nodes
        ],
        "unreached": picture.unreached(),
        "response": cast("Row", execution["run_data"] or {}).get("response"),
    }


def attempt_of(row: Row) -> int:
    """Return how often a node run was tried: retries come after the first attempt."""
    return int(row["retry_count"]) + 1


def scope_of(row: Row) -> list[tuple[str, int]]:
    """Return where a node run is in loops: `each.0/inner.2` is [("each", 0), ("inner", 2)]."""
    parts = [part.rpartition(".") for part in str(row["scope"]).split("/") if part]
    return [(region, int(iteration)) for region, _, iteration in parts]


def error_of(execution: Row) -> Row | None:
    """Return an execution's error, None if it has none: {type, message, node_id, …}."""
    details = execution["error_details"]
    if not isinstance(details, dict):
        return None
    return {"message": execution["error_message"], **cast("Row", details)}


def result_of(execution: Row) -> Any:
    """Return what an execution's last nodes emitted, None while it has not ended well."""
    data = execution["run_data"]
    return cast("Row", data).get("result") if isinstance(data, dict) else None

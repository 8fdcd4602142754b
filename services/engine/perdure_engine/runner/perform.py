"""What a task is done by: each kind of node that runs here, by its type and subtype.

Side effects are done by the performers below, item by item side by side (`perform`). Nodes
that the engine could run itself are computed at once, without waiting (`at_once`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias, cast

from perdure_common.settings import DEFAULT_TENANT
from perdure_contracts.engine import ErrorFacts, NodeResult, NodeTask

from perdure_engine.nodes.each import attempted
from perdure_engine.nodes.registry import find
from perdure_engine.runner import file, github, google_calendar, send_email, slack, sql
from perdure_engine.runner.agents import agent as agents
from perdure_engine.runner.agents.waiting import Suspended
from perdure_engine.runner.code import running as code
from perdure_engine.runner.dependencies import Called
from perdure_engine.runner.depending import dependency_of
from perdure_engine.runner.failures import Failed, bug_of, told
from perdure_engine.runner.files import ItemFiles, Made, refs_of
from perdure_engine.runner.http_request import request
from perdure_engine.runner.renewing import after_refusal, fresh
from perdure_engine.runner.secrets import hidden, opened
from perdure_engine.runner.secrets_of_nodes import with_secrets
from perdure_engine.runner.services import service_at
from perdure_engine.runner.substeps import Agent, LeaseLost
from perdure_engine.runner.tools import Tools
from perdure_engine.runner.verifying import happened

ITEMS_AT_ONCE = 10
"""Items of one node run whose effects may be under way at the same time."""

Perform: TypeAlias = Callable[
    [Tools, Mapping[str, Any], str, ItemFiles], Awaitable[dict[str, Any] | Made | Failed]
]
"""Does one item: (tools, its resolved parameters, its idempotency key, its files) to its answer."""


async def _http_request(
    tools: Tools, parameters: Mapping[str, Any], key: str, files: ItemFiles
) -> dict[str, Any] | Made | Failed:
    return await request(tools.http.next(), tools.allowed, parameters, key, files)


async def _sql(
    tools: Tools, parameters: Mapping[str, Any], key: str, files: ItemFiles
) -> dict[str, Any] | Failed:
    del files
    return await sql.query(tools.databases, parameters, key)


async def _send_email(
    tools: Tools, parameters: Mapping[str, Any], key: str, files: ItemFiles
) -> dict[str, Any] | Failed:
    return await send_email.send(tools.mail, parameters, key, files)


async def _slack(
    tools: Tools, parameters: Mapping[str, Any], key: str, files: ItemFiles
) -> dict[str, Any] | Failed:
    del key, files  # Slack takes none
    return await slack.message(service_at(tools, tools.slack_url, parameters))


async def _github(
    tools: Tools, parameters: Mapping[str, Any], key: str, files: ItemFiles
) -> dict[str, Any] | Failed:
    del files
    return await github.issue(service_at(tools, tools.github_url, parameters, github.HEADERS), key)


async def _google_calendar(
    tools: Tools, parameters: Mapping[str, Any], key: str, files: ItemFiles
) -> dict[str, Any] | Failed:
    del files
    calendar = service_at(tools, tools.google_calendar_url, parameters)
    return await google_calendar.event(calendar, key)


async def _file(
    tools: Tools, parameters: Mapping[str, Any], key: str, files: ItemFiles
) -> Made | Failed:
    del tools, key
    return await file.run(parameters, files)


PERFORMERS: Mapping[tuple[str, str], Perform] = {
    ("EXTERNAL_ACTION", "HTTP_REQUEST"): _http_request,
    ("EXTERNAL_ACTION", "SQL"): _sql,
    ("EXTERNAL_ACTION", "SEND_EMAIL"): _send_email,
    ("EXTERNAL_ACTION", "SLACK"): _slack,
    ("EXTERNAL_ACTION", "GITHUB"): _github,
    ("EXTERNAL_ACTION", "GOOGLE_CALENDAR"): _google_calendar,
    ("ACTION", "FILE"): _file,
}


def item_key(task: NodeTask, place: int) -> str:
    """Return the idempotency key of one item: stable over attempts and recovery.

    A later attempt may have fewer items, so the key follows from the item's index among
    the inputs of the node run, not from its place in the task.
    """
    index = task.indexes[place] if task.indexes else place
    return f"{task.idempotency_key}-{index}"


def is_computation(task: NodeTask) -> bool:
    """Return whether a task is pure computation, which `at_once` does."""
    specification = find(task.node_type, task.node_subtype)
    return specification is not None and specification.each is not None


def at_once(task: NodeTask, runner: str) -> NodeResult | None:
    """Return the answer to a task that is pure computation; None for any other.

    An item without parameters is left out, and the engine then says that it has no answer.
    """
    specification = find(task.node_type, task.node_subtype)
    if specification is None or specification.each is None:
        return None
    began = time.perf_counter()
    each = specification.each
    items: list[dict[str, Any] | None] = []
    failed: list[tuple[int, ErrorFacts]] = []
    for parameters, json in zip(_listed(task.parameters), _listed(task.items), strict=False):
        try:
            made = attempted(partial(each, parameters, json))
        except Exception as error:  # a defect of a node must not end the runner
            made = bug_of(error)
        if isinstance(made, ErrorFacts):
            failed.append((len(items), made))
            items.append(None)
        else:
            items.append({"json": made})
    return _result(task, items, tuple(failed), began, runner)


STOPPED = ErrorFacts(
    type="canceled",
    message="the execution was cancelled before this item began",
    stage="run",
    effect_state="not_sent",
)

AGENTS = (("AI_AGENT", "AGENT"),)
"""What works in sub-steps that are journalled, under the lease of its attempt."""


CODE = (("ACTION", "CODE"),)
"""What runs in a process of its own, all items of a task one after the other."""


async def perform(
    tools: Tools,
    task: NodeTask,
    runner: str,
    tenant_id: str = DEFAULT_TENANT,
    stopping: Callable[[], bool] = lambda: False,
) -> NodeResult:
    """Run every item of a task and return the answer to its attempt.

    Once it is `stopping`, no other item begins: those that are left have failed.
    The items that failed are listed with what is known of each; the others have their
    answer in `ports["main"]`, at their place, with None where an item failed.
    """
    began = time.perf_counter()
    kind = (task.node_type, task.node_subtype)
    performer = PERFORMERS.get(kind)
    if kind in CODE:
        return await _code(tools, task, began, runner)
    if performer is None and kind not in AGENTS:
        error = ErrorFacts(
            type="node_type_not_supported",
            message=f"this runner has no {task.node_type} {task.node_subtype}; "
            "start the newer version",
            stage="run",
        )
        return NodeResult(
            execution_id=task.execution_id, token=task.token, outcome="failed", error=error
        )
    gate = asyncio.Semaphore(ITEMS_AT_ONCE)

    jsons = _listed(task.items)

    async def one(
        index: int, parameters: Mapping[str, Any]
    ) -> dict[str, Any] | Made | Failed | Suspended:
        async with gate:
            if stopping():
                return Failed(STOPPED)
            try:
                if performer is None:
                    return await _agent(tools, task, index, runner, tenant_id)
                handle = str(parameters.get("credential") or "")
                fields = await opened(tools.credentials, tenant_id, parameters)
                if not isinstance(fields, Failed):
                    fields = await fresh(tools, tenant_id, handle, fields)
                if isinstance(fields, Failed):
                    return fields
                given = with_secrets(kind, parameters, fields) if fields else parameters
                if isinstance(given, Failed):
                    return given
                dependency = dependency_of(tools, task.node_subtype, given)
                call = tools.dependencies.begin(Called(tenant_id, dependency, handle))
                if isinstance(call, Failed):
                    return call
                key = item_key(task, index)
                files = ItemFiles(
                    tools.files, tenant_id, refs_of(task.files, index), jsons[index],
                    tools.file_bytes_max,
                )  # fmt: skip
                answer = None
                if task.again:
                    answer = await happened(tools, kind, given, key, task.again)
                if answer is None:
                    answer = await performer(tools, given, key, files)
                error = answer.error if isinstance(answer, Failed) else None
                tools.dependencies.heard(call, error)
                answer = await after_refusal(tools, tenant_id, handle, fields, answer)
                if isinstance(answer, Made):
                    return Made(hidden(answer.json, fields), answer.files)
                return hidden(answer, fields)
            except Exception as error:  # a defect of a node must not end the runner
                return Failed(bug_of(error))

    answers = await asyncio.gather(*(one(i, p) for i, p in enumerate(task.parameters)))
    failed = tuple((i, each.error) for i, each in enumerate(answers) if isinstance(each, Failed))
    items = [_item(each) for each in answers]
    waits = tuple((i, each.asks) for i, each in enumerate(answers) if isinstance(each, Suspended))
    made = _result(task, items, failed, began, runner)
    return replace(made, suspended=waits, outcome="completed") if waits else made


async def _code(tools: Tools, task: NodeTask, began: float, runner: str) -> NodeResult:
    """Run code on the items of a task; items with the same parameters share a process."""
    sets, items = _listed(task.parameters), _listed(task.items)
    try:
        made = await code.run(tools.code_languages, sets[0] if sets else {}, items[: len(sets)])
    except Exception as error:  # a defect of a node must not end the runner
        facts = told(bug_of(error))
        return NodeResult(
            execution_id=task.execution_id, token=task.token, outcome="failed", error=facts
        )
    failed = tuple((i, each.error) for i, each in enumerate(made) if isinstance(each, Failed))
    ports = [None if isinstance(each, Failed) else {"json": each} for each in made]
    return _result(task, ports, failed, began, runner)


async def _agent(
    tools: Tools, task: NodeTask, place: int, runner: str, tenant_id: str
) -> dict[str, Any] | Failed | Suspended:
    """Let an agent work on one item of a task."""
    agent = Agent(
        key=item_key(task, place),
        tenant_id=tenant_id,
        execution_id=task.execution_id,
        node_id=task.node_id,
        token=task.token,
        runner=runner,
    )
    index = task.indexes[place] if task.indexes else place
    try:
        answers = cast("dict[str, dict[str, Any]]", task.answers or {}).get(str(index))
        return await agents.run(tools, agent, index, _listed(task.parameters)[place], answers)
    except LeaseLost as error:
        text = f"{error}; its next attempt goes on behind what was done"
        lost = ErrorFacts(
            type="worker_lost", message=text, retryable=True, stage="lease", effect_state="unknown"
        )
        return Failed(lost)


def _item(answer: dict[str, Any] | Made | Failed | Suspended) -> dict[str, Any] | None:
    """Return the item that an answer is, None where there is none."""
    if isinstance(answer, Made):
        return {"json": answer.json, "binary_ref": answer.files}
    return {"json": answer} if isinstance(answer, dict) else None


def _listed(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _result(
    task: NodeTask,
    items: list[dict[str, Any] | None],
    failed: tuple[tuple[int, ErrorFacts], ...],
    began: float,
    runner: str,
) -> NodeResult:
    failed = tuple((place, told(error)) for place, error in failed)
    return NodeResult(
        execution_id=task.execution_id,
        token=task.token,
        outcome="failed" if failed else "completed",
        ports={"main": items},
        failed=failed,
        error=failed[0][1] if failed else None,
        duration_ms=round((time.perf_counter() - began) * 1000),
        runner=runner,
    )

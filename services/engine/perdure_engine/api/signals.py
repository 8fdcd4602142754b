"""Telling a running execution something by HTTP, calling its resume URL, asking for its state."""

import uuid
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import Request
from perdure_common.api.bodies import body_schema, read_body, read_json, responses
from perdure_common.api.endpoints import KEY_PARAMETER, only, query, reads, tags, writes
from perdure_common.api.problem import Problem
from perdure_contracts.flow import ResumeWait, SignalExecution

from perdure_engine.executions.signals import PAYLOAD_BYTES_MAX
from perdure_engine.executions.state import Execution, Run
from perdure_engine.executions.why import why

from .executions import Accepted, accepted
from .ground import PREFIX, Ground

Text = Annotated[str, msgspec.Meta(max_length=255)]


class Signal(msgspec.Struct, forbid_unknown_fields=True):
    """What an execution is told: the WAIT for an event called `name` goes on with `payload`.

    `signal_id` makes it one signal, however often it is sent; without it each request is one.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    payload: Any = msgspec.field(default_factory=dict)
    key: Text = ""
    signal_id: Text = ""
    sent_by: Text = ""


class Resumed(msgspec.Struct):
    """What became of a call: a WAIT went on with it, or will."""

    execution_id: str
    settled: bool


def add(ground: Ground) -> None:
    """Add the endpoints."""

    async def signalled(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Signal)
        message = SignalExecution(
            execution_id=key,
            name=body.name,
            signal_id=body.signal_id or _id(request),
            payload=body.payload,
            key=body.key,
            sent_by=body.sent_by,
        )
        return await accepted(ground, request, key, message)

    async def called(request: Request, key: str, token: str, node_id: str = "") -> dict[str, Any]:
        message = ResumeWait(
            execution_id=key,
            token=token,
            signal_id=_id(request),
            payload=await read_json(request, most=PAYLOAD_BYTES_MAX),
            node_id=node_id,
            sent_by="the resume URL",
        )
        asked = await ground.asking.ask(request, key, message)
        return {"execution_id": key, "settled": asked.answer is not None}

    async def queried(request: Request, key: str) -> dict[str, Any]:
        only(request, ("node_id",))
        state, version = await ground.execution(request, key)
        workflow = await ground.workflow_of(ground.tenant(request), state)
        flow = state.flow
        return {
            "execution_id": key,
            "version": version,
            "status": state.status,
            "steps": state.steps,
            "steps_total": state.steps_total,
            "waits_for": [asdict(each) for each in why(state, workflow)],
            "signals": [] if flow is None else [_signal(*each) for each in flow.signals.items()],
            "response": None if flow is None else flow.response,
            "nodes": _nodes(state, request.query_params.get("node_id")),
        }

    ground.app.add_api_route(
        PREFIX + "/signals",
        signalled,
        methods=["POST"],
        name="signal_execution",
        summary="Tell a running execution something; a WAIT goes on with it, now or later",
        tags=tags("workflow_executions"),
        openapi_extra=writes(body_schema(Signal)),
        responses=responses(200, Accepted, "What was accepted."),
    )
    for path, name in (("", "resume"), ("/{node_id}", "resume_node")):
        ground.app.add_api_route(
            "/v1/resume/{key}/{token}" + path,
            called,
            methods=["POST"],
            name=name,
            summary="Let a WAIT go on: the resume URL of an execution",
            tags=tags("workflow_executions"),
            openapi_extra={"parameters": [KEY_PARAMETER], "requestBody": _ANY},
            responses=responses(200, Resumed, "The call was taken."),
        )
    ground.app.add_api_route(
        PREFIX + "/query",
        queried,
        name="query_execution",
        summary="Ask an execution for its state at this moment",
        tags=tags("workflow_executions"),
        openapi_extra=reads(query("node_id", about="show the runs of this node alone")),
    )


_ANY: dict[str, Any] = {"required": False, "content": {"application/json": {"schema": {}}}}


def _id(request: Request) -> str:
    """Return the id of a signal: that of the caller's request, or one of its own."""
    return request.headers.get("idempotency-key") or str(uuid.uuid4())


def _signal(signal_id: str, signal: Any) -> dict[str, Any]:
    return {
        "signal_id": signal_id,
        "channel": signal.channel,
        "name": signal.name,
        "key": signal.key,
        "payload": signal.payload,
    }


def _nodes(state: Execution, node_id: str | None) -> list[dict[str, Any]]:
    runs = [run for run in state.runs.values() if node_id in (None, run.node_id)]
    if node_id is not None and not runs:
        text = f"node {node_id[:100]!r} has no run in execution {state.execution_id!r} (yet)"
        raise Problem(404, "node_not_found", text)
    return [_run(run, shown=node_id is not None) for run in runs]


def _run(run: Run, *, shown: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "node_id": run.node_id,
        "scope": run.scope,
        "run": run.run,
        "attempt": run.attempt,
        "status": run.status,
    }
    if shown:
        ports = run.ports.items()
        row["ports"] = {port: [item["json"] for item in items] for port, items in ports}
    return row

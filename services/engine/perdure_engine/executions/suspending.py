"""Agents that wait: what they ask is asked for them, and they go on with the answers. Pure.

A suspended run is open and has no attempt under way. What it asked is known by an id of its own,
so an answer that comes when nobody waits any more is stale, and one that comes twice counts once.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from perdure_common.ids import derived
from perdure_contracts.agent_asks import AgentAsk
from perdure_contracts.asking import AskMemory, MemoryAsked, NoteAnswer, PeopleAsked
from perdure_contracts.asking import RequestInteraction as Interaction
from perdure_contracts.engine import ErrorFacts, NodeResult
from perdure_contracts.flow import ChildRequested, NoteChildEnd
from perdure_contracts.message import Json
from perdure_contracts.suspending import AskAnswered, RunSuspended

from .asks import child_of
from .children import DEPTH_MAX, depth_of
from .progress import Progress
from .state import Dispatch, Execution, Run
from .state_asks import Ask

ANSWER_CHARACTERS_MAX = 50_000
"""What an agent is told of one answer."""


def suspended(
    progress: Progress,
    run: Run,
    known: Dispatch,
    result: NodeResult,
    done: dict[str, dict[str, Json]],
    failed: Mapping[int, ErrorFacts],
) -> None:
    """Suspend a run: ask everything that its items wait for."""
    state = progress.state
    asks: list[tuple[int, str, AgentAsk]] = []
    for place, wanted in result.suspended:
        index = known.indexes[place]
        for ask in wanted:
            asks.append((index, derived("ask", known.token, index, ask.request), ask))
    untils = [_until(progress.now, ask) for _, _, ask in asks]
    progress.record(
        RunSuspended(
            execution_id=state.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            run=run.run,
            attempt=run.attempt,
            token=known.token,
            asks=tuple(asks),
            suspended_at=progress.at,
            untils=tuple(untils),
            done=done,
            failed=tuple(sorted(failed.items(), key=lambda each: each[0])),
            duration_ms=result.duration_ms,
            runner=result.runner,
            pauses=any(ask.kind == "approval" for _, _, ask in asks),
        )
    )
    for _, ask_id, ask in asks:
        _ask(progress, run, ask_id, ask)


def _until(now: datetime, ask: AgentAsk) -> str | None:
    """Return when an answer is waited for no longer; people's time is kept by their service."""
    seconds = cast("dict[str, Any]", ask.given).get("timeout_s")
    if ask.kind == "approval" or not isinstance(seconds, int | float):
        return None
    return (now + timedelta(seconds=seconds)).isoformat()


def _ask(progress: Progress, run: Run, ask_id: str, ask: AgentAsk) -> None:
    state = progress.state
    given = cast("dict[str, Any]", ask.given)
    if ask.kind == "workflow" and depth_of(state) >= DEPTH_MAX:
        text = f"workflows call each other more than {DEPTH_MAX} deep; go on without it"
        answer_ask(progress, run, ask_id, {"ok": False, "content": text})
    elif ask.kind == "workflow":
        progress.record(
            ChildRequested(
                execution_id=state.execution_id,
                node_id=run.node_id,
                scope=run.scope,
                run=run.run,
                child_execution_id=child_of(ask_id),
                child_root_execution_id=derived(
                    "child", state.root_execution_id, run.node_id, run.scope, ask.request
                ),
                workflow=str(given["workflow"]),
                version=given.get("version"),
                data=given.get("data"),
                wait_id=ask_id,
                wait=True,
                depth=depth_of(state) + 1,
            )
        )
    elif ask.kind == "approval":
        request = _interaction(progress, run, ask_id, ask)
        progress.record(PeopleAsked(execution_id=state.execution_id, request=request))
    else:
        fields = {name: value for name, value in given.items() if name != "timeout_s"}
        asked = AskMemory(
            request_id=ask_id,
            execution_id=state.execution_id,
            workspace_id=state.workspace_id,
            node_id=ask.node_id,
            **fields,
        )
        progress.record(MemoryAsked(execution_id=state.execution_id, request=asked))


def _interaction(progress: Progress, run: Run, ask_id: str, ask: AgentAsk) -> Interaction:
    state = progress.state
    given = cast("dict[str, Any]", ask.given)
    seconds = given.get("timeout_s")
    ends = [] if state.deadline is None else [state.deadline]
    if isinstance(seconds, int | float):
        ends.append(progress.now + timedelta(seconds=seconds))
    return Interaction(
        interaction_id=ask_id,
        execution_id=state.execution_id,
        workflow_id=state.workflow_id,
        workspace_id=state.workspace_id,
        node_id=run.node_id,
        node_name=progress.workflow.by_id[run.node_id].name,
        scope=run.scope,
        run=run.run,
        kind="approval",
        title=str(given.get("title") or "")[:4_000],
        text=str(given.get("text") or "")[:4_000],
        payload=given.get("payload"),
        channels=tuple(given.get("channels") or ("in_app",)),
        assignees=tuple(given.get("assignees") or ()),
        priority=given.get("priority") or "normal",
        timeout_at=min(ends).isoformat() if ends else None,
        requester=state.triggered_by,
    )


# Answers ----------------------------------------------------------------------------------


def asked_by(state: Execution, ask_id: str) -> tuple[Run, Ask] | None:
    """Return the run that waits for the answer to an ask, None if none does any more."""
    for place in state.open if state.suspended else ():
        run = state.runs[place]
        ask = None if run.dispatch is None else run.dispatch.asks.get(ask_id)
        if ask is not None:
            return run, ask
    return None


def answer_of(command: NoteAnswer | NoteChildEnd) -> dict[str, Json]:
    """Return what an agent's sub-step is finished with."""
    if isinstance(command, NoteChildEnd):
        if command.status == "SUCCESS" and not command.result_cut:
            items = cast("list[Any]", command.result or [])
            return {"ok": True, "content": _told(items[0] if len(items) == 1 else items)}
        said = "" if command.error is None else f": {command.error.message}"
        if command.status == "SUCCESS":
            said = ", but its result does not fit into a message"
        text = f"execution {command.child_execution_id} ended with {command.status}{said}"
        return {"ok": False, "content": text}
    if command.outcome == "failed":
        said = "without saying why" if command.error is None else command.error.message
        return {"ok": False, "content": f"the service {command.service} failed: {said}"}
    if command.service == "hil":
        by = f" by {command.by}" if command.by else ""
        approved = command.port == "approved"
        return {"ok": approved, "content": f"{command.port}{by}"}
    return {"ok": True, "content": _told(command.items)}


def _told(content: Json) -> Json:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    if len(text) <= ANSWER_CHARACTERS_MAX:
        return content
    return f"{text[:ANSWER_CHARACTERS_MAX]}… (cut: {len(text):,} characters in all)"


def answer_ask(progress: Progress, run: Run, ask_id: str, answer: Json) -> None:
    """Keep an answer; the run goes on when it has all of them (`resumption.go_on`)."""
    known = run.dispatch
    progress.record(
        AskAnswered(
            execution_id=progress.state.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            run=run.run,
            ask_id=ask_id,
            answer=answer,
            answered_at=progress.at,
            paused=known is not None and ask_id in known.asks and known.asks[ask_id].pauses,
        )
    )


def late_asks(known: Dispatch, now: datetime) -> list[str]:
    """Return the asks whose answers are not waited for any longer."""
    return [i for i, ask in known.asks.items() if ask.until is not None and ask.until <= now]

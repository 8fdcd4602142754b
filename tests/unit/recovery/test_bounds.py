"""Whatever the engine tells, in whatever order: recovery's commands stay within bounds."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from perdure_common.decider import Due, Recorded, Rejected
from perdure_contracts.deciding import ExecutionEvent
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionCompleted,
    ExecutionFailed,
    NodeFailed,
    NodeRecovered,
    RecoveryVerdict,
)
from perdure_contracts.message import Envelope
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    EpisodeClosed,
    VerdictRepeated,
)
from perdure_recovery.app import executions
from perdure_recovery.guard import EXECUTION_ATTEMPTS_MAX, NODE_ATTEMPTS_MAX
from perdure_recovery.hear import hear
from perdure_recovery.state import Execution

START = datetime(2026, 1, 1, 22, tzinfo=UTC)
ENVELOPE = Envelope(id="1", source="/engine/0", type="", tenant_id="t", topic="")
ERRORS = (
    ErrorFacts(type="http_status", message="503", status_code=503),
    ErrorFacts(type="connect_failed", message="refused", effect_state="not_sent"),
    ErrorFacts(type="http_status", message="slow down", status_code=429, retry_after_s=90.0),
    ErrorFacts(type="expression_type", message="no number"),
)


@st.composite
def failures(draw: st.DrawFn) -> NodeFailed:
    now = START.isoformat()
    return NodeFailed(
        failure_id="",  # numbered in the order of the steps
        root_failure_id="f",
        execution_id="e",
        workflow_id="w",
        workflow_version=1,
        workspace_id="ws",
        node_id=draw(st.sampled_from(["a", "b"])),
        node_name="",
        node_type="EXTERNAL_ACTION",
        node_subtype="HTTP_REQUEST",
        scope=draw(st.sampled_from([(), (("each", 1),), (("each", 2),)])),
        run=draw(st.sampled_from([1, 1, 1, 2])),
        attempt=draw(st.sampled_from([0, 0, 0, 0, 1])),
        asked=draw(st.sampled_from([True, True, True, False])),
        effect=draw(st.sampled_from(["pure", "keyed", "keyed", "unsafe"])),
        error=draw(st.sampled_from(ERRORS)),
        first_failed_at=now,
        failed_at=(START + timedelta(minutes=draw(st.integers(0, 300)))).isoformat(),
        verdict_until=draw(st.sampled_from([None, None, None, now])),
    )


@st.composite
def completions(draw: st.DrawFn) -> NodeRecovered:
    return NodeRecovered(
        execution_id="e",
        node_id=draw(st.sampled_from(["a", "b"])),
        scope=draw(st.sampled_from([(), (("each", 1),)])),
        run=draw(st.integers(1, 2)),
        attempt=draw(st.integers(1, 6)),
    )


ENDS = st.sampled_from(
    [
        ExecutionCompleted(execution_id="e", workflow_id="w", result=None),
        ExecutionFailed(
            execution_id="e",
            workflow_id="w",
            workspace_id="ws",
            status="ERROR",
            error=ERRORS[0],
            node_id="a",
        ),
    ]
)
MESSAGES = st.one_of(failures(), failures(), failures(), completions(), st.just(Due("e")), ENDS)
STEPS = st.lists(st.tuples(st.floats(0, 1200), MESSAGES), min_size=20, max_size=60)


def numbered(n: int, message: Any) -> Any:
    """Let failures come in order, but some of them twice, or late, from an attempt before."""
    if isinstance(message, ExecutionFailed):
        return replace(message, failure_id=f"f{n - 1}")
    if not isinstance(message, NodeFailed):
        return message
    again = n % 7 == 6
    attempt = n - 3 if message.attempt else n + 1
    return replace(message, failure_id=f"f{n - again}", attempt=attempt)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_recovery_is_bounded_whatever_it_hears(steps: list[tuple[float, Any]]) -> None:
    state, now, events = executions.initial, START, list[ExecutionEvent]()
    verdicts: list[RecoveryVerdict] = []
    for n, (wait_s, step) in enumerate(steps):
        message = numbered(n, step)
        now += timedelta(seconds=wait_s)
        command: Any = message if isinstance(message, Due) else hear(message, ENVELOPE)
        if command is None:
            continue
        decided = executions.decide(state, command, {}, now)
        for event in () if isinstance(decided, Rejected) else decided:
            state = executions.evolve(state, event)
            recorded = Recorded(event, "t", "e", len(events) + 1, now)
            sent = [m.message for m in executions.route(state, recorded)]
            verdicts += [m for m in sent if isinstance(m, RecoveryVerdict)]
            tables = [row.table for row in executions.project(state, recorded)]
            assert len(tables) - tables.count("recovery_episodes") in (0, 2)
            assert tables.count("recovery_episodes") <= 1
            events.append(event)
        assert all(e.attempt or e.missed or e.parked for e in state.episodes.values())
    _check_bounds(events, verdicts, state)


def _check_bounds(
    events: list[ExecutionEvent], verdicts: list[RecoveryVerdict], state: Execution
) -> None:
    ordered = [event for event in events if isinstance(event, AttemptOrdered)]
    days = Counter(event.ordered_at[:10] for event in ordered)
    assert max(days.values(), default=0) <= EXECUTION_ATTEMPTS_MAX
    assert max(state.tried.values(), default=0) <= NODE_ATTEMPTS_MAX
    assert sum(state.tried.values()) == len(ordered)
    failed = [event.attempt_id for event in events if isinstance(event, AttemptFailed)]
    closed = {e.attempt_id for e in events if isinstance(e, EpisodeClosed)} - set(failed)
    waiting = {e.attempt.attempt_id for e in state.episodes.values() if e.attempt}
    assert len(failed) == len(set(failed))
    ends = set(failed) | closed | waiting
    assert {event.attempt_id for event in ordered} <= ends, "an attempt was forgotten"
    told: dict[str, list[str]] = {}  # an engine that asks again is told again
    for verdict in verdicts:
        told.setdefault(verdict.failure_id, []).append(verdict.verdict)
    for said in told.values():
        assert said == sorted(said, reverse=True), "what was given up was tried after all"
    repeated = [event for event in events if isinstance(event, VerdictRepeated)]
    assert len(verdicts) == len(told) + len(repeated)
    assert len({event.attempt_id for event in ordered}) == len(ordered)
    assert reduce(executions.evolve, events, executions.initial) == state
    text = msgspec.json.encode(state)
    assert msgspec.json.decode(text, type=Execution) == state

"""State from the events of agents that wait. Like `evolve`, whose arms these are."""

from msgspec.structs import replace
from perdure_contracts.message import Json
from perdure_contracts.suspending import AskAnswered, AskDropped, RunSuspended, SuspendingEvent

from .instants import instant
from .state import Execution, forget_waits, place_of, wait
from .state_asks import Ask


def suspending(state: Execution, event: SuspendingEvent) -> None:
    """Apply an event of a suspended run; the state is changed in place."""
    match event:
        case RunSuspended():
            _suspended(state, event)
        case AskAnswered():
            _gone(state, event)
        case AskDropped():
            _gone(state, event)


def _suspended(state: Execution, event: RunSuspended) -> None:
    place = place_of(event.node_id, event.scope)
    known = state.runs[place]
    assert known.dispatch is not None
    state.tokens.pop(event.token, None)
    state.suspended += 1
    done: dict[str, dict[str, Json]] = event.done or {}
    failed = {k: error for k, error in known.dispatch.failed.items() if k not in done}
    failed.update((str(index), error) for index, error in event.failed)
    untils = event.untils or (None,) * len(event.asks)
    asks = {
        ask_id: Ask(
            ask.kind,
            index,
            ask.request,
            ask.name,
            None if at is None else instant(at),
            event.pauses and ask.kind == "approval",
        )
        for (index, ask_id, ask), at in zip(event.asks, untils, strict=True)
    }
    waiting = sorted({index for index, _, _ in event.asks})
    dispatch = replace(
        known.dispatch,
        token="",
        deadline=None,
        indexes=tuple(waiting),
        done={**known.dispatch.done, **done},
        failed={k: error for k, error in failed.items() if int(k) not in waiting},
        asks=asks,
        answers={},  # those of before stand among the agent's sub-steps
        suspensions=known.dispatch.suspensions + 1,
    )
    people = any(ask.kind == "approval" for ask in asks.values())
    status = "WAITING_INPUT" if people else "RUNNING"
    state.runs[place] = replace(known, status=status, dispatch=dispatch)
    wait(state, place)


def _gone(state: Execution, event: AskAnswered | AskDropped) -> None:
    place = place_of(event.node_id, event.scope)
    known = state.runs[place]
    assert known.dispatch is not None
    asks = dict(known.dispatch.asks)
    ask = asks.pop(event.ask_id)
    answers = known.dispatch.answers
    if isinstance(event, AskAnswered):
        item = {**answers.get(str(ask.index), {}), ask.request: event.answer}
        answers = {**answers, str(ask.index): item}
    dispatch = replace(known.dispatch, asks=asks, answers=answers)
    state.runs[place] = replace(known, dispatch=dispatch)
    forget_waits(state)
    wait(state, place)

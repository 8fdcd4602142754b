"""Signals to a running execution, and calls of its resume URL: taken once, never lost.

A WAIT that is there goes on with it; else it is kept for the one that comes.
"""

from perdure_common.decider import Rejected
from perdure_contracts.flow import ResumeWait, SignalExecution, SignalReceived, WaitEnd

from .finishing import encoded_bytes
from .progress import Progress
from .resuming import is_token
from .state import Execution, is_open
from .state_flow import Signal
from .waiting import take_signal, waits_for

PAYLOAD_BYTES_MAX = 256 * 1024
"""The largest payload, as JSON: it stands in the journal and in items."""

KEPT_MAX = 100
"""Signals of one execution that nobody has taken yet."""

TEXT_MAX = 255
"""Characters of names, keys and ids."""


def signal_refusal(state: Execution, command: SignalExecution | ResumeWait) -> Rejected | None:
    """Return why an execution does not take a signal, None if it does."""
    flow = state.flow
    if isinstance(command, ResumeWait) and not is_token(
        "" if flow is None else flow.resume_token, command.token
    ):
        return Rejected(
            "this is no resume URL of the execution; use the one that `$execution.resume_url` gave",
            "wrong_token",
        )
    if not is_open(state):
        return Rejected(
            f"execution {command.execution_id!r} is {state.status}; only one that runs can be told "
            "something",
            "execution_ended",
        )
    fault = _fault(command)
    if fault:
        return Rejected(fault, "invalid_signal")
    if flow is not None and command.signal_id in flow.heard:
        return Rejected(
            f"signal {command.signal_id!r} was taken before; give another one another id",
            "duplicate_signal",
        )
    size = encoded_bytes(command.payload)
    if size is None or size > PAYLOAD_BYTES_MAX:
        return Rejected(
            f"the payload has {size or 0:,} bytes, at most {PAYLOAD_BYTES_MAX:,} can be taken; "
            "send a reference to it instead",
            "payload_too_large",
        )
    if isinstance(command, SignalExecution) and command.wait_id:
        if _waiting(state, command.wait_id) is None:
            return Rejected("what the signal was meant for waits no more", "stale_signal")
    elif flow is not None and len(flow.signals) >= KEPT_MAX:
        return Rejected(
            f"{KEPT_MAX} signals wait to be taken already; find out why no WAIT takes them",
            "too_many_signals",
        )
    return None


def take(progress: Progress, command: SignalExecution | ResumeWait) -> None:
    """Take a signal, and let the WAIT that it is for go on."""
    channel: WaitEnd = "event" if isinstance(command, SignalExecution) else "webhook"
    name, key, wait_id = "", "", ""
    node_id = ""
    if isinstance(command, SignalExecution):
        name, key, wait_id = command.name, command.key, command.wait_id
    else:
        node_id = command.node_id
    progress.record(
        SignalReceived(
            execution_id=progress.state.execution_id,
            signal_id=command.signal_id,
            channel=channel,
            name=name,
            key=key,
            node_id=node_id,
            payload=command.payload,
            sent_by=command.sent_by,
            received_at=progress.at,
        )
    )
    flow = progress.state.flow
    assert flow is not None
    place = _waiting(progress.state, wait_id) if wait_id else None
    if place is None:
        place = _first(progress.state, flow.signals[command.signal_id])
    if place is not None:
        take_signal(progress, place, command.signal_id)


def _fault(command: SignalExecution | ResumeWait) -> str:
    if not 0 < len(command.signal_id) <= TEXT_MAX:
        return f"a signal's id must have 1 to {TEXT_MAX} characters"
    if isinstance(command, SignalExecution) and not 0 < len(command.name) <= TEXT_MAX:
        return f"a signal's name must have 1 to {TEXT_MAX} characters"
    if isinstance(command, SignalExecution) and len(command.key) > TEXT_MAX:
        return f"a signal's key must have at most {TEXT_MAX} characters"
    return ""


def _waiting(state: Execution, wait_id: str) -> str | None:
    """Return the place of a wait that is open."""
    waits = {} if state.flow is None else state.flow.waits
    return next((place for place, each in waits.items() if each.wait_id == wait_id), None)


def _first(state: Execution, signal: Signal) -> str | None:
    """Return the place of the oldest wait that a signal is for."""
    assert state.flow is not None
    for place, waiting in state.flow.waits.items():
        if waits_for(waiting, signal, state.runs[place].node_id):
            return place
    return None

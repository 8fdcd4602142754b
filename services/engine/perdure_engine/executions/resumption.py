"""Suspended runs that go on: with every answer, after a pause, or without what did not come."""

from perdure_contracts.asking import NoteAnswer
from perdure_contracts.flow import NoteChildEnd

from .attempts import open_run
from .dispatching import send_again
from .progress import Progress
from .state import place_of
from .suspending import answer_ask, answer_of, asked_by, late_asks


def go_on(progress: Progress, place: str) -> None:
    """Send the next attempt of a suspended run if it has every answer, unless it is paused."""
    run, known = open_run(progress, place)
    if not known.asks and not known.token and progress.state.status == "RUNNING":
        send_again(progress, run, known, known.indexes)


def go_on_after_pause(progress: Progress) -> None:
    """Let suspended runs go on whose answers came while the execution was paused."""
    state = progress.state
    for place in list(state.open) if state.suspended else ():
        known = state.runs[place].dispatch
        waits = known is None or known.asks or known.token or known.retry_at or known.verdict_until
        if not waits:
            go_on(progress, place)


def note_ask(progress: Progress, command: NoteAnswer | NoteChildEnd) -> bool:
    """Take an answer that a suspended run waits for; False says that none does."""
    found = asked_by(progress.state, command.wait_id)
    if found is None:
        return False
    run, _ = found
    if isinstance(command, NoteAnswer) and command.outcome == "taken":
        return True
    answer_ask(progress, run, command.wait_id, answer_of(command))
    go_on(progress, place_of(run.node_id, run.scope))
    return True


def asks_late(progress: Progress, place: str) -> None:
    """Let a suspended run go on without the answers that did not come in time."""
    run, known = open_run(progress, place)
    for ask_id in late_asks(known, progress.now):
        text = "there was no answer in time; go on without it"
        answer_ask(progress, run, ask_id, {"ok": False, "content": text})
    go_on(progress, place)

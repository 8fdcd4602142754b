"""What an open execution waits for, in words."""

from perdure_cli.client import Row
from perdure_cli.output import clock

WAITS = {
    "attempt": "attempt {attempt} is with {worker}, whose answer counts until {until}",
    "retry": "attempt {attempt} failed; the next one begins at {until}",
    "verdict": "attempt {attempt} failed; recovery is asked what to do until {until}",
    "hold": "attempt {attempt} failed; recovery holds it until {until}",
    "batch": "it is ready, and the engine's next turn runs it",
    "deadline": "the execution must have ended by {until}",
    "resume": "it is paused: nothing new begins until somebody resumes it",
    "delay": "it runs again at {until}, as was asked",
    "time": "it goes on at {until}",
    "event": "it waits for the event {what} until {until}",
    "webhook": "it waits for a call of its resume URL until {until}",
    "child": "it waits for the end of execution {what}",
    "person": "it waits for people ({what}) until {until}",
    "memory": "it waits for memory ({what}) until {until}",
    "turn": "it waits for its turn until {until}: {what}",
    "cancel": "it is being cancelled; what runs has until {until} to end",
    "static": "it waits for its change of the workflow's static data",
    "adoption": "it waits for the runs that it adopts from the execution it is a rerun of",
}
"""What an execution may wait for, as the engine names it, in words."""


def waiting_text(each: Row) -> str:
    """Return what is waited for as a sentence; `each` is an entry of the engine's `waits_for`."""
    until = clock(each["until"]) or "its answer comes"
    text = WAITS.get(each["waits_for"], str(each["waits_for"]))
    if each["waits_for"] != "attempt":
        return text.format(attempt=each["attempt"], until=until, what=each.get("what", ""))
    worker: Row | None = each.get("worker")
    if worker is not None:
        told = text.format(attempt=each["attempt"], until=until, worker=_named(worker))
        return told + _step(worker["step"])
    if each.get("claims"):
        number = each["attempt"]
        return f"attempt {number} is sent, and no runner has claimed it; it may be until {until}"
    return text.format(attempt=each["attempt"], until=until, worker="the runners")


def _named(worker: Row) -> str:
    since, lease = clock(worker["since"]), clock(worker["lease_until"])
    if worker["lost"]:
        return f"runner {worker['runner']} since {since}, which let its lease run out"
    told = f"runner {worker['runner']} since {since}"
    told += f" (lease until {lease})" if lease else ""
    return told + (", told to stop" if worker["stopping"] else "")


def _step(step: Row | None) -> str:
    """Return what an agent does: the call that it began last."""
    if step is None:
        return ""
    which = f"step {step['n']}", f"{step['kind']} {step['name']}"
    if step["finished_at"] is None:
        return f"; {which[0]}: calls {which[1]} since {clock(step['began_at'])}"
    return f"; {which[0]} ({which[1]}) ended at {clock(step['finished_at'])}"

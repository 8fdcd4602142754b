"""Incidents: many failures of one pattern are one thing, of which one is tried.

A stream of its own for each pattern, and of a limit of calls for each credential, told of its
failures once they are many. While an incident's
gate is not open, attempts wait in its line: the first goes to see, and the others follow when it
succeeded, or one more goes after a while. It is over when nothing more was heard for ten minutes.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from perdure_common.decider import Due, Facts, Outgoing, Recorded, Upsert
from perdure_common.ids import derived
from perdure_contracts.deciding import (
    CountFailure,
    FailureCounted,
    Gate,
    IncidentClosed,
    IncidentCommand,
    IncidentEvent,
    IncidentOpened,
    NoteProbe,
    ProbeNoted,
    SetGate,
)
from perdure_contracts.failures import Explanation
from perdure_contracts.patterns import PatternFacts

from .experience import FAILURES_MIN, STORM_S, incident_of, line_of, storm_of
from .explain import texts_by_column
from .explain_incident import Telling, explain_incident
from .instants import parsed, written
from .retention import FOREVER, SHORT

TABLE: Final = "recovery_incidents"
OWN: Final = "perdure.recovery.commands.v1"

QUIET_S: Final = 600.0
"""How long nothing must be heard of an incident until it is over."""
PROBE_S: Final = 120.0
"""After which an attempt that was let through is taken for lost."""
NEXT_S: Final = 30.0
NEXT_MAX_S: Final = 600.0
"""How long the next one waits, times how many failed; and the longest."""
REMEMBERED_MAX: Final = 50
"""How many of the latest failures are remembered, so that none counts twice."""
EXECUTIONS_MAX: Final = 1_000
"""How many executions of an incident are told apart; of more it is said that there are more."""


@dataclass(frozen=True, slots=True)
class Incident:
    """The latest failures of a pattern, and its open incident if it has one (`incident_id`).

    `at` is when the gate was set last, `next_at` when a shut one lets the next attempt through;
    `probes` counts those that failed. `executions` are those that had the failures, and `pattern`
    is what these have in common.
    """

    pattern_id: str = ""
    recent: tuple[datetime, ...] = ()
    counted: tuple[str, ...] = ()
    last_at: datetime | None = None
    incident_id: str = ""
    opened_at: str = ""
    failures: int = 0
    gate: Gate = "open"
    at: datetime | None = None
    next_at: datetime | None = None
    probes: int = 0
    executions: frozenset[str] = frozenset()
    pattern: PatternFacts | None = None
    credential: str = ""

    @property
    def storm_id(self) -> str:
        """What its stream and its line are named after."""
        return storm_of(self.pattern_id, self.credential)


def count_of(
    pattern_id: str,
    pattern: PatternFacts,
    failure_id: str,
    execution_id: str,
    failed_at: str,
    alike: int = 0,
    executions: tuple[str, ...] = (),
) -> Outgoing:
    """Return what tells the stream of a pattern's incidents of a failure that is one of many."""
    line = incident_of(storm_of(pattern_id, pattern.credential))
    if pattern.credential:  # its pattern counts those of every credential: its own stream does
        alike, executions = 0, ()
    count = CountFailure(
        line=line,
        pattern_id=pattern_id,
        workspace_id=pattern.workspace_id,
        failure_id=failure_id,
        execution_id=execution_id,
        signature=pattern.signature,
        dependency=pattern.dependency,
        failure_type=pattern.failure_type,
        failed_at=failed_at,
        alike=alike,
        executions=executions or (execution_id,),
        pattern=pattern,
    )
    return Outgoing(OWN, line, count)


def stream_of(command: IncidentCommand) -> str:
    """Return the stream of a pattern's incidents."""
    return command.line


def wake_at(state: Incident) -> datetime | None:
    """Return when an open incident is looked at: its next attempt, or its end."""
    if not state.incident_id or state.last_at is None:
        return None
    over = state.last_at + timedelta(seconds=QUIET_S)
    if state.gate == "probe" and state.at is not None:
        return min(over, state.at + timedelta(seconds=PROBE_S))
    return over if state.next_at is None else min(over, state.next_at)


def decide(
    state: Incident, command: IncidentCommand | Due, facts: Facts, now: datetime
) -> tuple[IncidentEvent, ...]:
    """Return whether an incident begins, goes on or is over."""
    del facts  # an incident knows only what it is told
    match command:
        case CountFailure():
            return _count(state, command, now)
        case NoteProbe():
            return _probed(state, command, now)
        case Due():
            return _look(state, now)


def evolve(state: Incident, event: IncidentEvent) -> Incident:
    """Return the pattern's incident as it stands after `event`."""
    match event:
        case FailureCounted():
            at = parsed(event.counted_at)
            since = at - timedelta(seconds=STORM_S)
            return replace(
                state,
                pattern_id=event.pattern_id,
                recent=(*(each for each in state.recent if each > since), at)[-REMEMBERED_MAX:],
                counted=(*state.counted, event.failure_id)[-REMEMBERED_MAX:],
                last_at=at,
                failures=state.failures + bool(state.incident_id),
                executions=_known(state, at).union(event.executions),
                credential=event.credential,
            )
        case IncidentOpened():
            return replace(
                state,
                incident_id=event.incident_id,
                opened_at=event.opened_at,
                failures=event.failures,
                gate="probe",
                at=parsed(event.opened_at),
                next_at=None,
                probes=0,
                executions=frozenset(event.executions),
                pattern=event.pattern,
            )
        case ProbeNoted():
            return _after_probe(state, event)
        case IncidentClosed():
            return replace(
                state,
                incident_id="",
                gate="open",
                next_at=None,
                recent=(),
                failures=0,
                executions=frozenset(),
                pattern=None,
            )


def _after_probe(state: Incident, event: ProbeNoted) -> Incident:
    at = parsed(event.noted_at)
    if event.outcome == "succeeded":
        return replace(state, gate="open", at=at, next_at=None, recent=(), last_at=at)
    if event.next_at:
        again = parsed(event.next_at)
        return replace(
            state, gate="shut", at=at, next_at=again, probes=state.probes + 1, last_at=at
        )
    return replace(state, gate="probe", at=at, next_at=None)


def project(state: Incident, recorded: Recorded[IncidentEvent]) -> tuple[Upsert, ...]:
    """Return the incident's row."""
    event, at = recorded.event, recorded.recorded_at
    if isinstance(event, IncidentOpened):
        row: dict[str, object] = {
            "tenant_id": recorded.tenant_id,
            "workspace_id": event.workspace_id,
            "pattern_id": event.pattern_id,
            "storm_id": state.storm_id,
            "credential": state.credential,
            "signature": event.signature,
            "dependency": event.dependency,
            "failure_type": event.failure_type,
            "failures": event.failures,
            "executions": len(event.executions),
            "gate": "probe",
            **_told(event.explanation),
            "opened_at": event.opened_at,
            "kept_until": FOREVER,
            "updated_at": at,
        }
        return (Upsert(TABLE, {"id": event.incident_id}, row, new=True),)
    if isinstance(event, IncidentClosed):
        closed = {
            "closed_at": event.closed_at,
            "gate": "open",
            "failures": event.failures,
            "executions": event.executions,
            **_told(event.explanation),
            "kept_until": parsed(event.closed_at) + SHORT,
            "updated_at": at,
        }
        return (Upsert(TABLE, {"id": event.incident_id}, closed),)
    if not state.incident_id:
        return ()
    row = {"gate": state.gate, "failures": state.failures, "updated_at": at}
    row["executions"] = len(state.executions)
    if isinstance(event, ProbeNoted):
        row |= {"probes_failed": state.probes, "last_probe": event.outcome}
        row |= {"last_probe_at": event.noted_at, **_told(event.explanation)}
    return (Upsert(TABLE, {"id": state.incident_id}, row),)


def _told(explanation: Explanation | None) -> dict[str, object]:
    """Return the columns of what people are told; an incident of before has none."""
    return texts_by_column(explanation) if explanation is not None else {}


def route(state: Incident, recorded: Recorded[IncidentEvent]) -> tuple[Outgoing, ...]:
    """Return what tells the line of those who wait."""
    event = recorded.event
    if isinstance(event, FailureCounted):
        return ()
    line = line_of(state.storm_id)
    reason = {
        "probe": "one of many that failed alike is tried",
        "shut": "the one that was tried failed too",
        "open": "what stopped many is over",
    }[state.gate]
    return (Outgoing(OWN, line, SetGate(line=line, gate=state.gate, pace="even", reason=reason)),)


def _count(state: Incident, command: CountFailure, now: datetime) -> tuple[IncidentEvent, ...]:
    if command.failure_id in state.counted:
        return ()
    counted = FailureCounted(
        line=command.line,
        pattern_id=command.pattern_id,
        failure_id=command.failure_id,
        counted_at=written(now),
        executions=_unheard(state, command, now),
        credential=command.pattern.credential if command.pattern is not None else "",
    )
    after = evolve(state, counted)
    alike = len(after.recent) if after.incident_id else max(len(after.recent), command.alike)
    stormy = alike >= FAILURES_MIN
    if not stormy or (after.incident_id and after.gate != "open"):
        return (counted,)
    over = (_closed(after, command.line, now),) if after.incident_id else ()
    opened = IncidentOpened(
        line=command.line,
        incident_id=derived("incident", command.pattern_id, command.failure_id),
        pattern_id=command.pattern_id,
        workspace_id=command.workspace_id,
        signature=command.signature,
        dependency=command.dependency,
        failure_type=command.failure_type,
        failures=alike,
        opened_at=written(now),
        executions=command.executions if over else tuple(sorted(after.executions)),
        pattern=command.pattern,
    )
    opened = replace(opened, explanation=_explained(evolve(after, opened), now))
    return (counted, *over, opened)


def _unheard(state: Incident, command: CountFailure, now: datetime) -> tuple[str, ...]:
    """Return the executions that were not heard of, as long as they are told apart."""
    known = _known(state, now)
    found = [each for each in command.executions if each not in known]
    return tuple(found[: max(0, EXECUTIONS_MAX - len(known))])


def _known(state: Incident, at: datetime) -> frozenset[str]:
    """Return the executions that an incident has heard of, or that failed in the last minute."""
    since = at - timedelta(seconds=STORM_S)
    goes_on = state.incident_id or any(each > since for each in state.recent)
    return state.executions if goes_on else frozenset()


def _explained(state: Incident, now: datetime, *, over: bool = False) -> Explanation | None:
    """Return what people are told of an incident that stands so."""
    if state.pattern is None:
        return None
    telling = Telling(
        pattern=state.pattern,
        failures=state.failures,
        executions=len(state.executions),
        more=len(state.executions) >= EXECUTIONS_MAX,
        opened_at=parsed(state.opened_at),
        gate=state.gate,
        at=state.at or now,
        next_at=state.next_at or now,
        probes=state.probes,
        now=now,
        over=over,
    )
    return explain_incident(telling)


def _probed(state: Incident, command: NoteProbe, now: datetime) -> tuple[IncidentEvent, ...]:
    if not state.incident_id or state.gate == "open":
        return ()
    next_s = min(NEXT_MAX_S, NEXT_S * (state.probes + 1))
    again = "" if command.succeeded else written(now + timedelta(seconds=next_s))
    outcome = "succeeded" if command.succeeded else "failed"
    return (_noted(state, command.line, command.attempt_id, outcome, now, again),)


def _noted(
    state: Incident,
    line: str,
    attempt_id: str,
    outcome: Literal["succeeded", "failed", "lost"],
    now: datetime,
    next_at: str = "",
) -> ProbeNoted:
    noted = ProbeNoted(
        line=line, attempt_id=attempt_id, outcome=outcome, noted_at=written(now), next_at=next_at
    )
    return replace(noted, explanation=_explained(evolve(state, noted), now))


def _look(state: Incident, now: datetime) -> tuple[IncidentEvent, ...]:
    at = wake_at(state)
    if at is None or at > now or state.last_at is None:
        return ()
    line = incident_of(state.storm_id)
    if now - state.last_at >= timedelta(seconds=QUIET_S):
        return (_closed(state, line, now),)
    return (_noted(state, line, "", "lost", now),)


def _closed(state: Incident, line: str, now: datetime) -> IncidentClosed:
    return IncidentClosed(
        line=line,
        incident_id=state.incident_id,
        pattern_id=state.pattern_id,
        failures=state.failures,
        opened_at=state.opened_at,
        closed_at=written(now),
        executions=len(state.executions),
        explanation=_explained(state, now, over=True),
    )

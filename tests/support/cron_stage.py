"""A cron trigger on a clock that the test turns: wakes, restarts, outages, jumps back."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common.decider import Due, Outgoing, Recorded, Rejected, Upsert
from perdure_common.shell.codec import decode_body, encode_body
from perdure_contracts.cron import (
    BackfillCron,
    CronCommand,
    CronEvent,
    CronFired,
    CronSettings,
    CronSkipped,
    NoteExecutionEnd,
    ServeCron,
)
from perdure_contracts.message import NAMES
from perdure_scheduler.app import crons
from perdure_scheduler.cron_state import CronTrigger, wake_at

TENANT = "00000000-0000-7000-8000-000000000001"
WORKFLOW = "0190f3c0-0000-7000-8000-000000000001"
NODE = "clock"
STREAM = f"{WORKFLOW}/cron/{NODE}"


class Stage:
    """One trigger; `now` is what its scheduler's clock shows."""

    def __init__(self, now: str) -> None:
        self.now = datetime.fromisoformat(now).astimezone(UTC)
        self.state = CronTrigger()
        self.events: list[CronEvent] = []
        self.sent: list[Outgoing] = []
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}

    def does(self, command: CronCommand | Due) -> list[CronEvent] | Rejected:
        """Let the trigger decide; return what happened."""
        facts = {
            name: [{"id": id} for table, id in self.rows if table == lookup.table]
            for name, lookup in crons.facts(self.state, command).items()
        }
        decided = crons.decide(self.state, command, facts, self.now)
        if isinstance(decided, Rejected):
            return decided
        for event in decided:
            self.state = crons.evolve(self.state, event)
            self.events.append(event)
            recorded = Recorded(event, TENANT, STREAM, len(self.events), self.now)
            self.sent.extend(crons.route(self.state, recorded))
            for upsert in crons.project(self.state, recorded):
                self._write(upsert)
        return list(decided)

    def _write(self, upsert: Upsert) -> None:
        place = (upsert.table, str(upsert.key.get("id", "")))
        self.rows.setdefault(place, {}).update(upsert.set)

    def serves(self, expression: str, *, version: int = 1, **settings: Any) -> list[CronEvent]:
        """Deploy the trigger now."""
        command = ServeCron(
            tenant_id=TENANT,
            workflow_id=WORKFLOW,
            node_id=NODE,
            version=version,
            settings=CronSettings(expression=expression, **settings),
            at=self.now.isoformat(),
        )
        found = self.does(command)
        assert not isinstance(found, Rejected)
        return found

    def runs_until(self, until: str | datetime, late: timedelta = timedelta()) -> None:
        """Let every wake until an instant fire, `late` after it is due."""
        end = until if isinstance(until, datetime) else datetime.fromisoformat(until)
        while (at := wake_at(self.state)) is not None and max(at + late, self.now) <= end:
            self.now = max(at + late, self.now)
            assert self.does(Due(STREAM)), "a wake that changes nothing comes again and again"
        self.now = max(self.now, end.astimezone(UTC))

    def sleeps_until(self, until: str | datetime) -> None:
        """Let time pass while no scheduler runs, then a new one starts."""
        end = until if isinstance(until, datetime) else datetime.fromisoformat(until)
        self.now = end.astimezone(UTC)
        self.restarts()

    def restarts(self) -> None:
        """Forget the state, and fold it again from what was written down."""
        written = [(NAMES[type(event)], encode_body(event)) for event in self.events]
        again = crons.fold([decode_body(name, body) for name, body in written])
        assert again == self.state
        self.state = again

    def wakes(self) -> None:
        """Let the wake fire if it is due."""
        at = wake_at(self.state)
        if at is not None and at <= self.now:
            self.does(Due(STREAM))

    def ends(self, execution_id: str | None = None, status: str = "SUCCESS") -> None:
        """Let an execution end, the oldest open one if none is named."""
        ended = execution_id or self.state.open[0]
        self.does(NoteExecutionEnd(watcher=STREAM, execution_id=ended, status=status))

    @property
    def fired(self) -> list[CronFired]:
        """What has fired."""
        return [event for event in self.events if isinstance(event, CronFired)]

    @property
    def times(self) -> list[str]:
        """When what has fired was scheduled, as hours and minutes."""
        return [event.scheduled_at[11:16] for event in self.fired]

    def row(self) -> Mapping[str, Any]:
        """The trigger's row."""
        return self.rows["trigger_index", ""]


def skipped(stage: Stage) -> list[tuple[str, str, str | None]]:
    """Return the firings that were left out: when each was due, why, and for which execution."""
    return [
        (each.scheduled_at[11:16], each.reason, each.open_execution_id)
        for each in stage.events
        if isinstance(each, CronSkipped)
    ]


def backfill(first: str, until: str, force_id: str = "") -> BackfillCron:
    """Return the command to make up for what fell due between two instants."""
    return BackfillCron(
        workflow_id=WORKFLOW, node_id=NODE, first=first, until=until, force_id=force_id
    )

"""When a trigger would fire next, for people: the entry point of the command line. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from .cron_course import schedule_of
from .cron_ids import fire_id, jitter, written
from .cron_settings import read_settings
from .cron_text import CronError


def upcoming(
    parameters: Mapping[str, Any],
    after: datetime,
    count: int,
    *,
    workflow_id: str = "",
    node_id: str = "",
) -> list[dict[str, str]]:
    """Return the next firings of a CRON node after an instant.

    Each has `scheduled_at`, in UTC, `scheduled_local` by the clocks of its zone, and `fires_at`
    where jitter delays it.

    Raises:
        CronError: The node's parameters cannot be used.
    """
    settings, faults = read_settings(parameters)
    if settings is None:
        raise CronError(faults[0][0], "; ".join(text for _, text in faults))
    schedule = schedule_of(settings)
    found: list[dict[str, str]] = []
    for at in islice(schedule.firings(after.astimezone(UTC)), count):
        delay = jitter(fire_id(workflow_id, node_id, at), settings.jitter_s)
        found.append(
            {
                "scheduled_at": written(at),
                "scheduled_local": schedule.local(at).isoformat(),
                "fires_at": written(at + delay),
            }
        )
    return found

"""What a CRON node may say, checked when its version is deployed. Pure."""

import difflib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, get_args

from perdure_contracts.cron import CronSettings, Gap, Misfire, Overlap

from .cron import Cron, cron, shortest
from .cron_text import CronError
from .filters import read_filter

NAMES = ("expression", "timezone", "gap", "misfire", "overlap", "jitter_s", "filter")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "gap": get_args(Gap),
    "misfire": get_args(Misfire),
    "overlap": get_args(Overlap),
}
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)

Faults: TypeAlias = list[tuple[str, str]]
"""Codes, and sentences that say what to write instead."""


def read_settings(values: Mapping[str, Any]) -> tuple[CronSettings | None, Faults]:
    """Return what a node's parameters say, None with what is wrong with them."""
    faults = [*_unknown(values), *_wrong_choices(values)]
    expression, timezone = values.get("expression"), values.get("timezone", "UTC")
    if not isinstance(expression, str):
        text = "`expression` must be a text, such as '0 9 * * 1-5'"
        return None, [*faults, ("invalid_parameter", text)]
    if not isinstance(timezone, str):
        text = "`timezone` must be a text, such as 'Europe/Berlin'"
        return None, [*faults, ("invalid_parameter", text)]
    if faults:
        return None, faults
    try:
        schedule = cron(expression, timezone, values.get("gap", "shift"))
    except CronError as error:
        return None, [(error.code, f"`expression`: {error}")]
    faults.extend(_wrong_together(values, schedule))
    kept, fault = read_filter(values.get("filter"))
    if fault:
        faults.append(("invalid_filter", fault))
    if faults:
        return None, faults
    read: dict[str, Any] = {**values, "expression": schedule.text, "filter": kept or ""}
    return CronSettings(**read), []


def as_config(settings: CronSettings) -> dict[str, Any]:
    """Return settings as the trigger's row keeps them."""
    kept = {name: getattr(settings, name) for name in NAMES}
    return kept if settings.filter else {n: value for n, value in kept.items() if n != "filter"}


def from_config(config: Mapping[str, Any]) -> CronSettings:
    """Return the settings that `as_config` wrote down."""
    return CronSettings(**{name: config[name] for name in NAMES if name in config})


def _unknown(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name in values:
        if name not in NAMES:
            near = difflib.get_close_matches(str(name), NAMES, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(NAMES)}"
            yield "unknown_parameter", f"there is no parameter {name!r}; {hint}"


def _wrong_choices(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, choices in CHOICES.items():
        if name in values and values[name] not in choices:
            yield "invalid_parameter", f"`{name}` must be one of {', '.join(choices)}"
    jitter_s = values.get("jitter_s", 0)
    if not isinstance(jitter_s, int) or isinstance(jitter_s, bool) or jitter_s < 0:
        yield "invalid_parameter", "`jitter_s` must be a number of seconds, 0 or more"


def _wrong_together(values: Mapping[str, Any], schedule: Cron) -> Iterable[tuple[str, str]]:
    jitter_s: int = values.get("jitter_s", 0)
    least = shortest(schedule, _SINCE) if jitter_s else None
    if least is not None and timedelta(seconds=1) * min(jitter_s, 2**31) >= least:
        yield (
            "jitter_too_large",
            f"`jitter_s` is {jitter_s}, but firings come {least.total_seconds():.0f} s apart; "
            "take fewer seconds than that",
        )
    if values.get("misfire") == "fire_all" and values.get("overlap", "skip") not in (
        "queue",
        "allow",
    ):
        yield (
            "misfire_needs_overlap",
            "`misfire: fire_all` makes several firings at once; say `overlap: allow` (they run "
            "side by side) or `overlap: queue` too",
        )

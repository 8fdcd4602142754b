"""Defects of what services promise: clocks, recovery's limits, paths; listed as in mutants.py."""
# pyright: reportPrivateUsage=false

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from perdure_contracts.paths import ClaimPath, PathEvent
from perdure_recovery import decide, guard
from perdure_scheduler import cron_course, paths
from perdure_scheduler.cron_course import Course
from perdure_scheduler.zones import SECOND

from simulation.mutants import mutant, put

# Clocks ----------------------------------------------------------------------------------


@mutant("a firing that is due is passed over in silence", "I8")
def _firings_passed_over(stack: ExitStack) -> None:
    happens = cron_course._fire_or_wait

    def at_even_seconds(course: Course, at: datetime, missed: int) -> bool:
        return happens(course, at, missed) if at.second % 2 == 0 else True

    put(stack, cron_course, "_fire_or_wait", at_even_seconds)


@mutant("firings that were missed are not counted", "I8")
def _misses_are_not_counted(stack: ExitStack) -> None:
    settled = cron_course._settled

    def none_missed(
        course: Course, until: datetime, missed: int, following: datetime | None
    ) -> None:
        del missed
        settled(course, until, 0, following)

    put(stack, cron_course, "_settled", none_missed)


@mutant("a firing happens twice", "I8")
def _fires_twice(stack: ExitStack) -> None:
    happens = cron_course._fire_or_wait

    def twice(course: Course, at: datetime, missed: int) -> bool:
        happens(course, at, missed)
        return happens(course, at, missed)

    put(stack, cron_course, "_fire_or_wait", twice)


@mutant("a clock fires a second after the instant that it names", "I8")
def _fires_beside(stack: ExitStack) -> None:
    happens = cron_course._fire_or_wait

    def later(course: Course, at: datetime, missed: int) -> bool:
        return happens(course, at + SECOND, missed)

    put(stack, cron_course, "_fire_or_wait", later)


# Recovery --------------------------------------------------------------------------------


@mutant("recovery tries a node as often as it fails", "I13")
def _no_caps(stack: ExitStack) -> None:
    put(stack, guard, "capped", lambda node_attempts, execution_attempts: None)  # pyright: ignore[reportUnknownLambdaType]


@mutant("what recovery decides about a failure it decides twice", "I13")
def _decided_twice(stack: ExitStack) -> None:
    decided = decide._decided

    def twice(*given: Any) -> tuple[Any, ...]:
        made = decided(*given)
        return (*made, *made)

    put(stack, decide, "_decided", twice)


# Paths -----------------------------------------------------------------------------------


@mutant("a path is granted to whoever asks for it", "I14")
def _granted_to_all(stack: ExitStack) -> None:
    claimed = paths._claimed

    def nobody_has_it(state: paths.Path, command: ClaimPath, rows: Iterable[Any]) -> PathEvent:
        del state, rows
        return claimed(paths.Path(), command, ())

    put(stack, paths, "_claimed", nobody_has_it)

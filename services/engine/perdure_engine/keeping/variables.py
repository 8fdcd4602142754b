"""Variables of a workspace: set, taken away, compare-and-set. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from perdure_common.decider import Facts, Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import derived
from perdure_contracts.kept import (
    DeleteVariable,
    SetVariable,
    VariableDeleted,
    VariablesCommand,
    VariableSet,
    VariablesEvent,
)

from .limits import NAME, TOTAL_BYTES_MAX, VALUE_BYTES_MAX, VALUES_MAX, bytes_of


@dataclass(frozen=True)
class Variables:
    """How often each name was set or taken away, and the bytes of those that are there."""

    numbers: Mapping[str, int] = field(default_factory=dict[str, int])
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])


def decide(
    state: Variables, command: VariablesCommand, facts: Facts, now: datetime
) -> tuple[VariablesEvent, ...] | Rejected:
    """Return what happened, or why nothing did."""
    del facts, now
    number = state.numbers.get(command.name, 0)
    there = command.name in state.sizes
    known = number if there else 0
    if command.expected is not None and command.expected != known:
        return Rejected(
            f"variable {command.name[:100]!r} was set {known} times, not {command.expected}; look "
            "at it and try again",
            "variable_changed",
        )
    match command:
        case SetVariable():
            return _bad(state, command) or (
                VariableSet(
                    variables_id=command.variables_id,
                    workspace_id=command.workspace_id,
                    name=command.name,
                    value=command.value,
                    number=number + 1,
                    set_by=command.asked_by,
                ),
            )
        case DeleteVariable():
            if not there:
                return Rejected(
                    f"there is no variable {command.name[:100]!r}; `perdure vars list` shows those "
                    "there are",
                    "variable_not_found",
                )
            gone = VariableDeleted(
                variables_id=command.variables_id,
                workspace_id=command.workspace_id,
                name=command.name,
                number=number + 1,
                deleted_by=command.asked_by,
            )
            return (gone,)
        case _:
            assert_never(command)


def _bad(state: Variables, command: SetVariable) -> Rejected | None:
    if not NAME.fullmatch(command.name):
        return Rejected(
            f"a variable cannot be called {command.name[:100]!r}; use a letter or _, then letters, "
            "digits and _, at most 100",
            "invalid_variable",
        )
    size = bytes_of(command.value)
    if size is None or size > VALUE_BYTES_MAX:
        return Rejected(
            f"the value of {command.name!r} has {size or 0:,} bytes as JSON, at most "
            f"{VALUE_BYTES_MAX:,} are allowed, without U+0000",
            "variable_too_large",
        )
    others = {name: each for name, each in state.sizes.items() if name != command.name}
    if len(others) >= VALUES_MAX or sum(others.values()) + size > TOTAL_BYTES_MAX:
        return Rejected(
            f"a workspace has at most {VALUES_MAX} variables of {TOTAL_BYTES_MAX:,} bytes "
            "together; take some away",
            "too_many_variables",
        )
    return None


def evolve(state: Variables, event: VariablesEvent) -> Variables:
    """Return `state` as it stands after `event`."""
    numbers = {**state.numbers, event.name: event.number}
    sizes = {name: each for name, each in state.sizes.items() if name != event.name}
    if isinstance(event, VariableSet):
        sizes[event.name] = bytes_of(event.value) or 0
    return Variables(numbers, sizes)


def project(state: Variables, recorded: Recorded[VariablesEvent]) -> tuple[Upsert, ...]:
    """Return the row of the variable; one that was taken away stays, to be known again."""
    del state
    event = recorded.event
    is_set = isinstance(event, VariableSet)
    row: dict[str, object] = {
        "tenant_id": recorded.tenant_id,
        "workspace_id": event.workspace_id,
        "name": event.name,
        "value": event.value if isinstance(event, VariableSet) else None,
        "is_set": is_set,
        "number": event.number,
        "changed_by": event.set_by if isinstance(event, VariableSet) else event.deleted_by,
        "updated_at": recorded.recorded_at,
    }
    key = {"id": derived("variable", event.variables_id, event.name)}
    return (Upsert("variables", key, set=row),)


def route(state: Variables, recorded: Recorded[VariablesEvent]) -> tuple[Outgoing, ...]:
    """Return no message: the events themselves are published."""
    del state, recorded
    return ()

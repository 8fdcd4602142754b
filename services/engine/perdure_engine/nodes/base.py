"""What every node subtype says about itself, and the protocol of those that run inline.

A subtype is one `NodeSpecification`, made in the subtype's own file. Inline subtypes have a
`run(prepared, inputs, scope_of)`: pure, from items to items. What becomes of failed items
is not their business: they name them, and `errors.arrange` applies the node's error mode.

Items are kept small because they stand in events: `{"json": …}` and, only where it cannot
be told otherwise, `"source"`: the place (or places) among the run's input items that the
item comes from; `"binary_ref"` has its files by name, where it has any (`contracts/files.py`).
Without `source` an item comes from the input item at its own place on its
port. Input items are counted over all LIVE inputs in edge order (`Inputs.items`), so
`(node, scope, run, port, index)` of every ancestor follows from the edges and these numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from msgspec import Struct
from perdure_contracts.engine import EffectClass, ErrorFacts
from perdure_contracts.files import Files
from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, Scope

from .mending import Mending

ErrorMode: TypeAlias = Literal[
    "STOP_WORKFLOW_ON_ERROR",
    "CONTINUE_REGULAR_OUTPUT_ON_ERROR",
    "CONTINUE_ERROR_OUTPUT_ON_ERROR",
]

NodeType: TypeAlias = Literal[
    "TRIGGER",
    "AI_AGENT",
    "EXTERNAL_ACTION",
    "ACTION",
    "FLOW",
    "HUMAN_IN_THE_LOOP",
    "TOOL",
    "MEMORY",
]

MAIN = "main"
ERROR = "error"
"""The port on which failed items leave; every node but a trigger has it beside its own."""

SHORT_S_MAX = 30.0
"""A node whose attempt may take at most this long is short for the runner (rule 29)."""


class Item(TypedDict):
    """One item on a port; the module's docstring says what `source` means."""

    json: Json
    source: NotRequired[int | list[int]]
    binary_ref: NotRequired[Files]


class Inputs:
    """The LIVE input of one run: its items by port, the ports in edge order.

    `connected` are all connected input ports in edge order; those that are not in `ports`
    are missing, because all their edges are DEAD. `seed` is a text that no other run has, and
    this one always, for subtypes that are `seeded`.
    """

    __slots__ = ("_items", "connected", "ports", "seed")

    def __init__(
        self,
        ports: Mapping[str, Sequence[Item]],
        connected: tuple[str, ...] = (MAIN,),
        seed: str = "",
    ) -> None:
        self.ports = ports
        self.connected = connected
        self.seed = seed
        self._items: Sequence[Item] | None = None

    @property
    def items(self) -> Sequence[Item]:
        """All items, one port after the other: what indexes of `source` and `failed` count."""
        if self._items is None:
            ports = self.ports.values()
            if len(ports) == 1:
                (self._items,) = ports
            else:
                self._items = [item for items in ports for item in items]
        return self._items

    @property
    def starts(self) -> Mapping[str, int]:
        """The index in `items` at which each port begins."""
        starts: dict[str, int] = {}
        count = 0
        for port, items in self.ports.items():
            starts[port] = count
            count += len(items)
        return starts


class Outcome(Struct, frozen=True, gc=False):
    """What a run made of its input.

    `ports` has the regular ports that emit something; a port left out emits nothing.
    `failed` has the failed input items, `(index in Inputs.items, error)`, by index. `stop`
    is set when the run ends the execution whatever its error mode (STOP_AND_ERROR).
    """

    ports: Mapping[str, list[Item]]
    failed: tuple[tuple[int, ErrorFacts], ...] = ()
    stop: ErrorFacts | None = None


ScopeOf: TypeAlias = Callable[[int], Scope]
"""The scope that expressions of one input item see, by its index in `Inputs.items`."""

InlineRun: TypeAlias = Callable[[Any, Inputs, ScopeOf], Outcome]
"""`run(prepared, inputs, scope_of)`; raises nothing that an item can cause."""

EachRun: TypeAlias = Callable[[Mapping[str, Any], Json], Json]
"""`each(parameters, json)`: one item's data from its resolved parameters and its input's."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with parameters: where below them (`rules[1].name`), and what to do."""

    code: str
    path: str
    message: str
    severity: Literal["error", "warning"] = "error"


Kind: TypeAlias = Literal[
    "text", "integer", "number", "boolean", "condition", "object", "list", "any", "code"
]
"""What a parameter is. In code nothing is an expression; a condition is `true`, `false` or one
whole `{{ expression }}`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a subtype.

    `expressions` tells whether the value may be (or hold) `{{ … }}`; a value that is one
    is not checked against `kind` and `choices` before it is evaluated. `optional` ones may
    be left out; then `default`, if it is not None, takes their place. `least` and `most`
    bound a number, or how many entries a list has. `entries` are the keys of an object, or
    of each object of a list; `of` is what each entry of a list is otherwise. Without them
    any will do.
    """

    name: str
    kind: Kind
    doc: str
    optional: bool = True
    default: Json = None
    choices: tuple[str, ...] = ()
    expressions: bool = False
    entries: tuple["Parameter", ...] = ()
    of: Kind | None = None
    least: float | None = None
    most: float | None = None


Parameters: TypeAlias = Mapping[str, Json]


def no_faults(parameters: Parameters) -> Iterable[Fault]:
    """Find nothing: what the parameters' own declarations check is enough."""
    del parameters
    return ()


def no_input_faults(parameters: Parameters, connected: tuple[str, ...]) -> Iterable[Fault]:
    """Find nothing: any of the inputs may be connected."""
    del parameters, connected
    return ()


def unprepared(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    """Return the compiled parameters themselves: the subtype needs no other form."""
    del parameters
    return compiled


def one_output(parameters: Parameters) -> tuple[str, ...]:
    """Return the one port that most nodes have."""
    del parameters
    return (MAIN,)


def pure(parameters: Parameters) -> EffectClass:
    """Return `pure`: a repetition costs nothing."""
    del parameters
    return "pure"


def length_by_timeout(parameters: Parameters, timeout_s: float | None) -> Literal["short", "long"]:
    """Return `short` where an attempt ends within 30 s, else `long`."""
    del parameters
    return "short" if timeout_s is not None and timeout_s <= SHORT_S_MAX else "long"


def no_limit(parameters: Parameters) -> float | None:
    """Return None: an attempt may take as long as the node does."""
    del parameters
    return None


@dataclass(frozen=True)
class NodeSpecification:
    """A node subtype: what it takes, where its items go, what a repetition costs.

    `attached` ones carry no items: an agent has them, by their connection.
    `outputs(parameters)` are its regular ports, first the one a disabled node emits on.
    `inputs` are its input ports; with `numbered` they are `input1`, `input2`, … instead.
    `regular_error_port` takes failed items under CONTINUE_REGULAR_OUTPUT_ON_ERROR.
    `prepare(parameters, compiled)` makes, once for a version, what `run` gets.
    An inline subtype that has `each` can be run by a runner as well, and must then give the
    same: one item on `main` for each input item, all that depends on the execution resolved
    by the engine before. `attempt_timeout_s(parameters)` is the attempt's limit where the node
    sets no `timeout_s`; None is none. `check_inputs(parameters, connected)` looks at the input
    ports that are connected. `later` names parameters that are known but not acted on yet: they
    are refused, never passed over. `seeded` ones get `Inputs.seed`. What is `handled` is run by the
    engine's own code, because it is more than a function from items to items. `mending` says how
    its parameters change when recovery asks for another way to do the same. `files` tells what its
    items do with the files of those that they come from: `keep` them under their names, `collect`
    all of several items under names of their own, or have `none` but what the node itself made.

    For documents: `example` are parameters that are valid, `errors` the types of errors that
    items (or runs) may fail with beside those of expressions.
    """

    node_type: NodeType
    subtype: str
    summary: str
    place: Literal["inline", "runner", "trigger", "attached"]
    parameters: tuple[Parameter, ...] = ()
    version: int = 1
    outputs: Callable[[Parameters], tuple[str, ...]] = one_output
    inputs: tuple[str, ...] = (MAIN,)
    numbered: bool = False
    regular_error_port: str = MAIN
    run: InlineRun | None = None
    each: EachRun | None = None
    prepare: Callable[[Parameters, Mapping[str, Compiled]], object] = unprepared
    check: Callable[[Parameters], Iterable[Fault]] = no_faults
    effect: Callable[[Parameters], EffectClass] = pure
    length: Callable[[Parameters, float | None], Literal["short", "long"]] = length_by_timeout
    attempt_timeout_s: Callable[[Parameters], float | None] = no_limit
    check_inputs: Callable[[Parameters, tuple[str, ...]], Iterable[Fault]] = no_input_faults
    later: tuple[str, ...] = ()
    seeded: bool = False
    handled: bool = False
    mending: Mending | None = None
    files: Literal["none", "keep", "collect"] = "none"
    example: Parameters = field(default_factory=dict[str, Any])
    errors: tuple[str, ...] = ()

    @cached_property
    def parameters_by_name(self) -> Mapping[str, Parameter]:
        """The parameters by their names."""
        return {parameter.name: parameter for parameter in self.parameters}


def input_number(port: str) -> int | None:
    """Return the number of a numbered input port, 1 for `input1`; None for other names."""
    digits = port.removeprefix("input")
    if digits == port or not digits.isascii() or not digits.isdecimal() or digits[0] == "0":
        return None
    return int(digits) if len(digits) <= 4 else None


def passed_through(outputs: Sequence[str], inputs: Inputs) -> Outcome:
    """Return what a disabled node emits: its first LIVE input, on its first port (rule 23)."""
    for items in inputs.ports.values():
        passed: list[Item] = [
            without_source(item) if "binary_ref" in item else {"json": item["json"]}
            for item in items
        ]
        return Outcome(ports={outputs[0]: passed})
    return Outcome(ports={})


def paired(json: Json, source: int, place: int) -> Item:
    """Return an item for place `place` of its port that comes from input item `source`."""
    return {"json": json} if source == place else {"json": json, "source": source}


def placed(item: Item, source: int, place: int) -> Item:
    """Return an item for another place of a port, with its data and its files."""
    made = paired(item["json"], source, place)
    if "binary_ref" in item:
        made["binary_ref"] = item["binary_ref"]
    return made


def without_source(item: Any) -> Item:
    """Return the data and the files of an item, and not where it came from."""
    if "binary_ref" in item:
        return {"json": item["json"], "binary_ref": item["binary_ref"]}
    return {"json": item["json"]}

"""What a workflow means, written down a second time: small, slow, and by recursion.

The engine runs a workflow event by event; this evaluates it scope by scope, from the rules
alone, and shares no code with it. `evaluate` says what each run emits and how the execution
ends. Nodes of a scope are looked at one after the other in topological order; a region is a
call of the same function for each of its iterations. What depends on the order in which
answers come (which of two failures was first, how far siblings had got) it does not say. Who wins
a race depends on it too: that is given, and the specification says what follows from it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from specification_graph import BODIES, Graph, Link, opens, read

Scope: TypeAlias = tuple[tuple[str, int], ...]
Items: TypeAlias = list[dict[str, Any]]
Value: TypeAlias = Items | None
"""What an edge carries once it is resolved: items, or None where it is DEAD."""

Asked: TypeAlias = Callable[[dict[str, Any]], Any]

CONDITIONS: Mapping[str, Asked] = {
    "{{ $json.n % 2 == 0 }}": lambda json: json["n"] % 2 == 0,
    "{{ $json.n % 2 == 1 }}": lambda json: json["n"] % 2 == 1,
    "{{ $json.n > 1 }}": lambda json: json["n"] > 1,
    "{{ $json.n < 4 }}": lambda json: json["n"] < 4,
    "{{ $json.n < 9 }}": lambda json: json["n"] < 9,
    "{{ $json.n == 5 ? 'yes' : true }}": lambda json: "yes" if json["n"] == 5 else True,
}
"""The conditions that may stand in a definition to be evaluated, and what they mean."""

STOP, REGULAR = "STOP_WORKFLOW_ON_ERROR", "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
ROUNDS_MAX = 300
"""Scopes that one evaluation may have; more are not worth comparing."""

ITEMS_MAX = 200
"""Items that one run may have; cycles that double them each round have soon more."""

Made: TypeAlias = dict[str, list[tuple[int, dict[str, Any]]]]
"""What leaves by port: the place of the item that it comes from, and the data."""


class Stopped(Exception):
    """A run failed in a way that stops the execution, or the FOREACH iteration around it."""

    def __init__(self, kind: str, node_id: str) -> None:
        super().__init__(f"{kind} at {node_id}")
        self.kind, self.node_id = kind, node_id


class Endless(Exception):
    """The workflow would go round for too long to be worth comparing."""


@dataclass
class Meaning:
    """How an execution ends, and what each run in each scope emitted (None: it was SKIPPED)."""

    status: str = "SUCCESS"
    stopped: Stopped | None = None
    runs: dict[tuple[str, Scope], dict[str, Items] | None] = field(default_factory=dict)
    result: Items = field(default_factory=list)
    loose: set[Scope] = field(default_factory=set)
    """Iterations that failed: how far they had got depends on what came first."""
    raced: dict[tuple[str, Scope], list[str]] = field(default_factory=dict)
    """What runs only for races that were won: it was stopped when the first of them was."""
    wrong: list[str] = field(default_factory=list)
    """Races that were won by what cannot win them."""

    def undecided(self, scope: Scope) -> bool:
        """Tell whether a scope lies in an iteration that failed."""
        return any(scope[: len(each)] == each for each in self.loose)

    def stoppable(self, node_id: str, scope: Scope) -> bool:
        """Tell whether a run belongs to what a race that was won stops."""
        return (node_id, scope) in self.raced or any(
            (region, scope[:depth]) in self.raced for depth, (region, _) in enumerate(scope)
        )


def evaluate(
    definition: Mapping[str, Any],
    data: Items,
    answers: Callable[[str, dict[str, Any]], str | None],
    winners: Mapping[tuple[str, Scope], int] | None = None,
) -> Meaning:
    """Return what the execution of a definition, fired at `t` with `data`, means.

    `answers(node_id, item)` is the type of the error with which the runner fails an item for
    good, None where it gives the item back. `winners` has, for each race that was won and its
    scope, which connection won it, by its place in the file.
    """
    graph = read(definition)
    meaning = Meaning()
    evaluation = _Evaluation(graph, meaning, answers, winners or {})
    try:
        evaluation.scope("", (), {}, data)
    except Stopped as stopped:
        meaning.status, meaning.stopped = "ERROR", stopped
        return meaning
    for node_id in graph.nodes:
        if graph.out(node_id):
            continue
        runs = [(scope, ports) for (each, scope), ports in meaning.runs.items() if each == node_id]
        for scope, ports in sorted(runs, key=lambda run: [k for _, k in run[0]]):
            if ports and not meaning.undecided(scope):
                meaning.result.extend(item for items in ports.values() for item in items)
    return meaning


class _Evaluation:
    def __init__(
        self, graph: Graph, meaning: Meaning, answers: Any, winners: Mapping[Any, int]
    ) -> None:
        self.graph, self.meaning, self.answers = graph, meaning, answers
        self.winners = winners
        self.rounds = 0

    def scope(
        self, region: str, scope: Scope, given: Mapping[int, Value], data: Items | None = None
    ) -> dict[int, Value]:
        """Evaluate what runs in one scope; return what every connection out of it carries."""
        self.rounds += 1
        if self.rounds > ROUNDS_MAX:
            raise Endless
        graph = self.graph
        values: dict[int, Value] = dict(given)
        waiting = graph.units(region)
        while waiting:
            unit = next(
                u for u in waiting
                if u == region or all(e.number in values for e in graph.forward(u))
            )  # fmt: skip
            waiting.remove(unit)
            if graph.nodes[unit]["node_type"] == "TRIGGER":
                items = list(data or []) if unit == "t" else []
                if unit == "t":
                    self.meaning.runs[unit, scope] = {"main": items} if items else {}
                values.update(self._carried(unit, {"main": items} if items else {}, [], False))
            elif won := [r for r in graph.guards(unit, region) if (r, scope) in self.winners]:
                self.meaning.raced[unit, scope] = won
                self._unneeded(unit, region, scope, given, values)
            else:
                self._unit(unit, region, scope, given, values)
        return values

    def _unit(
        self,
        unit: str,
        region: str,
        scope: Scope,
        given: Mapping[int, Value],
        values: dict[int, Value],
    ) -> None:
        """Evaluate a node, or the region that it opens in this scope."""
        graph = self.graph
        if unit != region and opens(graph, unit):
            values.update(self._region(unit, scope, values))
            return
        into = [
            (e, values[e.number]) for e in graph.into(unit) if unit != region or e.number in given
        ]
        if graph.races(unit):
            into = self._won(unit, scope, into)
        self._run(unit, scope, into, values)

    # Races ----------------------------------------------------------------------------

    def _won(
        self, race: str, scope: Scope, into: list[tuple[Link, Value]]
    ) -> list[tuple[Link, Value]]:
        """Return the connection that won a race, or may have; all of them where none can."""
        live = [each for each in into if each[1] is not None]
        won = [each for each in live if each[0].number == self.winners.get((race, scope))]
        if (race, scope) in self.winners and not won:
            self.meaning.wrong.append(f"{race} in {scope} was won by what is DEAD")
        return won or live[:1] or into

    def _unneeded(
        self,
        unit: str,
        region: str,
        scope: Scope,
        given: Mapping[int, Value],
        values: dict[int, Value],
    ) -> None:
        """Evaluate what a race that was won stops: as far as it came, it came as usual.

        An error in it came too late, and what would have followed it is not known.
        """
        try:
            self._unit(unit, region, scope, given, values)
        except Stopped:
            leaving = [link.number for link in self.graph.out(unit)]
            values.update(dict.fromkeys([*leaving, *self.graph.outwards(unit)]))

    # Plain nodes ----------------------------------------------------------------------

    def _run(
        self, node_id: str, scope: Scope, into: list[tuple[Link, Value]], values: dict[int, Value]
    ) -> None:
        """Run a node once with what is LIVE; without anything it is SKIPPED."""
        graph, node = self.graph, self.graph.nodes[node_id]
        live = [(link, items) for link, items in into if items is not None]
        if not live:
            self.meaning.runs[node_id, scope] = None
            values.update(dict.fromkeys([e.number for e in graph.out(node_id)]))
            return
        items = [item for _, each in live for item in each]
        if len(items) > ITEMS_MAX:
            raise Endless
        if node.get("disabled"):
            first = live[0][0]
            port = [e for link, e in live if link.order[0] == first.order[0]]
            ports = {self._first_port(node_id): [item for each in port for item in each]}
            errors: list[tuple[int, dict[str, Any]]] = []
        else:
            made, errors = self._made(node_id, items)
            if errors and not self._goes_on(node_id):
                raise Stopped(errors[0][1]["error"]["type"], node_id)
            if errors and node.get("error_handling") == REGULAR:
                port = {"IF": "false"}.get(graph.subtype(node_id), "main")
                made.setdefault(port, []).extend(errors)
                made[port].sort(key=lambda each: each[0])
            elif errors:
                made["error"] = errors
            names = ("true", "false", "main", "error")
            ports = {name: [json for _, json in made[name]] for name in names if made.get(name)}
        self.meaning.runs[node_id, scope] = ports
        failed = [json for _, json in errors]
        values.update(self._carried(node_id, ports, failed, bool(errors)))

    def _made(self, node_id: str, items: Items) -> tuple[Made, list[tuple[int, dict[str, Any]]]]:
        """Return what a node makes of its items, by port, and those that fail, in order."""
        node = self.graph.nodes[node_id]
        made: Made = {}
        errors: list[tuple[int, dict[str, Any]]] = []
        for at, json in enumerate(items):
            kind: str | None = None
            port, out = "main", json
            match self.graph.subtype(node_id):
                case "IF":
                    answer = CONDITIONS[node["parameters"]["condition"]](json)
                    kind = None if isinstance(answer, bool) else "condition_not_boolean"
                    port = "true" if answer is True else "false"
                case "SET":
                    out = {**json, "n": json["n"] + 1}
                case "HTTP_REQUEST":
                    kind = self.answers(node_id, json)
                case "STOP_AND_ERROR":
                    raise Stopped("stop_and_error", node_id)
                case _:
                    pass
            if kind is None:
                made.setdefault(port, []).append((at, out))
            else:
                errors.append((at, failed_item(json, kind, node_id)))
        return made, errors

    def _goes_on(self, node_id: str) -> bool:
        mode = self.graph.nodes[node_id].get("error_handling", STOP)
        if mode in (STOP, REGULAR):
            return mode == REGULAR
        return any(link.port == "error" for link in self.graph.out(node_id))

    def _first_port(self, node_id: str) -> str:
        return {"IF": "true", "LOOP": "done", "FOREACH": "done"}.get(
            self.graph.subtype(node_id), "main"
        )

    def _carried(
        self, node_id: str, ports: Mapping[str, Items], failed: Items, handled: bool
    ) -> dict[int, Value]:
        """Return what each connection out of a node carries, by the kind of the connection."""
        values: dict[int, Value] = {}
        for link in self.graph.out(node_id):
            items = list(ports.get(link.port, []))
            if link.kind == "ERROR":
                items = failed
            elif link.kind == "SUCCESS" and handled:
                items = []
            elif link.kind == "CONDITIONAL":
                items = [item for item in items if self._takes(link, item)]
            values[link.number] = items or None
        return values

    def _takes(self, link: Link, item: dict[str, Any]) -> bool:
        if link.condition is not None:
            return CONDITIONS[link.condition](item) is True
        beside = [
            e for e in self.graph.out(link.source)
            if e.kind == "CONDITIONAL" and e.port == link.port and e.condition is not None
        ]  # fmt: skip
        return not any(CONDITIONS[e.condition or ""](item) is True for e in beside)

    # Regions --------------------------------------------------------------------------

    def _region(self, entry: str, scope: Scope, values: Mapping[int, Value]) -> dict[int, Value]:
        """Evaluate a region in all its iterations; return what comes out of it."""
        graph, node = self.graph, self.graph.nodes[entry]
        into = [(link, values[link.number]) for link in graph.forward(entry)]
        live = [items for _, items in into if items is not None]
        outwards = graph.outwards(entry)
        out: dict[int, Value] = dict.fromkeys(outwards)
        if not live:
            self.meaning.runs[entry, scope] = None
            return {**out, **dict.fromkeys([e.number for e in graph.ends(entry)])}
        if node.get("disabled") and graph.subtype(entry) in BODIES:
            self._run(entry, scope, into, out)
            return {n: v for n, v in out.items() if n in outwards or n not in graph.begins(entry)}
        items = [item for each in live for item in each]
        match opens(graph, entry), graph.subtype(entry):
            case "inside", _ if node.get("join") == "each":
                rounds = self._each(entry, scope, into)
            case "inside", _:
                rounds = self._cycle(entry, scope, dict((e.number, v) for e, v in into))
            case _, "LOOP":
                rounds, done = self._loop(entry, scope, items)
                out.update(self._end(entry, scope, {"done": done} if done else {}, [], False))
            case _:
                rounds = self._foreach(entry, scope, items, out)
        for each in rounds:
            for number in outwards:
                out[number] = [*(out[number] or []), *(each[number] or [])] or None
        return out

    def _end(
        self, entry: str, scope: Scope, ports: dict[str, Items], failed: Items, handled: bool
    ) -> dict[int, Value]:
        self.meaning.runs[entry, scope] = ports
        carried = self._carried(entry, ports, failed, handled)
        return {e.number: carried[e.number] for e in self.graph.ends(entry)}

    def _iteration(self, entry: str, scope: Scope, k: int, items: Items) -> dict[int, Value]:
        port = BODIES[self.graph.subtype(entry)]
        carried = self._carried(entry, {port: items}, [], False)
        begins = self.graph.begins(entry)
        given = {number: value for number, value in carried.items() if number in begins}
        return self.scope(entry, (*scope, (entry, k)), given)

    def _came_back(self, entry: str, values: Mapping[int, Value]) -> Items:
        back = [e for e in self.graph.into(entry) if e.number in self.graph.back]
        return [item for e in back for item in values[e.number] or []]

    def _loop(self, entry: str, scope: Scope, items: Items) -> tuple[list[dict[int, Value]], Items]:
        parameters = self.graph.nodes[entry].get("parameters", {})
        rounds: list[dict[int, Value]] = []
        done: Items = []
        if "while" not in parameters:
            size = parameters.get("items_per_batch", 1)
            for k in range(0, -(-len(items) // size)):
                batch = items[k * size : (k + 1) * size]
                rounds.append(self._iteration(entry, scope, k, batch))
                done.extend(self._came_back(entry, rounds[-1]))
            return rounds, done
        holds = CONDITIONS[parameters["while"]]
        going = items
        while going:
            if len(rounds) >= parameters.get("max_iterations", self.graph.rounds_max):
                raise Stopped("max_iterations", entry)
            rounds.append(self._iteration(entry, scope, len(rounds), going))
            came = self._came_back(entry, rounds[-1])
            going = [item for item in came if holds(item)]
            done.extend(item for item in came if not holds(item))
        return rounds, done

    def _cycle(self, entry: str, scope: Scope, given: dict[int, Value]) -> list[dict[int, Value]]:
        parameters = self.graph.nodes[entry].get("parameters", {})
        most = parameters.get("max_iterations", self.graph.rounds_max)
        rounds: list[dict[int, Value]] = []
        back = [e.number for e in self.graph.into(entry) if e.number in self.graph.back]
        while True:
            if len(rounds) >= most:
                raise Stopped("max_iterations", entry)
            rounds.append(self.scope(entry, (*scope, (entry, len(rounds))), given))
            given = {number: rounds[-1][number] for number in back}
            if all(value is None for value in given.values()):
                return rounds

    def _each(
        self, entry: str, scope: Scope, into: Sequence[tuple[Link, Value]]
    ) -> list[dict[int, Value]]:
        return [
            self.scope(entry, (*scope, (entry, k)), {link.number: value})
            for k, (link, value) in enumerate(into)
            if value is not None
        ]

    def _foreach(
        self, entry: str, scope: Scope, items: Items, out: dict[int, Value]
    ) -> list[dict[int, Value]]:
        node = self.graph.nodes[entry]
        mode = node.get("parameters", {}).get("on_item_error", "fail")
        rounds: list[dict[int, Value]] = []
        done: Items = []
        first: Stopped | None = None
        for k, item in enumerate(items):
            try:
                values = self._iteration(entry, scope, k, [item])
            except Stopped as stopped:
                first = first or stopped
                self.meaning.loose.add((*scope, (entry, k)))
                if mode == "collect":
                    done.append(failed_item(item, stopped.kind, stopped.node_id))
                continue
            rounds.append(values)
            done.extend(self._came_back(entry, values))
        if first is None or mode != "fail":
            out.update(self._end(entry, scope, {"done": done} if done else {}, [], False))
            return rounds
        self.meaning.loose.update((*scope, (entry, k)) for k in range(len(items)))
        if not self._goes_on(entry):
            raise Stopped(first.kind, entry)
        failed = [failed_item(item, first.kind, entry) for item in items]
        port = "done" if node.get("error_handling") == REGULAR else "error"
        out.update(self._end(entry, scope, {port: failed}, failed, True))
        return []


def failed_item(json: Mapping[str, Any], kind: str, node_id: str) -> dict[str, Any]:
    """Return a failed item as it leaves, without the text that people read."""
    return {**json, "error": {"type": kind, "node": node_id}}

"""Random workflows for the specification and the engine: loops in loops, joins, all modes.

Made of blocks (chains, branches, loops, cycles), so that most of them can be run, with some
connections across that a person would not draw. `Random` decides, or Hypothesis through
`st.randoms()`, which then finds the smallest one that fails.
"""

from random import Random
from typing import Any

from playing import http, link, node, workflow
from random_waits import ENDS, WAITS, waiting_node
from specification import CONDITIONS

STOP = "STOP_WORKFLOW_ON_ERROR"
MODES = (
    STOP,
    STOP,
    "CONTINUE_REGULAR_OUTPUT_ON_ERROR",
    "CONTINUE_ERROR_OUTPUT_ON_ERROR",
)
PLAIN = ("noop", "set", "set", "if", "http", "http", "merge", "stop")
BLOCKS = (*PLAIN, *PLAIN, "loop", "foreach", "foreach", "cycle", "each")
SURE = [text for text in CONDITIONS if "yes" not in text]
"""Conditions that are true or false for every item."""

ENDING = ["{{ $json.n < 4 }}", "{{ $json.n < 9 }}"]
"""Conditions that fail at last where each round counts up."""

PORTS = {"if": ("true", "false")}
DEPTH_MAX = 3
NODES_MAX = 16

Ends = list[tuple[str, str]]
"""What later blocks may go on from: nodes and ports."""


def definition(
    random: Random, *, loops: bool = True, races: bool = False, calls: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Return a definition; the engine may refuse it for a connection across.

    With `calls`, names of workflows, it has nodes that wait for others, and children of these.
    """
    made = _Maker(random, loops, races, calls)
    made.block([("t", "main")], 0, random.randint(1, 4))
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        made.across()
    recovery = random.choice(("on", "off"))
    return workflow(made.nodes, made.links, recovery=recovery, max_iterations=12)


def data(random: Random) -> list[dict[str, Any]]:
    """Return the data of a trigger event."""
    return [{"n": random.randint(0, 6)} for _ in range(random.randint(1, 4))]


class _Maker:
    def __init__(
        self, random: Random, loops: bool, races: bool, calls: tuple[str, ...] | None
    ) -> None:
        self.random, self.races, self.calls = random, races, calls or ()
        self.blocks = (BLOCKS if loops else PLAIN) + (("race", "race", "race") if races else ())
        if calls is not None:
            self.blocks += WAITS + (("call", "call") if calls else ())
        self.nodes: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self.kinds: dict[str, str] = {"t": "trigger"}
        self.inputs: dict[str, int] = {}

    def block(self, ends: Ends, depth: int, length: int) -> Ends:
        """Add some elements one after the other; return where one can go on."""
        for _ in range(length):
            if len(self.nodes) >= NODES_MAX or not ends:
                break
            ends = self.element(ends, depth)
        return ends

    def element(self, ends: Ends, depth: int) -> Ends:
        kind = self.random.choice(self.blocks)
        if kind in ("loop", "foreach", "cycle") and depth < DEPTH_MAX:
            return self.cycle(ends, depth) if kind == "cycle" else self.loop(kind, ends, depth)
        if kind == "race":
            return self.race(ends, depth)
        if kind == "each":
            name = self.add("noop", join="each")
            self.join(ends, name)
            return [(name, "main")]
        return self.plain(kind if kind in PLAIN or kind in ENDS else "noop", ends, depth)

    def plain(self, kind: str, ends: Ends, depth: int) -> Ends:
        if kind == "stop" and (depth == 0 or self.random.random() < 0.5):
            kind = "noop"
        name = self.add(kind)
        self.join(ends, name)
        out: Ends = [(name, port) for port in PORTS.get(kind) or ENDS.get(kind, ("main",))]
        if kind == "stop":
            return []
        if self.mode(name).startswith("CONTINUE_ERROR") and self.random.random() < 0.7:
            out.append((name, "error"))
        self.random.shuffle(out)
        return out

    def loop(self, kind: str, ends: Ends, depth: int) -> Ends:
        name = self.add(kind)
        self.join(ends, name)
        body = "loop" if kind == "loop" else "item"
        start: Ends = [(name, body)]
        if "while" in self.nodes[-1]["parameters"]:
            start = self.plain("set", start, depth + 1)[:1]
        inner = self.block(start, depth + 1, self.random.randint(1, 3))
        for end in inner:
            if self.random.random() < 0.85:
                self.connect(end, name)
        out: Ends = [(name, "done")]
        if self.mode(name).startswith("CONTINUE_ERROR") and self.random.random() < 0.7:
            out.append((name, "error"))
        return out

    def cycle(self, ends: Ends, depth: int) -> Ends:
        """Add a bare cycle: an entry, a body that counts up, and an IF that leads back."""
        entry = self.add(self.random.choice(("noop", "merge", "set")))
        if self.races and self.random.random() < 0.3:
            most = self.random.randint(1, 4)
            self.nodes[-1].setdefault("parameters", {})["max_iterations"] = most
        self.join(ends, entry)
        inner = self.block([(entry, "main")], depth + 1, self.random.randint(0, 2))
        counted = self.plain("set", inner or [(entry, "main")], depth + 1)[:1]
        asked = self.add("if", parameters={"condition": self.random.choice(ENDING)})
        self.join(counted, asked)
        self.connect((asked, "true"), entry)
        return [(asked, "false")]

    def race(self, ends: Ends, depth: int) -> Ends:
        """Add some branches beside each other, and a race that they lead to."""
        arms: Ends = []
        for _ in range(self.random.randint(1, 3)):
            if depth < DEPTH_MAX - 1 and self.random.random() < 0.3:
                arms += self.slow_loop(list(ends), depth + 1)
                continue
            if self.random.random() < 0.2:
                arms += self.plain("wait", list(ends), depth + 1)
                continue
            arms += self.block(list(ends), depth + 1, self.random.randint(1, 2))
        name = self.add("race")
        self.join(arms or ends, name)
        out: Ends = [(name, "main")]
        if arms and self.random.random() < 0.3:
            out.append(self.random.choice(arms))  # so that not every way leads to the race
        return out

    def slow_loop(self, ends: Ends, depth: int) -> Ends:
        """Add a loop that is likely to be under way when another branch is done."""
        name = self.add(self.random.choice(("loop", "foreach", "foreach")))
        self.join(ends, name)
        body = "loop" if self.kinds[name] == "loop" else "item"
        start = self.plain("set", [(name, body)], depth + 1)[:1]
        inner = self.plain("http", start, depth + 1)
        if self.random.random() < 0.3:
            inner = self.element(inner[:1], depth + 1) or inner
        for end in inner:
            self.connect(end, name)
        return [(name, "done")]

    def join(self, ends: Ends, name: str) -> None:
        """Connect some of the ends to a node, one at least; the others are left open."""
        chosen = [end for end in ends if self.random.random() < 0.75] or ends[:1]
        for end in chosen:
            self.connect(end, name)

    def across(self) -> None:
        """Connect an earlier node to a later one, wherever they are."""
        names = [each["node_id"] for each in self.nodes]
        if len(names) < 2:
            return
        first, second = sorted(self.random.sample(range(len(names)), 2))
        source = names[first]
        if self.kinds[source] == "stop":
            return
        kind = self.kinds[source]
        ports = {**PORTS, "loop": ("loop", "done"), "foreach": ("item", "done"), **ENDS}
        port = self.random.choice(ports.get(kind, ("main",)))
        self.connect((source, port), names[second])

    def connect(self, end: tuple[str, str], target: str) -> None:
        source, port = end
        into = target
        if self.kinds[target] == "merge":
            self.inputs[target] = self.inputs.get(target, 0) + 1
            into = f"{target}.input{self.inputs[target]}"
        kind, more = "MAIN", dict[str, Any]()
        chance = self.random.random()
        if port != "error" and source != "t" and chance < 0.2:
            if chance < 0.06:
                kind = "SUCCESS"
            elif chance < 0.12 and self.kinds[source] not in ("loop", "foreach"):
                kind = "ERROR"
            else:
                kind = "CONDITIONAL"
                condition = {"condition": self.random.choice(SURE)}
                more["conditions"] = self.random.choice((condition, condition, {"else": True}))
        made = link(f"{source}.{port}>{into}", kind, **more)
        if made not in self.links:
            self.links.append(made)

    def mode(self, name: str) -> str:
        return str(self.nodes[int(name[1:]) - 1].get("error_handling", STOP))

    def add(self, kind: str, **more: Any) -> str:
        """Add a node of a kind; return its id."""
        random, name = self.random, f"n{len(self.nodes) + 1}"
        self.kinds[name] = kind
        if kind not in ("stop", "merge"):
            more["error_handling"] = random.choice(MODES)
        if kind != "stop" and "join" not in more and random.random() < 0.05:
            more["disabled"] = True
        if kind == "people":  # it refuses to be disabled, and to go on as if it had been approved
            more.pop("disabled", None)
            more["error_handling"] = random.choice((STOP, MODES[-1]))
        match kind:
            case "if":
                more.setdefault("parameters", {"condition": random.choice(list(CONDITIONS))})
                made = node(name, "FLOW.IF", **more)
            case "set":
                values = {"n": "{{ $json.n + 1 }}"}
                made = node(name, "ACTION.SET", parameters={"values": values}, **more)
            case "http":
                made = http(name, max_retries=random.randint(0, 1), **more)
            case "merge":
                made = node(name, "FLOW.MERGE", **more)
            case "wait":
                parameters = {"seconds": random.choice((0, 0.01, 0.02))}
                made = node(name, "FLOW.WAIT", parameters=parameters, **more)
            case "race":
                made = node(name, "FLOW.RACE", **more)
            case "stop":
                made = node(name, "FLOW.STOP_AND_ERROR", parameters={"message": "enough"})
            case "loop":
                asked = {"while": random.choice(ENDING), "max_iterations": 6}
                chosen = random.choice((asked, {"items_per_batch": random.randint(1, 3)}))
                made = node(name, "FLOW.LOOP", parameters=chosen, **more)
            case "foreach":
                parameters = {
                    "on_item_error": random.choice(("fail", "collect", "drop")),
                    "max_concurrency": random.randint(1, 3),
                }
                made = node(name, "FLOW.FOREACH", parameters=parameters, **more)
            case _ if kind in ENDS:
                made = waiting_node(random, kind, name, self.calls, **more)
            case _:
                made = node(name, "FLOW.NOOP", **more)
        self.nodes.append(made)
        return name

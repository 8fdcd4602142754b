"""Random workflows for the specification and the engine: loops in loops, joins, all modes.

Made of blocks (chains, branches, loops, cycles), so that most of them can be run, with some
connections across that a person would not draw. `Random` decides, or Hypothesis through
`st.randoms()`, which then finds the smallest one that fails.
"""

from random import Random
from typing import Any

from playing import http, link, node, workflow
from random_lists import LISTS, list_node, list_ports, takes_two
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
LOOPS = ("loop", "foreach", "foreach", "cycle", "each")
BLOCKS = (*PLAIN, *PLAIN, *LOOPS)
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
    random: Random,
    *,
    loops: bool = True,
    races: bool = False,
    lists: bool = False,
    calls: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """Return a definition; the engine may refuse it for a connection across.

    With `lists` it has nodes that take items together or send them several ways; with `calls`,
    names of workflows, nodes that wait for others, and children of these.
    """
    made = _Maker(random, loops, races, lists, calls)
    made.block([("t", "main")], 0, random.randint(1, 4))
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        made.across()
    recovery = random.choice(("on", "off"))
    return workflow(made.nodes, made.links, recovery=recovery, max_iterations=12)


def data(random: Random, *, wide: bool = False) -> list[dict[str, Any]]:
    """Return the data of a trigger event; with `wide` most items have a second field, `k`."""
    items = [{"n": random.randint(0, 6)} for _ in range(random.randint(1, 4))]
    if wide:
        items = [
            {**each, "k": random.randint(0, 2)} if random.random() < 0.7 else each for each in items
        ]
    return items


class _Maker:
    def __init__(
        self,
        random: Random,
        loops: bool,
        races: bool,
        lists: bool,
        calls: tuple[str, ...] | None,
    ) -> None:
        self.random, self.races, self.lists, self.calls = random, races, lists, calls or ()
        self.blocks = (BLOCKS if loops else PLAIN) + (("race", "race", "race") if races else ())
        if lists:
            self.blocks += LISTS + ("choice", "diamond", "diamond") + LOOPS * loops
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
        if kind == "choice" and ends[0][0] != "t" and ends[0][1] != "error":
            return self.choice(ends[0])
        if kind == "diamond":
            return self.diamond(ends, depth)
        if kind == "each":
            name = self.add("noop", join="each")
            self.join(ends, name)
            return [(name, "main")]
        known = kind in PLAIN or kind in ENDS or kind in LISTS
        return self.plain(kind if known else "noop", ends, depth)

    def plain(self, kind: str, ends: Ends, depth: int) -> Ends:
        if kind == "stop" and (depth == 0 or self.random.random() < 0.5):
            kind = "noop"
        name = self.add(kind)
        self.join(ends, name)
        out: Ends = [(name, port) for port in self.ports(name)]
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
        if self.lists and inner and self.random.random() < 0.5:
            out.append(self.random.choice(inner))  # what leaves the rounds by the way
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

    def choice(self, end: tuple[str, str]) -> Ends:
        """Add two branches: one for the items that a condition takes, one for the others."""
        names = [self.add(self.random.choice(("noop", "set"))) for _ in range(2)]
        asked = ({"condition": self.random.choice(SURE)}, {"else": True})
        for name, conditions in zip(names, asked, strict=True):
            self.links.append(
                link(f"{end[0]}.{end[1]}>{name}", "CONDITIONAL", conditions=conditions)
            )
        return [(name, "main") for name in names]

    def diamond(self, ends: Ends, depth: int) -> Ends:
        """Add two branches, one of which changes its items, and a node that joins them."""
        other = self.random.choice(("noop", "filter", "limit", "http"))
        arms = [end for kind in ("shape", other) for end in self.plain(kind, ends, depth)]
        name = self.add(self.random.choice(("compare", "join", "join")))
        for end in arms[: 2 * (len(arms) // 2)]:
            self.connect(end, name)
        return [(name, port) for port in self.ports(name)]

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
        if chosen and takes_two(self.made(name)):
            chosen = [*chosen, self.random.choice(chosen)] if len(chosen) % 2 else chosen
        for end in chosen:
            self.connect(end, name)

    def ports(self, name: str) -> tuple[str, ...]:
        """Return the ports of a node, those on which a loop begins its rounds among them."""
        kind = self.kinds[name]
        if kind in LISTS:
            return list_ports(self.made(name))
        ports = {**PORTS, "loop": ("loop", "done"), "foreach": ("item", "done"), **ENDS}
        return ports.get(kind, ("main",))

    def across(self) -> None:
        """Connect an earlier node to a later one, wherever they are."""
        names = [each["node_id"] for each in self.nodes]
        if len(names) < 2:
            return
        first, second = sorted(self.random.sample(range(len(names)), 2))
        source = names[first]
        if self.kinds[source] == "stop":
            return
        self.connect((source, self.random.choice(self.ports(source))), names[second])

    def connect(self, end: tuple[str, str], target: str) -> None:
        source, port = end
        into = target
        if self.made(target)["node_subtype"] in ("MERGE", "COMPARE"):
            count = self.inputs[target] = self.inputs.get(target, 0) + 1
            if takes_two(self.made(target)):
                count = 2 - count % 2
            elif self.lists and count > 1 and self.random.random() < 0.2:
                count = self.random.randrange(1, count)  # beside another one
            into = f"{target}.input{count}"
        kind, more = "MAIN", dict[str, Any]()
        chance = self.random.random()
        if port != "error" and source != "t" and chance < 0.2:
            if chance < 0.06:
                kind = "SUCCESS"
            elif chance < 0.12 and not self.loops(source):
                kind = "ERROR"
            else:
                kind = "CONDITIONAL"
                asked = list(CONDITIONS) if self.lists and not self.loops(source) else SURE
                condition = {"condition": self.random.choice(asked)}
                more["conditions"] = self.random.choice((condition, condition, {"else": True}))
        made = link(f"{source}.{port}>{into}", kind, **more)
        if made not in self.links:
            self.links.append(made)

    def made(self, name: str) -> dict[str, Any]:
        """Return a node by its id."""
        return self.nodes[int(name[1:]) - 1]

    def loops(self, name: str) -> bool:
        return self.kinds[name] in ("loop", "foreach")

    def mode(self, name: str) -> str:
        return str(self.made(name).get("error_handling", STOP))

    def add(self, kind: str, **more: Any) -> str:
        """Add a node of a kind; return its id."""
        random, name = self.random, f"n{len(self.nodes) + 1}"
        self.kinds[name] = kind
        if kind not in ("stop", "merge"):
            goes_on = self.lists and kind == "foreach"
            more["error_handling"] = random.choice(MODES[2:] if goes_on else MODES)
        if kind != "stop" and "join" not in more and random.random() < 0.05:
            more["disabled"] = True
        if kind == "people":  # it refuses to be disabled, and to go on as if it had been approved
            more.pop("disabled", None)
            more["error_handling"] = random.choice((STOP, MODES[-1]))
        if self.lists and kind != "stop" and random.random() < 0.06:
            more["always_output_data"] = True
        match kind:
            case _ if kind in LISTS:
                made = list_node(random, kind, name, **more)
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

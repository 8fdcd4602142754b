"""A workflow file of n8n as a definition: what could be kept is, all else has a typed reason.

The definition that is returned has been validated. A node that would be refused becomes a
placeholder, a connection that would be is left out; what still is wrong then stands in `problems`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from perdure_contracts.message import Json

from perdure_engine.definition.parsing import size_problems
from perdure_engine.definition.problems import Found, Problem
from perdure_engine.definition.validation import validate

from .kinds_agents import ABSORBED, TOOL
from .kinds_outside import made_of, shown
from .rows import Row, is_trigger, lists, mapping, objects, source_of, whole, workflow_in
from .source import Made, NotMapped, Source, slug

NOTES = "n8n-nodes-base.stickyNote"
NOTES_LENGTH_MAX = 19_000
KEPT_LENGTH_MAX = 200_000
ROUNDS_MAX = 10
"""How often what is refused is replaced and all validated again."""

UPLOADED = (
    "a file that a request brings is data here, not a file: `body.base64` (of a form `body.<field>"
    ".base64`), above 32 KiB `body.payload.url`; make one of it behind this node with ACTION FILE "
    "(`operation: write`, `format: base64`), or with HTTP_REQUEST (`response: file`)"
)

ON_ERROR = {
    "continueRegularOutput": "CONTINUE_REGULAR_OUTPUT_ON_ERROR",
    "continueErrorOutput": "CONTINUE_ERROR_OUTPUT_ON_ERROR",
}
NODE = re.compile(r"nodes\[(\d+)\]")
CONNECTION = re.compile(r"connections\[(\d+)\]")


@dataclass(frozen=True)
class Reason:
    """Something that is not as it was. `node` is n8n's name of the node it concerns, if one.

    `code` is `not_n8n`, `node_not_mapped`, `trigger_not_mapped`, `node_refused`,
    `connection_not_mapped`, `setting_not_mapped`, `differs`, `joins_once` or `credential_to_set`.
    """

    code: str
    message: str
    node: str = ""


@dataclass(frozen=True)
class Imported:
    """What came of a file: `definition` is there unless it is no workflow of n8n."""

    definition: Row | None
    reasons: tuple[Reason, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the definition can be saved."""
        errors = any(each.severity == "error" for each in self.problems)
        return self.definition is not None and not errors


@dataclass
class Part:
    """What a node of n8n became: our nodes, one after the other."""

    source: Source
    made: Made
    ids: list[str]
    names: list[str]

    @property
    def first(self) -> str:
        """Where connections lead to."""
        return self.ids[0]

    @property
    def last(self) -> str:
        """Where connections come from."""
        return self.ids[-1]


@dataclass
class Import:
    """One attempt to make a definition; `refused` are nodes that cannot be what they would be."""

    document: Mapping[str, Any]
    refused: Mapping[str, str]
    left_out: Mapping[tuple[str, str, str, str], str]
    reasons: list[Reason] = field(default_factory=list[Reason])
    parts: dict[str, Part] = field(default_factory=dict[str, Part])
    nodes: list[Row] = field(default_factory=list[Row])
    connections: list[Row] = field(default_factory=list[Row])
    _taken: dict[str, int] = field(default_factory=dict[str, int])
    """Ids that there are, and how many were made of each."""
    _absorbed: set[str] = field(default_factory=set[str])
    """Models that have become parameters of their agents."""

    def definition(self) -> Row:
        """Return the definition, with the reasons in `reasons`."""
        sources = self._sources()
        made = {each.name: self._made(each) for each in sources}
        self._absorbed = {
            attached.name
            for each in sources
            if not isinstance(made[each.name], NotMapped)
            for kind, attached in each.attached
            if kind in ABSORBED
        }
        for each in sources:
            if each.name not in self._absorbed:
                self._add(each, made[each.name])
        self._connect()
        self._note_joins()
        self._note_files()
        name = str(self.document.get("name") or "").strip()[:255] or "imported"
        whole: Row = {"name": name, "nodes": self.nodes, "connections": self.connections}
        settings = self._settings()
        if settings:
            whole["settings"] = settings
        pins = self._pins()
        if pins:
            whole["pin_data"] = pins
        return whole

    # Nodes --------------------------------------------------------------------------------

    def _sources(self) -> list[Source]:
        """Return the nodes of the file by their names, each with what is attached to it."""
        found: dict[str, Source] = {}
        for entry in objects(self.document.get("nodes")):
            source = source_of(entry)
            if entry.get("type") == NOTES:
                continue
            if source.name in found:
                self._tell("node_not_mapped", "there is a node of this name before it", source)
            found.setdefault(source.name, source)
        attached: dict[str, list[tuple[str, Source]]] = {}
        for name, kind, target in self._attachments():
            if name in found:
                attached.setdefault(target, []).append((kind, found[name]))
        return [replace(e, attached=tuple(attached.get(e.name, ()))) for e in found.values()]

    def _attachments(self) -> Iterable[tuple[str, str, str]]:
        """Yield connections that carry no items: from, their kind, and to."""
        for name, kinds in mapping(self.document.get("connections")).items():
            for kind, outputs in mapping(kinds).items():
                for link in (e for links in lists(outputs) for e in objects(links)):
                    if kind != "main":
                        yield str(name), str(kind), str(link.get("node"))

    def _made(self, source: Source) -> Made | NotMapped:
        try:
            if source.name in self.refused:
                raise NotMapped(self.refused[source.name])
            return made_of(source)
        except NotMapped as why:
            return why

    def _add(self, source: Source, made: Made | NotMapped) -> None:
        if isinstance(made, NotMapped):
            made = self._placeholder(source, str(made))
        part = Part(source, made, *self._named(source, made))
        self.parts[source.name] = part
        for note in made.notes:
            self._tell("differs", note, source)
        self._write(part)

    def _placeholder(self, source: Source, why: str) -> Made:
        refused = source.name in self.refused
        if is_trigger(source):
            text = f"{source.kind}: {why}; it is started by hand, its parameters are in its notes"
            self._tell("trigger_not_mapped", text, source)
            return Made("TRIGGER", "MANUAL")
        code = "node_refused" if refused else "node_not_mapped"
        self._tell(code, f"{source.kind}: {why}", source)
        attached = [{"node": each.name, "as": kind} for kind, each in source.attached]
        kept = shown({**source.parameters, **({"attached": attached} if attached else {})})
        used = self._outputs_used(source)
        ports = [("main",), *((f"output{n}",) for n in range(2, used + 1))]
        parameters: Row = {"kind": source.kind or "unknown", "kept": kept[:KEPT_LENGTH_MAX]}
        if used > 1:
            parameters["outputs"] = used
        return Made("ACTION", "PLACEHOLDER", parameters, ports)

    def _outputs_used(self, source: Source) -> int:
        """Return how many regular outputs of a node are connected."""
        count = len(lists(mapping(self._links(source.name)).get("main")))
        return max(1, count - (source.entry.get("onError") == "continueErrorOutput"))

    def _named(self, source: Source, made: Made) -> tuple[list[str], list[str]]:
        """Return ids and names of our nodes; expressions call the last one by n8n's name."""
        base = self._unlike(slug(source.name))
        if not made.behind:
            return [base], [source.name]
        words = [made.subtype.lower(), *(each.suffix for each in made.behind[:-1])]
        ids = [self._unlike(f"{base}_{slug(word)}") for word in words]
        return [*ids, base], [*(f"{source.name} ({word})" for word in words), source.name]

    def _unlike(self, wanted: str) -> str:
        found, number = wanted, self._taken.get(wanted, 0)
        while found in self._taken:
            number += 1
            found = f"{wanted}_{number}"
        self._taken[wanted] = max(1, number)
        self._taken.setdefault(found, 1)
        return found

    def _write(self, part: Part) -> None:
        made, entry = part.made, part.source.entry
        steps = [(made.node_type, made.subtype, made.parameters)]
        steps += [(each.node_type, each.subtype, each.parameters) for each in made.behind]
        place = lists(entry.get("position"))
        for number, (node_type, subtype, parameters) in enumerate(steps):
            node: Row = {
                "node_id": part.ids[number],
                "name": part.names[number][:255],
                "node_type": node_type,
                "node_subtype": subtype,
                "parameters": dict(parameters),
            }
            if len(place) == 2 and all(isinstance(each, int | float) for each in place):
                node |= {"position_x": place[0] + 40 * number, "position_y": place[1]}
            if entry.get("disabled") is True:
                node["disabled"] = True
            self.nodes.append(node)
        for before, after in zip(part.ids, part.ids[1:], strict=False):
            self.connections.append({"source_node_id": before, "target_node_id": after})
        first, last = self.nodes[-len(steps)], self.nodes[-1]
        if made.subtype == "CRON":
            self._place_in_zone(part, first)
        if made.node_type != "TRIGGER":
            first |= self._conduct(part.source)
        elif made.subtype == "MANUAL" and part.source.parameters:
            first["notes"] = shown(part.source.parameters)[:NOTES_LENGTH_MAX]
        if entry.get("alwaysOutputData") is True and made.node_type != "TRIGGER":
            last["always_output_data"] = True
        if isinstance(entry.get("notes"), str) and entry["notes"].strip():
            last.setdefault("notes", entry["notes"][:NOTES_LENGTH_MAX])
        for node in self.nodes[-len(steps) :]:
            handle = node["parameters"].get("credential")
            if handle:
                text = f"set it once: perdure credentials set {handle}"
                self._tell("credential_to_set", text, part.source)

    def _place_in_zone(self, part: Part, node: Row) -> None:
        """Let a clock go by the workflow's time zone; a file does not know that of its server."""
        zone = mapping(self.document.get("settings")).get("timezone")
        if isinstance(zone, str) and "/" in zone:
            node["parameters"]["timezone"] = zone
        elif not str(node["parameters"]["expression"]).endswith("* * * *"):
            text = "its times are those of UTC here, in n8n those of the server: set `timezone`"
            self._tell("differs", text, part.source)

    def _conduct(self, source: Source) -> Row:
        """Return how a node goes on after an error."""
        entry, found = source.entry, Row()
        mode = ON_ERROR.get(str(entry.get("onError")))
        if mode is None and entry.get("continueOnFail") is True:
            mode = ON_ERROR["continueRegularOutput"]
        if mode:
            found["error_handling"] = mode
        if entry.get("retryOnFail") is True:
            found["max_retries"] = max(0, min(100, whole(entry.get("maxTries"), 3) - 1))
            found["retry_wait_time"] = whole(entry.get("waitBetweenTries"), 1_000) / 1_000
        if entry.get("executeOnce") is True:
            text = "`executeOnce` has no counterpart: put a LIMIT before it"
            self._tell("setting_not_mapped", text, source)
        return found

    # Connections --------------------------------------------------------------------------

    def _links(self, name: str) -> Any:
        return mapping(self.document.get("connections")).get(name)

    def _connect(self) -> None:
        written: set[tuple[str, str, str, str]] = set()
        for name, kinds in mapping(self.document.get("connections")).items():
            for kind, outputs in mapping(kinds).items():
                for at, links in enumerate(lists(outputs)):
                    for link in objects(links):
                        self._connect_one(str(name), str(kind), at, link, written)

    def _connect_one(
        self, name: str, kind: str, at: int, link: Row, written: set[tuple[str, str, str, str]]
    ) -> None:
        if name in self._absorbed:
            return
        source, target = self.parts.get(name), self.parts.get(str(link.get("node")))
        if source is None or target is None:
            text = f"it leads from {name!r} to {str(link.get('node'))!r}, which are not both there"
            self.reasons.append(Reason("connection_not_mapped", text, name))
            return
        attaches = (source.first, "main", target.first, "main") not in self.left_out
        if kind == TOOL and source.made.node_type == "TOOL" and attaches:
            row = {"source_node_id": source.first, "target_node_id": target.first}
            self.connections.append({**row, "connection_type": "AI_TOOL"})
            return
        if kind != "main":
            text = f"it is attached to {target.source.name!r} as {kind}: attach a node of ours"
            self.reasons.append(Reason("connection_not_mapped", text, name))
            return
        index = whole(link.get("index"), 0)
        inputs = target.made.inputs
        to = inputs[min(max(index, 0), len(inputs) - 1)]
        for begins, port in self._ports(source, at):
            key = (begins, port, target.first, to)
            if key in written:
                continue
            written.add(key)
            if key in self.left_out:
                self.reasons.append(Reason("connection_not_mapped", self.left_out[key], name))
                continue
            row: Row = {"source_node_id": begins, "target_node_id": target.first}
            if port != "main":
                row["source_port"] = port
            if to != "main":
                row["target_port"] = to
            self.connections.append(row)

    def _ports(self, source: Part, at: int) -> list[tuple[str, str]]:
        """Return where what leaves n8n's output number `at` leaves here: nodes and ports."""
        outputs = source.made.outputs
        if at < len(outputs):
            return [(source.last, port) for port in outputs[at]]
        if at == len(outputs) and source.source.entry.get("onError") == "continueErrorOutput":
            return [(source.first, "error")]
        text = f"it leaves output {at}, which the node does not have here"
        self._tell("connection_not_mapped", text, source.source)
        return []

    def _note_joins(self) -> None:
        """Say where n8n would run a node once for each branch, and we once with all of them."""
        meeting = Counter(
            each["target_node_id"] for each in self.connections if "connection_type" not in each
        )
        for part in self.parts.values():
            count = meeting[part.first]
            if count > 1 and part.made.subtype not in ("MERGE", "LOOP", "COMPARE"):
                text = (
                    f"{count} branches meet here: it runs once with what all of them bring; "
                    "n8n runs it for each, as `join: each` does"
                )
                self._tell("joins_once", text, part.source)

    def _note_files(self) -> None:
        """Say where a file comes from that a request brings, if anything here uses one."""
        if not any(_uses_a_file(each) for each in self.nodes):
            return
        for part in self.parts.values():
            if part.made.subtype == "WEBHOOK":
                self._tell("differs", UPLOADED, part.source)

    # The rest -----------------------------------------------------------------------------

    def _settings(self) -> Row:
        given, found = mapping(self.document.get("settings")), Row()
        limit = given.get("executionTimeout")
        if isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0:
            found["execution_timeout"] = limit
        if given.get("errorWorkflow"):
            text = "`settings.error_workflow` is the name of a workflow; n8n's file has its id only"
            self.reasons.append(Reason("setting_not_mapped", text))
        return found

    def _pins(self) -> Row:
        found = Row()
        files = {each["node_id"] for each in self.nodes if each["node_subtype"] == "FILE"}
        for name, items in mapping(self.document.get("pinData")).items():
            part = self.parts.get(str(name))
            data: list[Any] = [each.get("json", each) for each in objects(items)]
            if part is None:
                continue
            if any(each.get("binary") for each in objects(items)):
                self._tell("differs", "the files that are pinned to it are left out", part.source)
            # What a call would answer is pinned where it is made: nobody is called then.
            called = part.made.subtype == "HTTP_REQUEST"
            if called and "entries" in part.ids[1]:
                data = [{"body": data, "status": 200, "headers": {}}]
            node_id = part.first if called and len(part.ids) > 2 else part.last
            port = "main" if len(part.ids) > 1 else part.made.outputs[0][0]
            found[node_id] = {"ports": {port: data}}
            for before in part.ids[:-1]:  # and no file is read that a test run does not have
                if before in files:
                    found[before] = {"ports": {"main": [{"rows": [{}]}]}}
        return found

    def _tell(self, code: str, message: str, source: Source) -> None:
        self.reasons.append(Reason(code, message, source.name))


def _uses_a_file(node: Row) -> bool:
    given = node["parameters"]
    if node["node_subtype"] == "FILE":
        return given.get("operation") == "read"
    form = mapping(given.get("form")).values()
    return bool(given.get("file") or given.get("attachments")) or any(map(mapping, form))


def import_n8n(document: Json) -> Imported:
    """Return what becomes of a file of n8n, as its JSON."""
    sizes = Found()
    if size_problems(document, sizes):
        return Imported(None, (Reason("not_n8n", sizes.problems[0].message),))
    found = workflow_in(document)
    if found is None:
        text = "this is no workflow of n8n: it has no `nodes` and `connections`; export one"
        return Imported(None, (Reason("not_n8n", text),))
    refused: dict[str, str] = {}
    left_out: dict[tuple[str, str, str, str], str] = {}
    rounds = 0
    while True:
        attempt, rounds = Import(found, refused, left_out), rounds + 1
        definition = attempt.definition()
        validation = validate(definition, remember=False)
        errors = validation.errors if rounds < ROUNDS_MAX else ()
        if not errors or not _learned(attempt, errors, refused, left_out):
            return Imported(definition, tuple(attempt.reasons), validation.problems)


def _learned(
    attempt: Import,
    problems: Iterable[Problem],
    refused: dict[str, str],
    left_out: dict[tuple[str, str, str, str], str],
) -> bool:
    """Note what is to be made otherwise; False if nothing can be."""
    by_id = {id: part.source.name for part in attempt.parts.values() for id in part.ids}
    before = len(refused) + len(left_out)
    for each in problems:
        link, node = CONNECTION.match(each.path), NODE.match(each.path)
        if link is not None:
            row = attempt.connections[int(link[1])]
            key = (
                str(row["source_node_id"]), str(row.get("source_port", "main")),
                str(row["target_node_id"]), str(row.get("target_port", "main")),
            )  # fmt: skip
            left_out.setdefault(key, each.message)
        elif node is not None:
            refused.setdefault(by_id[attempt.nodes[int(node[1])]["node_id"]], each.message)
        elif each.node_id in by_id:
            refused.setdefault(by_id[each.node_id], each.message)
    return len(refused) + len(left_out) > before

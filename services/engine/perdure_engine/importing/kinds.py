"""What becomes of n8n's nodes that have a counterpart here: routing, joining, data, people's words.

`kinds_outside.py` has triggers and what touches the outside world. Each function is given a node
and returns what it becomes, or raises `NotMapped` with the reason.
"""

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeAlias, cast

from .conditions import code_of_conditions, compared, condition_of
from .source import Helper, Made, NotMapped, Source, names_in
from .texts import code_of, is_expression, translated, whole

Map: TypeAlias = Callable[[Source], Made]
"""Returns what a node becomes; raises `NotMapped`."""

BRANCHES = (("true",), ("false",))

PORTS_MAX = 100
"""Inputs or outputs of one node; n8n draws ten of them at most."""


def flow_if(node: Source) -> Made:
    """IF, in both of its forms."""
    any_of = node.raw("combineOperation", "all") == "any"
    condition = condition_of(node.raw("conditions"), any_of=any_of)
    return Made("FLOW", "IF", {"condition": condition}, BRANCHES)


def flow_filter(node: Source) -> Made:
    """Filter."""
    any_of = node.raw("combineConditions", "AND") == "OR"
    condition = condition_of(node.raw("conditions"), any_of=any_of)
    return Made("FLOW", "FILTER", {"condition": condition}, (("main",), ("discarded",)))


def flow_switch(node: Source) -> Made:
    """Switch: by rules, or by the number of an output that is computed."""
    if node.fixed("mode", "rules") == "expression":
        count = node.fixed("numberOutputs", node.raw("outputsAmount", 4))
        which = code_of(node.raw("output", 0))
        _check_ports(count, "outputs")
        rules = [(f"output{n}", f"Number({which}) === {n}") for n in range(count)]
        return _switch(rules, [[name] for name, _ in rules])
    if node.version < 3:
        return _older_switch(node)
    entries = node.rows("rules.values") or node.rows("rules.rules")
    _check_ports(len(entries), "rules")
    rules: list[tuple[str, str]] = []
    for n, each in enumerate(entries):
        name = str(each.get("outputKey") or "") if each.get("renameOutput") else ""
        rules.append((_unlike(name or f"output{n}", rules), code_of_conditions(each["conditions"])))
    outputs = [[name] for name, _ in rules]
    fallback = node.fixed("options.fallbackOutput", "none")
    if isinstance(fallback, int) and 0 <= fallback < len(outputs):
        outputs[fallback].append("fallback")
    elif fallback == "extra":
        outputs.append(["fallback"])
    mode = "all" if node.raw("options.allMatchingOutputs") else "first"
    return _switch(rules, outputs, mode)


def _older_switch(node: Source) -> Made:
    kind = str(node.fixed("dataType", "number"))
    left, rules = node.raw("value1"), list[tuple[str, str]]()
    outputs: list[list[str]] = [[] for _ in range(4)]
    entries = node.rows("rules.rules")
    _check_ports(len(entries), "rules")
    for n, each in enumerate(entries):
        operation = str(each.get("operation") or "equal")
        at = each.get("output", n)
        name = _unlike(str(each.get("outputKey") or f"rule{n}"), rules)
        rules.append((name, compared(kind, operation, left, each.get("value2"))))
        while isinstance(at, int) and len(outputs) <= at < 100:
            outputs.append([])
        outputs[at if isinstance(at, int) and 0 <= at < len(outputs) else 0].append(name)
    fallback = node.fixed("fallbackOutput", -1)
    if isinstance(fallback, int) and 0 <= fallback < len(outputs):
        outputs[fallback].append("fallback")
    return _switch(rules, outputs)


def _check_ports(count: Any, what: str) -> None:
    if not isinstance(count, int) or count > PORTS_MAX:
        raise NotMapped(f"it has not 1 to {PORTS_MAX} {what}, but {str(count)[:20]}")


def _unlike(name: str, rules: list[tuple[str, str]]) -> str:
    taken = {known for known, _ in rules} | {"fallback", "error"}
    while name in taken:
        name += "_"
    return name


def _switch(rules: list[tuple[str, str]], outputs: list[list[str]], mode: str = "first") -> Made:
    if not rules:
        raise NotMapped("there are no rules")
    made = [{"name": name, "condition": whole(code)} for name, code in rules]
    return Made("FLOW", "SWITCH", {"rules": made, "mode": mode}, outputs)


JOINS = {
    "keepMatches": "inner", "keepEverything": "outer", "enrichInput1": "left",
    "enrichInput2": "right",
}  # fmt: skip
MERGE_MODES = {
    "append": "append", "mergeByIndex": "position", "mergeByPosition": "position",
    "combineByPosition": "position", "multiplex": "cross", "combineAll": "cross",
    "mergeByFields": "fields", "combineByFields": "fields", "mergeByKey": "fields",
}  # fmt: skip


def flow_merge(node: Source) -> Made:
    """Merge."""
    mode = str(node.fixed("mode", "append"))
    if mode == "combine":
        mode = str(node.fixed("combineBy", node.raw("combinationMode", "combineByFields")))
    count = node.fixed("numberInputs", 2)
    _check_ports(count, "inputs")
    inputs = tuple(f"input{n}" for n in range(1, count + 1))
    if mode in ("chooseBranch", "passThrough") and node.raw("output", "input1") == "input1":
        return Made("FLOW", "MERGE", {"mode": "choose"}, inputs=inputs)
    ours = MERGE_MODES.get(mode)
    if ours is None:
        raise NotMapped(f"`mode: {mode}` has no counterpart")
    parameters: dict[str, Any] = {"mode": ours}
    if ours == "fields":
        keys = [
            {"left": each.get("field1"), "right": each.get("field2")}
            for each in node.rows("mergeByFields.values")
        ]
        same = names_in(node.fixed("fieldsToMatchString"))
        if node.raw("propertyName1"):
            keys = [{"left": node.fixed("propertyName1"), "right": node.fixed("propertyName2")}]
        parameters["keys"] = keys or [{"left": name, "right": name} for name in same]
        join = str(node.fixed("joinMode", "keepMatches"))
        if join not in JOINS:
            raise NotMapped(f"`joinMode: {join}` has no counterpart")
        parameters["join"] = JOINS[join]
    return Made("FLOW", "MERGE", parameters, inputs=inputs)


def flow_loop(node: Source) -> Made:
    """Loop Over Items, called SplitInBatches in files."""
    loop, done = ("loop",), ("done",)
    outputs = (done, loop) if node.version >= 3 else (loop, done)
    size = node.fixed("batchSize", 1 if node.version >= 3 else 10)
    return Made("FLOW", "LOOP", {"items_per_batch": size}, outputs)


SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}


def flow_wait(node: Source) -> Made:
    """Wait: a time, an instant, or a call of the resume URL."""
    way = node.only("resume", ("timeInterval", "specificTime", "webhook"))
    if way == "webhook":
        return Made("FLOW", "WAIT", {"webhook": True})
    if way == "specificTime":
        return Made("FLOW", "WAIT", {"until": node.get("dateTime")})
    newer = node.version > 1
    amount = node.raw("amount", 5 if newer else 1)
    unit = str(node.fixed("unit", "seconds" if newer else "hours"))
    if unit not in SECONDS:
        raise NotMapped(f"`unit: {unit}` has no counterpart")
    if is_expression(amount):
        return Made("FLOW", "WAIT", {"seconds": whole(f"{code_of(amount)} * {SECONDS[unit]}")})
    seconds = float(amount) * SECONDS[unit]
    if not isfinite(seconds):
        raise NotMapped(f"`amount: {str(amount)[:40]}` is no length of time")
    return Made("FLOW", "WAIT", {"seconds": seconds})


def flow_sub_workflow(node: Source) -> Made:
    """Execute Workflow: once with all items."""
    if node.fixed("source", "database") != "database":
        raise NotMapped("the workflow is not in the database but a file, an address or a text")
    if node.fixed("mode", "once") == "each":
        raise NotMapped("it runs once for each item; put it into a FOREACH")
    name = node.named("workflowId")
    if not name:
        raise NotMapped("it names no workflow")
    wait = node.raw("options.waitForSubWorkflow", True) is not False
    note = f"it calls the workflow {name!r}: import that too, under this name"
    return Made("FLOW", "SUB_WORKFLOW", {"workflow": name, "wait": wait}, notes=(note,))


def flow_stop(node: Source) -> Made:
    """Stop and Error."""
    if node.fixed("errorType", "errorMessage") == "errorObject":
        return Made("FLOW", "STOP_AND_ERROR", {"message": node.get("errorObject", "error")})
    return Made("FLOW", "STOP_AND_ERROR", {"message": node.get("errorMessage") or "error"})


def flow_respond(node: Source) -> Made:
    """Respond to Webhook."""
    way = node.only("respondWith", ("firstIncomingItem", "allIncomingItems", "json", "text",
                                    "noData", "redirect", "binary"))  # fmt: skip
    parameters: dict[str, Any] = {}
    status = node.get("options.responseCode")
    if status is not None:
        parameters["status"] = int(status) if str(status).isdecimal() else status
    headers = {str(each.get("name")): translated(each.get("value"))
               for each in node.rows("options.responseHeaders.entries")}  # fmt: skip
    if way == "redirect":
        headers["Location"] = node.get("redirectURL", "")
        parameters.setdefault("status", 307)
    if headers:
        parameters["headers"] = headers
    if way == "binary":
        parameters["file"] = node.get("inputFieldName", "data")
    elif way == "json":
        parameters["body"] = whole(f"JSON.parse({json_code(node.raw('responseBody', '{}'))})")
    elif way == "text":
        parameters["body"] = node.get("responseBody", "")
    elif way == "allIncomingItems":
        parameters["body"] = "{{ $input.all().map(each => each.json) }}"
    elif way != "firstIncomingItem":
        parameters["body"] = ""
    return Made("FLOW", "RESPOND", parameters)


def json_code(value: Any) -> str:
    """Return what computes a text that is JSON, or the JSON of what is no text."""
    return code_of(value if isinstance(value, str) else json.dumps(value))


# Lists of items ---------------------------------------------------------------------------


def flow_limit(node: Source) -> Made:
    """Limit."""
    which = "last" if node.fixed("keep", "firstItems") == "lastItems" else "first"
    return Made("FLOW", "LIMIT", {"count": node.fixed("maxItems", 1), "from": which})


def flow_sort(node: Source) -> Made:
    """Sort by fields."""
    if node.fixed("type", "simple") != "simple":
        raise NotMapped("only sorting by fields has a counterpart")
    by = [
        {
            "field": str(each.get("fieldName")),
            "order": "desc" if each.get("order") == "descending" else "asc",
        }
        for each in node.rows("sortFieldsUi.sortField")
    ]
    return Made("FLOW", "SORT", {"by": by})


def flow_dedupe(node: Source) -> Made:
    """Remove Duplicates among the items of one run."""
    if node.fixed("operation", "removeDuplicateInputItems") not in (
        "removeDuplicateInputItems", "removeDuplicates",
    ):  # fmt: skip
        raise NotMapped("what was seen in executions before has no counterpart")
    way = node.only("compare", ("allFields", "selectedFields"))
    keys = names_in(node.fixed("fieldsToCompare")) if way == "selectedFields" else []
    return Made("FLOW", "DEDUPE", {"keys": keys} if keys else {})


def flow_split_out(node: Source) -> Made:
    """Split Out: n8n's items have the entry alone, ours keep the other fields."""
    field = str(node.fixed("fieldToSplitOut", "")).strip()
    if not field or "," in field:
        raise NotMapped("only one list can be split at once")
    parameters = {"field": field}
    if node.raw("include", "noOtherFields") != "noOtherFields":
        return Made("FLOW", "SPLIT_OUT", parameters)
    entry = "$json" + "".join(f"[{json.dumps(part)}]" for part in field.split("."))
    name = str(node.raw("options.destinationFieldName") or field.rpartition(".")[2])
    return Made("FLOW", "SPLIT_OUT", parameters, behind=(alone(entry, name),))


def alone(code: str, name: str) -> Helper:
    """Return the node that makes of each item what `code` gives: an object, or a field."""
    values = f"typeof {code} === 'object' ? {code} ?? {{}} : {{{json.dumps(name)}: {code}}}"
    return Helper("", "ACTION", "SET", {"values": whole(values), "keep": "none"})


def flow_aggregate(node: Source) -> Made:
    """Aggregate: the whole items, or one field."""
    if node.fixed("aggregate", "aggregateIndividualFields") == "aggregateAllItemData":
        return Made("FLOW", "AGGREGATE", {"as": node.fixed("destinationFieldName", "data")})
    fields = node.rows("fieldsToAggregate.fieldToAggregate")
    if len(fields) != 1:
        raise NotMapped("only one field can be aggregated at once")
    field = str(fields[0].get("fieldToAggregate") or "")
    parameters = {"field": field}
    if fields[0].get("renameField") and fields[0].get("outputFieldName"):
        parameters["as"] = str(fields[0]["outputFieldName"])
    return Made("FLOW", "AGGREGATE", parameters)


MEASURES = {
    "count": ("count", "count"), "sum": ("sum", "sum"), "min": ("min", "min"),
    "max": ("max", "max"), "average": ("mean", "average"), "append": ("list", "appended"),
}  # fmt: skip


def flow_summarize(node: Source) -> Made:
    """Summarize."""
    measures: list[dict[str, Any]] = []
    for each in node.rows("fieldsToSummarize.values"):
        wanted = str(each.get("aggregation") or "count")
        if wanted not in MEASURES:
            raise NotMapped(f"`aggregation: {wanted}` has no counterpart")
        function, word = MEASURES[wanted]
        field = str(each.get("field") or "")
        measures.append({"function": function, "field": field, "as": f"{word}_{field}"})
    group = names_in(node.fixed("fieldsToSplitBy"))
    return Made("FLOW", "SUMMARIZE", {"group_by": group, "measures": measures})


def flow_compare(node: Source) -> Made:
    """Compare Datasets: by fields of one name on both sides."""
    pairs = [(e.get("field1"), e.get("field2")) for e in node.rows("mergeByFields.values")]
    if not pairs or any(left != right for left, right in pairs):
        raise NotMapped("only fields that have the same name on both sides can be compared by")
    outputs = (("only_a",), ("both",), ("different",), ("only_b",))
    keys = [str(left) for left, _ in pairs]
    return Made("FLOW", "COMPARE", {"keys": keys}, outputs, inputs=("input1", "input2"))


LISTS: Mapping[str, Map] = {
    "splitOutItems": flow_split_out, "limit": flow_limit, "sort": flow_sort,
    "removeDuplicates": flow_dedupe, "summarize": flow_summarize,
    "concatenateItems": flow_aggregate,
}  # fmt: skip


def item_lists(node: Source) -> Made:
    """Item Lists, which later became nodes of their own."""
    operation = str(node.fixed("operation", "splitOutItems"))
    if operation not in LISTS:
        raise NotMapped(f"`operation: {operation}` has no counterpart")
    return LISTS[operation](node)


# Fields -----------------------------------------------------------------------------------


def action_set(node: Source) -> Made:
    """Edit Fields, called Set in files, in all of its forms."""
    if node.raw("mode") == "raw":
        keep = "all" if node.raw("includeOtherFields") else "none"
        every = whole(f"JSON.parse({json_code(node.raw('jsonOutput', '{}'))})")
        return Made("ACTION", "SET", {"values": every, "keep": keep})
    entries, keep = _assigned(node)
    values: dict[str, Any] = {}
    notes: list[str] = []
    for each in entries:
        name = str(each.get("name") or "")
        if name:
            found = next((each[key] for key in each if key == "value" or "Value" in key), "")
            _put(values, name, translated(found), notes)
    return Made("ACTION", "SET", {"values": values, "keep": keep}, notes=tuple(notes))


def _assigned(node: Source) -> tuple[list[dict[str, Any]], str]:
    """Return the names and values that are set, and whether other fields stay."""
    if node.version < 3:
        kinds = cast("dict[str, Any]", node.raw("values") or {})
        entries = [row for kind in kinds for row in node.rows(f"values.{kind}")]
        return entries, "none" if node.raw("keepOnlySet") else "all"
    if node.raw("assignments") is not None:
        others = bool(node.raw("includeOtherFields", False))
        return node.rows("assignments.assignments"), "all" if others else "none"
    others = node.raw("include", "all") != "none"
    return node.rows("fields.values"), "all" if others else "none"


def _put(values: dict[str, Any], name: str, value: Any, notes: list[str]) -> None:
    """Put a value where the dots of its name lead to."""
    *above, last = name.split(".")
    for part in above:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise NotMapped(f"{name!r} is within a field that is set as well")
        values = cast("dict[str, Any]", inner)
    values[last] = value
    if above:
        notes.append(f"{name!r} is set within {above[0]!r}, of which nothing else stays")


def action_rename(node: Source) -> Made:
    """Rename Keys."""
    fields = {str(e.get("currentKey")): e.get("newKey") for e in node.rows("keys.key")}
    if not fields or node.rows("additionalOptions.regexReplacement.replacements"):
        raise NotMapped("names that are found by a pattern have no counterpart")
    return Made("ACTION", "RENAME", {"fields": fields})


def action_crypto(node: Source) -> Made:
    """Crypto: a hash of a text."""
    if node.fixed("action", "hash") != "hash" or node.raw("binaryData"):
        raise NotMapped("only hashes of texts have a counterpart")
    kinds = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256", "SHA384": "sha384",
             "SHA512": "sha512"}  # fmt: skip
    kind = str(node.fixed("type", "MD5"))
    if kind not in kinds:
        raise NotMapped(f"`type: {kind}` has no counterpart")
    encoding = node.only("encoding", ("hex", "base64"))
    return Made(
        "ACTION",
        "CRYPTO",
        {
            "operation": "hash",
            "value": node.get("value", ""),
            "algorithm": kinds[kind],
            "encoding": encoding,
            "as": node.fixed("dataPropertyName", "data"),
        },
    )


def noop(node: Source) -> Made:
    """No Operation."""
    del node
    return Made("FLOW", "NOOP")


KINDS: Mapping[str, Map] = {
    "if": flow_if, "filter": flow_filter, "switch": flow_switch, "merge": flow_merge,
    "splitInBatches": flow_loop, "wait": flow_wait, "executeWorkflow": flow_sub_workflow,
    "stopAndError": flow_stop, "respondToWebhook": flow_respond, "limit": flow_limit,
    "sort": flow_sort, "removeDuplicates": flow_dedupe, "splitOut": flow_split_out,
    "aggregate": flow_aggregate, "summarize": flow_summarize, "compareDatasets": flow_compare,
    "itemLists": item_lists, "set": action_set, "renameKeys": action_rename,
    "crypto": action_crypto, "noOp": noop,
}  # fmt: skip
"""By the last part of the node's type."""

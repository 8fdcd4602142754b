"""What becomes of n8n's triggers, and of its nodes that touch the outside world."""

import json
from collections.abc import Mapping
from typing import Any, cast

from .kinds import KINDS, Map, alone, json_code
from .kinds_agents import AGENTS, PACKAGE
from .kinds_files import FILES
from .kinds_mail import MAILS
from .source import Helper, Made, NotMapped, Source
from .texts import is_expression, translated, whole

# Triggers ---------------------------------------------------------------------------------


def manual(node: Source) -> Made:
    """What people start, or another workflow."""
    del node
    return Made("TRIGGER", "MANUAL")


RESPONDS = {"onReceived": "immediate", "lastNode": "last_node", "responseNode": "respond_node"}
PROVES = {"none": "none", "basicAuth": "basic"}


def webhook(node: Source) -> Made:
    """Webhook: the item has headers, query and body, which here are apart."""
    proof = str(node.fixed("authentication", "none"))
    if proof not in PROVES:
        raise NotMapped(f"`authentication: {proof}` has no counterpart; choose one of ours")
    path = str(node.fixed("path", "") or node.entry.get("webhookId") or "").strip("/")
    if ":" in path:
        raise NotMapped("a path with names in it has no counterpart")
    parameters: dict[str, Any] = {
        "path": f"/{path}",
        "methods": node.fixed("httpMethod", "GET"),
        "auth": PROVES[proof],
        "respond": RESPONDS.get(str(node.fixed("responseMode", "onReceived")), "immediate"),
    }
    notes: list[str] = []
    if proof != "none":
        parameters["credential"] = node.handle() or "webhook"
    else:
        notes.append("everybody who knows the address can start it")
    if node.fixed("responseData") == "firstEntryBinary":
        notes.append(
            "it answers with a file: end with a FLOW RESPOND that has `file`, and set `respond: "
            "respond_node`"
        )
    item: dict[str, Any] = {
        "headers": "{{ $execution.trigger.http.headers }}",
        "params": {},
        "query": "{{ $execution.trigger.http.query }}",
        "body": "{{ $json }}",
    }
    behind = (Helper("", "ACTION", "SET", {"values": item, "keep": "none"}),)
    return Made("TRIGGER", "WEBHOOK", parameters, behind=behind, notes=tuple(notes))


def schedule(node: Source) -> Made:
    """Schedule Trigger with one interval, and Cron, which it was before."""
    older = [_as_newer(each) for each in node.rows("triggerTimes.item")]
    intervals = node.rows("rule.interval") or older
    if len(intervals) > 1:
        raise NotMapped("it has several times: give each of them a CRON trigger of its own")
    each = intervals[0] if intervals else {}
    return Made("TRIGGER", "CRON", {"expression": _cron(each)})


def interval(node: Source) -> Made:
    """Interval, which is the Schedule Trigger today."""
    unit = str(node.fixed("unit", "seconds"))
    every = {"field": unit, f"{unit}Interval": node.fixed("interval", 1)}
    return Made("TRIGGER", "CRON", {"expression": _cron(every)})


OLDER = {
    "everyMinute": "minutes", "everyHour": "hours", "everyDay": "days", "everyWeek": "weeks",
    "everyMonth": "months",
}  # fmt: skip


def _as_newer(each: Mapping[str, Any]) -> dict[str, Any]:
    """Return a time of Cron as the Schedule Trigger has it; what it leaves out has defaults."""
    mode = str(each.get("mode") or "everyDay")
    if mode == "custom":
        return {"field": "cronExpression", "expression": each.get("cronExpression")}
    if mode == "everyX":
        unit = str(each.get("unit") or "hours")
        return {"field": unit, f"{unit}Interval": each.get("value", 2)}
    unit = OLDER.get(mode, mode)
    return {
        "field": unit,
        f"{unit}Interval": 1,
        "triggerAtHour": each.get("hour", 14),
        "triggerAtMinute": each.get("minute", 0),
        "triggerAtDay": [each.get("weekday", 1)],
        "triggerAtDayOfMonth": each.get("dayOfMonth", 1),
    }


def _cron(each: Mapping[str, Any]) -> str:
    kind = str(each.get("field") or "days")
    if kind == "cronExpression":
        text = str(each.get("expression") or "").strip()
        if not text or is_expression(text):
            raise NotMapped("its expression is not fixed")
        return text.removeprefix("=")
    minute = _number(each, "triggerAtMinute", 0)
    hour = _number(each, "triggerAtHour", 0)
    if kind in EVERY:
        default, most = EVERY[kind]
        step = _number(each, f"{kind}Interval", default)
        if step < 1 or most % step:
            raise NotMapped(f"every {step} {kind} is no whole part of what is above it")
        every = "*" if step == 1 else f"*/{step}"
        if kind == "seconds":
            return f"{every} * * * * *"
        return f"{every} * * * *" if kind == "minutes" else f"{minute} {every} * * *"
    if kind in ("days", "weeks", "months") and _number(each, f"{kind}Interval", 1) == 1:
        found: Any = each.get("triggerAtDay", [0])
        days = cast("list[Any]", found) if isinstance(found, list) else [found]
        of_week = ",".join(str(day) for day in days) or "0"
        of_month = _number(each, "triggerAtDayOfMonth", 1)
        last = {"days": "* * *", "weeks": f"* * {of_week}", "months": f"{of_month} * *"}
        return f"{minute} {hour} {last[kind]}"
    raise NotMapped(f"`{kind}` with this interval has no counterpart")


EVERY = {"seconds": (30, 60), "minutes": (5, 60), "hours": (1, 24)}
"""Of each unit how many there are between two times by default, and in what is above it."""


def _number(each: Mapping[str, Any], name: str, default: int) -> int:
    value = each.get(name)
    if value is None:
        return default
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    raise NotMapped(f"`{name}` is not fixed")


# Requests ---------------------------------------------------------------------------------


def http_request(node: Source) -> Made:
    """HTTP Request: n8n's items are the answers' bodies, one for each entry of a list."""
    parameters: dict[str, Any] = {
        "method": node.fixed("method", node.raw("requestMethod", "GET")),
        "url": node.get("url", ""),
    }
    newer = node.version >= 3
    _pairs(node, parameters, "query", "sendQuery" if newer else "", "Query")
    _pairs(node, parameters, "headers", "sendHeaders" if newer else "", "Header")
    if node.raw("sendBody") if newer else parameters["method"] not in ("GET", "HEAD"):
        _body(node, parameters)
        _typed(parameters, node.get("options.bodyContentCustomMimeType"))
    if node.raw("authentication", "none") != "none":
        parameters["credential"] = node.handle() or "http"
    limit = node.raw("options.timeout")
    if isinstance(limit, int | float) and limit > 0:
        parameters["timeout_s"] = max(0.1, min(3_600.0, limit / 1_000))
    if node.raw("options.pagination"):
        raise NotMapped("its pagination is another one; set `pagination`")
    kind = node.raw("options.response.response.responseFormat", node.raw("responseFormat"))
    if kind == "file":
        older = node.raw("dataPropertyName", "data")
        parameters["response"] = "file"
        parameters["response_file"] = node.fixed(
            "options.response.response.outputPropertyName", older
        )
        note = "what is known of the answer is the item's data, not what the item had before"
        return Made("EXTERNAL_ACTION", "HTTP_REQUEST", parameters, notes=(note,))
    return Made("EXTERNAL_ACTION", "HTTP_REQUEST", parameters, behind=_answer(node))


def _pairs(node: Source, parameters: dict[str, Any], ours: str, sends: str, word: str) -> None:
    """Take what is sent as pairs of names and values, in any of the forms."""
    if sends and not node.raw(sends):
        return
    small = word.lower()
    as_json = node.raw(f"json{word}") or node.raw(f"{small}ParametersJson")
    if as_json:
        parameters[ours] = whole(f"JSON.parse({json_code(as_json)})")
        return
    rows = node.rows(f"{small}Parameters.parameters") or node.rows(f"{small}ParametersUi.parameter")
    found = {str(row.get("name")): translated(row.get("value")) for row in rows if row.get("name")}
    if found:
        parameters[ours] = found


def _body(node: Source, parameters: dict[str, Any]) -> None:
    older = node.fixed("bodyContentType", node.fixed("options.bodyContentType", "json"))
    kind = str(node.fixed("contentType", older))
    if node.version < 3 and node.raw("sendBinaryData") and node.raw("jsonParameters"):
        _files(node, parameters, kind)
        return
    if kind == "raw":
        parameters["body"] = node.get("body", node.get("bodyParametersJson", ""))
        _typed(parameters, node.get("rawContentType"))
        return
    if kind == "binaryData":
        parameters["file"] = {"file": node.get("inputDataFieldName", "data")}
        return
    if kind not in ("json", "form-urlencoded", "multipart-form-data"):
        raise NotMapped(f"a body of `{kind}` has no counterpart")
    ours = "json" if kind == "json" else "form"
    as_json = node.raw("jsonBody") if node.raw("specifyBody") == "json" else None
    as_json = as_json or node.raw("bodyParametersJson")
    if as_json:
        parameters[ours] = whole(f"JSON.parse({json_code(as_json)})")
        return
    rows = node.rows("bodyParameters.parameters") or node.rows("bodyParametersUi.parameter")
    parameters[ours] = {str(row.get("name")): _part(row) for row in rows}


def _files(node: Source, parameters: dict[str, Any], kind: str) -> None:
    """Take files that the older forms send: one as the body, or some as `field:file,…`."""
    names = str(node.fixed("binaryPropertyName", "data"))
    if kind == "raw":
        parameters["file"] = {"file": names}
    elif kind == "multipart-form-data":
        pairs = [each.strip().partition(":") for each in names.split(",")]
        parameters["form"] = {
            field if sign else "file": {"file": file if sign else field}
            for field, sign, file in pairs
        }
    else:
        raise NotMapped(f"a file cannot be sent as `{kind}`: set `file`, or `form`")


def _typed(parameters: dict[str, Any], media: Any) -> None:
    """Say what kind of body is sent, where the headers do not."""
    headers: Any = parameters.setdefault("headers", {}) if media else None
    if isinstance(headers, dict):
        cast("dict[str, Any]", headers).setdefault("Content-Type", media)


def _part(row: Mapping[str, Any]) -> Any:
    """Return a field of a form, which may be a file."""
    if row.get("parameterType") == "formBinaryData":
        return {"file": translated(row.get("inputDataFieldName", "data"))}
    return translated(row.get("value"))


def _answer(node: Source) -> tuple[Helper, ...]:
    if node.raw("options.response.response.fullResponse") or node.raw("options.fullResponse"):
        item = {name: f"{{{{ $json.{ours} }}}}" for name, ours in
                (("body", "body"), ("headers", "headers"), ("statusCode", "status"))}  # fmt: skip
        return (Helper("", "ACTION", "SET", {"values": item, "keep": "none"}),)
    answer = "Array.isArray($json.body) ? $json.body : [$json.body]"
    failed = "$json.error !== null && $json.status === null"  # it goes on with the error
    entries = {"entries": whole(f"{failed} ? [$json] : {answer}")}
    return (
        Helper("entries", "ACTION", "SET", {"values": entries, "keep": "none"}),
        Helper("each entry", "FLOW", "SPLIT_OUT", {"field": "entries"}),
        alone("$json.entries", "data"),
    )


def slack(node: Source) -> Made:
    """Slack: a message to a channel."""
    if (node.fixed("resource", "message"), node.fixed("operation", "post")) != ("message", "post"):
        raise NotMapped("only sending a message has a counterpart")
    channel = node.get("channelId") or node.get("channel") or node.get("user")
    parameters = {"channel": channel, "text": node.get("text", ""), "credential": node.handle()}
    if not all(parameters.values()):
        raise NotMapped("it names no channel, no text or no credential")
    note = "Slack's answer has `channel` and `ts` here, not the whole message"
    return Made("EXTERNAL_ACTION", "SLACK", parameters, notes=(note,))


def github(node: Source) -> Made:
    """GitHub: issues and their comments."""
    operations = {"create": "create_issue", "createComment": "comment", "edit": "update_issue"}
    operation = str(node.fixed("operation", "create"))
    if node.fixed("resource", "issue") != "issue" or operation not in operations:
        raise NotMapped("only issues and comments have a counterpart")
    parameters: dict[str, Any] = {
        "operation": operations[operation],
        "credential": node.handle() or "github",
        "repository": f"{node.get('owner')}/{node.get('repository')}",
    }
    edited: Any = node.get("editFields") if operation == "edit" else None
    found = dict(cast("dict[str, Any]", edited)) if isinstance(edited, dict) else {}
    found |= {name: node.get(name) for name in ("title", "body") if node.get(name)}
    parameters |= {name: found[name] for name in ("title", "body", "state") if found.get(name)}
    labels = [str(row.get("label")) for row in node.rows("labels") if row.get("label")]
    if labels:
        parameters["labels"] = translated(labels)
    if operation != "create":
        parameters["number"] = node.get("issueNumber")
    note = "the answer has `id`, `url` and `number` here, not all that GitHub tells"
    return Made("EXTERNAL_ACTION", "GITHUB", parameters, notes=(note,))


def code(node: Source) -> Made:
    """Code: ours is given one item and returns one, n8n's is given all of them."""
    del node
    raise NotMapped(
        "its code is written for n8n's items; write it anew as ACTION CODE, which is given `item` "
        "and returns what becomes of it"
    )


ALL: Mapping[str, Map] = {
    **KINDS,
    **FILES,
    **MAILS,
    "manualTrigger": manual, "start": manual, "executeWorkflowTrigger": manual,
    "errorTrigger": manual, "webhook": webhook, "scheduleTrigger": schedule, "cron": schedule,
    "interval": interval, "httpRequest": http_request, "slack": slack, "github": github,
    "code": code, "function": code, "functionItem": code,
}  # fmt: skip

PACKAGES: Mapping[str, Mapping[str, Map]] = {"n8n-nodes-base.": ALL, PACKAGE: AGENTS}
"""Packages whose nodes are known here."""


def made_of(node: Source) -> Made:
    """Return what becomes of a node.

    Raises:
        NotMapped: There is no counterpart, and why.
    """
    for package, known in PACKAGES.items():
        found = known.get(node.kind.removeprefix(package))
        if node.kind.startswith(package) and found is not None:
            return _made(found, node)
    raise NotMapped("nodes of this type have no counterpart")


def _made(found: Map, node: Source) -> Made:
    try:
        return found(node)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise NotMapped(f"its parameters cannot be read: {error!r}"[:300]) from error


def shown(parameters: Mapping[str, Any]) -> str:
    """Return parameters as the JSON that a placeholder keeps."""
    return json.dumps(parameters, ensure_ascii=False, indent=1)

"""The triggers of a frozen definition: what may be written in a trigger node, and its key.

Each subtype has one reader, which turns the node's parameters into the key that events are
looked up by and the filters that they must fulfil. A parameter that this version does not
act on is refused, never passed over: a filter that is ignored fires too often.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

from perdure_contracts.deployments import Hook
from perdure_contracts.message import Json
from perdure_contracts.scheduler import DeployedTrigger

from .cron_settings import as_config, read_settings
from .definition_edges import TRIGGERS, read_email, read_kafka
from .filters import read_filter
from .hook_settings import LIMITS, WEBHOOK, path_of, read_shared, read_webhook
from .parameters import KEY_LENGTH_MAX, Parameters, Problem, is_word, listed_names

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The one text of a workflow's id."""

REPOSITORY = re.compile(r"\*|[A-Za-z0-9_.-]+(/([A-Za-z0-9_.-]+|\*))?")
"""What a GITHUB trigger listens to: `owner/name`, `owner/*`, `owner`, or `*` for all."""

SLACK_FILTERS: Mapping[str, str] = {
    "events": "message",
    "commands": "/deploy",
    "channels": "C2147483705",
    "users": "U2147483697",
}
"""The filters of a SLACK trigger, each with an example."""


Reader: TypeAlias = Callable[[str, Parameters], tuple[str, dict[str, Json]]]
"""(workflow id, parameters) → (index key, filters)."""


def _manual(workflow_id: str, parameters: Parameters) -> tuple[str, dict[str, Json]]:
    parameters.known()
    return workflow_id, {}


def _webhook(workflow_id: str, parameters: Parameters) -> tuple[str, dict[str, Json]]:
    del workflow_id
    parameters.known(*WEBHOOK)
    config = read_webhook(parameters)
    return str(config["path"]), config


def _slack(workflow_id: str, parameters: Parameters) -> tuple[str, dict[str, Json]]:
    del workflow_id
    parameters.known("team", "path", "credential", *SLACK_FILTERS, *LIMITS)
    team = parameters.text("team", "T024BE7LD") if "team" in parameters.values else "*"
    config = read_shared(parameters, "SLACK")
    for name, example in SLACK_FILTERS.items():
        words = parameters.words(name, example)
        if words:
            config[name] = words
    return team, config


def _github(workflow_id: str, parameters: Parameters) -> tuple[str, dict[str, Json]]:
    del workflow_id
    parameters.known(
        *("repository", "events", "actions", "branches", "paths"), *("path", "credential"), *LIMITS
    )
    repository = parameters.text("repository", "acme/shop").lower()
    if repository and not REPOSITORY.fullmatch(repository):
        parameters.refuse(
            "invalid_parameter",
            f"`repository` is {repository!r}; write 'owner/name', 'owner/*', 'owner' or '*'",
        )
    config = read_shared(parameters, "GITHUB")
    for name, example in (
        ("events", "issues"),
        ("actions", "opened"),
        ("branches", "main"),
        ("paths", "docs/*"),
    ):
        words = parameters.words(name, example)
        if words:
            config[name] = words
    return repository, config


def _cron(workflow_id: str, parameters: Parameters) -> tuple[str, dict[str, Json]]:
    del workflow_id
    settings, faults = read_settings(parameters.values)
    for code, reason in faults:
        parameters.refuse(code, reason)
    return ("", {}) if settings is None else (settings.expression, as_config(settings))


READERS: dict[str, Reader] = {
    "MANUAL": _manual,
    "CRON": _cron,
    "WEBHOOK": _webhook,
    "GITHUB": _github,
    "EMAIL": read_email,
    "KAFKA": read_kafka,
    "SLACK": _slack,
}
"""The subtypes that can be deployed."""


def read_triggers(
    workflow_id: str, definition: Json
) -> tuple[tuple[DeployedTrigger, ...], tuple[Problem, ...]]:
    """Return the triggers of a definition in the order of the file, and what is wrong.

    Disabled triggers serve nothing and are left out. With problems the triggers are not to
    be used.
    """
    nodes = _mapping(definition).get("nodes")
    if not isinstance(nodes, list):
        return (), (Problem("invalid_definition", "the definition has no list `nodes`"),)
    triggers: list[DeployedTrigger] = []
    problems: list[Problem] = []
    disabled = 0
    for position, entry in enumerate(cast("list[Any]", nodes)):
        node = _mapping(entry)
        if node.get("node_type") != "TRIGGER":
            continue
        if node.get("disabled") is True:
            disabled += 1
            continue
        read = _read_node(workflow_id, position, node, problems)
        if read is not None:
            triggers.append(read)
    if not triggers and not problems:
        problems.append(_no_trigger(disabled))
    problems.extend(_repeated(triggers))
    return tuple(triggers), tuple(problems)


def _read_node(
    workflow_id: str, position: int, node: Mapping[str, Any], problems: list[Problem]
) -> DeployedTrigger | None:
    node_id, subtype = node.get("node_id"), str(node.get("node_subtype"))
    if not is_word(node_id):
        problems.append(
            Problem(
                "invalid_definition",
                f"nodes[{position}] has no `node_id` of 1 to {KEY_LENGTH_MAX} characters",
            )
        )
        return None
    values = node.get("parameters")
    parameters = Parameters(node_id, subtype, _mapping(values), problems)
    if values is not None and not isinstance(values, dict):
        parameters.refuse("invalid_definition", "`parameters` must be an object")
    reader = READERS.get(subtype)
    if reader is None:
        _refuse_subtype(parameters)
        return None
    index_key, config = reader(workflow_id, parameters)
    kept, fault = read_filter(parameters.values.get("filter")) if subtype != "CRON" else (None, "")
    if fault:
        parameters.refuse("invalid_filter", fault)
    if kept is not None:
        config = {**config, "filter": kept}
    return DeployedTrigger(
        node_id=node_id, subtype=subtype, index_key=index_key, config=config, position=position
    )


def _refuse_subtype(parameters: Parameters) -> None:
    can = listed_names(READERS)
    parameters.refuse("unknown_trigger", f"there is no such trigger; there are {can}")


def hooks_of(triggers: Iterable[DeployedTrigger]) -> tuple[Hook, ...]:
    """Return what triggers need before they can serve: mailboxes that open, topics, paths."""
    found: list[Hook] = []
    for each in triggers:
        mailbox = _mapping(_mapping(each.config).get("mailbox"))
        topic = each.index_key.partition("/")[0]
        path = path_of(each.config)
        if path is not None:
            found.append(Hook(node_id=each.node_id, what=f"path {path}"))
        elif mailbox:
            what = f"mailbox {mailbox['user']} at {mailbox['host']}"
            found.append(Hook(node_id=each.node_id, what=what))
        elif each.subtype == "KAFKA" and topic != TRIGGERS:
            found.append(Hook(node_id=each.node_id, what=f"topic {topic}"))
    return tuple(found)


def _no_trigger(disabled: int) -> Problem:
    if disabled:
        return Problem("no_trigger", "every trigger node is disabled; enable one")
    return Problem("no_trigger", "the definition has no node of type TRIGGER; add one")


def _repeated(triggers: list[DeployedTrigger]) -> list[Problem]:
    ids = [trigger.node_id for trigger in triggers]
    return [
        Problem("invalid_definition", f"two trigger nodes are called {node_id!r}; rename one")
        for node_id in sorted({i for i in ids if ids.count(i) > 1})
    ]


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

"""When a trigger event matches a trigger: the keys it is looked up by, and the filters."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias, cast

from perdure_contracts.message import Json
from perdure_contracts.scheduler import ReceiveTrigger

from .definition_edges import ANY_TYPE
from .hook_settings import path_key
from .parameters import KEY_LENGTH_MAX
from .slack_match import slack_fulfils

Row: TypeAlias = Mapping[str, Any]

SUBTYPES = {
    "perdure.trigger.manual": "MANUAL",
    "perdure.trigger.webhook": "WEBHOOK",
    "perdure.trigger.github": "GITHUB",
    "perdure.trigger.email": "EMAIL",
    "perdure.trigger.slack": "SLACK",
}
"""The CloudEvents types that select a trigger by their subject."""

SHAPES: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = (
    ("ping", frozenset({"zen", "hook_id"}), frozenset()),
    ("push", frozenset({"ref", "before", "after", "commits"}), frozenset()),
    ("pull_request", frozenset({"action", "pull_request", "number"}), frozenset({"review"})),
    ("issue_comment", frozenset({"action", "issue", "comment"}), frozenset()),
    ("issues", frozenset({"action", "issue"}), frozenset({"comment", "pull_request"})),
    ("release", frozenset({"action", "release"}), frozenset()),
)
"""GitHub events told by their payload: (event, keys that are there, keys that are not).

The keys are those of GitHub's reference "Webhook events and payloads"; the first that fits
counts. Everything else needs the extension `event` (GitHub's header X-GitHub-Event).
"""


LISTENED = ("WEBHOOK", "GITHUB", "SLACK", "EMAIL")
"""Subtypes whose listeners say which nodes have taken what they make an event of."""

FOREIGN = "kafkatopic"
"""The extension of an event that came from a foreign topic: that topic's name."""


def subtype_of(event_type: str, extensions: Mapping[str, str]) -> str:
    """Return which triggers an event looks for; what comes from a foreign topic, KAFKA ones."""
    return "KAFKA" if FOREIGN in extensions else SUBTYPES.get(event_type, "KAFKA")


def topic_keys(topic: str, event_type: str) -> tuple[str, ...]:
    """Return the index keys of KAFKA triggers for a record of this type on this topic."""
    every = f"{topic}/{ANY_TYPE}"
    if not event_type or len(event_type) + len(topic) >= KEY_LENGTH_MAX:
        return (every,)
    return tuple(dict.fromkeys((f"{topic}/{event_type}", every)))


def untagged(address: str) -> str:
    """Return a mail address without the `+tag` in its local part."""
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def keys_of(subtype: str, subject: str) -> tuple[str, ...]:
    """Return the index keys that an event of this subtype about `subject` may stand under."""
    match subtype:
        case "WEBHOOK":
            return (path_key(subject),)
        case "GITHUB":
            repository = subject.lower()
            owner = repository.partition("/")[0]
            return tuple(dict.fromkeys((repository, f"{owner}/*", owner, "*")))
        case "EMAIL":
            address = subject.lower()
            return tuple(dict.fromkeys((address, untagged(address))))
        case "SLACK":
            return (subject, "*")
        case _:
            return (subject,)


def nearest(address: str, rows: Sequence[Row]) -> Sequence[Row]:
    """Return which of those that listen take a mail: for an address with its tag, if any do."""
    exact = [row for row in rows if row["index_key"] == address.lower()]
    return exact or rows


def matches(subtype: str, row: Mapping[str, Any], command: ReceiveTrigger) -> bool:
    """Return whether a trigger that is listened to by the event's key takes the event.

    What came by HTTP says itself which nodes it is for: they have verified it, each by its own
    secret, and their filters have seen the whole of it. So do mails, of which an address may have
    been told that its workflows start.
    """
    if command.nodes is not None and subtype in LISTENED:
        return (str(row["workflow_id"]), str(row["node_id"])) in command.nodes
    if subtype == "GITHUB":
        return fulfils(row["trigger_config"], command.extensions, command.data)
    return subtype != "SLACK" or slack_fulfils(row["trigger_config"], command.data)


def taken_by(subtype: str, command: ReceiveTrigger) -> Iterable[tuple[tuple[str, str], int]]:
    """Return the (workflow, node)s that took a request or a mail, each with its version then."""
    if subtype not in LISTENED or command.nodes is None:
        return ()
    # One of a release before has no versions.
    return zip(command.nodes, command.versions, strict=False)


def fulfils(config: Mapping[str, Any], extensions: Mapping[str, str], data: Json) -> bool:
    """Return whether a GitHub event fulfils every filter that the trigger gives.

    `events` and `actions` are compared as they are, `branches` and `paths` are globs in
    which `*` stands for any characters, slashes too. Without `events` a ping is no match.
    """
    body = _mapping(data)
    event = extensions.get("event") or event_of(body)
    action = extensions.get("action") or body.get("action")
    if "events" not in config and event == "ping":
        return False
    if "events" in config and event not in config["events"]:
        return False
    if "actions" in config and action not in config["actions"]:
        return False
    if "branches" in config and not _any(branches_of(body), config["branches"]):
        return False
    return "paths" not in config or _any(paths_of(body), config["paths"])


def event_of(body: Mapping[str, Any]) -> str | None:
    """Return GitHub's name of the event, as far as its payload tells."""
    keys = body.keys()
    for event, there, absent in SHAPES:
        if there <= keys and not absent & keys:
            return event
    return None


def branches_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the base of a pull request, or the branch that was pushed to; else nothing."""
    base = _mapping(_mapping(body.get("pull_request")).get("base")).get("ref")
    if isinstance(base, str):
        return (base,)
    ref = body.get("ref")
    if isinstance(ref, str) and ref.startswith("refs/heads/"):
        return (ref.removeprefix("refs/heads/"),)
    return ()


def paths_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files that the commits of a push added, changed or removed."""
    commits = body.get("commits")
    if not isinstance(commits, list):
        return ()
    found: dict[str, None] = {}
    for commit in cast("list[Any]", commits):
        for kind in ("added", "modified", "removed"):
            paths = _mapping(commit).get(kind)
            if isinstance(paths, list):
                found.update(
                    dict.fromkeys(p for p in cast("list[Any]", paths) if isinstance(p, str))
                )
    return tuple(found)


def _any(names: Iterable[str], globs: Iterable[str]) -> bool:
    patterns = tuple(globs)
    return any(fnmatchcase(name, glob) for name in names for glob in patterns)


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

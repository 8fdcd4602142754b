"""What a deployment must fulfil so that its triggers can listen on HTTP. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from perdure_common.decider import Facts
from perdure_contracts.scheduler import DeployedTrigger

from .hook_settings import PREVIOUS, methods_of, path_of, secrets_of
from .parameters import Problem

CLAIMS = ("workflow_id", "workflow_name", "node_id", "trigger_subtype", "path", "trigger_config")
"""What must be known of the triggers that listen under a path."""


def hook_problems(
    workflow_id: str,
    credentials: Mapping[str, tuple[str, ...]],
    triggers: Iterable[DeployedTrigger],
    facts: Facts,
) -> tuple[Problem, ...]:
    """Return why triggers cannot listen: a secret is missing, or another has the path."""
    problems: list[Problem] = []
    claimed: list[DeployedTrigger] = []
    others = [row for row in facts.get("paths", ()) if str(row["workflow_id"]) != workflow_id]
    for trigger in triggers:
        if path_of(trigger.config) is None:
            continue
        problems.extend(_secret_missing(credentials, trigger))
        own = [_claim(workflow_id, each) for each in claimed]
        taken = next((row for row in (*others, *own) if _clash(trigger, row)), None)
        if taken is not None:
            problems.append(_path_taken(trigger, taken))
        claimed.append(trigger)
    return tuple(problems)


def _secret_missing(
    credentials: Mapping[str, tuple[str, ...]], trigger: DeployedTrigger
) -> Iterable[Problem]:
    wanted = secrets_of(trigger.config)
    if wanted is None:
        return
    handle, fields = wanted
    there = credentials.get(handle)
    lacking = [name for name in fields if name not in (there or ())]
    if not lacking:
        return
    what = f"has no `{lacking[0]}`" if there is not None else "is not there"
    yield Problem(
        "secret_missing",
        f"node {trigger.node_id!r} ({trigger.subtype}): credential {handle!r} {what}, so requests "
        f"cannot be verified; `perdure credentials set {handle}` with {', '.join(fields)} (and "
        f"{PREVIOUS}… while senders change over), then deploy again",
    )


def _claim(workflow_id: str, trigger: DeployedTrigger) -> Mapping[str, Any]:
    return {
        "workflow_id": workflow_id,
        "workflow_name": "this workflow",
        "node_id": trigger.node_id,
        "trigger_subtype": trigger.subtype,
        "path": path_of(trigger.config),
        "trigger_config": trigger.config,
    }


def _clash(trigger: DeployedTrigger, row: Mapping[str, Any]) -> bool:
    """Return whether two triggers cannot listen under one path.

    Those of GitHub, and those of Slack, can: each verifies by itself what comes.
    """
    if path_of(trigger.config) != row["path"]:
        return False
    if trigger.subtype == row["trigger_subtype"] != "WEBHOOK":
        return False
    return bool(set(methods_of(trigger.config)) & set(methods_of(row["trigger_config"])))


def _path_taken(trigger: DeployedTrigger, row: Mapping[str, Any]) -> Problem:
    both = sorted(set(methods_of(trigger.config)) & set(methods_of(row["trigger_config"])))
    return Problem(
        "path_taken",
        f"node {trigger.node_id!r} ({trigger.subtype}): {', '.join(both)} {row['path']} belongs "
        f"to node {row['node_id']!r} ({row['trigger_subtype']}) of {row['workflow_name']} "
        f"({row['workflow_id']}); choose another path, or undeploy that workflow",
    )

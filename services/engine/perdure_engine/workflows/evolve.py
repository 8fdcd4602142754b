"""State from events. Pure; a released arm is never edited, only joined by a new one."""

from dataclasses import replace
from typing import assert_never

from perdure_contracts.workflows import DeploymentNoted, Event, WorkflowSaved

from .state import Definition


def evolve(state: Definition, event: Event) -> Definition:
    """Return `state` as it stands after `event`."""
    match event:
        case WorkflowSaved(version=version, sha256=sha256):
            since = {node["node_id"]: version for node in event.definition["nodes"]}
            since.update(state.nodes_since)
            return replace(state, version=version, sha256=sha256, nodes_since=since)
        case DeploymentNoted(status=status, version=version):
            known = state.deployment_version if version is None else version
            return replace(state, deployment_status=status, deployment_version=known)
        case _:
            assert_never(event)

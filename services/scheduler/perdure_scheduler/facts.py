"""What a command must know of other streams: which triggers serve what the event is about."""

from collections.abc import Mapping

from perdure_common.decider import Due, Lookup
from perdure_contracts.deployments import DeployCopy
from perdure_contracts.scheduler import DeploymentCommand, DeployWorkflow, ReceiveTrigger

from .definition import UUID, read_triggers
from .definition_edges import TRIGGERS
from .hook_rules import CLAIMS
from .hook_settings import path_of
from .match import FOREIGN, keys_of, subtype_of, topic_keys
from .state import Deployment, Trigger

SERVES: Mapping[str, object] = {"deployment_status": "active", "is_active": True}
COLUMNS = (
    "workflow_id",
    "workflow_name",
    "deployment_version",
    "node_id",
    "trigger_subtype",
    "trigger_config",
    "index_key",
    "position",
)


def trigger_facts(state: Trigger, command: ReceiveTrigger) -> Mapping[str, Lookup]:
    """Return the lookups of the triggers that an event may fire.

    `by_key` finds triggers by what they listen to; for a manual event `by_id` and `by_name`
    find all triggers of the workflow that it names.
    """
    if state.executions:
        return {}
    subtype = subtype_of(command.event_type, command.extensions)
    if subtype != "MANUAL":
        if subtype == "KAFKA":
            keys = topic_keys(command.extensions.get(FOREIGN, TRIGGERS), command.event_type)
        else:
            keys = keys_of(subtype, command.subject)
        where = {"trigger_subtype": subtype, "index_key": keys, **SERVES}
        return {"by_key": Lookup("trigger_index", where, COLUMNS)}
    named = {"workflow_name": command.subject, **SERVES}
    lookups = {"by_name": Lookup("trigger_index", named, COLUMNS)}
    if UUID.fullmatch(command.subject):
        identified = {"workflow_id": command.subject, **SERVES}
        lookups["by_id"] = Lookup("trigger_index", identified, COLUMNS)
    return lookups


def deployment_facts(state: Deployment, command: DeploymentCommand | Due) -> Mapping[str, Lookup]:
    """Return the lookup of the triggers that listen where a definition wants to."""
    del state
    if not isinstance(command, DeployWorkflow | DeployCopy):
        return {}
    triggers, _ = read_triggers(command.workflow_id, command.definition)
    paths = {path for trigger in triggers if (path := path_of(trigger.config)) is not None}
    if not paths:
        return {}
    # Those that wait for something outside will listen there too: they came first.
    where = {"path": tuple(sorted(paths)), "deployment_status": ("active", "pending")}
    return {"paths": Lookup("trigger_index", where, CLAIMS)}

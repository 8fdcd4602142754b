"""What a command must know of other streams: which triggers serve what the event is about."""

from collections.abc import Mapping

from perdure_common.decider import Lookup
from perdure_contracts.scheduler import ReceiveTrigger

from .definition import UUID
from .definition_edges import TRIGGERS
from .match import FOREIGN, keys_of, subtype_of, topic_keys
from .state import Trigger

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

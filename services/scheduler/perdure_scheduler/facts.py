"""What a command must know of other streams: which triggers serve what the event is about."""

from collections.abc import Mapping

from perdure_common.decider import Lookup
from perdure_contracts.scheduler import ReceiveTrigger

from .definition import UUID
from .match import SUBTYPES, keys_of
from .state import Trigger

SERVES: Mapping[str, object] = {"deployment_status": "active", "is_active": True}
COLUMNS = (
    "workflow_id",
    "workflow_name",
    "deployment_version",
    "node_id",
    "trigger_subtype",
    "trigger_config",
    "position",
)


def trigger_facts(state: Trigger, command: ReceiveTrigger) -> Mapping[str, Lookup]:
    """Return the lookups of the triggers that an event may fire.

    `by_key` finds triggers by what they listen to; for a manual event `by_id` and `by_name`
    find all triggers of the workflow that it names.
    """
    if state.executions:
        return {}
    subtype = SUBTYPES[command.event_type]
    if subtype != "MANUAL":
        keys = keys_of(subtype, command.subject)
        where = {"trigger_subtype": subtype, "index_key": keys, **SERVES}
        return {"by_key": Lookup("trigger_index", where, COLUMNS)}
    named = {"workflow_name": command.subject, **SERVES}
    lookups = {"by_name": Lookup("trigger_index", named, COLUMNS)}
    if UUID.fullmatch(command.subject):
        identified = {"workflow_id": command.subject, **SERVES}
        lookups["by_id"] = Lookup("trigger_index", identified, COLUMNS)
    return lookups

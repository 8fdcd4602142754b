"""What a command must know of other streams: which triggers serve what the event is about."""

from collections.abc import Mapping

from perdure_common.decider import Lookup
from perdure_contracts.scheduler import ReceiveTrigger

from .definition import UUID
from .definition_edges import TRIGGERS
from .match import FOREIGN, keys_of, subtype_of, taken_by, topic_keys
from .parameters import is_word
from .state import Trigger

SERVES: Mapping[str, object] = {"deployment_status": "active", "is_active": True}
SERVED = ("active", "inactive")
"""What stands at triggers that serve, and at those that served before."""

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

    `by_key` finds triggers by what they listen to, `taken_by` those that have taken a request,
    whether they serve still or not; for a manual event `by_id` and `by_name` find all triggers of
    the workflow that it names.
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
        by_key = Lookup("trigger_index", where, COLUMNS)
        taken_by = _taken_by(subtype, command)
        return {"by_key": by_key, **({"taken_by": taken_by} if taken_by else {})}
    named = {"workflow_name": command.subject, **SERVES}
    lookups = {"by_name": Lookup("trigger_index", named, COLUMNS)}
    if UUID.fullmatch(command.subject):
        identified = {"workflow_id": command.subject, **SERVES}
        lookups["by_id"] = Lookup("trigger_index", identified, COLUMNS)
    return lookups


def _taken_by(subtype: str, command: ReceiveTrigger) -> Lookup | None:
    """Return the lookup of the triggers that took a request; None for what no listener took."""
    taken = [
        (*node, version)
        for node, version in taken_by(subtype, command)
        if UUID.fullmatch(node[0]) and is_word(node[1]) and 1 <= version < 2**31
    ]
    if not taken:
        return None
    workflow_ids, node_ids, versions = (
        tuple(dict.fromkeys(each)) for each in zip(*taken, strict=True)
    )
    where = {
        "workflow_id": workflow_ids,
        "deployment_version": versions,
        "node_id": node_ids,
        "trigger_subtype": subtype,
        "deployment_status": SERVED,
        "is_active": True,
    }
    return Lookup("trigger_index", where, COLUMNS)

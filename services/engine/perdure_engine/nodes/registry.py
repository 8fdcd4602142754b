"""Which subtypes there are."""

from collections.abc import Mapping

from . import (
    action_code,
    action_crypto,
    action_csv,
    action_date_time,
    action_file,
    action_html_extract,
    action_json,
    action_placeholder,
    action_rename,
    action_set,
    action_static_data,
    action_xml,
    ai_agent_agent,
    external_action_github,
    external_action_google_calendar,
    external_action_http_request,
    external_action_send_email,
    external_action_slack,
    external_action_sql,
    flow_aggregate,
    flow_compare,
    flow_dedupe,
    flow_filter,
    flow_foreach,
    flow_if,
    flow_limit,
    flow_loop,
    flow_merge,
    flow_noop,
    flow_race,
    flow_respond,
    flow_sort,
    flow_split_out,
    flow_stop_and_error,
    flow_sub_workflow,
    flow_summarize,
    flow_switch,
    flow_wait,
    human_in_the_loop_approval,
    human_in_the_loop_input,
    human_in_the_loop_review,
    human_in_the_loop_selection,
    memory_store,
    tool_http,
    tool_mcp,
    tool_workflow,
    trigger_cron,
    trigger_email,
    trigger_github,
    trigger_kafka,
    trigger_manual,
    trigger_slack,
    trigger_webhook,
)
from .base import NodeSpecification
from .trigger_filter import filtered

SPECIFICATIONS: tuple[NodeSpecification, ...] = (
    filtered(trigger_manual.SPECIFICATION),
    filtered(trigger_slack.SPECIFICATION),
    trigger_cron.SPECIFICATION,
    filtered(trigger_webhook.SPECIFICATION),
    filtered(trigger_github.SPECIFICATION),
    filtered(trigger_email.SPECIFICATION),
    filtered(trigger_kafka.SPECIFICATION),
    flow_if.SPECIFICATION,
    flow_switch.SPECIFICATION,
    flow_merge.SPECIFICATION,
    flow_filter.SPECIFICATION,
    flow_split_out.SPECIFICATION,
    flow_aggregate.SPECIFICATION,
    flow_summarize.SPECIFICATION,
    flow_sort.SPECIFICATION,
    flow_limit.SPECIFICATION,
    flow_dedupe.SPECIFICATION,
    flow_compare.SPECIFICATION,
    flow_noop.SPECIFICATION,
    flow_stop_and_error.SPECIFICATION,
    flow_loop.SPECIFICATION,
    flow_foreach.SPECIFICATION,
    flow_race.SPECIFICATION,
    flow_wait.SPECIFICATION,
    flow_sub_workflow.SPECIFICATION,
    flow_respond.SPECIFICATION,
    action_set.SPECIFICATION,
    action_static_data.SPECIFICATION,
    action_rename.SPECIFICATION,
    action_date_time.SPECIFICATION,
    action_html_extract.SPECIFICATION,
    action_json.SPECIFICATION,
    action_xml.SPECIFICATION,
    action_csv.SPECIFICATION,
    action_file.SPECIFICATION,
    action_crypto.SPECIFICATION,
    action_code.SPECIFICATION,
    action_placeholder.SPECIFICATION,
    external_action_http_request.SPECIFICATION,
    external_action_sql.SPECIFICATION,
    external_action_send_email.SPECIFICATION,
    external_action_slack.SPECIFICATION,
    external_action_github.SPECIFICATION,
    external_action_google_calendar.SPECIFICATION,
    ai_agent_agent.SPECIFICATION,
    tool_http.SPECIFICATION,
    tool_workflow.SPECIFICATION,
    tool_mcp.SPECIFICATION,
    human_in_the_loop_approval.SPECIFICATION,
    human_in_the_loop_input.SPECIFICATION,
    human_in_the_loop_selection.SPECIFICATION,
    human_in_the_loop_review.SPECIFICATION,
    memory_store.SPECIFICATION,
)
"""Every subtype that this version runs."""

BY_NAME: Mapping[tuple[str, str], NodeSpecification] = {
    (each.node_type, each.subtype): each for each in SPECIFICATIONS
}

NODE_TYPES = (
    "TRIGGER",
    "AI_AGENT",
    "EXTERNAL_ACTION",
    "ACTION",
    "FLOW",
    "HUMAN_IN_THE_LOOP",
    "TOOL",
    "MEMORY",
)
"""Every node type there is; those of which no subtype is above are not run by this version."""


def find(node_type: str, subtype: str) -> NodeSpecification | None:
    """Return the specification of a subtype that this version runs, None for any other."""
    return BY_NAME.get((node_type, subtype))


def subtypes_of(node_type: str) -> tuple[str, ...]:
    """Return the subtypes of a node type that this version runs."""
    return tuple(each.subtype for each in SPECIFICATIONS if each.node_type == node_type)

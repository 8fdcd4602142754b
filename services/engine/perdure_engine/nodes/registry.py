"""Which subtypes there are: those that run, and those that are known but not run yet."""

from collections.abc import Mapping

from . import (
    action_set,
    external_action_http_request,
    flow_foreach,
    flow_if,
    flow_loop,
    flow_merge,
    flow_noop,
    flow_stop_and_error,
    flow_switch,
    trigger_github,
    trigger_manual,
    trigger_webhook,
)
from .base import NodeSpecification

SPECIFICATIONS: tuple[NodeSpecification, ...] = (
    trigger_manual.SPECIFICATION,
    trigger_webhook.SPECIFICATION,
    trigger_github.SPECIFICATION,
    flow_if.SPECIFICATION,
    flow_switch.SPECIFICATION,
    flow_merge.SPECIFICATION,
    flow_noop.SPECIFICATION,
    flow_stop_and_error.SPECIFICATION,
    flow_loop.SPECIFICATION,
    flow_foreach.SPECIFICATION,
    action_set.SPECIFICATION,
    external_action_http_request.SPECIFICATION,
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
"""Every node type there is, run or not."""

LATER: Mapping[str, tuple[str, ...]] = {
    "TRIGGER": ("CRON", "EMAIL", "SLACK", "KAFKA"),
    "EXTERNAL_ACTION": ("SLACK", "EMAIL", "GITHUB", "GOOGLE_CALENDAR", "SQL"),
    "ACTION": ("RENAME", "DATE", "HTML_EXTRACT", "JSON", "XML", "CSV", "CRYPTO", "CODE"),
    "FLOW": (
        "FILTER",
        "WAIT",
        "RACE",
        "SUB_WORKFLOW",
        "SPLIT_OUT",
        "AGGREGATE",
        "SUMMARIZE",
        "SORT",
        "LIMIT",
        "DEDUPE",
        "COMPARE",
        "RESPOND",
    ),
}
"""Subtypes that are known but not run by this version. Node types that are not among the
types of `SPECIFICATIONS` are not run at all, whatever their subtype."""


def find(node_type: str, subtype: str) -> NodeSpecification | None:
    """Return the specification of a subtype that this version runs, None for any other."""
    return BY_NAME.get((node_type, subtype))


def subtypes_of(node_type: str) -> tuple[str, ...]:
    """Return the subtypes of a node type that this version runs."""
    return tuple(each.subtype for each in SPECIFICATIONS if each.node_type == node_type)

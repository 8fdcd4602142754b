"""Workflows that the tests of the whole platform run."""

from itertools import pairwise
from typing import Any

Definition = dict[str, Any]


def node(node_id: str, kind: str, **parameters: Any) -> Definition:
    """Return a node; `kind` is `TYPE.SUBTYPE`."""
    node_type, _, subtype = kind.partition(".")
    return {
        "node_id": node_id,
        "node_type": node_type,
        "node_subtype": subtype,
        "name": node_id,
        "parameters": parameters,
    }


def edge(source: str, target: str, port: str = "main", into: str = "main") -> Definition:
    """Return a connection."""
    return {
        "source_node_id": source,
        "target_node_id": target,
        "source_port": port,
        "target_port": into,
    }


def chain(name: str, *nodes: Definition) -> Definition:
    """Return a workflow that begins by hand and runs the nodes one after the other."""
    whole = [node("start", "TRIGGER.MANUAL"), *nodes]
    ids = [each["node_id"] for each in whole]
    return {
        "name": name,
        "nodes": whole,
        "connections": [edge(a, b) for a, b in pairwise(ids)],
    }


def request(node_id: str, url: str, **parameters: Any) -> Definition:
    """Return a node that posts, with an idempotency key, so that it may be tried again."""
    given = {"method": "POST", "url": url, "idempotency_header": "Idempotency-Key", **parameters}
    return node(node_id, "EXTERNAL_ACTION.HTTP_REQUEST", **given)


def branching(name: str, url: str) -> Definition:
    """Return a workflow in which IF and SWITCH choose, SET computes and MERGE brings together.

    It posts `{total, customer}` to `url`: the amount less 10 for a gold customer who buys for
    more than 100.
    """
    gold = {"name": "gold", "condition": "{{ $json.customer === 'gold' }}"}
    return {
        "name": name,
        "nodes": [
            node("start", "TRIGGER.MANUAL"),
            node("big", "FLOW.IF", condition="{{ $json.amount > 100 }}"),
            node("kind", "FLOW.SWITCH", rules=[gold]),
            node("reduced", "ACTION.SET", values={"discount": 10}),
            node("plain", "ACTION.SET", values={"discount": 0}),
            node("small", "ACTION.SET", values={"discount": 0}),
            node("together", "FLOW.MERGE"),
            request(
                "post",
                url,
                json="{{ {total: $json.amount - $json.discount, customer: $json.customer} }}",
            ),
        ],
        "connections": [
            edge("start", "big"),
            edge("big", "kind", "true"),
            edge("big", "small", "false"),
            edge("kind", "reduced", "gold"),
            edge("kind", "plain", "fallback"),
            edge("reduced", "together", into="input1"),
            edge("plain", "together", into="input2"),
            edge("small", "together", into="input3"),
            edge("together", "post"),
        ],
    }

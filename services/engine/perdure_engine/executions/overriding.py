"""What a person or recovery changes about a node before it runs again. Pure.

`parameters` replace parameters by name: resolved ones in what a runner is sent, and written ones,
which may have expressions, of a node that the engine runs itself; `model` is short for the
parameter of that name,
`credentials` name another credential in the place of the node's own, by the parameter that names
it (`{"credential": "spare"}`). `input` is the data of items that the node takes
instead of those that arrived; they come from no other node, and have the `files` beside it.
Recovery's verdicts may also say `reduce` (the share of the input to keep), `reprompt` (what was
wrong with the answer), which the node's subtype does by itself, `compensate` (the attempt undoes
what the others did), and `avoid` (the runner that is not to have the attempt).
"""

from collections.abc import Sequence
from typing import Any, cast

from perdure_common.decider import Rejected
from perdure_contracts.message import Json
from perdure_contracts.undoing import COMPENSATE

from perdure_engine.definition import Node
from perdure_engine.definition.variants import variant
from perdure_engine.nodes.credential import CREDENTIAL, HANDLE
from perdure_engine.nodes.mending import Mending

from .files_of_items import with_files
from .given_files import files_fault

FOR_ATTEMPTS = ("parameters", "reduce", "reprompt", "avoid", COMPENSATE)
"""What can be changed for one more attempt of a run: its items stay."""

KEYS = ("parameters", "reduce", "reprompt", "avoid", "model", "credentials", "input", "files")
"""What can be changed for another run."""

WHAT = {
    "parameters": '({"name": value})',
    "reduce": "(a share from 0 to 1)",
    "reprompt": "(a list of texts)",
    "avoid": "(a text)",
    "model": "(a text)",
    "credentials": '({"credential": "the name of another one"})',
    "input": "(a list of data with one entry or more)",
    "files": "(those of the items of `input`, by their places and names)",
    COMPENSATE: "(true)",
}
"""What each of them must be, as it is told."""


def bad_overrides(overrides: Json, keys: tuple[str, ...] = KEYS) -> Rejected | None:
    """Return why overrides cannot be used, None if they can; `keys` are those that count."""
    if overrides is None:
        return None
    if _sound(overrides, keys):
        fault = None
        if "files" in overrides:
            fault = files_fault(overrides["files"], len(overrides.get("input", ())))
        return None if fault is None else Rejected(fault, "invalid_files")
    each = ", ".join(f"`{key}` {WHAT[key]}" for key in keys)
    return Rejected(
        f"overrides must be an object with some of: {each}; leave overrides out to change nothing",
        "invalid_overrides",
    )


def unfit_overrides(node: Node, overrides: Json) -> Rejected | None:
    """Return why overrides do not fit a node, None if they do."""
    if overrides is None:
        return None
    mending = node.specification.mending or Mending()
    ways = {"reduce": mending.reduce, "reprompt": mending.reprompt, COMPENSATE: mending.undo}
    for key, way in ways.items():
        if key in overrides and way is None:
            return Rejected(
                f"node {node.node_id!r} is {node.node_type} {node.node_subtype}, which cannot "
                f"{key}; leave `{key}` out of the overrides",
                "invalid_overrides",
            )
    if "model" in overrides and "model" not in node.specification.parameters_by_name:
        return Rejected(
            f"node {node.node_id!r} is {node.node_type} {node.node_subtype}, which has no model; "
            "leave `model` out of the overrides",
            "invalid_overrides",
        )
    # What the node has written in it would still be sent, so a credential is only replaced; that of
    # a trigger is nothing that an execution sends.
    sends = node.specification.place == "runner" and node.parameters.get(CREDENTIAL) is not None
    if "credentials" in overrides and not sends:
        return Rejected(
            f"node {node.node_id!r} sends no credential that another could take the place of; "
            "leave `credentials` out of the overrides, or name one in a new version",
            "invalid_overrides",
        )
    return None


def is_sent(node: Node) -> bool:
    """Tell whether a runner is sent the node's parameters, and they are changed in what is sent."""
    return node.specification.place == "runner" or node.run_in == "runner"


def unfit_parameters(node: Node, overrides: Json) -> Rejected | None:
    """Return why a node that the engine runs cannot have other parameters, None if it can."""
    if overrides is None or "parameters" not in overrides or is_sent(node):
        return None
    fault = variant(node, overrides["parameters"])
    if isinstance(fault, Node):
        return None
    return Rejected(
        f"node {node.node_id!r} ({node.node_type} {node.node_subtype}) cannot run with these "
        f"parameters: {fault}; change them, or rerun it with another version",
        "invalid_overrides",
    )


def with_parameters(node: Node, overrides: Json) -> Node:
    """Return a node that the engine runs, with the parameters of `overrides` if it has any."""
    if overrides is None or "parameters" not in overrides or is_sent(node):
        return node
    changed = variant(node, overrides["parameters"])
    return changed if isinstance(changed, Node) else node


def overridden(node: Node, parameters: Json, overrides: Json) -> Json:
    """Return resolved parameters with those of `overrides` in their places.

    Beside that the node's own subtype makes less of them, or asks differently.
    """
    if overrides is None:
        return parameters
    changed: Json = {**parameters, **overrides.get("parameters", {})}
    if "model" in overrides:
        changed["model"] = overrides["model"]
    handle = overrides.get("credentials", {}).get(CREDENTIAL)  # older ones have any object here
    if handle is not None:
        changed[CREDENTIAL] = handle
    mending = node.specification.mending or Mending()
    if mending.undo is not None and COMPENSATE in overrides:
        return mending.undo(parameters) or parameters
    if mending.reduce is not None and "reduce" in overrides:
        changed = dict(mending.reduce(changed, float(overrides["reduce"])))
    if mending.reprompt is not None and "reprompt" in overrides:
        changed = dict(mending.reprompt(changed, overrides["reprompt"]))
    return changed


def avoided(overrides: Json) -> str:
    """Return the runner that is not to have the attempt; empty where any may."""
    return "" if overrides is None else str(overrides.get("avoid", ""))


def given_items(overrides: Json) -> list[Any] | None:
    """Return the items that a node takes instead of those that arrived, None if there are none."""
    given: Sequence[Json] | None = None if overrides is None else overrides.get("input")
    if given is None:
        return None
    items: list[Any] = [
        {"json": each if isinstance(each, dict) else {"value": each}} for each in given
    ]
    return with_files(items, cast("dict[str, Any]", overrides).get("files"))


def _sound(overrides: Json, keys: tuple[str, ...]) -> bool:
    fields = cast("dict[str, Any]", overrides) if isinstance(overrides, dict) else {}
    if not fields or not set(fields) <= set(keys):
        return False
    given = fields.get("input", [{}])
    share = fields.get("reduce", 0.5)
    return (
        isinstance(share, float | int)
        and 0 < share < 1
        and isinstance(fields.get("reprompt", []), list)
        and isinstance(fields.get("avoid", ""), str)
        and fields.get(COMPENSATE, True) is True
        and isinstance(fields.get("parameters", {}), dict)
        and isinstance(fields.get("model", ""), str)
        and ("credentials" not in fields or _names_credential(fields["credentials"]))
        and isinstance(given, list)
        and bool(cast("list[Any]", given))
    )


def _names_credential(credentials: Json) -> bool:
    """Tell whether an override names one credential, and nothing else."""
    fields = cast("dict[str, Any]", credentials) if isinstance(credentials, dict) else {}
    handle = fields.get(CREDENTIAL)
    return len(fields) == 1 and isinstance(handle, str) and HANDLE.fullmatch(handle) is not None

"""Reading what files of n8n have, whatever that is: nothing here fails for what it is given."""

from typing import Any, cast

from perdure_contracts.message import Json

from .source import Source

NODES_MAX = 10_000

Row = dict[str, Any]


def workflow_in(document: Json) -> Row | None:
    """Return the workflow in a file; some have it one level down."""
    whole = mapping(document)
    for each in (whole, mapping(whole.get("workflow")), mapping(whole.get("data"))):
        nodes = each.get("nodes")
        if isinstance(nodes, list) and isinstance(each.get("connections"), dict):
            return each if len(cast("list[Any]", nodes)) <= NODES_MAX else None
    return None


def source_of(entry: Row) -> Source:
    """Return a node of a file, without what is attached to it."""
    version = entry.get("typeVersion")
    return Source(
        name=str(entry.get("name") or entry.get("id") or "node")[:200],
        kind=str(entry.get("type") or ""),
        version=float(version) if isinstance(version, int | float) else 1.0,
        parameters=mapping(entry.get("parameters")),
        credentials=mapping(entry.get("credentials")),
        entry=entry,
    )


def is_trigger(source: Source) -> bool:
    """Return whether a node starts workflows, by the name of its type."""
    short = source.kind.rpartition(".")[2].lower()
    return short.endswith("trigger") or short in ("webhook", "cron", "interval", "emailreadimap")


def whole(value: Any, default: int) -> int:
    """Return a number as a whole one, `default` where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return int(value) if abs(value) < 2**31 else default


def mapping(value: Any) -> Row:
    """Return an object; anything else counts as empty."""
    return cast("Row", value) if isinstance(value, dict) else {}


def lists(value: Any) -> list[Any]:
    """Return a list; anything else counts as empty."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def objects(value: Any) -> list[Row]:
    """Return the objects of a list; whatever else is in it is passed over."""
    return [cast("Row", each) for each in lists(value) if isinstance(each, dict)]

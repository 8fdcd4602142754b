"""What nodes make of all their items together: joined, compared, put in order, counted.

Each item that is made has the places of all input items that it comes from.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

from .words import ITEMS_MAX, Endless, Item

Origins: TypeAlias = tuple[int, ...]
"""The places of input items, the first one first."""

Placed: TypeAlias = list[tuple[Origins, Item]]
"""Items with the places of the input items that they come from."""

UNTOLD = ("error", "interaction")
"""Fields with texts, ids or instants, which the specification does not know."""


class Unfit(Exception):
    """The items cannot be taken together: all of them fail with an error of this type."""


def whole(
    subtype: str, given: Mapping[str, Any], sides: Mapping[int, Placed], connected: set[int]
) -> dict[str, Placed]:
    """Return what a node makes, by port, of what arrived on its inputs, by their numbers.

    `given` are the node's parameters, `connected` the inputs that have a connection.
    """
    items = [each for number in sorted(sides) for each in sides[number]]
    match subtype:
        case "MERGE":
            return {"main": _merged(given, sides, connected)}
        case "COMPARE":
            return _compared(given["keys"], sides.get(1, []), sides.get(2, []))
        case "SORT":
            for by in reversed(given["by"]):
                items = _sorted(items, by["field"], descending=by.get("order") == "desc")
            return {"main": items}
        case "LIMIT":
            count = given["count"]
            last = given.get("from") == "last" and count < len(items)
            return {"main": items[len(items) - count :] if last else items[:count]}
        case "DEDUPE":
            return {"main": _first_of_each(items, given.get("keys"))}
        case "AGGREGATE":
            name = given.get("field")
            values = [item if name is None else item.get(name) for _, item in items]
            return {"main": [(_all_of(items), {given.get("as") or name or "items": values})]}
        case _:
            return {"main": list(_summarized(given, items))}


WHOLE = ("MERGE", "COMPARE", "SORT", "LIMIT", "DEDUPE", "AGGREGATE", "SUMMARIZE")


def _merged(given: Mapping[str, Any], sides: Mapping[int, Placed], connected: set[int]) -> Placed:
    mode, on_missing = given.get("mode", "append"), given.get("on_missing", "proceed")
    if mode != "choose" and connected - set(sides) and on_missing != "proceed":
        if on_missing == "error":
            raise Unfit("missing_input")
        return []
    there = [sides[number] for number in sorted(sides)]
    match mode:
        case "choose":
            return there[0]
        case "position":
            longest = max(map(len, there))
            rows = [[side[at] for side in there if at < len(side)] for at in range(longest)]
            return [_one_of(row) for row in rows]
        case "cross":
            return [_one_of(row) for row in _few(product(*there))]
        case "fields":
            return _joined(given, sides.get(1, []), sides.get(2, []))
        case _:
            return [each for side in there for each in side]


def _joined(given: Mapping[str, Any], left: Placed, right: Placed) -> Placed:
    """Return the pairs with equal keys, and who stays alone where the join keeps those."""
    join = given.get("join", "inner")

    def match(one: Item, other: Item) -> bool:
        keys = [(one.get(key["left"]), other.get(key["right"])) for key in given["keys"]]
        return all(a is not None and a == b for a, b in keys)

    found: Placed = []
    for one in left:
        pairs = [_one_of((one, other)) for other in right if match(one[1], other[1])]
        if join != "anti":
            found.extend(pairs)
        if not pairs and join in ("left", "outer", "anti"):
            found.append(one)
    if join in ("right", "outer"):
        found.extend(e for e in right if not any(match(one[1], e[1]) for one in left))
    return list(_few(found))


def _one_of(row: Sequence[tuple[Origins, Item]]) -> tuple[Origins, Item]:
    """Return one item of several; the later ones win the fields that several have."""
    return _all_of(row), {name: value for _, item in row for name, value in item.items()}


def _all_of(items: Sequence[tuple[Origins, Item]]) -> Origins:
    return tuple(place for origins, _ in items for place in origins)


def _compared(keys: Sequence[str], left: Placed, right: Placed) -> dict[str, Placed]:
    """Return what belongs together, the first with the first, and what is alone."""
    ports: dict[str, Placed] = {"only_a": [], "both": [], "different": [], "only_b": []}
    alone = list(right)

    def match(one: Item, other: Item) -> bool:
        return all(one.get(key) is not None and one[key] == other.get(key) for key in keys)

    for place, one in left:
        found = next((each for each in alone if match(one, each[1])), None)
        if found is None:
            ports["only_a"].append((place, one))
            continue
        alone.remove(found)
        both, other = place + found[0], found[1]
        _told([one, other])
        names = [
            n for n in {**one, **other} if n not in one or n not in other or one[n] != other[n]
        ]
        if names:
            ports["different"].append((both, {"a": one, "b": other, "fields": names}))
        else:
            ports["both"].append((both, one))
    ports["only_b"] = alone
    return ports


def _sorted(items: Placed, name: str, *, descending: bool) -> Placed:
    there = [each for each in items if each[1].get(name) is not None]
    kinds: set[type[object]] = {type(item[name]) for _, item in there}
    if len(kinds) > 1 or kinds & {dict, list}:
        raise Unfit("mixed_types")
    rest = [each for each in items if each[1].get(name) is None]
    return sorted(there, key=lambda each: each[1][name], reverse=descending) + rest


def _first_of_each(items: Placed, keys: Sequence[str] | None) -> Placed:
    found: Placed = []
    seen: list[Any] = []
    if keys is None and len(items) > 1:
        _told([item for _, item in items])
    for place, item in items:
        value = item if keys is None else [item.get(key) for key in keys]
        if value not in seen:
            seen.append(value)
            found.append((place, item))
    return found


def _summarized(given: Mapping[str, Any], items: Placed) -> Iterator[tuple[Origins, Item]]:
    names: list[str] = given.get("group_by", [])
    groups: list[tuple[list[Any], Placed]] = []
    for each in items:
        key = [each[1].get(name) for name in names]
        known = next((group for group in groups if group[0] == key), None)
        if known is None:
            groups.append((key, [each]))
        else:
            known[1].append(each)
    for key, members in groups:
        made = dict(zip(names, key, strict=True))
        for measure in given["measures"]:
            values = [item.get(measure.get("field")) for _, item in members]
            there = [value for value in values if value is not None]
            made[measure["as"]] = _measured(measure, values, there)
        yield _all_of(members), made


def _measured(measure: Mapping[str, Any], values: list[Any], there: list[Any]) -> Any:
    match measure["function"]:
        case "count":
            return len(there) if "field" in measure else len(values)
        case "list":
            return values
        case "sum":
            return sum(there)
        case "max":
            return max(there, default=None)
        case _:
            return there[0] if there else None


def _told(items: Sequence[Item]) -> None:
    """Give up where items are compared that have fields which the specification does not know."""
    if any(name in item for item in items for name in UNTOLD):
        raise Endless


def _few(rows: Any) -> Iterator[Any]:
    """Return what is made, and give up where that is too much to be worth comparing."""
    for number, row in enumerate(rows):
        if number >= ITEMS_MAX:
            raise Endless
        yield row

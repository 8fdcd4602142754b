"""Requests as trigger events: what the listener says in a CloudEvent's extensions. Pure."""

from collections.abc import Iterable
from typing import Any, cast

import orjson
from perdure_contracts.message import Json

PLACES_MAX = 10_000
"""How many nodes an event may name."""


def nodes_text(nodes: Iterable[tuple[str, str]]) -> str:
    """Return (workflow, node)s as the extension `nodes` has them."""
    return orjson.dumps(list(nodes)).decode()


def nodes_in(text: str | None) -> tuple[tuple[str, str], ...] | None:
    """Return the (workflow, node)s of an extension, None if there is none.

    Raises:
        ValueError: It is none of ours.
    """
    if text is None:
        return None
    found: Any = orjson.loads(text)
    if not isinstance(found, list):
        raise ValueError("`nodes` is no list")
    listed = cast("list[Any]", found)
    if len(listed) > PLACES_MAX or not all(_is_pair(each) for each in listed):
        raise ValueError("`nodes` has something that is no pair of texts")
    return tuple((each[0], each[1]) for each in listed)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(cast("list[Any]", value)) == 2
        and all(isinstance(word, str) for word in cast("list[Any]", value))
    )


def versions_text(versions: Iterable[int]) -> str:
    """Return the versions that took a request as the extension `versions` has them."""
    return orjson.dumps(list(versions)).decode()


def versions_in(text: str | None) -> tuple[int, ...]:
    """Return the versions of an extension, one for each of `nodes`; none if there is none.

    Raises:
        ValueError: It is none of ours.
    """
    found: Any = [] if text is None else orjson.loads(text)
    if not isinstance(found, list):
        raise ValueError("`versions` is no list")
    listed = cast("list[Any]", found)
    if len(listed) > PLACES_MAX or not all(type(each) is int for each in listed):
        raise ValueError("`versions` has something that is no version")
    return tuple(listed)


def http_in(text: str | None) -> Json:
    """Return what the extension `http` says of a request, None if there is none.

    Raises:
        ValueError: It is none of ours.
    """
    if text is None:
        return None
    found: Any = orjson.loads(text)
    if not isinstance(found, dict):
        raise ValueError("`http` is no object")
    return cast("Json", found)

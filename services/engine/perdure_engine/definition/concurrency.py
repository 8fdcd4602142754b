"""`settings.concurrency` and `settings.priority`: how many run side by side, who comes first."""

from dataclasses import dataclass
from typing import Literal, cast

from perdure_contracts.admission import PRIORITIES, Policy

from perdure_engine.expressions import Compiled

from .parameters import compiled_at
from .reading import Reader

LIMIT_MAX = 100_000
QUEUE_TIMEOUT_S_MAX = 366 * 86_400.0
KEYS = ("key", "limit", "on_limit", "scope", "queue_timeout", "waiting_max")


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `limit` executions with the same key run at once, of the workflow or the tenant.

    One more waits (`queue_timeout_s` at most, and at most `waiting_max` of them), takes the place
    of the oldest one, or is refused.
    """

    key: Compiled
    limit: int = 1
    on_limit: Policy = "queue"
    scope: Literal["workflow", "tenant"] = "workflow"
    queue_timeout_s: float | None = None
    waiting_max: int | None = None


def read_concurrency(settings: Reader) -> Concurrency | None:
    """Return what the settings say of concurrency, None where they say nothing."""
    values = settings.mapping("concurrency")
    if values is None:
        return None
    reader = Reader(values, settings.below("concurrency"), settings.found)
    reader.known(KEYS)
    key = values.get("key")
    if key is None or key == "":
        reader.error(
            "missing_key",
            "key",
            "`key` is missing; give a text such as `all`, or an expression such as "
            "{{ $json.customer }}",
        )
        return None
    if not isinstance(key, str | int):
        reader.error("invalid_type", "key", "`key` must be a text, which may be an expression")
        return None
    most = None
    if values.get("waiting_max") is not None:
        most = reader.integer("waiting_max", 0, least=0)
    return Concurrency(
        key=compiled_at(reader, "key", key),
        limit=reader.integer("limit", 1, least=1, most=LIMIT_MAX),
        on_limit=cast(
            "Policy", reader.choice("on_limit", ("queue", "cancel_oldest", "reject"), "queue")
        ),
        scope=cast(
            'Literal["workflow", "tenant"]',
            reader.choice("scope", ("workflow", "tenant"), "workflow"),
        ),
        queue_timeout_s=reader.number("queue_timeout", None, least=0.001, most=QUEUE_TIMEOUT_S_MAX),
        waiting_max=most,
    )


def read_priority(settings: Reader) -> int:
    """Return the number of `settings.priority`; `normal` where it says nothing."""
    return PRIORITIES.index(settings.choice("priority", PRIORITIES, "normal"))

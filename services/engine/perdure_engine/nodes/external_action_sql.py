"""EXTERNAL_ACTION SQL: runs one statement on PostgreSQL for each item.

The answer is `{rows, count}`: the rows with their columns, or for a statement that gives none
how many it changed. `values` are bound to `$1`, `$2`, … by the server and never become part
of the statement, which can hold no expression. They are turned into the types that the
statement wants: texts into dates and numbers with a point, objects into json. Numerics are
given as texts (exact), dates as ISO 8601 or `infinity`, spans in seconds, bytes as base64, ranges
as texts such as `[2026-01-01,infinity)`, composite values as objects. More than 5 MB as JSON, or
10 MB as the server sends it, is `response_too_large`: nothing is written then.

`database` is a name that the operator has given an address (`PERDURE_SQL_DATABASES`), or a
credential has the address as `url`, such as `postgresql://user:password@host/database`. Each
statement is a transaction of its own with a time-out. `mode: read` is read only, so it may be
repeated. What `mode: write` does is never repeated by itself when it may have happened,
unless `idempotency_parameter` is set: then the idempotency key, the same in every attempt, is
bound as one more value at the end, for an `ON CONFLICT DO NOTHING` on a unique column. With
`verify`, a statement that finds what was written, it is asked first whether it has happened: if
that gives rows they are the answer, with `verified: true`.
"""

from perdure_contracts.engine import EffectClass

from .base import NodeSpecification, Parameter, Parameters
from .credential import credential, secret_faults
from .services import TIMEOUT_S, attempt_timeout_s, length

TIMEOUT_S_MAX = 600.0
"""The longest limit that a statement may be given."""

ROWS_MAX = 1_000
ROWS_MOST = 10_000
"""The most rows of an answer where the author sets none, and that may be set."""


def effect(parameters: Parameters) -> EffectClass:
    """Return what a repetition costs: reading nothing, writing with a key nothing either."""
    if parameters.get("mode", "read") == "read":
        return "pure"
    if parameters.get("idempotency_parameter") is True:
        return "keyed"
    return "verify_first" if parameters.get("verify") else "unsafe"


SPECIFICATION = NodeSpecification(
    node_type="EXTERNAL_ACTION",
    subtype="SQL",
    summary="Runs one statement on PostgreSQL for each item; the answer is `{rows, count}`.",
    place="runner",
    parameters=(
        Parameter("database", "text", "Its name in the operator's setting."),
        credential("`url`, instead of `database`"),
        Parameter("query", "text", "One statement, with $1, $2, … for values.", optional=False),
        Parameter("values", "list", "What $1, $2, … stand for.", expressions=True, most=100),
        Parameter(
            "mode",
            "text",
            "Whether it only reads.",
            default="read",
            choices=("read", "write"),
        ),
        Parameter(
            "idempotency_parameter",
            "boolean",
            "Whether the idempotency key is bound as one more value.",
            default=False,
        ),
        Parameter("verify", "text", "A statement that finds what was written, if it was."),
        Parameter(
            "verify_values", "list", "What $1, $2, … stand for there.", expressions=True, most=100
        ),
        Parameter(
            "rows_max",
            "integer",
            "The most rows; more are an error.",
            default=ROWS_MAX,
            least=1,
            most=ROWS_MOST,
        ),
        Parameter(
            "timeout_s",
            "number",
            "The limit of the statement, in seconds.",
            default=TIMEOUT_S,
            least=0.1,
            most=TIMEOUT_S_MAX,
        ),
    ),
    effect=effect,
    attempt_timeout_s=attempt_timeout_s,
    length=length,
    check=lambda parameters: secret_faults(parameters, "database"),
    example={
        "database": "shop",
        "query": "INSERT INTO notes (key, order_id, text) VALUES ($3, $1, $2) "
        "ON CONFLICT (key) DO NOTHING",
        "values": ["{{ $json.order_id }}", "{{ $json.text }}"],
        "mode": "write",
        "idempotency_parameter": True,
    },
    errors=(
        *("sql_failed", "database_not_known", "connect_failed", "connection_reset"),
        *("attempt_timeout", "too_many_items", "response_too_large", "invalid_parameters"),
        "output_invalid",
    ),
)

"""The answer to an attempt as a record for the engine's commands."""

from dataclasses import replace
from typing import Any, cast

from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_contracts.cloudevents import deeper
from perdure_contracts.engine import ErrorFacts, NodeResult
from perdure_contracts.message import NAMES

RESULTS = "perdure.engine.commands.v1"

UNFIT = (TypeError, ValueError, OverflowError, RecursionError)
"""What the encoder says of what is no JSON: half characters, and levels without end."""

NO_JSON = ErrorFacts(
    type="output_not_json",
    message="what came back cannot be passed on as JSON: it has half a character (a lone "
    "surrogate), or is nested without end",
    stage="run",
    effect_state="done",
)


def answer_of(result: NodeResult, tenant_id: str, runner: str, partitions: int) -> Outbound:
    """Return the record that brings a result to its execution.

    A result too large to be sent becomes a failure that says so, and so does each item that is no
    JSON: an attempt without an answer would be waited for until its deadline.
    """
    body = _body(result)
    if body is None:
        result = _without_unfit(result, runner)
        body = codec.encode_body(result)
    if len(body) > codec.MESSAGE_BYTES_MAX:
        result = _too_large(result, len(body), runner)
        body = codec.encode_body(result)
    key = result.execution_id.encode()
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{result.token}/{result.outcome}/{runner}".encode()),
        ("ce_source", b"/runner"),
        ("ce_type", NAMES[NodeResult].encode()),
        ("ce_subject", key),
        ("ce_tenantid", tenant_id.encode()),
        ("content-type", b"application/json"),
    )
    partition = partition_of(result.execution_id, partitions)
    return Outbound(RESULTS, partition, body, key, headers)


def _body(value: object) -> bytes | None:
    """Return a value as JSON that a message may have, None if it cannot be."""
    try:
        body = codec.encode_body(value)
    except UNFIT:
        return None
    return None if deeper(body, codec.MESSAGE_LEVELS_MAX) else body


def _is_json(value: object) -> bool:
    # An item stands some levels deep in its message.
    return _body([[[[value]]]]) is not None


def _without_unfit(result: NodeResult, runner: str) -> NodeResult:
    """Return a result whose items that are no JSON have failed; the others stay."""
    ports = cast("dict[str, Any]", result.ports) if isinstance(result.ports, dict) else {}
    main: Any = ports.get("main")
    items = cast("list[Any]", main) if isinstance(main, list) else []
    unfit = {place for place, item in enumerate(items) if not _is_json(item)}
    failed = [(place, error if _is_json(error) else NO_JSON) for place, error in result.failed]
    failed += [(place, NO_JSON) for place in unfit]
    made = replace(
        result,
        outcome="failed",
        ports={"main": [None if at in unfit else item for at, item in enumerate(items)]},
        failed=tuple(sorted(failed, key=lambda each: each[0])),
        error=NO_JSON,
        runner=runner,
    )
    return made if _body(made) is not None else replace(made, ports=None, failed=(), suspended=())


def _too_large(result: NodeResult, size: int, runner: str) -> NodeResult:
    error = ErrorFacts(
        type="response_too_large",
        message=f"the answer of the node has {size:,} bytes; "
        f"at most {codec.MESSAGE_BYTES_MAX:,} can be sent",
        stage="run",
        effect_state="done",
    )
    return NodeResult(
        execution_id=result.execution_id,
        token=result.token,
        outcome="failed",
        error=error,
        duration_ms=result.duration_ms,
        runner=runner,
    )

"""The answer to an attempt as a record for the engine's commands."""

from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_contracts.engine import ErrorFacts, NodeResult
from perdure_contracts.message import NAMES

RESULTS = "perdure.engine.commands.v1"


def answer_of(result: NodeResult, tenant_id: str, runner: str, partitions: int) -> Outbound:
    """Return the record that brings a result to its execution.

    A result too large to be sent becomes a failure that says so.
    """
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

"""Large tasks and answers of a runner: what does not go by messages goes by the payload store."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec
import structlog
from perdure_common.shell import codec
from perdure_common.shell.payloads import (
    HEADER,
    PAYLOAD_BYTES_MIN,
    Payload,
    PayloadStore,
    Refs,
    refs_in,
    sha256_of,
    whole,
)
from perdure_common.shell.ports import Headers, Unreachable
from perdure_contracts.engine import ErrorFacts, NodeResult, NodeTask

from perdure_engine.runner.answers import UNFIT

AGAIN_S = 0.5
"""How long to wait before the store is asked again; the attempt's deadline ends it."""

_encode = msgspec.json.Encoder().encode

log = structlog.get_logger(__name__)


def refs_of(headers: Headers) -> Refs:
    """Return what has left the task that came with these headers."""
    return refs_in(codec.header(headers, HEADER))


async def in_full(payloads: PayloadStore, tenant_id: str, task: NodeTask, refs: Refs) -> NodeTask:
    """Return a task with everything that had left it.

    Raises:
        MissingPayload: Something of it is gone.
    """
    if not refs:
        return task
    while True:
        try:
            texts = await payloads.get(tenant_id, {sha256 for _, sha256 in refs})
        except Unreachable as error:
            log.warning("payloads_unreachable", error=str(error))
            await asyncio.sleep(AGAIN_S)
        else:
            return whole(task, refs, texts)


def is_large(result: NodeResult) -> bool:
    """Return whether what a node gave is too large for a message."""
    return len(_written(result)) > PAYLOAD_BYTES_MIN


def _written(result: NodeResult) -> bytes:
    """Return what a node gave as JSON; nothing where it is none, which its answer will say."""
    try:
        return b"" if result.ports is None else _encode(result.ports)
    except UNFIT:
        return b""


def lightening(
    payloads: PayloadStore, most: int
) -> Callable[[NodeResult, str], Awaitable[NodeResult]]:
    """Return what makes an answer small enough for a message, for results of a tenant.

    What a node gave goes to the payload store; above `most` bytes the attempt has failed.
    """

    async def lighten(result: NodeResult, tenant_id: str) -> NodeResult:
        text = _written(result)
        if len(text) <= PAYLOAD_BYTES_MIN:
            return result
        if len(text) > most:
            return too_large(result, len(text), most)
        sha256 = sha256_of(text)
        payload = Payload(tenant_id, sha256, result.execution_id, text.decode())
        while True:
            try:
                await payloads.put([payload])
            except Unreachable as error:
                log.warning("payloads_unreachable", error=str(error))
                await asyncio.sleep(AGAIN_S)
            else:
                return replace(result, ports=None, payload=sha256)

    return lighten


def too_large(result: NodeResult, size: int, most: int) -> NodeResult:
    """Return the failure that an answer above the limit is."""
    error = ErrorFacts(
        type="response_too_large",
        message=f"what the node gave has {size:,} bytes, at most {most:,} are kept; ask for less, "
        "or raise PERDURE_RESULT_BYTES_MAX",
        stage="run",
        effect_state="done",
    )
    return NodeResult(
        execution_id=result.execution_id,
        token=result.token,
        outcome="failed",
        error=error,
        duration_ms=result.duration_ms,
        runner=result.runner,
    )


def gone(task: NodeTask, text: str, runner: str) -> NodeResult:
    """Return the failure of a task of which something is gone; nothing was done."""
    error = ErrorFacts(type="payload_missing", message=text, stage="run", effect_state="not_sent")
    return NodeResult(
        execution_id=task.execution_id,
        token=task.token,
        outcome="failed",
        error=error,
        runner=runner,
    )

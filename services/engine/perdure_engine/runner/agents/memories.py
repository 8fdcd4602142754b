"""The memories of an agent: read before its first turn, written after its last one.

The engine asks them, as it asks for all that a runner cannot wait for; the answers stand among the
sub-steps, so each is read once and written once, whatever dies. A memory that does not answer in
time is gone on without: an agent can work without it, and its answer is good.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from perdure_contracts.agent_asks import AgentAsk
from perdure_contracts.message import Json

from perdure_engine.nodes.memory_store import TIMEOUT_S

from .journal import Journal
from .waiting import Suspended

BEFORE = ("read", "search")
AFTER = ("read", "write")
"""Operations of an attached memory: `read` is read before and written after."""

CHARACTERS_MAX = 20_000
"""What a model is told of what is remembered."""


def recalled(journal: Journal, parameters: Mapping[str, Any], prompt: str) -> str:
    """Return what the memories say of a prompt, as a text for the model; empty if nothing.

    Raises:
        Suspended: They have not been asked yet.
    """
    asks: list[AgentAsk] = []
    told: list[str] = []
    for memory, given in _memories(parameters, BEFORE):
        asked = _asked(given, given["operation"], query=str(given.get("query") or prompt))
        request = journal.request_of("tool", ["memory", memory["node_id"], asked])
        answer = journal.answer(request)
        if answer is None:
            asks.append(_ask(request, memory, asked, given))
        elif answer["ok"] and answer["content"]:
            found: Any = answer["content"]
            for each in cast("list[Any]", found) if isinstance(found, list) else [found]:
                told.append(each if isinstance(each, str) else json.dumps(each, ensure_ascii=False))
    if asks:
        raise Suspended(asks)
    return "\n".join(told)[:CHARACTERS_MAX]


def kept(journal: Journal, parameters: Mapping[str, Any], prompt: str, output: Json) -> None:
    """Let the memories keep a turn: what the node says, or the prompt and the answer.

    Raises:
        Suspended: They have not been asked yet.
    """
    asks: list[AgentAsk] = []
    for memory, given in _memories(parameters, AFTER):
        content = given.get("content")
        if content is None:
            content = {"prompt": prompt, "output": output}
        asked = _asked(given, "write", content=content)
        request = journal.request_of("tool", ["memory", memory["node_id"], asked])
        if journal.answer(request) is None:
            asks.append(_ask(request, memory, asked, given))
    if asks:
        raise Suspended(asks)


def _memories(
    parameters: Mapping[str, Any], operations: tuple[str, ...]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    listed: Any = parameters.get("memories")
    for each in cast("list[dict[str, Any]]", listed) if isinstance(listed, list) else []:
        given = cast("dict[str, Any]", each["parameters"])
        if given.get("operation") in operations:
            yield each, given


def _asked(given: Mapping[str, Any], operation: str, **more: Any) -> dict[str, Any]:
    return {
        "operation": operation,
        "memory_type": given["memory_type"],
        "collection": str(given.get("collection") or ""),
        "user": str(given.get("user") or ""),
        "limit": int(given.get("limit") or 10),
        "budget_tokens": given.get("budget_tokens"),
        **more,
    }


def _ask(
    request: str, memory: Mapping[str, Any], asked: Mapping[str, Any], given: Mapping[str, Any]
) -> AgentAsk:
    return AgentAsk(
        kind="memory",
        request=request,
        node_id=str(memory["node_id"]),
        name=f"{asked['operation']} {asked['memory_type']}",
        given={**asked, "timeout_s": float(given.get("timeout_s") or TIMEOUT_S)},
    )

"""A local server of models: it answers from a script, in the shape of OpenAI or of Anthropic.

An answer is made for the shape that is asked in: by the path of the request. What was asked is
kept. A `hold` answers only when the test says so, so that a process can be killed meanwhile.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from answering_server import Asked, as_json, ok, parsed

Reply: TypeAlias = Callable[[Asked], Awaitable[bytes | None]]
"""Answers a request; None cuts the connection."""

USAGE = (10, 5)
"""Tokens of the input and of the output that every answer tells."""


def _shape(asked: Asked, text: str | None, calls: list[tuple[str, Any]], **more: Any) -> bytes:
    if asked.path.endswith("/messages"):
        return as_json(_anthropic(text, calls, **more))
    body = _openai(text, calls, **more)
    if asked.json.get("stream"):
        return ok(_streamed(body), "text/event-stream")
    return as_json(body)


def _openai(
    text: str | None,
    calls: list[tuple[str, Any]],
    finish: str = "",
    refusal: str | None = None,
    model: str = "local-1",
) -> dict[str, Any]:
    made = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for number, (name, given) in enumerate(calls)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": refusal}
    if made:
        message["tool_calls"] = made
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": finish or ("tool_calls" if made else "stop"),
            }
        ],
        "usage": {
            "prompt_tokens": USAGE[0],
            "completion_tokens": USAGE[1],
            "total_tokens": sum(USAGE),
        },
    }


def _streamed(body: dict[str, Any]) -> bytes:
    """Return an answer of text as the events that a stream brings it in."""
    message = body["choices"][0]["message"]
    head = {**body, "object": "chat.completion.chunk"}
    words = [f"{word} " for word in (message["content"] or "").split()]
    deltas: list[dict[str, Any]] = [{"role": "assistant"}, *({"content": w} for w in words)]
    chunks = [
        {**head, "usage": None, "choices": [{"index": 0, "delta": d, "finish_reason": None}]}
        for d in deltas
    ]
    chunks.append(
        {**head, "usage": None, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    )
    chunks.append({**head, "choices": []})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def _anthropic(
    text: str | None,
    calls: list[tuple[str, Any]],
    finish: str = "",
    refusal: str | None = None,
    model: str = "local-1",
) -> dict[str, Any]:
    content: list[dict[str, Any]] = [] if text is None else [{"type": "text", "text": text}]
    content += [
        {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}
        for number, (name, given) in enumerate(calls)
    ]
    stop = "refusal" if refusal else finish or ("tool_use" if calls else "end_turn")
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": USAGE[0], "output_tokens": USAGE[1]},
    }


def says(text: str, **more: Any) -> Reply:
    """Answer with text."""

    async def reply(asked: Asked) -> bytes:
        return _shape(asked, text, [], **more)

    return reply


def asks_for(*calls: tuple[str, Any]) -> Reply:
    """Ask for calls of tools."""

    async def reply(asked: Asked) -> bytes:
        return _shape(asked, None, list(calls))

    return reply


def finishes(value: Any) -> Reply:
    """Give the final answer by its tool."""
    return asks_for(("final_answer", value))


def refuses(text: str) -> Reply:
    """Refuse to answer."""

    async def reply(asked: Asked) -> bytes:
        return _shape(asked, None, [], refusal=text)

    return reply


def fails(status: int, code: str, message: str, more: str = "", kind: str = "") -> Reply:
    """Answer with an error of the API."""

    async def reply(asked: Asked) -> bytes:
        error = {"code": code, "message": message, "type": kind or code, "param": None}
        body: dict[str, Any] = {"error": error}
        if asked.path.endswith("/messages"):
            body = {"type": "error", "error": {"type": code, "message": message}}
        return as_json(body, f"{status} Error", more)

    return reply


def garbles(body: bytes = b'{"id": "chat-1", "choices": [{"mess') -> Reply:
    """Answer with something that is no JSON."""

    async def reply(asked: Asked) -> bytes:
        del asked
        return ok(body)

    return reply


def cuts() -> Reply:
    """Cut the connection without an answer."""

    async def reply(asked: Asked) -> None:
        del asked

    return reply


def hold(until: asyncio.Event, then: Reply) -> Reply:
    """Answer when the test says so."""

    async def reply(asked: Asked) -> bytes | None:
        await until.wait()
        return await then(asked)

    return reply


@dataclass
class Models:
    """The server: `script` is answered in order, and `asked` has every request.

    `choose` answers instead where it is set: for tests in which the order is not theirs.
    """

    script: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    choose: Reply | None = None
    port: int = 0

    @property
    def url(self) -> str:
        """The base address for an agent that speaks OpenAI's way."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next((int(x.split(b":")[1]) for x in lines if x.startswith(b"content-len")), 0)
            asked = parsed(head + await reader.readexactly(length))
            self.asked.append(asked)
            reply = self.choose or (self.script.pop(0) if self.script else None)
            assert reply is not None, "the script is at its end, and a model is asked again"
            answer = await reply(asked)
            if answer is not None:
                writer.write(answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked is gone
        finally:
            writer.close()


@asynccontextmanager
async def model_server() -> AsyncGenerator[Models]:
    """Serve on a free port for as long as the block lasts."""
    made = Models()
    listening = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        await listening.wait_closed()

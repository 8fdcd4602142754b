"""The parent of code: one child for the items of a task, watched, and killed at its limits.

A child that is killed has failed the one item that it worked on; the next items get a new child.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from perdure_contracts.cloudevents import CloudEventError, parse_json
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.nodes.action_code import MEMORY_MB, TIMEOUT_S
from perdure_engine.runner.exchange import BODY_BYTES_MAX
from perdure_engine.runner.failures import Failed

HERE = Path(__file__).parent
CHILDREN: Mapping[str, tuple[str, ...]] = {
    "python": ("-I", "-S", str(HERE / "child_python.py")),
    "javascript": ("-I", str(HERE / "child_javascript.py")),
}
"""How the child of each language is started."""

AT_ONCE = max(1, (os.cpu_count() or 1))
"""Children of one runner at a time: code computes, and others wait for the processor."""

START_S = 30.0
"""What a child may take until it has said that it is there, on a machine that is busy."""

ROOTS = ("builtins.object", "builtins.BaseException")
"""Bases that say nothing of a class."""

WATCH_S = 0.05
OWN_MB: Mapping[str, int] = {"python": 64, "javascript": 160}
"""What a child has by itself, beside the memory that its code may use."""

_gate: asyncio.Semaphore | None = None


def _place() -> asyncio.Semaphore:
    global _gate
    if _gate is None:
        _gate = asyncio.Semaphore(AT_ONCE)
    return _gate


async def run(
    allowed: Sequence[str], parameters: Mapping[str, Any], items: Sequence[Json]
) -> list[Json | Failed]:
    """Run code on each item; return what it made of each, or why it made nothing."""
    language = str(parameters.get("language"))
    if language not in allowed:
        text = (
            f"code in {language} is not allowed here; the operator allows it with "
            f"PERDURE_CODE={language}"
        )
        return [Failed(ErrorFacts(type="code_not_allowed", message=text, stage="run"))] * len(items)
    async with _place():
        return await _all(language, parameters, items)


async def _all(
    language: str, parameters: Mapping[str, Any], items: Sequence[Json]
) -> list[Json | Failed]:
    made: list[Json | Failed] = []
    child: Child | None = None
    try:
        for item in items:
            if child is None:
                child = await Child.begin(language, parameters)
            outcome = await child.one(item)
            made.append(outcome)
            if child.ended:
                await child.end()
                child = None
    finally:
        if child is not None:
            await child.end()
    return made


async def _started(language: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *CHILDREN[language],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": "", "LANG": "C.UTF-8"},
        cwd="/",
        limit=8 * BODY_BYTES_MAX,
        start_new_session=True,
    )


class Child:
    """A process that runs code. Once `ended` it can do no more."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        language: str,
        timeout_s: float,
        memory_mb: int,
    ) -> None:
        self._process = process
        self._language = language
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._ate = False
        self.ended = False

    @classmethod
    async def begin(cls, language: str, parameters: Mapping[str, Any]) -> "Child":
        """Start a child and tell it the code; nothing of our environment goes with it."""
        timeout_s = float(parameters.get("timeout_s") or TIMEOUT_S)
        memory_mb = int(parameters.get("memory_mb") or MEMORY_MB)
        starting = asyncio.create_task(_started(language))
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await cls(await starting, language, timeout_s, memory_mb).end()
            raise
        child = cls(process, language, timeout_s, memory_mb)
        first = {
            "code": parameters.get("code"),
            "cpu_s": int(timeout_s * 100) + 60,
            "memory_mb": memory_mb,
            "timeout_s": timeout_s,
        }
        try:
            await child._send(first)
            await child._line(START_S)
        except BaseException:
            await child.end()
            raise
        return child

    async def _send(self, value: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # its end is seen where its answer is missing
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            await self._process.stdin.drain()

    async def _line(self, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        async with asyncio.timeout(limit_s):
            return await self._process.stdout.readline()

    async def one(self, item: Json) -> Json | Failed:
        """Return what the code makes of an item."""
        await self._send(item)
        watching = asyncio.create_task(self._watch())
        try:
            line = await self._line(self._timeout_s + (1.0 if self._language != "python" else 0.0))
        except TimeoutError:
            self.ended = True
            return self._timed_out()
        except ValueError:  # the line is longer than any answer may be
            self.ended = True
            return _too_large()
        finally:
            watching.cancel()
        if self._ate:
            self.ended = True
            return self._out_of_memory()
        if not line:
            self.ended = True
            return await self._died()
        try:
            answer: Any = parse_json(line, "what the code returns")
        except CloudEventError as error:
            return _failure("code_output", str(error))
        if "error" in answer:
            return self._failed(answer["error"])
        if len(line) > BODY_BYTES_MAX:
            return _too_large()
        return answer["ok"]

    async def _watch(self) -> None:
        """Kill the child when it has more memory than it may."""
        most = (self._memory_mb + OWN_MB[self._language]) * 1024 * 1024
        try:
            process = psutil.Process(self._process.pid)
            while True:
                if process.memory_info().rss > most:
                    self._ate = True
                    self._kill()
                    return
                await asyncio.sleep(WATCH_S)
        except psutil.Error:
            return

    def _failed(self, error: Mapping[str, Any]) -> Failed:
        kind = str(error["type"])
        if kind == "code_timeout":
            return self._timed_out()
        if kind == "code_memory":
            self.ended = True
            return self._out_of_memory()
        line = error.get("line")
        where = f" in line {line}" if line else ""
        failure = _failure(kind, f"the code failed{where}: {error['message']}")
        frames = tuple(("code", str(name)) for name in error.get("frames") or () if name != "run")
        classes = tuple(map(str, error.get("classes") or ()))
        kept = tuple(each for each in classes if each not in ROOTS)
        return Failed(replace(failure.error, classes=kept, frames=frames))

    def _timed_out(self) -> Failed:
        text = f"the code did not end within {self._timeout_s:g} s; raise `timeout_s`, or do less"
        return _failure("code_timeout", text)

    def _out_of_memory(self) -> Failed:
        text = f"the code needs more than {self._memory_mb} MB; raise `memory_mb`, or keep less"
        return _failure("code_memory", text)

    async def _died(self) -> Failed:
        code = await self._process.wait()
        if code == -signal.SIGXCPU:
            return self._timed_out()
        text = f"the process that ran the code ended by itself (exit code {code})"
        return _failure("code_crashed", text)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """End the child, whatever it does."""
        self._kill()
        await self._process.wait()


def _failure(kind: str, message: str) -> Failed:
    return Failed(ErrorFacts(type=kind, message=message[:1_000], stage="run"))


def _too_large() -> Failed:
    text = f"what the code returns has more than {BODY_BYTES_MAX:,} bytes; return less"
    return _failure("response_too_large", text)

"""One request about many streams: each is sent a command of its own, and takes or refuses it.

What came of each is told. A dry run tells what would be sent, and sends nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import msgspec
from fastapi import Request

from perdure_common.api.asking import KEY_HEADER, Asking
from perdure_common.api.problem import Problem
from perdure_common.ids import derived

MOST = 1_000
"""Streams that one request may be about; those that are left match the next one."""

AT_ONCE = 32
"""Commands whose answers are waited for at the same time."""

Text = Annotated[str, msgspec.Meta(max_length=1_000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
Row: TypeAlias = Mapping[str, Any]


class Came(msgspec.Struct, kw_only=True):
    """What came of one; `code` and `detail` say why it refused."""

    sent: bool
    accepted: bool
    code: str = ""
    detail: str = ""


class Done(msgspec.Struct, kw_only=True):
    """What came of all of them; `more` says that others match as well."""

    dry_run: bool
    matched: int
    accepted: int
    more: bool


@dataclass(frozen=True)
class Many:
    """A request about many: `what` it does, and `command`, what is sent to which stream.

    `shown` are the columns of a row that are told beside what came of it.
    """

    asking: Asking
    request: Request
    what: str
    shown: Sequence[str]
    command: Callable[[Row], tuple[str, object]]
    dry_run: bool

    async def send(self, rows: Sequence[Row], limit: int, name: str) -> dict[str, Any]:
        """Send to all `rows` but those above `limit`; return a `Done`, with each under `name`."""
        taken = rows[:limit]
        found: list[dict[str, Any]] = []
        for first in range(0, len(taken), AT_ONCE):
            part = taken[first : first + AT_ONCE]
            found += await asyncio.gather(*(self._one(row) for row in part))
        return {
            "dry_run": self.dry_run,
            "matched": len(taken),
            "accepted": sum(each["accepted"] for each in found),
            "more": len(rows) > limit,
            name: found,
        }

    async def _one(self, row: Row) -> dict[str, Any]:
        came = {name: row[name] for name in self.shown}
        came |= {"sent": not self.dry_run, "accepted": False, "code": "", "detail": ""}
        if self.dry_run:
            return came
        stream, message = self.command(row)
        key = self.request.headers.get(KEY_HEADER)
        id = None if key is None else derived(self.what, key, stream)
        try:
            asked = await self.asking.ask(self.request, stream, message, id=id)
        except Problem as problem:
            return {**came, "code": problem.code, "detail": problem.detail}
        done = asked.answer is not None
        return {**came, "accepted": done, "code": "" if done else "late"}

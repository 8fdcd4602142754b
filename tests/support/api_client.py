"""A client of the engine's HTTP API as somebody outside would write it, for the tests."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx


class ApiProblem(Exception):
    """A problem that the API answered with."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.body: dict[str, Any] = response.json()
        self.code = str(self.body["code"])
        assert response.headers["content-type"] == "application/problem+json"
        super().__init__(f"{self.status} {self.code}: {self.body['detail']}")


@dataclass(frozen=True)
class Told:
    """A server-sent event."""

    id: int
    type: str
    data: dict[str, Any]


class Api:
    """Talks to one engine; an async context manager."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=30.0, trust_env=False)

    async def __aenter__(self) -> "Api":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **parameters: Any) -> Any:
        """Return what a path answers."""
        return self._told(await self._http.get(path, params=parameters))

    async def send(
        self, method: str, path: str, body: Any = None, *, key: str = "", raw: bytes | None = None
    ) -> Any:
        """Send a body and return the answer."""
        headers = {"idempotency-key": key} if key else {}
        content = json.dumps(body or {}).encode() if raw is None else raw
        return self._told(await self._http.request(method, path, content=content, headers=headers))

    async def post(self, path: str, body: Any = None, *, key: str = "") -> Any:
        """Send a body by POST and return the answer."""
        return await self.send("POST", path, body, key=key)

    async def pages(self, path: str, **parameters: Any) -> list[Any]:
        """Return all rows of a list, page by page."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            more = {"cursor": cursor} if cursor is not None else {}
            page = await self.get(path, **parameters, **more)
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                return found

    async def events(self, execution_id: str, after: int = 0) -> AsyncIterator[Told]:
        """Give an execution's events as they come, until the server ends the stream."""
        path = f"/v1/workflow_executions/{execution_id}/events"
        headers = {"last-event-id": str(after)} if after else {}
        async with self._http.stream("GET", path, headers=headers) as response:
            if response.status_code == 204:
                return
            if response.is_error:
                await response.aread()
                raise ApiProblem(response)
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if not line and "data" in fields:
                    data = json.loads(fields["data"])
                    yield Told(int(fields["id"]), fields["event"], data)
                    fields = {}
                elif name in ("id", "event", "data"):
                    fields[name] = value

    def _told(self, response: httpx.Response) -> Any:
        if response.is_error:
            raise ApiProblem(response)
        return response.json()

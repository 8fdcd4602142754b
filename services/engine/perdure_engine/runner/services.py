"""Calls to the APIs of single services: bearer token, JSON in and out, typed refusals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx
from perdure_common.outbound import AllowList
from perdure_contracts.engine import EffectState, ErrorFacts

from perdure_engine.nodes.services import TIMEOUT_S
from perdure_engine.runner.exchange import RATE_CODES, Answer, Call, exchange
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.tools import Tools


@dataclass(frozen=True)
class Service:
    """One service's API: where it is, what is sent with each call, whose token is used."""

    client: httpx.AsyncClient
    allowed: AllowList
    url: str
    parameters: Mapping[str, Any]
    headers: Mapping[str, str]

    async def call(
        self, method: str, path: str, body: Any = None, query: tuple[tuple[str, str], ...] = ()
    ) -> tuple[Answer, dict[str, Any]] | Failed:
        """Return the answer and its JSON object (empty where there is none), or a failure."""
        answer = await self._exchanged(method, path, body, query)
        if isinstance(answer, Failed):
            return answer
        if not answer.raw:
            return answer, {}
        made = answer.json()
        if isinstance(made, Failed):
            return made
        if not isinstance(made, dict):
            return refused(answer, "output_invalid", "the answer is no JSON object", "done")
        return answer, cast("dict[str, Any]", made)

    async def listed(
        self, path: str, query: tuple[tuple[str, str], ...]
    ) -> list[dict[str, Any]] | Failed:
        """Return a JSON list of objects that the API gives, or a failure."""
        answer = await self._exchanged("GET", path, None, query)
        if isinstance(answer, Failed):
            return answer
        made = answer.json()
        if isinstance(made, Failed):
            return made
        if not isinstance(made, list):
            return refused(answer, "output_invalid", "the answer is no JSON list", "done")
        return [each for each in cast("list[Any]", made) if isinstance(each, dict)]

    async def _exchanged(
        self, method: str, path: str, body: Any, query: tuple[tuple[str, str], ...]
    ) -> Answer | Failed:
        headers = {**self.headers, "Authorization": f"Bearer {self.parameters.get('token')}"}
        return await exchange(
            self.client,
            self.allowed,
            Call(
                method=method,
                url=f"{self.url}{path}",
                headers=headers,
                query=query,
                body={} if body is None else {"json": body},
                timeout_s=float(self.parameters.get("timeout_s") or TIMEOUT_S),
            ),
        )


def service_at(
    tools: Tools, url: str, parameters: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Service:
    """Return the API at an address, called with the token in the parameters."""
    return Service(tools.http.next(), tools.allowed, url, parameters, headers or {})


def refused(
    answer: Answer,
    code: str,
    text: str,
    effect_state: EffectState = "refused",
    codes: tuple[str, ...] = (),
) -> Failed:
    """Return the failure that an answer tells of though its status is one of success."""
    return Failed(
        ErrorFacts(
            type=code,
            message=text,
            retryable=not RATE_CODES.isdisjoint(codes) or effect_state == "unknown",
            codes=codes,
            stage="run",
            dependency=answer.dependency,
            effect_state=effect_state,
        )
    )


def invalid(text: str) -> Failed:
    """Return the failure of a call that cannot be made from these parameters."""
    return Failed(ErrorFacts(type="invalid_parameters", message=text, stage="run"))


def given(parameters: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the parameters of these names that are there."""
    return {name: parameters[name] for name in names if parameters.get(name) is not None}

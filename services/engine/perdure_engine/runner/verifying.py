"""Looking, before an effect is repeated, whether it has happened.

A task whose effect is `verify_first` and that may have been tried `again` is looked into before it
is done: the other side is asked. What has happened is answered as if it had been done now, with
`verified`. Where nobody can tell, nothing is done, and the failure says so.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from perdure_contracts.engine import ErrorFacts

from perdure_engine.nodes.fields import field
from perdure_engine.nodes.mending import UNDOES
from perdure_engine.nodes.requests_beside import look
from perdure_engine.runner import github, sql
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.files import Made
from perdure_engine.runner.http_request import request
from perdure_engine.runner.services import service_at
from perdure_engine.runner.tools import Tools

NOTHING_THERE = (404, 410)
"""Statuses by which a server says that what was looked for is not there."""

Verify: TypeAlias = Callable[
    [Tools, Mapping[str, Any], str, str], Awaitable[dict[str, Any] | Failed | None]
]
"""Looks: (tools, an item's resolved parameters, its idempotency key, since when it may have
happened) to its answer, None if it has not happened, or the failure that nobody can tell."""


async def happened(
    tools: Tools, kind: tuple[str, str], parameters: Mapping[str, Any], key: str, since: str
) -> dict[str, Any] | Failed | None:
    """Return what an effect made, None if it has not happened, or why nobody knows."""
    verify = VERIFIERS.get(kind)
    if UNDOES in parameters:
        return None
    if verify is None:
        return unknown(f"a {kind[1]} cannot be looked for; start the newer version of the runner")
    found = await verify(tools, parameters, key, since)
    if isinstance(found, Failed):
        return Failed(in_doubt(found.error))
    return None if found is None else {**found, "verified": True}


def unknown(why: str) -> Failed:
    """Return the failure that nobody knows whether an effect has happened."""
    return Failed(ErrorFacts(type="effect_unknown", message=why, effect_state="unknown"))


def in_doubt(error: ErrorFacts) -> ErrorFacts:
    """Return a failure to look: the effect is where it was, and that is not known."""
    text = f"it is not known whether the effect has happened, and to look failed: {error.message}"
    return replace(error, message=text, effect_state="unknown", stage="verify")


async def _http_request(
    tools: Tools, parameters: Mapping[str, Any], key: str, since: str
) -> dict[str, Any] | Failed | None:
    del since  # the author says where to look
    asking = look(parameters)
    if asking is None:
        return unknown("`verify` gave no request to look with")
    answer = await request(tools.http.next(), tools.allowed, asking, key)
    if isinstance(answer, Made):
        return answer.json
    if isinstance(answer, Failed):
        return None if answer.error.status_code in NOTHING_THERE else answer
    found = asking.get("found")
    return answer if not found or field(answer["body"], str(found)) else None


async def _github(
    tools: Tools, parameters: Mapping[str, Any], key: str, since: str
) -> dict[str, Any] | Failed | None:
    service = service_at(tools, tools.github_url, parameters, github.HEADERS)
    return await github.made_before(service, key, since)


async def _sql(
    tools: Tools, parameters: Mapping[str, Any], key: str, since: str
) -> dict[str, Any] | Failed | None:
    del since  # the author's statement says what to look for
    asking: dict[str, Any] = {
        **parameters,
        "mode": "read",
        "query": parameters.get("verify"),
        "values": parameters.get("verify_values") or [],
        "idempotency_parameter": False,
    }
    answer = await sql.query(tools.databases, asking, key)
    return answer if isinstance(answer, Failed) or answer["count"] else None


VERIFIERS: Mapping[tuple[str, str], Verify] = {
    ("EXTERNAL_ACTION", "HTTP_REQUEST"): _http_request,
    ("EXTERNAL_ACTION", "GITHUB"): _github,
    ("EXTERNAL_ACTION", "SQL"): _sql,
}

"""Renewing credentials: OAuth 2 refresh tokens (RFC 6749, section 6), at the moment of use.

A credential with `refresh_token`, `token_url` and `client_id` (and a `client_secret`, if there is
one) is renewed when its `expires_at` has come, and when a server refuses its token with 401. Then
the call fails all the same, and recovery has it made once more with what the credential has by
then. Those who need a credential at the same time share one renewal, in all processes: the store
lets in one after the other, and who comes later finds the token renewed. A refresh token that the
issuer replaces is kept before anything else is done.
"""

import base64
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast
from urllib.parse import quote

from perdure_common.credentials import CredentialError
from perdure_common.shell.ports import Unreachable
from perdure_contracts.engine import ErrorFacts

from perdure_engine.runner.exchange import Call, exchange
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.secrets import closed, hidden
from perdure_engine.runner.tools import Tools

NEEDED: Final = ("token", "refresh_token", "token_url", "client_id")
EARLY_S: Final = 30.0
"""How long before it expires a token is renewed: the call takes a while, and clocks differ."""

TIMEOUT_S: Final = 20.0
UNAUTHORIZED: Final = 401


class Refused(Exception):
    """The issuer gave no token; what is told of it has no secret."""

    def __init__(self, error: ErrorFacts) -> None:
        super().__init__(error.message)
        self.error = error


def renewable(fields: Mapping[str, str]) -> bool:
    """Tell whether a credential has what it takes to be renewed."""
    return all(fields.get(name) for name in NEEDED)


def expired(fields: Mapping[str, str]) -> bool:
    """Tell whether the token of a credential is about to expire, as far as it says when."""
    try:
        return time.time() + EARLY_S >= float(fields.get("expires_at", ""))
    except ValueError:
        return False


async def renewed(
    tools: Tools, tenant_id: str, handle: str, fields: Mapping[str, str]
) -> Mapping[str, str] | Failed:
    """Return what a credential has once the token in `fields` is renewed, by us or by others."""

    async def ask(current: Mapping[str, str]) -> Mapping[str, str]:
        return await _ask(tools, current)

    try:
        return await tools.credentials.renew(tenant_id, handle, fields["token"], ask)
    except Refused as refused:
        return Failed(refused.error)
    except (CredentialError, Unreachable) as error:
        return closed(error, "renewed")


async def fresh(
    tools: Tools, tenant_id: str, handle: str, fields: Mapping[str, str]
) -> Mapping[str, str] | Failed:
    """Return what a credential has, renewed where its token is about to expire."""
    if renewable(fields) and expired(fields):
        return await renewed(tools, tenant_id, handle, fields)
    return fields


async def after_refusal(
    tools: Tools, tenant_id: str, handle: str, fields: Mapping[str, str], answer: Any
) -> Any:
    """Renew a credential whose token was refused, if it can be.

    Returns the answer, which says why it was not.
    """
    if not isinstance(answer, Failed) or answer.error.status_code != UNAUTHORIZED:
        return answer
    if not renewable(fields):
        return answer
    made = await renewed(tools, tenant_id, handle, fields)
    if not isinstance(made, Failed):
        return hidden(answer, made)
    text = f"{answer.error.message}; the credential was not renewed: {made.error.message}"
    return Failed(replace(answer.error, message=text))


async def _ask(tools: Tools, fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return the fields with the token that the issuer gives for the refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": fields["refresh_token"]}
    headers = {"Accept": "application/json"}
    secret = fields.get("client_secret")
    if secret:  # RFC 6749, 2.3.1
        pair = f"{quote(fields['client_id'], safe='')}:{quote(secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form["client_id"] = fields["client_id"]
    if fields.get("scope"):
        form["scope"] = fields["scope"]
    call = Call(
        method="POST", url=fields["token_url"], headers=headers, body={"data": form},
        timeout_s=TIMEOUT_S,
    )  # fmt: skip
    answer = await exchange(tools.http.next(), tools.allowed, call)
    body = answer if isinstance(answer, Failed) else answer.json()
    if isinstance(body, Failed):
        told: Failed = hidden(body, fields)
        raise Refused(replace(told.error, stage="credential"))
    given = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    token = given.get("access_token")
    if not isinstance(token, str) or not token:
        text = "the issuer's answer has no access_token"
        raise Refused(ErrorFacts(type="output_invalid", message=text, stage="credential"))
    return {**fields, "token": token, **_rotated(given), **_until(given)}


def _rotated(given: Mapping[str, Any]) -> dict[str, str]:
    again = given.get("refresh_token")
    return {"refresh_token": again} if isinstance(again, str) and again else {}


def _until(given: Mapping[str, Any]) -> dict[str, str]:
    """Return when the token expires, in seconds since 1970; unknown is told as never."""
    seconds = given.get("expires_in")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return {"expires_at": ""}
    return {"expires_at": f"{time.time() + seconds:.0f}"}

"""Credentials at the moment of use: opened in the runner, for one call, and told to nobody.

What comes back from the other side may repeat a secret, in an answer or an error: every text is
searched for it before it goes into a result.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from perdure_common.credentials import Ask, CredentialError, Credentials
from perdure_common.shell.ports import Unreachable
from perdure_contracts.engine import ErrorFacts

from perdure_engine.runner.failures import Failed

SECRET_LENGTH_MIN = 6
"""Shorter texts are not looked for: they stand in everything."""

PLAIN = frozenset(
    {"username", "name", "host", "port", "token_url", "client_id", "scope", "expires_at"}
)
"""Fields that are no secrets by themselves."""


class NoCredentials:
    """The store of a process that has none, such as the engine's own: tasks with handles go on."""

    async def fields_of(self, tenant_id: str, handle: str) -> Mapping[str, str]:
        """See `Credentials.fields_of`."""
        raise CredentialError(
            "credentials_off", f"credential {handle!r} cannot be opened in this process"
        )

    async def renew(self, tenant_id: str, handle: str, refused: str, ask: Ask) -> Mapping[str, str]:
        """See `Credentials.renew`."""
        return await self.fields_of(tenant_id, handle)


async def opened(
    store: Credentials, tenant_id: str, parameters: Mapping[str, Any]
) -> Mapping[str, str] | Failed:
    """Return what the credential has that `parameters` name; empty where they name none."""
    handle = parameters.get("credential")
    if handle is None:
        return {}
    try:
        return await store.fields_of(tenant_id, str(handle))
    except (CredentialError, Unreachable) as error:
        return closed(error, "read")


def closed(error: CredentialError | Unreachable, what: str) -> Failed:
    """Return the failure that a credential cannot be read or renewed (`what`)."""
    if isinstance(error, CredentialError):
        return Failed(ErrorFacts(type=error.code, message=str(error), stage="credential"))
    return Failed(
        ErrorFacts(
            type="dependency_down",
            message=f"the credential cannot be {what}: {error}",
            retryable=True,
            stage="credential",
            dependency="credentials",
        )
    )


def lacking(handle: object, fields: Mapping[str, str], *names: str) -> Failed | None:
    """Return the failure of a credential that does not have what it is used for."""
    missing = [name for name in names if not fields.get(name)]
    if not missing:
        return None
    text = (
        f"credential {handle!r} has no `{missing[0]}`; set it again with "
        f"`perdure credentials set {handle} {' '.join(names)}`"
    )
    return Failed(ErrorFacts(type="credential_incomplete", message=text, stage="credential"))


def hidden(value: Any, fields: Mapping[str, str]) -> Any:
    """Return a value, or a failure, with no secret of a credential in any of its texts."""
    secrets = sorted(_forms(fields), key=len, reverse=True)
    if not secrets:
        return value
    if isinstance(value, Failed):
        error = value.error
        return Failed(
            replace(
                error,
                message=_without(error.message, secrets),
                codes=tuple(_without(code, secrets) for code in error.codes),
                detail=_hidden(error.detail, secrets),
            )
        )
    return _hidden(value, secrets)


def _forms(fields: Mapping[str, str]) -> Iterable[str]:
    """Yield the texts that tell a secret: itself, and in the header of basic authentication."""
    for name, value in fields.items():
        if name not in PLAIN and len(value) >= SECRET_LENGTH_MIN:
            yield value
        password = urlsplit(value).password if "://" in value and "@" in value else None
        if password and len(password) >= SECRET_LENGTH_MIN:
            yield password
            yield unquote(password)
    if fields.get("username") and fields.get("password"):
        yield base64.b64encode(f"{fields['username']}:{fields['password']}".encode()).decode()


def _without(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, "[credential]")
    return text


def _hidden(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        return _without(value, secrets)
    if isinstance(value, list):
        return [_hidden(each, secrets) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {_without(key, secrets): _hidden(each, secrets) for key, each in pairs}
    return value

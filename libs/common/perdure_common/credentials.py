"""Secrets by handle: a workflow names a credential, and only a runner ever sees what is in it.

A credential is a few named texts (`token`, `username`, `password`, …), sealed with AES-256-GCM
under a key from the settings that is not in the database. Tenant, handle and key are bound to the
sealed text, so a row that is copied to another place cannot be opened there.
"""

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perdure_common.adapters.postgres_statements import Statements
from perdure_common.errors import Told

HANDLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""What a credential may be called."""

FIELD = re.compile(r"[a-z][a-z0-9_]{0,49}")
NONCE_BYTES = 12
SECRET_BYTES_MAX = 64 * 1024


class CredentialError(Told, ValueError):
    """A credential cannot be used; the text says why, never what is in it."""

    code = "wrong_credential"
    exit_code = 2

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Credentials(Protocol):
    """Where a runner gets secrets from, at the moment of use."""

    async def fields_of(self, tenant_id: str, handle: str) -> Mapping[str, str]:
        """Return what is in a credential.

        Raises:
            CredentialError: There is none of that name, or it cannot be opened.
            Unreachable: The store does not answer.
        """
        ...

    async def renew(
        self, tenant_id: str, handle: str, refused: str, ask: "Ask"
    ) -> Mapping[str, str]:
        """Return what is in a credential once its token is another than `refused`.

        `ask` is called with what it has, by one caller at a time, and gives what takes its place;
        not if somebody has renewed it meanwhile. Raises as `fields_of`, and what `ask` raises.
        """
        ...


Ask: TypeAlias = Callable[[Mapping[str, str]], Awaitable[Mapping[str, str]]]
"""Asks the issuer of a credential for another one: fields to fields."""


def named_by_triggers(definition: Any) -> tuple[str, ...]:
    """Return the credentials that a definition's trigger nodes name."""
    found: dict[str, None] = {}
    nodes = _mapping(definition).get("nodes")
    for node in cast("list[Any]", nodes) if isinstance(nodes, list) else ():
        if _mapping(node).get("node_type") == "TRIGGER":
            handle = _mapping(_mapping(node).get("parameters")).get("credential")
            if isinstance(handle, str):
                found[handle] = None
    return tuple(found)


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Listed:
    """A credential as people see it: its name and what it has, not the values."""

    handle: str
    fields: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class Seal:
    """Seals and opens with the keys of the settings; the first one seals."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {hashlib.sha256(key).hexdigest()[:12]: AESGCM(key) for key in keys}
        self._first = next(iter(self._keys), "")

    def close(
        self, tenant_id: str, handle: str, fields: Mapping[str, str]
    ) -> tuple[str, bytes, bytes]:
        """Return the key's id, a nonce, and the sealed fields.

        Raises:
            CredentialError: There is no key, or a name cannot be used.
        """
        _check(handle, fields)
        if not self._first:
            raise CredentialError(
                "credentials_off",
                "there is no key for credentials; set PERDURE_CREDENTIALS_KEY to what "
                "`perdure credentials key` prints",
            )
        nonce = os.urandom(NONCE_BYTES)
        plain = json.dumps(dict(fields)).encode()
        bound = _bound(tenant_id, handle, self._first)
        return self._first, nonce, self._keys[self._first].encrypt(nonce, plain, bound)

    def open(
        self, tenant_id: str, handle: str, key_id: str, nonce: bytes, sealed: bytes
    ) -> dict[str, str]:
        """Return the fields that were sealed.

        Raises:
            CredentialError: The key is not among the settings', or the row was tampered with.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise CredentialError(
                "credential_unreadable",
                f"credential {handle!r} was sealed with key {key_id}, which is not in "
                "PERDURE_CREDENTIALS_KEY; add it there, or set the credential again",
            )
        try:
            plain = key.decrypt(nonce, sealed, _bound(tenant_id, handle, key_id))
        except InvalidTag as error:
            raise CredentialError(
                "credential_unreadable",
                f"credential {handle!r} is damaged, or belongs to another tenant; set it again",
            ) from error
        return cast("dict[str, str]", json.loads(plain))


def _bound(tenant_id: str, handle: str, key_id: str) -> bytes:
    return "\x1f".join(("engine.credentials", tenant_id, handle, key_id)).encode()


def _check(handle: str, fields: Mapping[str, str]) -> None:
    if not HANDLE.fullmatch(handle):
        raise CredentialError(
            "invalid_handle",
            f"{handle[:80]!r} cannot be a credential's name; use small letters, digits, `.`, `_` "
            "and `-`",
        )
    if not fields:
        raise CredentialError("no_fields", "a credential needs a field, such as `token`")
    for name in fields:
        if not FIELD.fullmatch(name):
            raise CredentialError(
                "invalid_field", f"{name[:80]!r} cannot be a field; use small letters and `_`"
            )
    if sum(len(value.encode()) for value in fields.values()) > SECRET_BYTES_MAX:
        raise CredentialError(
            "secret_too_large", f"a credential may have {SECRET_BYTES_MAX:,} bytes at most"
        )


class PostgresCredentials:
    """Credentials in the table `engine.credentials`."""

    def __init__(self, dsn: str, seal: Seal) -> None:
        self._seal = seal
        file = Path(__file__).with_name("credentials.sql")
        self._database = Statements(dsn, file)
        self._renewals = Statements(dsn, file)  # who waits for an issuer holds nobody else up
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}

    async def fields_of(self, tenant_id: str, handle: str) -> Mapping[str, str]:
        """See `Credentials.fields_of`."""
        rows = await self._database.fetch("credential", tenant_id, handle)
        if not rows:
            raise CredentialError(
                "credential_not_found",
                f"there is no credential {handle[:80]!r}; `perdure credentials set` makes one",
            )
        row = rows[0]
        return self._seal.open(tenant_id, handle, row["key_id"], row["nonce"], row["secret"])

    async def renew(self, tenant_id: str, handle: str, refused: str, ask: Ask) -> Mapping[str, str]:
        """See `Credentials.renew`. The row is locked until the new fields are kept."""
        turn = self._turns.setdefault((tenant_id, handle), asyncio.Lock())
        async with turn, self._renewals.transaction() as run:
            rows = await run("credential_locked", tenant_id, handle)
            if not rows:
                raise CredentialError(
                    "credential_not_found", f"there is no credential {handle[:80]!r} any more"
                )
            row = rows[0]
            known = self._seal.open(tenant_id, handle, row["key_id"], row["nonce"], row["secret"])
            if known.get("token") != refused:
                return known
            fields = await ask(known)
            key_id, nonce, sealed = self._seal.close(tenant_id, handle, fields)
            await run("set_credential", tenant_id, handle, sorted(fields), key_id, nonce, sealed)
            return fields

    async def set(self, tenant_id: str, handle: str, fields: Mapping[str, str]) -> None:
        """Make a credential, or put other fields in its place.

        Raises:
            CredentialError: There is no key, or a name cannot be used.
        """
        key_id, nonce, sealed = self._seal.close(tenant_id, handle, fields)
        await self._database.fetch(
            "set_credential", tenant_id, handle, sorted(fields), key_id, nonce, sealed
        )

    async def list(self, tenant_id: str) -> Sequence[Listed]:
        """Return what credentials there are, never what is in them."""
        rows = await self._database.fetch("credentials", tenant_id)
        return [
            Listed(row["handle"], tuple(row["fields"]), row["created_at"], row["updated_at"])
            for row in rows
        ]

    async def delete(self, tenant_id: str, handle: str) -> bool:
        """Take a credential away; False says that there was none."""
        return bool(await self._database.fetch("delete_credential", tenant_id, handle))

    async def close(self) -> None:
        """Give the connections back."""
        await self._database.close()
        await self._renewals.close()


@dataclass
class MemoryCredentials:
    """Credentials in memory, by (tenant, handle)."""

    kept: MutableMapping[tuple[str, str], Mapping[str, str]]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def renew(self, tenant_id: str, handle: str, refused: str, ask: Ask) -> Mapping[str, str]:
        """See `Credentials.renew`."""
        async with self._turn:
            known = await self.fields_of(tenant_id, handle)
            if known.get("token") == refused:
                known = await ask(known)
                self.kept[tenant_id, handle] = known
            return known

    async def fields_of(self, tenant_id: str, handle: str) -> Mapping[str, str]:
        """See `Credentials.fields_of`."""
        found = self.kept.get((tenant_id, handle))
        if found is None:
            raise CredentialError("credential_not_found", f"there is no credential {handle!r}")
        return found

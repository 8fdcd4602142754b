"""The secrets that requests are verified by: read when needed, remembered for a moment."""

import asyncio
from collections.abc import Mapping

from perdure_common.credentials import CredentialError, Credentials

from .verify import SecretMissing

BELIEVED_S = 2.0
"""How long a credential is remembered: so soon a rotated secret counts everywhere."""


class Secrets:
    """The credentials of a tenant, by handle."""

    def __init__(self, credentials: Credentials, tenant_id: str) -> None:
        self._credentials = credentials
        self._tenant_id = tenant_id
        self._known: dict[str, tuple[float, Mapping[str, str] | None]] = {}

    async def of(self, handle: str | None) -> Mapping[str, str]:
        """Return what is in a credential; None names none, which has nothing.

        Raises:
            SecretMissing: It is not there, or cannot be opened.
            Unreachable: The store does not answer.
        """
        if handle is None:
            return {}
        now = asyncio.get_running_loop().time()
        found = self._known.get(handle)
        if found is None or found[0] < now:
            if found is not None:  # others need not ask as well
                self._known[handle] = now + BELIEVED_S, found[1]
            found = self._known[handle] = now + BELIEVED_S, await self._read(handle)
        if found[1] is None:
            raise SecretMissing(f"credential {handle!r} is missing, or cannot be opened")
        return found[1]

    async def _read(self, handle: str) -> Mapping[str, str] | None:
        try:
            return await self._credentials.fields_of(self._tenant_id, handle)
        except CredentialError:
            return None

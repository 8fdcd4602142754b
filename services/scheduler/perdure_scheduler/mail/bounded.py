"""A client of IMAP whose server cannot fill the memory: what it says at once has an end."""

from imaplib import IMAP4
from typing import Any

from imapclient import IMAPClient
from imapclient.imap4 import IMAP4WithTimeout
from imapclient.tls import IMAP4_TLS

CONNECT_S = 10.0

ANSWER_BYTES_MAX = 33 * 1024 * 1024
"""What a server may say until it is asked anew: the largest mail that is fetched, and more."""


class _Bounded(IMAP4):
    """Reads no more than `ANSWER_BYTES_MAX` until something is asked."""

    _left = ANSWER_BYTES_MAX

    def send(self, data: Any) -> None:
        """Ask, and begin to count anew."""
        self._left = ANSWER_BYTES_MAX
        super().send(data)

    def read(self, size: int) -> bytes:
        """Read a literal, whose length the server has said."""
        self._spend(size)
        return super().read(size)

    def readline(self) -> bytes:
        """Read a line."""
        line = super().readline()
        self._spend(len(line))
        return line

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise self.abort(f"it says more than {ANSWER_BYTES_MAX:,} bytes at once")


class _Plain(_Bounded, IMAP4WithTimeout):
    """A connection that is not sealed from its first byte."""


class _Sealed(_Bounded, IMAP4_TLS):
    """A connection that is."""


class BoundedClient(IMAPClient):
    """A client whose server cannot fill the memory."""

    def _create_IMAP4(self) -> Any:
        if self.ssl:
            return _Sealed(self.host, self.port, self.ssl_context, CONNECT_S)
        return _Plain(self.host, self.port, CONNECT_S)

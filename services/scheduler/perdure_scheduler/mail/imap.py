"""One mailbox read over IMAP, in a thread of its own: a server that hangs keeps nobody else.

IDLE tells of new mails where the server knows it; it is asked again after `poll_s` in any case.
Mails are read in the order of their UIDs, never marked and never moved: how far one has come stands
in our own table.
"""

import ssl
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from imapclient import SocketTimeout
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError, LoginError

from .bounded import CONNECT_S, BoundedClient

ANSWER_S = 30.0
BACK_OFF_S = (1.0, 60.0)
AT_ONCE = 20
"""Mails that are fetched in one go."""

AT_A_LOOK = 50_000
"""How many numbers are asked at once for mails: those of all in one line would be too long."""

MAIL_BYTES_MAX = 25 * 1024 * 1024
"""A larger mail is passed over, with a warning. `bounded.py` lets servers say a little more."""

TRIES = 3
"""How often a mail is asked for that its server does not give, or hangs up or hangs at; if it gives
those behind it then, this one is passed over."""

LOOK_S = 0.5
"""How often a thread that waits looks whether it is to stop."""

SLACK = timedelta(days=1)
"""How far before the last mail reading begins when a server has numbered its mails anew."""


class MailboxError(Exception):
    """A mailbox cannot be read; the text says why. `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Account:
    """Where a mailbox is. `address` is where to connect to, which was judged before."""

    host: str
    port: int
    tls: str
    user: str
    folder: str
    poll_s: float
    address: str
    password: str

    @property
    def name(self) -> str:
        """What the mailbox is known by; the source of its events."""
        return name_of(self.user, self.host, self.port, self.folder)


def name_of(user: str, host: str, port: int, folder: str) -> str:
    """Return what a mailbox is known by."""
    return f"imap://{user}@{host.lower()}:{port}/{folder}"


@dataclass(frozen=True)
class Position:
    """How far a mailbox was read."""

    uid_validity: int
    last_uid: int
    seen_at: datetime


@dataclass(frozen=True)
class Fetched:
    """A mail as it lies in a mailbox; `raw` is None where it is too large, or is not given."""

    uid: int
    raw: bytes | None
    arrived: datetime
    size: int


class Desk(Protocol):
    """What a reader asks of the event loop; each call blocks the reader's thread alone."""

    def position(self) -> Position | None:
        """Return how far the mailbox was read, None if never."""
        ...

    def take(self, mails: Sequence[Fetched], uid_validity: int) -> None:
        """Let mails become events, then note how far that was."""
        ...

    def move(self, position: Position) -> None:
        """Note how far the mailbox was read."""
        ...

    def opened(self) -> None:
        """Hear that the mailbox is open."""
        ...

    def failed(self, error: MailboxError) -> None:
        """Hear that the mailbox cannot be read now."""
        ...


class Reader:
    """Reads one mailbox until it is stopped."""

    def __init__(self, account: Callable[[], Account], desk: Desk, name: str) -> None:
        self._account = account
        self._desk = desk
        self._stop = threading.Event()
        self._tries: dict[int, int] = {}
        """By number: how often the server has refused to give the mail that is next."""
        self._ends_all = 0
        """The mail at which connections end right after others were given: it is passed over."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the reader to end; it does so within a moment, or when its server gives up."""
        self._stop.set()

    def _run(self) -> None:
        wait_s = BACK_OFF_S[0]
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                account = self._account()
                with session(account) as client:
                    self._read(client, account)
            except MailboxError as error:
                self._desk.failed(error)
            except Exception as error:  # a reader never ends by itself: its mails would wait
                self._desk.failed(MailboxError("mailbox_failed", f"{error!r}"[:500]))
            if time.monotonic() - began > BACK_OFF_S[1]:
                wait_s = BACK_OFF_S[0]  # it went well for a while: servers end what idles for long
            self._stop.wait(wait_s)
            wait_s = min(2 * wait_s, BACK_OFF_S[1])

    def _read(self, client: Any, account: Account) -> None:
        position = self._where(client, account.folder)
        self._desk.opened()
        idles = asked(lambda: client.has_capability("IDLE"))
        while not self._stop.is_set():
            position = self._catch_up(client, position)
            if idles:
                self._idle(client, account.poll_s)
            else:
                self._stop.wait(account.poll_s)
            position = self._where(client, account.folder, position)

    def _where(self, client: Any, folder: str, here: Position | None = None) -> Position:
        """Choose the folder, and return where to go on: `here`, unless it is another one now.

        A mailbox that was never read begins with the next mail. One that was deleted and made
        anew has other numbers, and who has chosen it before may not be told.
        """
        chosen: Any = asked(lambda: client.select_folder(folder, readonly=True))
        validity = int(chosen[b"UIDVALIDITY"])
        if here is not None and here.uid_validity == validity:
            return here
        known = self._desk.position()
        if known is not None and known.uid_validity == validity:
            return known
        now = datetime.now(UTC)
        if known is None:
            begun = Position(validity, int(chosen[b"UIDNEXT"]) - 1, now)
        else:  # numbered anew: go through the last days again, ids tell what came before
            since = (min(known.seen_at, now) - SLACK).date()  # who puts mails there may date them
            uids: list[int] = asked(lambda: client.search(["SINCE", since]))
            first = min(uids, default=int(chosen[b"UIDNEXT"]))
            begun = Position(validity, first - 1, known.seen_at)
            self._tries, self._ends_all = {}, 0
        self._desk.move(begun)
        return begun

    def _catch_up(self, client: Any, position: Position) -> Position:
        """Read what is new, a few at a time."""
        before = None
        while position.last_uid != before:  # more may have come meanwhile
            before = position.last_uid
            for uids in _behind(client, before):
                while uids:
                    if self._stop.is_set():
                        return position
                    position = self._take(client, uids[:AT_ONCE], position)
                    uids = uids[bisect_right(uids, position.last_uid) :]
        return position

    def _take(self, client: Any, uids: Sequence[int], position: Position) -> Position:
        """Let mails become events; one that is refused ends the connection, but not for ever."""
        heads = _heads(client, uids)
        there, mails = _few(heads), list[Fetched]()
        refused: Exception | None = None
        for head in there:
            tries = self._tries.get(head.uid, 0)
            self._tries = {head.uid: tries + 1}
            others = False
            try:
                others = tries >= TRIES and _gives_others(client, heads, head)
                mail = head if head.uid == self._ends_all else _whole(client, head)
            except _Refused as error:
                if tries + 1 < TRIES or not _gives_others(client, heads, head):
                    refused = error
                    break
                mail = head
            except MailboxError as error:
                self._ends_all = head.uid if others else 0
                refused = error
                break
            if mail is not None:
                mails.append(mail)
        if mails:
            self._desk.take(mails, position.uid_validity)
        if refused is not None:
            raise MailboxError("mailbox_unreachable", str(refused)) from refused
        self._tries.clear()
        arrived = max([position.seen_at, *(mail.arrived for mail in mails)])
        through = uids[-1] if len(there) == len(heads) else there[-1].uid
        return Position(position.uid_validity, through, arrived)

    def _idle(self, client: Any, poll_s: float) -> None:
        asked(client.idle)
        waited = 0.0
        while waited < poll_s and not self._stop.is_set():
            if asked(lambda: client.idle_check(timeout=LOOK_S)):
                break
            waited += LOOK_S
        asked(client.idle_done)


class Trial:
    """Opens a mailbox once and tells whether that went well; it reads nothing and notes nothing."""

    def __init__(self, account: Callable[[], Account], desk: Desk, name: str) -> None:
        self._account = account
        self._desk = desk
        self._thread = threading.Thread(target=self._run, name=f"{name} (trial)", daemon=True)

    def start(self) -> None:
        """Begin to try."""
        self._thread.start()

    def stop(self) -> None:
        """Leave it alone: it ends by itself, at the latest when its server is given up."""

    def _run(self) -> None:
        try:
            account = self._account()
            with session(account) as client:
                asked(lambda: client.select_folder(account.folder, readonly=True))
        except MailboxError as error:
            self._desk.failed(error)
        except Exception as error:  # a deployment waits for what is told
            self._desk.failed(MailboxError("mailbox_failed", f"{error!r}"[:500]))
        else:
            self._desk.opened()


def session(account: Account) -> Any:
    """Return a connection that is logged in; a context manager.

    Raises:
        MailboxError: The server cannot be reached, or refuses the login.
    """
    sealed = account.tls == "implicit"
    # A certificate tells who a name is; without one the address that was judged is taken.
    host = account.address if account.tls == "none" else account.host
    context = None if account.tls == "none" else ssl.create_default_context()
    try:
        client = BoundedClient(
            host,
            port=account.port,
            ssl=sealed,
            ssl_context=context,
            timeout=SocketTimeout(CONNECT_S, ANSWER_S),
        )
    except (OSError, IMAPClientError) as error:
        text = f"{account.host}:{account.port} cannot be reached: {error}"
        raise MailboxError("mailbox_unreachable", text) from error
    try:
        if account.tls == "starttls":
            client.starttls(context)
        client.login(account.user, account.password)
    except LoginError as error:
        _hang_up(client)
        if isinstance(error.__context__, IMAPClientAbortError):  # it hung up, and may not later
            text = f"{account.host}:{account.port} does not let us in now: {error}"
            raise MailboxError("mailbox_unreachable", text) from error
        text = f"{account.host} refuses the login of {account.user!r}; look at its credential"
        raise MailboxError("mailbox_refused", text) from error
    except (OSError, IMAPClientError) as error:
        _hang_up(client)
        text = f"{account.host}:{account.port} does not let us in: {error}"
        raise MailboxError("mailbox_unreachable", text) from error
    return client


def _hang_up(client: Any) -> None:
    """Close a connection that may be broken already: why it is must be told, not that it is."""
    with suppress(OSError, IMAPClientError):
        client.shutdown()


class _Refused(Exception):
    """A server answers, and does not give a mail."""

    def __init__(self, uid: int, error: Exception) -> None:
        super().__init__(f"the server does not give mail {uid}: {error}")


def _behind(client: Any, last_uid: int) -> Iterator[list[int]]:
    """Yield the numbers of mails behind one, in their order, some at a time."""
    newest = max(_found(client, ["UID", "*"]), default=0)
    for first in range(last_uid + 1, newest + 1, AT_A_LOOK):
        yield _found(client, ["UID", f"{first}:{min(newest, first + AT_A_LOOK - 1)}"])


def _found(client: Any, criteria: Sequence[Any]) -> list[int]:
    found: list[int] = asked(lambda: client.search(criteria))
    return sorted(found)


def _heads(client: Any, uids: Sequence[int]) -> list[Fetched]:
    """Return what is known of mails before they are fetched, without those that are gone."""
    said: Any = asked(lambda: client.fetch(uids, ["RFC822.SIZE", "INTERNALDATE"]))
    found: list[Fetched] = []
    for uid in uids:
        size, arrived = (said.get(uid, {}).get(name) for name in (b"RFC822.SIZE", b"INTERNALDATE"))
        if size is not None and arrived is not None:
            found.append(Fetched(uid, None, _instant(arrived), int(size)))
    return found


def _few(heads: Sequence[Fetched]) -> Sequence[Fetched]:
    """Return the first mails that are no larger together than one may be, or the first alone."""
    total = 0
    for count, head in enumerate(heads):
        total += head.size if head.size <= MAIL_BYTES_MAX else 0
        if count and total > MAIL_BYTES_MAX:
            return heads[:count]
    return heads


def _whole(client: Any, head: Fetched) -> Fetched | None:
    """Return a mail with what is in it, None if it is gone (RFC 2180, 4.1).

    Raises:
        _Refused: The server does not give it, and goes on answering.
    """
    if head.size > MAIL_BYTES_MAX:
        return head

    def fetched() -> Any:
        try:
            return client.fetch([head.uid], ["BODY.PEEK[]"])
        except IMAPClientAbortError:
            raise
        except IMAPClientError as error:
            raise _Refused(head.uid, error) from error

    raw: Any = asked(fetched).get(head.uid, {}).get(b"BODY[]")
    return None if raw is None else replace(head, raw=bytes(raw))


def _gives_others(client: Any, heads: Sequence[Fetched], refused: Fetched) -> bool:
    """Tell whether a server gives a mail behind one that it does not give."""
    for head in heads:
        if head.uid > refused.uid:
            with suppress(_Refused):
                return _whole(client, head) is not None
    return False


def _instant(at: datetime) -> datetime:
    """Return an instant that the client gives as local time."""
    return at.astimezone(UTC)


def asked(ask: Callable[[], Any]) -> Any:
    """Return what a server answers.

    Raises:
        MailboxError: It answers an error, or not at all.
    """
    try:
        return ask()
    except (OSError, IMAPClientError) as error:
        raise MailboxError("mailbox_unreachable", f"the server answers no more: {error}") from error

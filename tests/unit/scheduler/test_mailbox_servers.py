"""Mailboxes whose servers answer as servers should not: none fills the memory or stops for ever."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from perdure_scheduler.mail import bounded, imap
from perdure_scheduler.mail.imap import Account, Fetched, MailboxError, Position, Reader, session

Answer = Callable[[str], bytes | None]
"""What is answered to a command without its tag, before `OK`; None for what any server says."""

DATE = b'INTERNALDATE "01-Jan-2026 00:00:00 +0000"'


@contextlib.contextmanager
def server(answer: Answer, greeting: bytes = b"* OK hello\r\n") -> Generator[Account]:
    """Run a server in a thread, and give the account by which it is reached."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, answer, greeting), daemon=True)
        thread.start()
        port = int(listening.getsockname()[1])
        yield Account("127.0.0.1", port, "none", "u", "INBOX", 5.0, "127.0.0.1", "p")
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert not thread.is_alive()


def _serve(listening: socket.socket, answer: Answer, greeting: bytes) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            connection.sendall(greeting)
            for line in lines:
                tag, _, command = line.decode().strip().partition(" ")
                connection.sendall(_answered(answer, tag.encode(), command))


def _answered(answer: Answer, tag: bytes, command: str) -> bytes:
    said = answer(command)
    if said is not None and said.startswith(UNTAGGED):
        return said.removeprefix(UNTAGGED)
    if said is None:
        said = {
            "CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
            "EXAMINE": b"* 9 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 1] x\r\n",
        }.get(command.partition(" ")[0], b"")
    return said.removesuffix(NO) + tag + (b" NO not now\r\n" if said.endswith(NO) else b" OK x\r\n")


NO = b"<NO>"
UNTAGGED = b"<UNTAGGED>"
"""What is said without the end of a command; alone: the server never answers."""


BEGIN = Position(1, 0, datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class Desk:
    """Takes mails and says where reading begins."""

    at: Position | None = BEGIN
    taken: list[Fetched] = field(default_factory=list[Fetched])
    errors: list[MailboxError] = field(default_factory=list[MailboxError])
    counts: list[int] = field(default_factory=list[int])
    """How many mails were taken at once."""

    def position(self) -> Position | None:
        return self.at

    def take(self, mails: Sequence[Fetched], uid_validity: int) -> None:
        self.taken += mails
        self.counts.append(len(mails))
        if mails:
            self.at = Position(uid_validity, mails[-1].uid, mails[-1].arrived)

    def move(self, position: Position) -> None:
        self.at = position

    def opened(self) -> None:
        """Nothing waits for it here."""

    def failed(self, error: MailboxError) -> None:
        self.errors.append(error)


@contextlib.contextmanager
def reading(account: Account) -> Generator[Desk]:
    desk = Desk()
    reader = Reader(lambda: account, desk, "a mailbox")
    reader.start()
    try:
        yield desk
    finally:
        reader.stop()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "BACK_OFF_S", (0.01, 0.05))


def mailbox(
    uids: Sequence[int], refuses: Callable[[int], bytes | None] = lambda _: None, size: int = 4
) -> Answer:
    """Return a server that has mails under these numbers; some it gives otherwise, or not."""

    def answer(command: str) -> bytes | None:
        if found := re.fullmatch(r"UID SEARCH UID (\d+|\*)(?::(\d+|\*))?", command):
            first, last = (
                max(uids) if each in ("*", None) else int(each) for each in found.groups()
            )
            first = last if found[1] == "*" else first
            said = [uid for uid in uids if min(first, last) <= uid <= max(first, last)]
            return b"* SEARCH " + b" ".join(b"%d" % uid for uid in said) + b"\r\n"
        if not (found := re.fullmatch(r"UID FETCH (\S+) \((.*)\)", command)):
            return None
        if "BODY" in found[2]:
            uid = int(found[1])
            given = refuses(uid)
            whole = b"* %d FETCH (UID %d BODY[] {4}\r\nmail)\r\n" % (uid, uid)
            return whole if given is None else given
        asked = [int(each) for each in found[1].split(",")]
        return b"".join(
            b"* %d FETCH (UID %d RFC822.SIZE %d %b)\r\n" % (uid, uid, size, DATE) for uid in asked
        )

    return answer


# How much a server may say ---------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [b"* 1 FETCH (UID 1 BODY[] {2147483648}\r\n", b"* OK still here\r\n" * 20_000],
    ids=["a literal", "lines"],
)
def test_what_a_server_says_at_once_has_an_end(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "ANSWER_BYTES_MAX", 100_000)
    with (
        server(lambda asks: said if asks == "NOOP" else None) as account,
        session(account) as client,
    ):
        began = time.monotonic()
        with pytest.raises(MailboxError, match="more than"):
            imap.asked(client.noop)
        assert time.monotonic() - began < imap.ANSWER_S / 3, "nothing waits for the rest"


def test_a_greeting_may_not_say_how_much_memory_it_takes() -> None:
    greeting = b"* OK {2147483648}\r\nhello"
    with (
        server(lambda _: None, greeting) as account,
        pytest.raises(MailboxError, match="more than"),
    ):
        session(account)


# How many mails, and what they are ---------------------------------------------------------


def test_a_hundred_and_fifty_thousand_new_mails_are_read_in_order() -> None:
    """All their numbers are more than the client takes in one line, and too many to ask often."""
    uids = range(1_000_001, 1_150_001)
    searches: list[str] = []
    answer = mailbox(uids)

    def counted(command: str) -> bytes | None:
        if "SEARCH" in command:
            searches.append(command)
        return answer(command)

    with server(counted) as account, reading(account) as desk:
        until(lambda: len(desk.taken) >= 100)
    assert [mail.uid for mail in desk.taken[:100]] == [*uids[:100]]
    assert not desk.errors
    assert len(searches) < 40


def test_large_mails_are_read_few_at_a_time() -> None:
    """All of those that are read at once are in memory, and their reading has an end in time."""
    answer = mailbox(range(1, 8), size=10 * 1024 * 1024)
    with server(answer) as account, reading(account) as desk:
        until(lambda: len(desk.taken) >= 7)
    assert [mail.uid for mail in desk.taken] == [*range(1, 8)]
    assert desk.counts == [2, 2, 2, 1]


def test_what_was_deleted_in_between_is_passed_over() -> None:
    """RFC 2180 (4.1) lets servers say NIL for it, or nothing."""
    said = {2: b"* 2 FETCH (UID 2 BODY[] NIL)\r\n", 3: b"* 3 FETCH (UID 3 FLAGS ())\r\n", 4: b""}
    answer = mailbox(range(1, 7), said.get)
    with server(answer) as account, reading(account) as desk:
        until(lambda: len(desk.taken) >= 3)
    assert [mail.uid for mail in desk.taken] == [1, 5, 6]
    assert not desk.errors


def test_a_mail_that_its_server_never_gives_keeps_those_behind_it_waiting_for_a_moment() -> None:
    answer = mailbox(range(1, 5), lambda uid: NO if uid == 2 else None)
    with server(answer) as account, reading(account) as desk:
        until(lambda: len(desk.taken) >= 4)
    assert [(mail.uid, mail.raw is None) for mail in desk.taken] == [
        *((1, False), (2, True), (3, False), (4, False))
    ]
    assert len(desk.errors) == imap.TRIES - 1


def test_a_server_that_gives_nothing_for_a_while_loses_no_mail() -> None:
    away = [True]
    answer = mailbox(range(1, 4), lambda _: NO if away[0] else None)
    with server(answer) as account, reading(account) as desk:
        until(lambda: len(desk.errors) > 2 * imap.TRIES)
        away[0] = False
        until(lambda: len(desk.taken) >= 3)
    assert [mail.uid for mail in desk.taken if mail.raw == b"mail"] == [1, 2, 3]


@pytest.mark.parametrize("said", [UNTAGGED, b"* BYE not this one\r\n"], ids=["silence", "bye"])
def test_a_mail_at_which_its_server_hangs_or_hangs_up_keeps_nobody_waiting_for_ever(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "ANSWER_S", 0.2)
    answer = mailbox(range(1, 5), lambda uid: said if uid == 2 else None)
    with server(answer) as account, reading(account) as desk:
        until(lambda: len(desk.taken) >= 1)
        assert [mail.uid for mail in desk.taken] == [1], "those before it are taken at once"
        until(lambda: len(desk.taken) >= 4)
    assert [(mail.uid, mail.raw is None) for mail in desk.taken] == [
        *((1, False), (2, True), (3, False), (4, False))
    ]
    assert len(desk.errors) == imap.TRIES + 1, "the last time others were given right before"


# Connections and mailboxes that change ------------------------------------------------------


def test_a_connection_that_has_died_in_silence_is_noticed_and_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy that forwards nothing any more and closes nothing: mails come at the next poll."""
    monkeypatch.setattr(imap, "ANSWER_S", 0.2)
    uids = [1]
    answer = mailbox(uids)

    def silent(command: str) -> bytes | None:
        match command:
            case "CAPABILITY":
                return b"* CAPABILITY IMAP4rev1 IDLE\r\n"
            case "IDLE":
                return UNTAGGED + b"+ idling\r\n"
            case "" | "LOGOUT":  # nothing: the end of IDLE
                return UNTAGGED
            case _:
                return answer(command)

    with server(silent) as account, reading(replace(account, poll_s=0.6)) as desk:
        until(lambda: desk.taken)
        uids.append(2)
        until(lambda: len(desk.taken) >= 2)
    assert [mail.uid for mail in desk.taken] == [1, 2]


@pytest.mark.parametrize("seen_at", [BEGIN.seen_at, datetime(2099, 1, 1, tzinfo=UTC)])
def test_a_mailbox_that_is_made_anew_is_read_anew_although_nobody_hangs_up(
    seen_at: datetime,
) -> None:
    """Whoever puts a mail there gives it a date, which may be to come."""
    validity, uids = [1], [5]
    answer = mailbox(uids)

    def anew(command: str) -> bytes | None:
        if command.startswith("EXAMINE"):
            said = b"* 1 EXISTS\r\n* OK [UIDVALIDITY %d] x\r\n* OK [UIDNEXT 9] x\r\n"
            return said % validity[0]
        if found := re.fullmatch(r"UID SEARCH SINCE (\S+)", command):
            since = datetime.strptime(found[1], "%d-%b-%Y").replace(tzinfo=UTC)
            return b"* SEARCH 1\r\n" if since < datetime.now(UTC) else b"* SEARCH\r\n"
        return answer(command)

    with server(anew) as account, reading(replace(account, poll_s=0.05)) as desk:
        until(lambda: desk.taken)
        assert desk.at is not None
        desk.at = replace(desk.at, seen_at=seen_at)
        validity[0], uids[:] = 2, [1]
        until(lambda: len(desk.taken) >= 2)
    assert [mail.uid for mail in desk.taken] == [5, 1]
    assert desk.at is not None and desk.at.uid_validity == 2 and not desk.errors


def test_a_server_that_hangs_up_at_the_login_has_not_refused_it() -> None:
    """It has too many connections, say: nobody need look at the credential."""
    answer = b"* BYE too many connections\r\n"
    with (
        server(lambda asks: answer if asks.startswith("LOGIN") else None) as account,
        pytest.raises(MailboxError, match="too many connections") as told,
    ):
        session(account)
    assert told.value.code == "mailbox_unreachable"


def test_what_went_well_for_a_while_is_tried_again_soon() -> None:
    waits: list[float | None] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    def account() -> Account:
        if len(waits) == 4:
            time.sleep(2 * imap.BACK_OFF_S[1])  # as long as a connection lasted
        if len(waits) == 5:
            stop.set()
        raise MailboxError("mailbox_unreachable", "it ended")

    stop = Stop()
    reader = Reader(account, Desk(), "a mailbox")
    reader._stop = stop  # pyright: ignore[reportPrivateUsage]
    reader._run()  # pyright: ignore[reportPrivateUsage]
    first, most = imap.BACK_OFF_S
    assert waits == [first, 2 * first, 4 * first, most, first, 2 * first]

"""Keeps a reader for each mailbox that a trigger needs, and says when one opens or does not.

Several schedulers share the mailboxes out by the shards they own. Where two read one for a moment,
the events have the same ids, so nothing starts twice.
"""

import asyncio
from collections import Counter as CountOf
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeAlias, cast

import asyncpg
import structlog
from perdure_common.adapters.postgres_connection import Dropping
from perdure_common.adapters.postgres_errors import CONNECT_S, FAILED, WAIT_S
from perdure_common.adapters.postgres_queries import queries
from perdure_common.credentials import CredentialError, Credentials, PostgresCredentials, Seal
from perdure_common.ids import partition_of
from perdure_common.outbound import AddressError, AllowList, resolve_here
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Unreachable
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from perdure_scheduler.match import untagged
from perdure_scheduler.settling import Settling, Waiting

from .imap import MAIL_BYTES_MAX, Account, Fetched, MailboxError, Position, Reader, Trial, name_of
from .outlet import Outlet
from .parsing import Mail, read_mail

LOOK_S = 1.0
"""How often it is looked for mailboxes that are needed, or no more."""

CALL_S = 120.0
"""How long a reader waits for what it asked of the event loop."""

ENVELOPE = ("delivered-to", "x-original-to", "x-envelope-to")

log = structlog.get_logger(__name__)

_SQL = queries(Path(__file__).with_name("mail.sql"))


Attempt: TypeAlias = tuple[str, int, str, datetime]
"""A deployment of a trigger: the workflow, its version, the node, and when that began."""


@dataclass(frozen=True)
class Wanted:
    """A trigger that needs a mailbox."""

    workflow_id: str
    version: int
    node_id: str
    address: str
    pending: bool
    since: datetime
    """When it began to serve, or to wait for it."""
    mailbox: Mapping[str, Any]

    @property
    def attempt(self) -> Attempt:
        """What tells its deployment from every other."""
        return self.workflow_id, self.version, self.node_id, self.since

    @property
    def name(self) -> str:
        """The mailbox."""
        box = self.mailbox
        return name_of(box["user"], box["host"], box["port"], box["folder"])


@dataclass
class Kept:
    """A mailbox that is being read or tried, for whom, and how that goes."""

    reader: Reader | Trial
    config: Mapping[str, Any]
    wanted: Sequence[Wanted] = ()
    is_open: bool = False
    error: MailboxError | None = None


def reached_by(wanted: Sequence[Wanted]) -> Mapping[str, Any]:
    """Return how a mailbox is reached: as whoever serves says, the one that began last.

    Versions of several workflows do not compare. Who only waits to serve says it where nobody
    serves yet.
    """
    serving = [each for each in wanted if not each.pending]
    return max(serving or wanted, key=lambda each: (each.since, each.attempt)).mailbox


def recipients_of(mail: Mail, addresses: Sequence[str]) -> list[str]:
    """Return for whom of a mailbox's triggers a mail is; for all if it names none of them.

    What the last server wrote down of the envelope counts before what the sender wrote.
    """
    for names in (ENVELOPE, ("to", "cc", "bcc")):
        named = [address for _, address in mail.addresses(*names)]
        mine = [each for each in named if each in addresses or untagged(each) in addresses]
        if mine:
            return list(dict.fromkeys(mine))
    return list(addresses)


class Mailboxes:
    """All readers of this process."""

    def __init__(
        self, settings: Settings, owner: Owner, pool: Any, credentials: Credentials
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._pool = pool
        self._credentials = credentials
        self._allowed = AllowList.parse(settings.http_allow)
        self._outlet = Outlet(owner.bus, pool, settings.tenant_id)
        self._kept: dict[str, Kept] = {}
        self._tried: dict[Attempt, Kept] = {}
        """By deployment: what is tried beside the reader that serves, which goes on."""
        self._settling = Settling(owner.bus, settings.partitions, "/scheduler/mail")

    async def look(self) -> None:
        """Begin to read what is needed, stop what is not, and tell deployments that wait.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not answer.
            Unreachable: Kafka does not take what is told.
        """
        rows = await self._pool.fetch(_SQL["wanted"], self._settings.tenant_id)
        needed: dict[str, list[Wanted]] = {}
        for row in rows:
            each = _wanted(row)
            if str(partition_of(each.name, self._settings.partitions)) in self._owner.shards:
                needed.setdefault(each.name, []).append(each)
        for name in self._kept.keys() - needed.keys():
            self._kept.pop(name).reader.stop()
            log.info("mailbox_left", mailbox=name)
        trials: dict[Attempt, Wanted] = {}
        for name, wanted in needed.items():
            config = reached_by(wanted)
            kept = self._kept.get(name)
            if kept is None or kept.config != config:
                if kept is not None:
                    kept.reader.stop()
                kept = self._kept[name] = self._begin(Reader, name, config)
            kept.wanted = wanted
            others = (each for each in wanted if each.pending and each.mailbox != config)
            trials.update((each.attempt, each) for each in others)
        for attempt in self._tried.keys() - trials.keys():
            del self._tried[attempt]
        for attempt, each in trials.items():
            if attempt not in self._tried:
                self._tried[attempt] = self._begin(Trial, each.name, each.mailbox)
                self._tried[attempt].wanted = (each,)
        for kept in (*self._kept.values(), *self._tried.values()):
            await self._tell(kept)

    def failing(self) -> Mapping[str, int]:
        """Return how many mailboxes cannot be read now, by the code of what is wrong."""
        kept = list(self._kept.values())
        return CountOf(each.error.code for each in kept if each.error is not None)

    def close(self) -> None:
        """Stop every reader."""
        for kept in self._kept.values():
            kept.reader.stop()
        self._kept.clear()

    def _begin(
        self, kind: type[Reader] | type[Trial], name: str, config: Mapping[str, Any]
    ) -> Kept:
        desk = _Desk(self, name)
        reader = kind(lambda: self._account(desk, config), desk, name)
        kept = Kept(reader, config)
        desk.kept = kept
        reader.start()
        return kept

    def _account(self, desk: "_Desk", config: Mapping[str, Any]) -> Account:
        """Return how to reach a mailbox now: names and passwords may have changed.

        It is asked in the thread of the mailbox's reader: a name that is not answered keeps that
        one waiting, and neither the loop nor its few threads.

        Raises:
            MailboxError: The host may not be asked, or there is no credential.
        """
        host, port = str(config["host"]), int(config["port"])
        try:
            address = resolve_here(host, port, self._allowed)
            handle = str(config["credential"])
            secrets = self._credentials.fields_of(self._settings.tenant_id, handle)
            fields: Mapping[str, str] = desk.call(secrets)
        except (AddressError, CredentialError) as error:
            raise MailboxError(error.code, str(error)) from error
        if "password" not in fields:
            raise MailboxError(
                "credential_field_missing",
                f"credential {handle!r} has no field `password`; set it with it",
            )
        if config["tls"] == "none" and ip_address(address).is_global:
            raise MailboxError(
                "tls_needed",
                f"{host} is a public address, and the password would go there in the clear; say "
                "`tls: implicit` or `tls: starttls`",
            )
        return Account(
            host=host,
            port=port,
            tls=str(config["tls"]),
            user=str(config["user"]),
            folder=str(config["folder"]),
            poll_s=float(config["poll_s"]),
            address=address,
            password=fields["password"],
        )

    async def _tell(self, kept: Kept) -> None:
        """Tell deployments that wait for a mailbox that it is open, or why it is not."""
        if not kept.is_open and kept.error is None:
            return
        for each in kept.wanted:
            if not each.pending or each.mailbox != kept.config:
                continue
            waiting = Waiting(each.workflow_id, each.version, each.node_id)
            if kept.error is None:
                await self._settling.settle(waiting, f"mailbox {each.name} is open")
            else:
                await self._settling.fail(waiting, kept.error.code, str(kept.error))

    async def position(self, name: str) -> Position | None:
        """Return how far a mailbox was read."""
        row = await self._pool.fetchrow(_SQL["position"], self._settings.tenant_id, name)
        if row is None:
            return None
        return Position(int(row["uid_validity"]), int(row["last_uid"]), row["seen_at"])

    async def move(self, name: str, position: Position) -> None:
        """Note how far a mailbox was read."""
        await self._pool.execute(
            _SQL["move"],
            self._settings.tenant_id,
            name,
            position.uid_validity,
            position.last_uid,
            position.seen_at,
        )

    async def take(self, name: str, kept: Kept, mails: Sequence[Fetched], validity: int) -> None:
        """Let mails become events, in their order, and note after each batch how far that was."""
        addresses = list(dict.fromkeys(each.address for each in kept.wanted))
        for mail in mails:
            if mail.raw is None:
                why = "mail_too_large" if mail.size > MAIL_BYTES_MAX else "mail_not_given"
                log.warning(why, mailbox=name, uid=mail.uid, bytes=mail.size)
                continue
            # In a thread: a large mail takes a second, and this loop has other work.
            read = await asyncio.to_thread(read_mail, mail.raw)
            recipients = recipients_of(read, addresses)
            await self._outlet.deliver(read, name, recipients, mail.arrived)
        if mails:
            arrived = max(mail.arrived for mail in mails)
            await self.move(name, Position(validity, mails[-1].uid, arrived))


class _Desk:
    """Carries what a reader's thread asks into the event loop, and the answers back."""

    def __init__(self, mailboxes: Mailboxes, name: str) -> None:
        self._mailboxes = mailboxes
        self._name = name
        self._loop = asyncio.get_running_loop()
        self.kept: Kept | None = None

    def call(self, coroutine: Any) -> Any:
        """Let the event loop do something, and wait for it.

        Raises:
            MailboxError: It takes too long, or the loop has ended.
        """
        try:
            waiting: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError as error:
            coroutine.close()
            raise MailboxError("stopping", "the service stops") from error
        try:
            return waiting.result(CALL_S)
        except TimeoutError as error:
            waiting.cancel()
            raise MailboxError("not_taken", "mails cannot be taken now") from error

    def position(self) -> Position | None:
        return cast("Position | None", self.call(self._mailboxes.position(self._name)))

    def move(self, position: Position) -> None:
        self.call(self._mailboxes.move(self._name, position))

    def take(self, mails: Sequence[Fetched], uid_validity: int) -> None:
        assert self.kept is not None
        self.call(self._mailboxes.take(self._name, self.kept, mails, uid_validity))

    def opened(self) -> None:
        log.info("mailbox_open", mailbox=self._name)
        self._note(None)

    def failed(self, error: MailboxError) -> None:
        log.warning("mailbox_failed", mailbox=self._name, code=error.code, error=str(error))
        self._note(error)

    def _note(self, error: MailboxError | None) -> None:
        assert self.kept is not None
        self.kept.error, self.kept.is_open = error, error is None


def _wanted(row: Any) -> Wanted:
    config: Any = row["trigger_config"]
    return Wanted(
        workflow_id=row["workflow_id"],
        version=row["deployment_version"],
        node_id=row["node_id"],
        address=row["index_key"],
        pending=row["deployment_status"] == "pending",
        since=row["created_at"],
        mailbox=config["mailbox"],
    )


class MailboxMetrics(Collector):
    """How many of the mailboxes that this process reads cannot be read now."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.mailboxes: Mailboxes | None = None
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return the gauge as it stands."""
        family = GaugeMetricFamily(
            "perdure_mailboxes_failing", "Mailboxes that cannot be read now.", labels=["code"]
        )
        if self.mailboxes is not None:
            for code, count in self.mailboxes.failing().items():
                family.add_metric([code], count)
        yield family


async def keep_reading(
    metrics: MailboxMetrics, settings: Settings, owner: Owner, stop: asyncio.Event
) -> None:
    """Read mailboxes beside the owner until told to stop."""
    credentials = PostgresCredentials(settings.database_url, Seal(settings.credentials_keys))
    pool = await open_pool(settings.database_url)
    mailboxes = metrics.mailboxes = Mailboxes(settings, owner, pool, credentials)
    try:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)
            if stop.is_set():
                return
            try:
                await mailboxes.look()
            except (*FAILED, Unreachable) as error:
                log.warning("mailboxes_not_looked_for", error=str(error), again_in_s=LOOK_S)
    finally:
        mailboxes.close()
        await credentials.close()
        await pool.close()


async def open_pool(url: str) -> Any:
    """Return a few connections of the edges, opened when they are needed; JSON is read."""

    async def read_json(connection: Any) -> None:
        import orjson

        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=str, decoder=orjson.loads
        )

    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=2,
        init=read_json,
        timeout=CONNECT_S,
        command_timeout=WAIT_S,
        connection_class=Dropping,
    )

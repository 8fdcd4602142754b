"""From a mail to events: attachments are kept first, then an event for each recipient is sent."""

import hashlib
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import structlog
from perdure_common.adapters.postgres_errors import FAILED
from perdure_common.adapters.postgres_queries import queries
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.message import Json

from perdure_scheduler.hear import TRIGGERS

from .loops import refusal
from .parsing import Attachment, Mail
from .shown import attachments_of, data_of, reference

TYPE = "perdure.trigger.email"
RECIPIENTS_MAX = 100

log = structlog.get_logger(__name__)

Delivered = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Outlet:
    """Where mails go. `pool` is the scheduler's database."""

    bus: Bus
    pool: Any
    tenant_id: str

    async def deliver(
        self,
        mail: Mail,
        source: str,
        recipients: Sequence[str],
        arrived: datetime,
        envelope_from: str | None = None,
    ) -> str | None:
        """Let a mail be a trigger event for each recipient; return why it is none, if so.

        When this returns, the events are safely on the topic.

        Raises:
            Unreachable: Kafka or the database does not take it now; nothing is lost, because
                whoever has the mail delivers it again.
        """
        why = refusal(mail, envelope_from)
        if why is not None:
            log.info("mail_refused", source=source, message_id=mail.id, reason=why)
            return why
        kept = await self._keep(mail)
        records = [
            await self._record(event_of(mail, source, each, arrived, kept))
            for each in dict.fromkeys(recipients[:RECIPIENTS_MAX])
        ]
        for error in await self.bus.send(records):
            if error is not None:
                raise Unreachable(f"Kafka did not take a mail: {error!r}")
        return None

    async def _record(self, event: CloudEvent) -> Outbound:
        headers, value = encode(event)
        key = (event.subject or "").encode()
        partition = zlib.crc32(key) % await self.bus.partitions(TRIGGERS)
        return Outbound(TRIGGERS, partition, value, key, headers)

    async def _keep(self, mail: Mail) -> Sequence[Json]:
        """Keep what came with a mail, and return references to it."""
        found = attachments_of(mail)
        if found:
            await keep(self.pool, self.tenant_id, found)
        return [reference(each) for each in found]


def event_of(
    mail: Mail, source: str, recipient: str, arrived: datetime, kept: Sequence[Json]
) -> CloudEvent:
    """Return the event of a mail for one recipient: the same one whenever the mail is read.

    Its time is when the mail came, whatever its sender says.
    """
    identity = hashlib.sha256(f"{mail.id}\n{recipient}".encode()).hexdigest()
    return CloudEvent(
        id=identity,
        source=source,
        type=TYPE,
        subject=recipient,
        time=arrived.isoformat(),
        datacontenttype="application/json",
        data=orjson.dumps(data_of(mail, recipient, kept)),
    )


_SQL = queries(Path(__file__).with_name("mail.sql"))


async def keep(pool: Any, tenant_id: str, attachments: Sequence[Attachment]) -> None:
    """Keep attachments under their hashes; one that is there stays.

    Raises:
        Unreachable: The database does not answer.
    """
    try:
        for each in attachments:
            await pool.execute(
                _SQL["keep_attachment"],
                tenant_id,
                each.sha256,
                each.content_type,
                each.filename,
                each.content,
            )
    except FAILED as error:
        raise Unreachable(f"the database does not take an attachment: {error}") from error

"""Who is in a consumer group, and how those leave whose process was killed.

A member that dies says nothing: the group waits for its session to end before anybody gets its
partitions. Whoever starts on the same machine can see that the process is gone, and says it in
its name; so a service that was killed and is started again goes on at once.
"""

import asyncio
import os
import re
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.group import (  # pyright: ignore[reportMissingTypeStubs]
    LeaveGroupRequest,
)

from perdure_common.adapters.kafka_clients import RETRY_S, reaching
from perdure_common.shell.ports import Unreachable

LOOK_S = 10.0
"""How long a question about a group may take."""

_SIGNED = re.compile(r"@(?P<host>[^@/]+)/(?P<pid>\d+)#(?P<space>\w+)$")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Seat:
    """A member of a group: its id there, and the client that took it."""

    member_id: str
    client_id: str


def signed(client_id: str) -> str:
    """Return the client's name with what tells apart process ids of several containers."""
    return f"{client_id}#{_space()}"


def _space() -> str:
    """Return the name of the space in which this process's id counts."""
    try:
        return Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        return "0"


def is_gone(client_id: str) -> bool:
    """Return whether a member was a process of this machine that is there no more."""
    found = _SIGNED.search(client_id)
    if found is None or found["host"] != socket.gethostname() or found["space"] != _space():
        return False
    pid = int(found["pid"])
    if pid == os.getpid():
        return False
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncGenerator[Any]:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="perdure-members")
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def seats(bootstrap: str, group: str) -> Sequence[Seat]:
    """Return the members of a group, as it is called in Kafka.

    Raises:
        Unreachable: No broker answers.
    """
    async with reaching(f"the members of {group} are unknown", LOOK_S), _admin(bootstrap) as admin:
        while True:
            try:
                return await _seats(admin, group)
            except GroupCoordinatorNotAvailableError:  # nobody has asked for a group before
                await asyncio.sleep(RETRY_S)


async def _seats(admin: Any, group: str) -> Sequence[Seat]:
    (answer,) = await admin.describe_consumer_groups([group])
    return [
        Seat(member["member_id"], member["client_id"])
        for described in answer.to_object()["groups"]
        for member in described["members"]
    ]


async def expel_gone(bootstrap: str, group: str) -> int:
    """Take members out of a group whose process is gone; return how many.

    What goes wrong here is only told: the session's end takes them out as well.
    """
    expelled = 0
    try:
        async with reaching(f"group {group} is not cleared", LOOK_S), _admin(bootstrap) as admin:
            for seat in await _seats(admin, group):
                if is_gone(seat.client_id):
                    node = await admin.find_coordinator(group)
                    await admin._send_request(LeaveGroupRequest(group, seat.member_id), node)
                    log.info("member_expelled", group=group, client=seat.client_id)
                    expelled += 1
    except Unreachable as error:
        log.info("group_not_cleared", group=group, error=repr(error))
    return expelled

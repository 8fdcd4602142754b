"""Takes a process's former self out of a consumer group, instead of waiting for its session's end.

A process that was killed has said goodbye to nobody: its group gives its partitions to others only
when its session has timed out. Who is started in its place knows better. Members are called
`<process>@<host>/<pid>`; one of the same process and host whose pid nobody has is a former self.
Should it live after all (in another space of pids), the broker tells it and it joins again: who
owns a shard is settled by its epoch, not by the group.
"""

import os
import re
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest  # pyright: ignore[reportMissingTypeStubs]

from perdure_common.adapters.kafka_clients import reaching

LIMIT_S = 5.0
_MEMBERS = 5
"""The place of the members in a described group, after error, name, state and two protocols."""

_NAME = re.compile(r"(?P<who>.+@.+)/(?P<pid>\d+)")

log = structlog.get_logger(__name__)


async def evict_former_selves(settings: dict[str, Any], group: str) -> None:
    """Take the former selves of `settings["client_id"]` out of a group; never fails."""
    own = settings["client_id"]
    if not _NAME.fullmatch(own):
        return
    admin: Any = AIOKafkaAdminClient(**settings)
    try:
        async with reaching(f"the members of group {group} are unknown", LIMIT_S):
            await admin.start()
            coordinator = await admin.find_coordinator(group)
            (described,) = await admin.describe_consumer_groups([group], coordinator)
            for found in described.groups:
                for member_id, client_id, *_ in found[_MEMBERS]:
                    if is_former_self(client_id, own):
                        request = LeaveGroupRequest(group, member_id)
                        await admin._send_request(request, coordinator)
                        log.info("former_self_evicted", group=group, member=client_id)
    except Exception as error:  # whatever it is (a new cluster has no coordinator yet), we join
        log.info("former_selves_unknown", group=group, reason=str(error))
    finally:
        await admin.close()


def is_former_self(member: str, own: str) -> bool:
    """Return whether a member is this process as it was before it was started again.

    Our own pid counts: in a container every process has the same, and we have not joined yet.
    """
    theirs, ours = _NAME.fullmatch(member), _NAME.fullmatch(own)
    if theirs is None or ours is None or theirs["who"] != ours["who"]:
        return False
    return theirs["pid"] == ours["pid"] or not _lives(int(theirs["pid"]))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True

"""What every service's `main()` does: settings, store, bus, owner, what runs beside, signals."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime

from perdure_common import fault, observe
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.allocator import keep_freed_memory
from perdure_common.cycles import freeze, look_for_cycles
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_common.shell.part import Seers
from perdure_common.shell.ports import HandOver
from perdure_common.shell.retention import keep_sweeping
from perdure_common.shell.upkeep import Ground

Beside = Callable[[Settings, Owner, asyncio.Event], Awaitable[None]]
"""Something that runs beside the owner until the event is set, such as the HTTP API."""


def utc_now() -> datetime:
    """Return the clock's time."""
    return datetime.now(UTC)


def process_name(process: str) -> str:
    """Return what this process signs with: its name, host and process id."""
    return f"{process}@{socket.gethostname()}/{os.getpid()}"


async def serve(
    service: Service,
    *beside: Beside,
    hand_over: HandOver | None = None,
    seers: Seers | None = None,
) -> None:
    """Run a service until SIGTERM or SIGINT, then give its shards back.

    `hand_over` is offered each new message before it goes to Kafka; `seers` are shown each new
    event of their type when it is committed.

    Raises:
        SettingError: A setting cannot be used.
        LookupError: Topics are missing; `perdure up` and `perdure migrate` make them.
    """
    settings = Settings.read(service.name)
    observe.configure_logging(service.name, format=settings.log_format, level=settings.log_level)
    fault.arm(service.name, os.environ.get("PERDURE_FAULT"))
    name = process_name(service.name)
    store = PostgresStore(
        settings.database_url,
        service.name,
        connections=settings.lanes + 1,
        wait_s=settings.database_wait_s,
    )
    bus = KafkaBus(
        settings.kafka_bootstrap, name, settings.topic_prefix, session_s=settings.session_s
    )
    stop = stop_on_signals()
    try:
        ground = Ground(
            store=store,
            bus=bus,
            now=utc_now,
            name=name,
            tenant_id=settings.tenant_id,
            partitions=settings.partitions,
            lanes=settings.lanes,
            memory_mb=settings.memory_mb,
            hand_over=hand_over,
            seers=seers or {},
        )
        owner = Owner(service, ground)
        bus.let_wait(owner.is_busy)
        freeze()
        async with asyncio.TaskGroup() as group:
            for each in beside:
                group.create_task(_until(each, settings, owner, stop))
            group.create_task(look_for_cycles(stop))
            keep_s = settings.delivery_retention_s
            group.create_task(keep_sweeping(store, keep_s, lambda: "0" in owner.shards, stop))
            try:
                await owner.run(stop)
            finally:
                stop.set()
    finally:
        await bus.close()
        await store.close()


async def _until(each: Beside, settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
    await each(settings, owner, stop)


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def run(main: Coroutine[None, None, None]) -> None:
    """Run a process on uvloop where there is one; memory that it frees it keeps."""
    keep_freed_memory()
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)

"""Wiring and main() of the runner, nothing else."""

import asyncio
import os
from collections.abc import Sequence

import structlog
from perdure_common import fault, http, observe
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.api.reading import Reading
from perdure_common.cycles import freeze, look_for_cycles
from perdure_common.run import process_name, run, stop_on_signals, utc_now
from perdure_common.settings import Settings
from perdure_common.shell.payloads import MissingPayload
from perdure_common.shell.ports import Unreachable
from perdure_contracts.engine import NodeResult, NodeTask

from perdure_engine.runner.breakers import keep_watching
from perdure_engine.runner.claims import PostgresClaims
from perdure_engine.runner.large import gone, in_full, is_large, lightening, refs_of
from perdure_engine.runner.measures import WorkCollector
from perdure_engine.runner.perform import at_once, perform
from perdure_engine.runner.progress import Telling
from perdure_engine.runner.substeps import PostgresSubsteps
from perdure_engine.runner.tools import runners_tools
from perdure_engine.runner.work import Work

FORGET_S = 3_600.0
"""Between two clean-ups of old sub-steps."""

log = structlog.get_logger(__name__)


async def serve() -> None:
    """Run tasks until SIGTERM or SIGINT."""
    settings = Settings.read("runner")
    observe.configure_logging("runner", format=settings.log_format, level=settings.log_level)
    fault.arm("runner", os.environ.get("PERDURE_FAULT"))
    name = process_name("runner")
    bus = KafkaBus(
        settings.kafka_bootstrap, name, settings.topic_prefix, session_s=settings.session_s
    )
    url, wait_s = settings.database_url, settings.database_wait_s
    claims = PostgresClaims(url, wait_s=wait_s)
    kept = PostgresStore(url, "engine", connections=2, wait_s=wait_s)
    payloads = kept.payloads
    lighten = lightening(payloads, settings.result_bytes_max)
    stop = stop_on_signals()
    progress = Telling(bus.send, settings.partitions)
    substeps = PostgresSubsteps(url, wait_s=wait_s)
    async with runners_tools(settings, kept.files, progress, substeps) as tools:
        tools.dependencies.runner = name

        async def perform_here(task: NodeTask) -> NodeResult:
            run = work.runs[task.token]
            try:
                full = await in_full(payloads, run.tenant_id, task, refs_of(run.record.headers))
            except MissingPayload as error:
                return gone(task, str(error), name)
            result = at_once(full, name) or await perform(tools, full, name, run.tenant_id)
            return await lighten(result, run.tenant_id)

        def perform_at_once(task: NodeTask) -> NodeResult | None:
            if refs_of(work.runs[task.token].record.headers):
                return None
            result = at_once(task, name)
            return None if result is None or is_large(result) else result

        work = Work(
            bus,
            claims,
            perform_here,
            name,
            settings.partitions,
            utc_now,
            at_once=perform_at_once,
        )
        freeze()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_api(settings, work, stop))
                group.create_task(keep_watching(settings, tools.dependencies, stop))
                group.create_task(look_for_cycles(stop))
                beside = [
                    group.create_task(progress.run()),
                    group.create_task(_forget(substeps)),
                ]
                try:
                    await work.run(stop)
                finally:
                    stop.set()
                    for each in beside:
                        each.cancel()
        finally:
            await bus.close()
            await claims.close()
            await kept.close()


async def _forget(substeps: PostgresSubsteps) -> None:
    """Delete the sub-steps of executions that ended long ago, once an hour."""
    while True:
        await asyncio.sleep(FORGET_S)
        try:
            await substeps.forget()
        except Unreachable as error:
            log.warning("substeps_not_forgotten", error=str(error))


async def _api(settings: Settings, work: Work, stop: asyncio.Event) -> None:
    """Answer on HTTP: health and metrics; the runner has no tables to show."""

    async def ready() -> Sequence[str]:
        return [] if work.settled else ["the group has not shared out the tasks yet"]

    reading, metrics = Reading(settings.database_url, "engine"), observe.Metrics("runner")
    metrics.registry.register(WorkCollector(work))
    app = http.make_app(
        "runner",
        tables={},
        reading=reading,
        tenant_id=settings.tenant_id,
        ready=ready,
        metrics=metrics,
    )
    try:
        await http.serve(app, http.listen(settings, "runner"), stop)
    finally:
        await reading.close()


def main() -> None:
    """Run the runner as a process."""
    run(serve())


if __name__ == "__main__":
    main()

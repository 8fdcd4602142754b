"""Wiring and main(), nothing else: deciders of definitions and executions, what is heard."""

import asyncio
import secrets
from functools import partial

from fastapi import FastAPI
from perdure_common import http
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.api.reading import Reading
from perdure_common.run import process_name, run, serve, utc_now
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_contracts.engine import ExecutionStarted, NodeResult
from perdure_contracts.purging import ExecutionPurged
from prometheus_client import CollectorRegistry

from .api import ROWS, TABLES, add_groups
from .executions.decider import decider_with
from .executions.large import HEAVY
from .executions.progress import OUTPUT_BYTES_MAX
from .executions.queueing import NO_LIMITS, Limits
from .executions.resuming import ResumeUrls
from .executions.route import TASKS
from .gates.decider import decider as gates
from .hear import hear
from .keeping.deciders import of_static_data, of_variables
from .log_partitions import keep_partitions
from .measures import Measures
from .payloads import keep_sweeping
from .promises import Judge
from .retention import keep_purging
from .runner.breakers import keep_watching
from .runner.here import Here
from .runner.large import lightening
from .runner.perform import at_once, perform
from .runner.restore import claims_again
from .runner.tools import tools_of
from .runner.work import GROUP
from .specifications import fill_at_start
from .stalls import keep_looking, unexplained, untold
from .start_delays import StartDelays
from .stopping import decider as stopping
from .templates.decider import decider as templates
from .workflows.decider import decider as definitions
from .workflows.hear import CONCERNS

VERDICT_WAIT_S = 10.0
"""How long recovery is waited for where `PERDURE_VERDICT_WAIT_S` is not set, in seconds."""

STARTS = "perdure.engine.starts.v1"
KEPT = (
    *("node_claims", "node_specifications", "substeps", "credentials"),
    *("expired", "payloads", "payload_uses", "execution_purges", "journal_purged"),
    *("files", "file_chunks"),
)
"""Tables that are written beside the journal."""


def service_with(
    verdict_wait_s: float = VERDICT_WAIT_S,
    output_bytes_max: int = OUTPUT_BYTES_MAX,
    urls: ResumeUrls | None = None,
    limits: Limits = NO_LIMITS,
    cancel_grace_s: float = 0.0,
) -> Service:
    """Return the engine that waits `verdict_wait_s` seconds for recovery's verdicts.

    `output_bytes_max` is how large what a node emits may be, as JSON; `urls` makes the resume
    URLs of executions that wait for calls; `limits` say how many executions may be open;
    `cancel_grace_s` is what those that are cancelled leave to their runners, in seconds.
    """
    execution = decider_with(verdict_wait_s, output_bytes_max, urls, limits, cancel_grace_s)
    return Service(
        name="engine",
        deciders=(definitions, templates, stopping, execution, gates, of_variables, of_static_data),
        hear=hear,
        hears=("perdure.scheduler.events.v1",),
        concerns=CONCERNS,
        pausable=(STARTS,),
        early=definitions.commands,
        by_token=(NodeResult,),
        kept=KEPT,
        expires={"workflow_execution_logs": "created_at"},
        handed=(TASKS,),
        heavy=HEAVY,
        tombstones=(ExecutionPurged,),
        judge=Judge,
        unexplained=unexplained,
        untold=untold,
        groups=(GROUP,),
        after_restore=claims_again,
    )


service = service_with()


def limits_of(settings: Settings) -> Limits:
    """Return how many executions may be open; most installations set no limit."""
    tenant, shard = settings.open_executions_max, settings.open_executions_per_shard
    if not tenant and not shard:
        return NO_LIMITS
    return Limits(tenant or None, shard or None, settings.queued_executions_max,
                  settings.partitions)  # fmt: skip


async def serve_engine() -> None:
    """Run the engine until SIGTERM or SIGINT, with a runner for short tasks in its process."""
    settings = Settings.read("engine")
    base = settings.resume_url or f"http://{settings.http_host}:{settings.http_port}"
    urls = ResumeUrls(secrets.token_bytes(32), base)
    ours = service_with(
        settings.verdict_wait_s,
        settings.result_bytes_max,
        urls,
        limits_of(settings),
        settings.cancel_grace_s,
    )
    name = process_name("engine")
    kept = PostgresStore(
        settings.database_url, ours.name, connections=1, wait_s=settings.database_wait_s
    )
    payloads = kept.payloads
    async with tools_of(settings, kept.files, clients=2) as tools:
        tools.dependencies.runner = name

        async def calls(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
            if settings.hand_over:
                await keep_watching(settings, tools.dependencies, stop)

        here = Here(
            lambda task, tenant_id: perform(tools, task, name, tenant_id),
            name=name,
            partitions=settings.partitions,
            most=settings.hand_over,
            now=utc_now,
            at_once=lambda task: at_once(task, name),
            lighten=lightening(payloads, settings.result_bytes_max),
        )
        registry = CollectorRegistry()
        delays, measures = StartDelays(registry), Measures(registry)

        def more(app: FastAPI, settings: Settings, owner: Owner, reading: Reading) -> None:
            add_groups(ours, app, settings, owner, reading)
            app.state.registries.append(registry)

        api = http.beside(TABLES, ROWS, more)
        try:
            hand_over = here.take if settings.hand_over else None
            stalls = partial(keep_looking, ours)
            sweeping = partial(keep_sweeping, payloads, kept.files)
            purging = partial(keep_purging, ours)
            beside = (api, fill_at_start, keep_partitions, stalls, sweeping, purging, calls)
            seers = {ExecutionStarted: delays.see, **measures.seers}
            await serve(ours, *beside, hand_over=hand_over, seers=seers)
        finally:
            await here.close()
            await kept.close()


def main() -> None:
    """Run the engine as a process."""
    run(serve_engine())


if __name__ == "__main__":
    main()

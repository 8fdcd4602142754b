"""Wiring and main() of the runner, nothing else."""

import asyncio
import os

from perdure_common import fault
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.outbound import AllowList
from perdure_common.run import freeze, process_name, run, stop_on_signals, utc_now
from perdure_common.settings import Settings
from perdure_contracts.engine import NodeResult, NodeTask

from perdure_engine.runner.claims import PostgresClaims
from perdure_engine.runner.http_request import make_client
from perdure_engine.runner.perform import Tools, perform
from perdure_engine.runner.work import Work


async def serve() -> None:
    """Run tasks until SIGTERM or SIGINT."""
    settings = Settings.read("runner")
    fault.arm("runner", os.environ.get("PERDURE_FAULT"))
    name = process_name("runner")
    bus = KafkaBus(settings.kafka_bootstrap, name, settings.topic_prefix)
    claims = PostgresClaims(settings.database_url)
    stop: asyncio.Event = stop_on_signals()
    async with make_client() as client:
        tools = Tools(client, AllowList.parse(settings.http_allow))

        async def perform_here(task: NodeTask) -> NodeResult:
            return await perform(tools, task, name)

        work = Work(bus, claims, perform_here, name, settings.partitions, utc_now)
        freeze()
        try:
            await work.run(stop)
        finally:
            await bus.close()
            await claims.close()


def main() -> None:
    """Run the runner as a process."""
    run(serve())


if __name__ == "__main__":
    main()

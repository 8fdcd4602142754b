# pyright: basic, reportMissingImports=false
"""DBOS workflows, and the load beside them: a process of its own, in DBOS's environment.

Set up as in DBOS's own published benchmark of local starts: workflows run where they are
started, with no queue in between, in several processes with a pool of 16 connections each.
They are synchronous functions in threads, which was faster here than coroutines.
`python -m bench.peer_apps.dbos_app DATABASE_URL NAME`.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, DBOSConfig

from bench.peer_apps.driving import INPUT, RESULT, serve

POOL = 16
THREADS = 128


@DBOS.step()
def step(data: dict) -> dict:
    """Do nothing."""
    return RESULT


@DBOS.workflow()
def chain(data: dict, steps: int) -> dict:
    """Run `steps` steps, one after the other."""
    for _ in range(steps):
        data = step(data)
    return data


async def main(url: str, name: str) -> None:
    """Launch DBOS, take orders, and leave."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "sys_db_pool_size": POOL,
        "max_executor_threads": THREADS,
        "executor_id": name,
        "application_version": "bench",
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()
    threads = ThreadPoolExecutor(THREADS)
    loop = asyncio.get_running_loop()

    async def one(steps: int) -> None:
        await loop.run_in_executor(threads, chain, INPUT, steps)

    try:
        await serve(one)
    finally:
        threads.shutdown()
        DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

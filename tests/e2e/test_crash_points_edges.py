"""`kill -9` where others than Kafka are heard or answered: each thing takes effect once.

The places are those of `fault.EDGES`; what is sent to come there is in tests/support/edges.py.
Whoever sends does as senders do: without an answer it sends again.
"""

import asyncio
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from answering_server import answering_server, as_json
from authority import Authority
from edges import PLANS, Edges
from hook_client import CREDENTIALS_KEY, set_credential
from mail_server import PASSWORD, free_port, mail_server
from outside_world import World
from perdure_common import fault
from perdure_common.embedded import Addresses
from platform_stage import PATIENT, Stage
from promises import what_verify_finds
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

POINTS = [(name, place) for name, places in fault.EDGES.items() for place in places]
WORDS = "The step failed and somebody else has to look at it now."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edges(
    servers: Addresses, world: World, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Edges]:
    authority, smtp_port = Authority(tmp_path_factory.mktemp("authority")), free_port()
    with mail_server() as imap:
        async with answering_server() as (model, port), shared_ground(servers) as ground:
            settings = {
                **PATIENT,
                "PERDURE_CREDENTIALS_KEY": CREDENTIALS_KEY,
                "PERDURE_SMTP_PORT": str(smtp_port),
                "PERDURE_SMTP_CERTIFICATE": str(authority.certificate),
                "PERDURE_PROSE_URL": f"http://127.0.0.1:{port}/v1",
                "PERDURE_PROSE_MODEL": "small-1",
                "PERDURE_PROSE_KEY": "none",
            }
            model.answer = lambda asked: as_json({"choices": [{"message": {"content": WORDS}}]})
            async with Stage(ground, allow=("127.0.0.0/8",), settings=settings) as stage:
                await set_credential(stage, "mailbox", password=PASSWORD)
                yield Edges(stage, imap, authority, smtp_port, world.url("/status/400"))


@pytest.mark.parametrize(("victim", "place"), POINTS)
async def test_what_is_sent_to_a_process_that_dies_there_takes_effect_once(
    edges: Edges, victim: str, place: str
) -> None:
    stage, mark = edges.stage, f"{victim}-{place}".replace("_", "-")
    send, look = await PLANS[victim, place](edges, mark)
    assert await stage.end(victim) == 0, f"{victim} did not end in good order"
    stage.begin(victim, f"{victim}.{place}:kill")
    await stage.until_ready([victim])
    sending = asyncio.ensure_future(send())
    try:
        await stage.until_killed(victim)
        stage.begin(victim)
        await stage.until_ready([victim])
        await sending
    finally:
        sending.cancel()
    await look()


async def test_every_promise_holds_after_all_kills(edges: Edges) -> None:
    assert await what_verify_finds(edges.stage) == []

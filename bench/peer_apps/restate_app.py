# pyright: basic, reportMissingImports=false
"""A Restate service; Granian serves it over HTTP/2, in Restate's environment."""

import restate

from bench.peer_apps.driving import RESULT

bench = restate.Service("Bench")


def step() -> dict:
    """Do nothing."""
    return RESULT


@bench.handler()
async def chain(ctx: restate.Context, request: dict) -> dict:
    """Run as many durable steps as the request says, one after the other."""
    data: dict = {}
    for number in range(request["steps"]):
        data = await ctx.run_typed(f"step-{number}", step)
    return data


app = restate.app([bench])

"""Rail 8: there is one layer of retries. Do the libraries that are installed ask a model once?

They would try again by themselves, and are told not to (models.py). Whether they obey is seen once
in a process, before the first agent asks anybody: a model that is always down, which is none, must
be asked once. A library that was renewed and takes no notice any more is found so, and not by a
model's owner who is asked nine times instead of three.
"""

import httpx2

from perdure_engine.runner.agents import models

BODY = {"error": {"message": "this is no model", "type": "server_error"}}

_assured: set[str] = set()


class RetriesBelow(RuntimeError):
    """A library asks more than once."""


class Down(httpx2.AsyncBaseTransport):
    """Answers every request with 503, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer that nobody is there now."""
        self.asked += 1
        return httpx2.Response(503, json=BODY, request=request)


async def assure_one_layer() -> None:
    """See that no library tries again by itself.

    Raises:
        RetriesBelow: One does.
    """
    for provider in models.URLS:
        if provider in _assured:
            continue
        asked = await times_asked(provider)
        if asked != 1:
            raise RetriesBelow(
                f"the library for {provider} asked a model {asked} times where it must ask once; "
                "install the versions of requirements.lock"
            )
        _assured.add(provider)


async def times_asked(provider: str) -> int:
    """Return how often a model that is down is asked for one answer."""
    from pydantic_ai.direct import model_request
    from pydantic_ai.exceptions import ModelHTTPError
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    down = Down()
    async with httpx2.AsyncClient(transport=down) as client:
        model = models.model_of(models.Choice(provider, "none", "http://localhost", ""), client)
        try:
            await model_request(model, [ModelRequest(parts=[UserPromptPart("")])])
        except ModelHTTPError:
            return down.asked
    return 0

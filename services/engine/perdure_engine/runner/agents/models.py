"""Models by pydantic-ai: whose API is spoken, and by which connections.

Requests go through a client that judges and pins every address (guarded.py), as those of other
nodes do. Nothing is tried again here: the engine and recovery decide about that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model

URLS: Mapping[str, str] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}
"""Where each provider's API is unless the author says otherwise."""

NO_KEY = "none"
"""What is sent to a server that needs no key: the libraries insist on one."""


@dataclass(frozen=True)
class Choice:
    """Which model, and where; `api_key` is secret."""

    provider: str
    model: str
    base_url: str
    api_key: str

    @property
    def dependency(self) -> str:
        """What recovery calls it: provider and model."""
        return f"llm:{self.provider}:{self.model}"


def model_of(choice: Choice, http: "httpx2.AsyncClient") -> "Model[Any]":
    """Return the model that an agent asks."""
    base_url = choice.base_url or URLS[choice.provider]
    if choice.provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        theirs = AnthropicProvider(
            api_key=choice.api_key or NO_KEY, base_url=base_url, http_client=http
        )
        theirs.client.max_retries = 0
        return AnthropicModel(choice.model, provider=theirs)
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    ours = OpenAIProvider(api_key=choice.api_key or NO_KEY, base_url=base_url, http_client=http)
    ours.client.max_retries = 0
    return OpenAIChatModel(choice.model, provider=ours)

"""The libraries by which agents ask models, loaded when the first agent needs them."""

import asyncio
import importlib

LIBRARIES = (
    "pydantic_ai.direct",
    "pydantic_ai.models.openai",
    "pydantic_ai.models.anthropic",
    "pydantic_ai.providers.openai",
    "pydantic_ai.providers.anthropic",
)
"""They take seconds and memory that other nodes can do without."""


async def load_libraries() -> None:
    """Load what agents need, beside the event loop, and see that it tries nothing again.

    Raises:
        RetriesBelow: It does: see one_layer.py.
    """
    for name in LIBRARIES:
        await asyncio.to_thread(importlib.import_module, name)
    from .one_layer import assure_one_layer  # it loads one of them

    await assure_one_layer()

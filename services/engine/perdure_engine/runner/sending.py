"""How far an HTTP request has got, told by the transport itself (httpx and httpx2 alike).

Whether a failed request may be repeated hangs on it: nothing of it has left before the first
byte of its head, and after that nobody knows what the other side did.
"""

from dataclasses import dataclass
from typing import Any

from perdure_contracts.engine import EffectState

LEAVES = ("http11.send_request_headers.started", "http2.send_request_headers.started")
"""What the transport says when the first byte is about to leave."""


@dataclass
class Sending:
    """One request; give its `trace` to the transport as the extension of that name."""

    began: bool = False

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Hear what the transport does."""
        del info
        if event in LEAVES:
            self.began = True

    @property
    def effect_state(self) -> EffectState:
        """What is known of the effect of a request that got no answer."""
        return "unknown" if self.began else "not_sent"

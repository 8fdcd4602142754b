"""What an agent may use, over all its attempts: calls, tokens, money."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from perdure_engine.nodes.ai_agent_agent import STEPS_MAX, TOOL_CALLS_MAX
from perdure_engine.runner.substeps import Usage

from .failures import limit

PER_MILLION = 1_000_000


@dataclass(frozen=True)
class Limits:
    """The limits that an author set; None is no limit. `prices` are for a million tokens."""

    steps_max: int
    tool_calls_max: int
    tokens_max: int | None
    cost_max_usd: float | None
    prices: tuple[float, float] | None

    @classmethod
    def of(
        cls, parameters: Mapping[str, Any], known: Mapping[str, tuple[float, float]]
    ) -> "Limits":
        """Return the limits that a node's parameters set, with the operator's price list."""
        prices: Any = parameters.get("prices")
        pair = known.get(str(parameters.get("model")))
        if isinstance(prices, dict):
            given = cast("dict[str, Any]", prices)
            pair = (float(given["input"]), float(given["output"]))
        return cls(
            steps_max=int(parameters.get("steps_max") or STEPS_MAX),
            tool_calls_max=int(parameters.get("tool_calls_max", TOOL_CALLS_MAX)),
            tokens_max=parameters.get("tokens_max"),
            cost_max_usd=parameters.get("cost_max_usd"),
            prices=pair,
        )

    def check_before_call(self, steps: int, used: Usage) -> None:
        """Refuse another call of the model when a limit is reached.

        Raises:
            Stop: One is.
        """
        if steps >= self.steps_max:
            raise limit(
                "step_limit",
                f"the model was called {steps} times and has no answer yet; raise `steps_max`, or "
                "let it do less",
            )
        tokens = used.input_tokens + used.output_tokens
        if self.tokens_max is not None and tokens >= self.tokens_max:
            raise limit(
                "token_limit", f"{tokens:,} tokens are used of {self.tokens_max:,} (`tokens_max`)"
            )
        if self.cost_max_usd is not None and used.cost_usd >= self.cost_max_usd:
            raise limit(
                "cost_limit",
                f"${used.cost_usd:.4f} is spent of ${self.cost_max_usd:.4f} (`cost_max_usd`)",
            )

    def tokens_left(self, used: Usage) -> int | None:
        """Return how many tokens the next call may give, None where no limit is set."""
        if self.tokens_max is None:
            return None
        return max(1, self.tokens_max - used.input_tokens - used.output_tokens)

    def cost_of(self, model: str, usage: Any, provider: str, base_url: str) -> float | None:
        """Return what a call cost in US dollars, None where nobody knows the model's price."""
        if self.prices is not None:
            into, out = self.prices
            return (usage.input_tokens * into + usage.output_tokens * out) / PER_MILLION
        import genai_prices

        try:
            if base_url:
                found = genai_prices.calc_price(usage, model, provider_api_url=base_url)
            else:
                found = genai_prices.calc_price(usage, model, provider_id=provider)
        except (LookupError, ValueError):
            return None
        return float(found.total_price)

    def must_know_price(self, known: bool, model: str) -> None:
        """Refuse to go on without a price where a limit of money was set.

        Raises:
            Stop: The price is not known.
        """
        if self.cost_max_usd is not None and not known:
            raise limit(
                "price_unknown",
                f"nobody knows what {model!r} costs, so `cost_max_usd` cannot be kept; set "
                "`prices`, or PERDURE_MODEL_PRICES",
            )

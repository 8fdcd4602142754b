"""What the nodes that call one server have in common: a token, a time-out, an effect class."""

from collections.abc import Callable, Mapping
from typing import Literal

from perdure_contracts.engine import EffectClass

from .base import SHORT_S_MAX, Parameter, Parameters
from .credential import credential

TIMEOUT_S = 30.0
"""The limit of one request, statement or mail where the author sets none."""

TOKEN = Parameter(
    "token",
    "text",
    "The token to call with, where no credential has it; it stands in the journal then.",
    expressions=True,
)
BY_CREDENTIAL = credential("`token`")
TIMEOUT = Parameter(
    "timeout_s",
    "number",
    "The limit of one request, in seconds.",
    default=TIMEOUT_S,
    least=1,
    most=300,
)


def attempt_timeout_s(parameters: Parameters) -> float:
    """Return the limit of one request in seconds."""
    value = parameters.get("timeout_s", TIMEOUT_S)
    return float(value) if isinstance(value, int | float) else TIMEOUT_S


def length(parameters: Parameters, timeout_s: float | None) -> Literal["short", "long"]:
    """Return `short` where the node's own limit, else the request's, is at most 30 s."""
    limit = attempt_timeout_s(parameters) if timeout_s is None else timeout_s
    return "short" if limit <= SHORT_S_MAX else "long"


def effect_of(effects: Mapping[str, EffectClass]) -> Callable[[Parameters], EffectClass]:
    """Return the function that says what a repetition of the node's operation costs."""

    def effect(parameters: Parameters) -> EffectClass:
        return effects.get(str(parameters.get("operation")), "unsafe")

    return effect


ERRORS = (
    *("http_status", "api_error", "read_timeout", "connect_failed", "connection_reset"),
    *("tls_failed", "name_not_found", "dns_failed", "address_refused", "response_too_large"),
    *("output_invalid", "invalid_parameters", "network", "credential_not_found"),
    *("credential_unreadable", "credential_incomplete", "credentials_off"),
)
"""The types of errors of a node that calls an HTTP API."""

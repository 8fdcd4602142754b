"""The parameters by which triggers that listen on HTTP limit what comes."""

from .base import Parameter

RATE_MAX = 60_000
BODY_BYTES_MAX = 64 * 1024 * 1024
"""What may be asked for anywhere; an installation may give less, and says so at the deployment."""

LIMITS = (
    Parameter(
        "rate_per_minute",
        "integer",
        "How many requests it takes a minute.",
        least=1,
        most=RATE_MAX,
    ),
    Parameter(
        "body_bytes_max",
        "integer",
        "How large a body may be.",
        least=1,
        most=BODY_BYTES_MAX,
    ),
)

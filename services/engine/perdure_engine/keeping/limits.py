"""How much may be kept: every execution that reads it has a copy in its journal."""

import re

from perdure_common.ids import canonical_json
from perdure_contracts.message import Json

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
"""What a variable may be called: what can stand behind `$vars.`."""

VALUES_MAX = 500
VALUE_BYTES_MAX = 32 * 1024
TOTAL_BYTES_MAX = 128 * 1024


def bytes_of(value: Json) -> int | None:
    """Return how many bytes a value has as JSON, None if it is none that can be kept."""
    try:
        text = canonical_json(value)
        text.decode()
    except (ValueError, TypeError, RecursionError):
        return None
    return None if b"\\u0000" in text else len(text)

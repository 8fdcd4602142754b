"""Real payloads of GitHub's webhooks: those of npm @octokit/webhooks-examples (see its LICENSE)."""

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "octokit" / "webhooks_examples.json.xz"


@cache
def examples() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return (event, payload) of every example."""
    listed: list[dict[str, Any]] = json.loads(lzma.decompress(FILE.read_bytes()))
    return tuple((each["event"], payload) for each in listed for payload in each["examples"])

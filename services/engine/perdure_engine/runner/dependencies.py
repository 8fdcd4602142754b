"""Names of what calls depend on, as recovery and its breakers know them: `kind:what`.

`http:host`, `sql:host`, `smtp:host`, `llm:provider:model`. Two names of the operator's for one
host are one dependency: when it is down, both are.
"""

from urllib.parse import urlsplit


def of_address(kind: str, address: str, otherwise: str) -> str:
    """Return the dependency at an address; `otherwise` is its name where that has no host."""
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = None
    return f"{kind}:{host or otherwise}"

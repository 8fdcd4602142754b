"""Free ports on this machine, so that two platforms that start at once never choose the same one.

Between looking whether a TCP port is free and the server's binding it, seconds pass. So a port is
claimed by holding its twin in UDP, which no server of ours uses: the kernel gives it to one
process only, whoever's that is, and takes it back when the process ends, also by kill -9.
"""

import secrets
import socket
from contextlib import suppress

from perdure_common.embedded.errors import EmbeddedError

HOST = "127.0.0.1"
# Below the range from which the kernel gives outgoing connections their ports (Linux: 32,768 up):
# there a port that is free now may be somebody's other end in the next second.
_LEAST, _MOST = 20_000, 32_000
_TRIES_MAX = 200


class Ports:
    """The ports that one process has claimed for its servers, until `release` or its end."""

    def __init__(self) -> None:
        self._claims: list[socket.socket] = []

    def claim(self, preferred: int = 0) -> int:
        """Return the preferred port if nobody has it or is about to, else another one.

        Raises:
            EmbeddedError: `no_free_port`.
        """
        first = secrets.randbelow(_MOST - _LEAST)
        others = (_LEAST + (first + step) % (_MOST - _LEAST) for step in range(_TRIES_MAX))
        for port in (preferred, *others):
            if port and self._claim(port):
                return port
        message = f"There is no free port on {HOST}; close some programs."
        raise EmbeddedError("no_free_port", message)

    def release(self) -> None:
        """Let others have the ports."""
        for claim in self._claims:
            claim.close()
        self._claims.clear()

    def _claim(self, port: int) -> bool:
        twin = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket() as probe, suppress(OSError):
            twin.bind((HOST, port))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            self._claims.append(twin)
            return True
        twin.close()
        return False

"""A real PostgreSQL and a real Kafka on this machine, without Docker, root or system Java.

`Embedded(root).start()` gives their addresses; the servers live in a keeper process of their own
(keeper.py) and stop when the last process that asked for them is gone, however it went.

Read next: servers.py (what callers use), keeper.py (who holds the processes), postgres.py and
kafka.py (one server each), jars.py (where Kafka comes from).
"""

from perdure_common.embedded.errors import EmbeddedError
from perdure_common.embedded.servers import Embedded
from perdure_common.embedded.state import Addresses, Phase, State

__all__ = ["Addresses", "Embedded", "EmbeddedError", "Phase", "State"]

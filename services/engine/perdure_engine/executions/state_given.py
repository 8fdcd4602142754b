"""What an execution was given from outside itself: pins, adopted runs, variables, static data.

It hangs on an `Execution` as one value, so that all others carry nothing of it.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.files import FilesByItem
from perdure_contracts.message import Json


class Given(Struct, gc=False):
    """Outcomes that are known before their nodes' turn; changed in place by `evolve` alone.

    `pins` are what nodes emit, by node id. `runs` are the ports of adopted runs by place, until
    these have ended here too; `failed` the adopted failures of iterations, by the place of their
    FOREACH and number. `skipped` are places of adopted runs that a person had skipped, `regions` of
    adopted loops before races. `parts` is how many messages with adopted runs are still to come,
    `data` (and `files`) what the trigger emits when they have. `vars` is what `$vars` is in this
    execution, `static_data` what it sees of its workflow's, which had been changed
    `static_number` times then.
    """

    pins: dict[str, Json] = field(default_factory=dict)
    runs: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    failed: dict[str, dict[str, tuple[str, ErrorFacts]]] = field(default_factory=dict)
    parts: int = 0
    data: Json = None
    begun: bool = True
    vars: Mapping[str, Json] | None = None
    static_data: Mapping[str, Json] | None = None
    static_number: int = 0
    skipped: dict[str, None] = field(default_factory=dict)
    regions: dict[str, None] = field(default_factory=dict)
    files: FilesByItem | None = None

    def scratch(self) -> "Given":
        """Return a copy that can be changed without changing this one."""
        return Given(self.pins, self.runs.copy(), self.failed.copy(), self.parts, self.data,
                     self.begun, self.vars, self.static_data, self.static_number,
                     self.skipped.copy(), self.regions.copy(), self.files)  # fmt: skip

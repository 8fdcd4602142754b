"""What a command says when it cannot do what was asked."""

from collections.abc import Mapping
from typing import Any

from perdure_common.errors import Told


class CommandError(Told):
    """One sentence: what is wrong, where, and what to do. `exit_code` ends the process.

    1: what was asked for did not happen. 2: it was asked for in the wrong way. `more` is for
    programs alone, and has been told to people before.
    """

    def __init__(
        self,
        message: str,
        *,
        exit_code: int = 1,
        code: str = "failed",
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code
        self.more = more or {}

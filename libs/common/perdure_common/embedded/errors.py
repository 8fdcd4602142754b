"""What can go wrong with the embedded servers, said so that a person can act on it."""

from pathlib import Path

from perdure_common.errors import Told

_TAIL_BYTES = 4096
_TAIL_LINES = 12


class EmbeddedError(Told):
    """A server could not be fetched, started or stopped.

    Args:
        code: a typed reason in snake_case, stable for programs.
        message: what is wrong, where, and what to do; one sentence for people.
        detail: the last lines of the server's log, or nothing. For operators only.
    """

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message}\n{self.detail}" if self.detail else self.message


def tail(log: Path) -> str:
    """The last lines of a log file, indented; empty where there is no log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-_TAIL_LINES:])

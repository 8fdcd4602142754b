"""The command line for tests: `perdure …` in this process, with what it printed and its code."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from perdure_cli.main import main


@dataclass(frozen=True)
class Said:
    """What a command printed on both channels, and the exit code it ended with."""

    out: str
    err: str
    code: int

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


def perdure(*words: object, env: Mapping[str, str] | None = None, fed: str = "") -> Said:
    """Run `perdure` with these words, exactly as its entry point does.

    `env` stands instead of every setting of perdure in the environment, `fed` is what it reads.
    Not from within an event loop: the command line runs one of its own.
    """
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        _as_program(words, env or {}, fed),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return Said(out.getvalue(), err.getvalue(), code if isinstance(code, int) else int(bool(code)))


@contextlib.contextmanager
def _as_program(words: tuple[object, ...], env: Mapping[str, str], fed: str) -> Generator[None]:
    arguments, environment, channel = sys.argv, dict(os.environ), sys.stdin
    sys.stdin = io.StringIO(fed)
    sys.argv = ["perdure", *(str(word) for word in words)]
    for name in [name for name in os.environ if name.startswith("PERDURE_")]:
        del os.environ[name]
    os.environ.update(env)
    try:
        yield
    finally:
        sys.argv, sys.stdin = arguments, channel
        os.environ.clear()
        os.environ.update(environment)

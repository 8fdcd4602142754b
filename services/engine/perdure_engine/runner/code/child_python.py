"""Runs Python of an author's: one line of JSON for each item in, one for its outcome out.

The first line is `{code, cpu_s, memory_mb}`. Nothing of perdure is imported, and no environment
is here. What the interpreter can be kept from (sockets, programs, files outside of its library,
other libraries' code) it is kept from; a person who means harm finds a way around that.
"""

import ast
import json
import os
import sys
import sysconfig
from typing import Any, NoReturn

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from confined import confine, described, streams, tell

BASE_MB = 64
"""What the interpreter has by itself."""

REFUSED = (
    "ctypes.",
    "fcntl.",
    "ftplib.",
    "http.",
    "mmap.",
    "msvcrt.",
    "os.chmod",
    "os.chown",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.kill",
    "os.link",
    "os.mkdir",
    "os.posix_spawn",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.system",
    "os.truncate",
    "pty.",
    "resource.",
    "shutil.",
    "signal.",
    "smtplib.",
    "socket.",
    "sqlite3.",
    "subprocess.",
    "sys.settrace",
    "sys.setprofile",
    "tempfile.",
    "urllib.",
    "webbrowser.",
)
MODULES = ("ctypes", "_ctypes", "socket", "_socket", "subprocess", "multiprocessing", "mmap")


def _guard(library: tuple[str, ...]) -> None:
    """Refuse from now on whatever reaches out of the process."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir"):
            path = arguments[0]
            text = os.fsdecode(path) if isinstance(path, str | bytes) else ""
            mode = arguments[1] if event == "open" else None
            reads = mode is None or not set(str(mode)) & set("wax+")
            if not (reads and f"{text}{os.sep}".startswith(library)):
                raise PermissionError("code may not open files")
        elif event == "import" and str(arguments[0]).partition(".")[0] in MODULES:
            raise PermissionError(f"code may not import {arguments[0]}")
        elif event.startswith(REFUSED):
            raise PermissionError(f"code may not use {event}")

    sys.addaudithook(refuse)
    for name in MODULES:
        sys.modules.pop(name, None)


def _compiled(source: str) -> Any:
    """Return the code as a function's code object: `return` stands in it, lines are its own."""
    body = ast.parse(source, "<code>").body or [ast.Pass()]
    shell = ast.parse("def run(item):\n    pass")
    function = shell.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = body
    return compile(ast.fix_missing_locations(shell), "<code>", "exec")


def _one(code: Any, item: Any) -> dict[str, Any]:
    try:
        names: dict[str, Any] = {"__name__": "code"}
        exec(code, names)
        value = names["run"](item)
    except BaseException as error:
        return {"error": described(error)}
    try:
        return {"ok": json.loads(json.dumps(value, allow_nan=False))}
    except MemoryError as error:
        return {"error": described(error)}
    except (TypeError, ValueError, RecursionError) as error:
        return {"error": {"type": "code_output", "message": str(error)[:300], "line": None}}


def main() -> NoReturn:
    """Answer items until there are no more."""
    asked, answers = streams()
    first = json.loads(asked.readline())
    confine(first["cpu_s"], first["memory_mb"] + BASE_MB)
    paths = sysconfig.get_paths()
    _guard(tuple(f"{paths[name]}{os.sep}" for name in ("stdlib", "platstdlib")))
    broken: dict[str, Any] | None = None
    code: Any = None
    try:
        code = _compiled(first["code"])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        broken = described(error)
    tell(answers, "{}")
    for line in asked:
        outcome = {"error": broken} if broken else _one(code, json.loads(line))
        tell(answers, json.dumps(outcome))
    os._exit(0)


if __name__ == "__main__":
    main()

"""Starts service processes quickly: a parent that has loaded their code forks each of them.

The tests start hundreds, and loading the code takes most of that time. A forked process is as
real as any: a process id, a memory and connections of its own; `perdure up` forks its own too.
"""

import atexit
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from perdure_common.embedded.lifeline import tied
from perdure_common.prefork import load


class Child:
    """A process that a zygote has forked; what a stage needs of `subprocess.Popen`."""

    def __init__(self, zygote: "Zygote", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._zygote = zygote

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, None while it lives."""
        if self.returncode is None:
            self.returncode = self._zygote.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It lives on.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if limit is not None and time.monotonic() > limit:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The parent; it ends with this process."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=tied(signal.SIGKILL),
        )

    def begin(self, module: str, env: Mapping[str, str], log: Path) -> Child:
        """Fork a process that runs `module.main()` with this environment and log."""
        asked = {"module": module, "env": dict(env), "log": str(log)}
        return Child(self, self.ask(asked))

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Send a request and return the answer."""
        with self._lock:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the parent; its children must have ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@functools.cache
def shared_zygote(*modules: str) -> Zygote:
    """Return the parent that all tests of this process share."""
    made = Zygote(modules)
    atexit.register(made.close)
    return made


def _polled(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(request: Mapping[str, Any], tie: Callable[[], None]) -> None:
    """Run a service in the forked process, and end with it."""
    code = 1
    try:
        tie()
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(request["env"])
        sys.argv = [request["module"]]
        importlib.import_module(request["module"]).main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Load the modules that are named, then fork and poll as asked until the input ends."""
    for module in sys.argv[1:]:
        load(module)
    tie = tied(signal.SIGKILL) or (lambda: None)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            answer = _polled(request["poll"])
        else:
            answer = os.fork()
            if answer == 0:
                _become(request, tie)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

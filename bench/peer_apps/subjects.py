"""What is compared, all measured in the same three ways: perdure, Restate, DBOS.

Each runs on a stack of its own that is removed before the next one starts.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
from perdure_cli import platform
from perdure_common.embedded import Embedded
from perdure_common.embedded.ports import Ports

from bench import machine, stack
from bench.load import Load
from bench.peer_apps import installing
from bench.peer_apps.driving import Order, Seen

ROOT = Path(__file__).parents[2]
READY_S = 60.0
END_S = 10.0


@dataclass(frozen=True)
class Saturated:
    """Executions a second, and CPU microseconds of an execution by group of processes."""

    per_s: float
    cpu_us: Mapping[str, float]


class Subject(Protocol):
    """One system under test. Latencies are milliseconds, sorted."""

    name: str
    mosts: Sequence[int]
    """Numbers of executions in flight to try at saturation, the usual one first."""

    def saturate(self, steps: int, most: int, warm_s: float, measure_s: float) -> Saturated:
        """Measure throughput with `most` executions in flight."""
        ...

    def alone(self, steps: int, warm_s: float, measure_s: float) -> list[float]:
        """Measure latency with one execution in flight."""
        ...

    def paced(self, steps: int, per_s: float, warm_s: float, measure_s: float) -> list[float]:
        """Measure latency at a rate of executions."""
        ...


@dataclass
class Perdure:
    """A running platform, and the workflows to start by their number of steps."""

    name: str
    load: Load
    groups: Mapping[str, psutil.Process]
    workflows: Mapping[int, str]
    mosts: Sequence[int] = (1_000, 400, 2_000)

    def saturate(self, steps: int, most: int, warm_s: float, measure_s: float) -> Saturated:
        """See `Subject`."""
        marks: list[tuple[float, machine.Seconds]] = []

        def mark() -> None:
            marks.append((time.perf_counter(), machine.cpu_s(self.groups)))

        rate = self.load.saturate(self.workflows[steps], warm_s, measure_s, most, mark)
        (began, first), (ended, last) = marks
        return _saturated(rate / steps, ended - began, first, last)

    def alone(self, steps: int, warm_s: float, measure_s: float) -> list[float]:
        """See `Subject`."""
        self.load.alone(self.workflows[steps], warm_s)
        return [s * 1000 for s in self.load.alone(self.workflows[steps], measure_s)]

    def paced(self, steps: int, per_s: float, warm_s: float, measure_s: float) -> list[float]:
        """See `Subject`; the first second warms up."""
        return [s * 1000 for s in self.load.paced(self.workflows[steps], per_s, measure_s)]


@dataclass
class Peer:
    """Another system, with load generators that are processes of their own (`driving.serve`)."""

    name: str
    generators: Sequence["subprocess.Popen[str]"]
    groups: Mapping[str, psutil.Process]
    mosts: Sequence[int]

    def saturate(self, steps: int, most: int, warm_s: float, measure_s: float) -> Saturated:
        """See `Subject`."""
        share = max(1, most // len(self.generators))
        seen, first, last = self._measured("saturate", steps, warm_s, measure_s, most=share)
        return _saturated(sum(each.ended for each in seen) / measure_s, measure_s, first, last)

    def alone(self, steps: int, warm_s: float, measure_s: float) -> list[float]:
        """See `Subject`."""
        return _sorted(self._measured("alone", steps, warm_s, measure_s)[0])

    def paced(self, steps: int, per_s: float, warm_s: float, measure_s: float) -> list[float]:
        """See `Subject`."""
        share = per_s / len(self.generators)
        return _sorted(self._measured("paced", steps, warm_s, measure_s, per_s=share)[0])

    def _measured(
        self, kind: str, steps: int, warm_s: float, measure_s: float, **more: Any
    ) -> tuple[list[Seen], machine.Seconds, machine.Seconds]:
        begin = time.monotonic() + warm_s
        order = Order(kind, steps, begin, begin + measure_s, **more)
        generators = self.generators[:1] if kind == "alone" else self.generators
        for each in generators:
            tell(each, vars(order))
        time.sleep(max(0.0, order.begin - time.monotonic()))
        first = machine.cpu_s(self.groups)
        time.sleep(max(0.0, order.end - time.monotonic()))
        last = machine.cpu_s(self.groups)
        seen = [Seen(**hear(each)) for each in generators]
        if failed := sum(each.failed for each in seen):
            raise RuntimeError(f"{failed} executions on {self.name} failed; see above")
        return seen, first, last


def _saturated(
    per_s: float, took_s: float, first: machine.Seconds, last: machine.Seconds
) -> Saturated:
    executions = max(1.0, per_s * took_s)
    return Saturated(per_s, {n: (last[n] - first[n]) / executions * 1e6 for n in last})


def _sorted(seen: Sequence[Seen]) -> list[float]:
    return sorted(ms for each in seen for ms in each.latencies_ms or ())


# Processes --------------------------------------------------------------------------------


def tell(generator: "subprocess.Popen[str]", order: Mapping[str, Any]) -> None:
    """Give a generator an order."""
    assert generator.stdin is not None
    generator.stdin.write(json.dumps(dict(order)) + "\n")
    generator.stdin.flush()


def hear(generator: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return what a generator answers.

    Raises:
        RuntimeError: It has ended.
    """
    assert generator.stdout is not None
    line = generator.stdout.readline()
    if not line:
        raise RuntimeError(f"a load generator ended with code {generator.wait()}")
    return json.loads(line)


@contextmanager
def process(command: Sequence[str | Path], **options: Any) -> Generator["subprocess.Popen[str]"]:
    """Run a program in a session of its own, and end it with its children."""
    words = [str(word) for word in command]
    child = subprocess.Popen(words, text=True, start_new_session=True, **options)
    try:
        yield child
    finally:
        family = [child.pid, *(each.pid for each in _children(child.pid))]
        if child.stdin is not None:
            child.stdin.close()
        else:
            child.terminate()
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pid in family[1:]:
            _kill(pid, child.pid)
        if child.stdout is not None:
            child.stdout.close()


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(pid: int, session: int) -> None:
    """End what is left of a program's session."""
    try:
        if os.getsid(pid) == session:
            psutil.Process(pid).kill()
    except (ProcessLookupError, psutil.NoSuchProcess):
        return


@contextmanager
def generator(python: Path | str, module: str, *arguments: str) -> Generator[Any]:
    """Run a load generator; it is ready when this returns."""
    command = [python, "-m", module, *arguments]
    with process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as child:
        hear(child)
        yield child


# Stacks -----------------------------------------------------------------------------------


@contextmanager
def perdure(save: Callable[[platform.Running, str], str]) -> Generator[tuple[Perdure, Perdure]]:
    """Give a platform with dispatched, and with inline steps.

    `save` saves the workflow of a name in `bench.engine.CHAINS` and returns its id.
    """
    with stack.whole() as running:
        ids = {
            kind: {steps: save(running, f"{kind}{steps}") for steps in (3, 10)}
            for kind in ("dispatched", "inline")
        }
        lengths = {id: steps for each in ids.values() for steps, id in each.items()}
        partitions = int(os.environ.get("PERDURE_PARTITIONS") or 8)
        load = Load(running.kafka_bootstrap, partitions, lengths)
        groups = machine.processes(running)
        load.begin()
        try:
            yield (
                Perdure("perdure, dispatched", load, groups, ids["dispatched"]),
                Perdure("perdure, inline", load, groups, ids["inline"]),
            )
        finally:
            load.end()
        if load.failed:
            raise RuntimeError(f"{load.failed} executions on perdure failed")


@contextmanager
def dbos() -> Generator[Peer]:
    """Give DBOS on a PostgreSQL of its own, with as many processes as there are cores.

    Raises:
        NotInstalled: It cannot be had.
    """
    python = installing.python_of("dbos")
    with ExitStack() as held:
        url = held.enter_context(stack.postgres())
        root = platform.home()
        names = [f"worker-{n}" for n in range(os.cpu_count() or 2)]
        workers = [
            held.enter_context(generator(python, "bench.peer_apps.dbos_app", url, name))
            for name in names
        ]
        server = Embedded(root).status().postgres
        assert server is not None
        groups = {name: psutil.Process(w.pid) for name, w in zip(names, workers, strict=True)}
        groups["PostgreSQL"] = psutil.Process(server.pid)
        version = installing.version_of("dbos", "dbos")
        yield Peer(f"DBOS {version}", workers, groups, (8, 4, 16, 32))


_HYPERCORN = """
bind = "127.0.0.1:{port}"
h2_max_concurrent_streams = 2147483647
keep_alive_max_requests = 2147483647
keep_alive_timeout = 2147483647
workers = {workers}
loglevel = "ERROR"
"""
"""What Restate's guide on serving in production writes into Hypercorn's file."""


def _serving(python: Path, port: str, folder: Path, *, tuned: bool) -> list[str | Path]:
    """Return the command that serves Restate's service, with as many workers as cores."""
    workers, app = str(os.cpu_count() or 2), "bench.peer_apps.restate_app:app"
    if tuned:
        granian = [python.with_name("granian"), "--interface", "asginl", "--http", "2"]
        granian += ["--host", "127.0.0.1", "--port", port, "--log-level", "error"]
        return [*granian, "--workers", workers, app]
    config = folder / "hypercorn.toml"
    config.write_text(_HYPERCORN.format(port=port, workers=workers), encoding="utf-8")
    return [python.with_name("hypercorn"), "--config", config, app]


@contextmanager
def restate(*, tuned: bool) -> Generator[Peer]:
    """Give Restate: its server and a service, as its documentation has them.

    With `tuned` it is as fast as we found: another HTTP server for the service, and as many
    partitions as cores instead of 24, which are many for a single node.

    Raises:
        NotInstalled: It cannot be had.
    """
    server, python = installing.restate_server(), installing.python_of("restate")
    ports = Ports()
    folder = Path(tempfile.mkdtemp(prefix="perdure-bench-restate-"))
    ingress, admin, fabric, service = (str(ports.claim()) for _ in range(4))
    environ = {n: v for n, v in os.environ.items() if not n.startswith("RESTATE_")} | {
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{fabric}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{fabric}/",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }
    if tuned:
        environ["RESTATE_DEFAULT_NUM_PARTITIONS"] = str(os.cpu_count() or 2)
    try:
        with ExitStack() as held, (folder / "log").open("w", encoding="utf-8") as log:
            said = {"stdout": log, "stderr": subprocess.STDOUT}
            serving = _serving(python, service, folder, tuned=tuned)
            served = held.enter_context(process(serving, cwd=ROOT, **said))
            command = [server, "--base-dir", folder / "data", "--no-logo"]
            running = held.enter_context(process(command, env=environ, cwd=folder, **said))
            _register(admin, service, folder / "log", [served, running])
            module = "bench.peer_apps.restate_load"
            load = held.enter_context(generator(sys.executable, module, "127.0.0.1", ingress))
            groups = {
                "load": psutil.Process(load.pid),
                "server": psutil.Process(running.pid),
                "service": psutil.Process(served.pid),
            }
            version = installing.version_of("restate-server", "@restatedev/restate-server")
            name = f"Restate {version}" + (", tuned" if tuned else "")
            yield Peer(name, [load], groups, (64, 16, 256))
    finally:
        ports.release()
        shutil.rmtree(folder, ignore_errors=True)


def _register(
    admin: str, service: str, log: Path, children: Sequence["subprocess.Popen[str]"]
) -> None:
    """Tell Restate where its service is, as soon as both answer.

    Raises:
        RuntimeError: One of them has ended, or they do not answer in time.
    """
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}/deployments",
        data=json.dumps({"uri": f"http://127.0.0.1:{service}"}).encode(),
        headers={"content-type": "application/json"},
    )
    limit = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError as error:
            ended = any(child.poll() is not None for child in children)
            if ended or time.monotonic() > limit:
                last = " ".join(log.read_text(encoding="utf-8").splitlines()[-3:])
                raise RuntimeError(f"Restate did not start ({error}): {last}") from error
        time.sleep(0.1)

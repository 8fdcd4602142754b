"""What the platform takes of the machine: memory, CPU time and write-ahead log."""

import os
from collections.abc import Mapping
from contextlib import suppress

import psutil
from perdure_cli import platform
from perdure_common.embedded import Embedded

Seconds = Mapping[str, float]

_PARENTS = ("load", "supervisor", "keeper")
"""Groups whose children are other groups, or the whole platform."""


def processes(running: platform.Running) -> dict[str, psutil.Process]:
    """Return the processes of the platform by what they are; their children belong to them.

    `load` is this process.
    """
    found = {
        "load": psutil.Process(),
        "supervisor": psutil.Process(running.pid),
    }
    for child in psutil.Process(running.pid).children():
        words = child.cmdline()
        module = words[words.index("-m") + 1] if "-m" in words else child.name()
        if module.startswith("perdure_cli"):  # forked from the supervisor: it has its name alone
            module = child.name()
        name = "runner" if "runner" in module else module.removeprefix("perdure_")
        found[name.partition(".")[0]] = child
    state = Embedded(platform.home()).status()
    found["keeper"] = psutil.Process(state.keeper_pid)
    for name, server in (("PostgreSQL", state.postgres), ("Kafka", state.kafka)):
        if server is not None:
            found[name] = psutil.Process(server.pid)
    return found


def cpu_s(groups: Mapping[str, psutil.Process]) -> Seconds:
    """Return the CPU time (user and system) that each group has used so far, in seconds.

    A process's children are its own, but where they are groups themselves. PostgreSQL's come
    with connections; what those used that have gone is its own too.
    """
    pids = {process.pid for process in groups.values()}
    used: dict[str, float] = {}
    for name, process in groups.items():
        times = process.cpu_times()
        used[name] = times.user + times.system
        if name not in _PARENTS:
            children = process.children(recursive=True)
            used[name] += sum(_cpu_s(child) for child in children if child.pid not in pids)
        if name == "PostgreSQL":
            used[name] += times.children_user + times.children_system
    return used


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def pss_mb(groups: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Return each group's memory in MiB: proportional set size, shared pages counted in parts."""
    found: dict[str, float] = {}
    for name, process in groups.items():
        members = [process, *process.children()] if name == "PostgreSQL" else [process]
        found[name] = 0.0
        for member in members:
            with suppress(psutil.NoSuchProcess):
                found[name] += member.memory_full_info().pss / 2**20
    return found


def about() -> str:
    """Return the machine in one line; other load on it makes every figure worse."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, load average before the start {load:.1f}"

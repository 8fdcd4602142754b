"""Which files an execution refers to, and which of them the items that a run emits carry on. Pure.

Files come in with what a runner made, with what a child or another execution had, and with the
data of a start: there, and only there, `FilesReferred` is recorded, of which the table is made that
keeps files from being swept. Everything else passes on what items have, by their `source`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from perdure_contracts.control import AdoptRuns
from perdure_contracts.files import FileRef, Files, FilesByItem, FilesReferred

from perdure_engine.nodes.base import Inputs, Item, NodeSpecification, Outcome

from .files_of_items import carried_by, distinct, files_by_item, with_files
from .progress import Progress
from .state import Run
from .views import gather

__all__ = [
    "files_by_item",
    "files_of_runs",
    "files_referred",
    "kept",
    "refer",
    "refer_files",
    "with_files",
]


def files_referred(
    execution_id: str, node_id: str, files: FilesByItem | None
) -> FilesReferred | None:
    """Return that an execution refers to files that stood beside data, None where none did."""
    if not files:
        return None
    found = distinct(ref for each in files.values() for ref in each.values())
    return _told(execution_id, node_id, found)


def refer_files(progress: Progress, node_id: str, files: FilesByItem | None) -> None:
    """Record that the execution refers to files that stood beside data."""
    told = files_referred(progress.state.execution_id, node_id, files)
    if told is not None:
        progress.record(told)


def refer(progress: Progress, run: Run, items: Sequence[Any]) -> None:
    """Record that the execution refers to the files that a runner gave items of a run.

    Those that the run's input had are known.
    """
    found = distinct(carried_by(items))
    if not found:
        return
    node, state = progress.workflow.by_id[run.node_id], progress.state
    inputs, _ = gather(state, progress.workflow, node, run.scope)
    known = {ref["file_id"] for ref in carried_by(inputs.items)}
    new = tuple(ref for ref in found if ref["file_id"] not in known)
    told = _told(state.execution_id, run.node_id, new)
    if told is not None:
        progress.record(told)


def files_of_runs(command: AdoptRuns) -> Iterator[FilesReferred]:
    """Yield that an execution refers to the files of the runs that it adopts."""
    for place, ports in command.runs.items():
        items = [item for each in ports.values() for item in each]
        told = _told(command.execution_id, place.rpartition("@")[2], distinct(carried_by(items)))
        if told is not None:
            yield told


def _told(execution_id: str, node_id: str, files: tuple[FileRef, ...]) -> FilesReferred | None:
    if not files:
        return None
    return FilesReferred(execution_id=execution_id, node_id=node_id, files=files)


# What items carry on ----------------------------------------------------------------------


def kept(outcome: Outcome, inputs: Inputs, specification: NodeSpecification) -> Outcome:
    """Return what a run made, its items with the files of the input items that they come from.

    Items that have files of their own, or whose node keeps none, stay as they are.
    """
    had = [item.get("binary_ref") for item in inputs.items]
    if specification.files == "none" or not any(had):
        return outcome
    collects = specification.files == "collect"
    ports = {
        port: [_with_those_of(item, place, had, collects) for place, item in enumerate(items)]
        for port, items in outcome.ports.items()
    }
    return Outcome(ports=ports, failed=outcome.failed, stop=outcome.stop)


def _with_those_of(item: Item, place: int, had: Sequence[Files | None], collects: bool) -> Item:
    if "binary_ref" in item:
        return item
    source = item.get("source", place)
    sources = source if isinstance(source, list) else [source]
    found = [files for each in sources if 0 <= each < len(had) and (files := had[each])]
    if not found:
        return item
    return {**item, "binary_ref": _collected(found) if collects else _united(found)}


def _united(all_files: Iterable[Files]) -> Files:
    """Return the files of several items under their names; of two of one name the later."""
    united: Files = {}
    for files in all_files:
        united.update(files)
    return united


def _collected(all_files: Iterable[Files]) -> Files:
    """Return all files of several items, those whose name is taken as `data_1` and so on."""
    collected: Files = {}
    numbers: dict[str, int] = {}
    for files in all_files:
        for name, ref in files.items():
            free = name
            while free in collected:
                numbers[name] = numbers.get(name, 0) + 1
                free = f"{name}_{numbers[name]}"
            collected[free] = ref
    return collected

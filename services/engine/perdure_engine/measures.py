"""What an engine measures of the executions that it has committed: ends, and durations of nodes.

It is shown each event as it is committed; what is committed as the process dies is not measured.
Labels are few: no tenant, workflow or execution is among them.
"""

from perdure_common.durations import Durations
from perdure_common.shell.part import Seers
from perdure_contracts.engine import (
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    NodeCompleted,
    NodeErrored,
)
from prometheus_client import CollectorRegistry, Counter


class Measures:
    """The figures of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "perdure_executions_ended",
            "Executions that ended, by status.",
            ["status"],
            registry=registry,
        )
        self._nodes = Durations(
            "perdure_node_seconds",
            "How long runs of nodes took, from the first attempt to the end, retries included.",
            ["node_type", "status"],
        )
        registry.register(self._nodes)

    @property
    def seers(self) -> Seers:
        """What is to be shown which events."""
        return {
            ExecutionCompleted: self._completed,
            ExecutionFailed: self._failed,
            ExecutionCanceled: self._canceled,
            NodeCompleted: self._node_completed,
            NodeErrored: self._node_errored,
        }

    def _completed(self, event: ExecutionCompleted) -> None:
        self._ended.labels("SUCCESS").inc()

    def _failed(self, event: ExecutionFailed) -> None:
        self._ended.labels(event.status).inc()

    def _canceled(self, event: ExecutionCanceled) -> None:
        self._ended.labels("CANCELED").inc()

    def _node_completed(self, event: NodeCompleted) -> None:
        self._nodes.see(event.duration_ms / 1000, _type_of(event), "SUCCESS")

    def _node_errored(self, event: NodeErrored) -> None:
        self._nodes.see(event.duration_ms / 1000, _type_of(event), "ERROR")


def _type_of(event: NodeCompleted | NodeErrored) -> str:
    return f"{event.node_type}.{event.node_subtype}"

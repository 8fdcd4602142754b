"""Questions of agents that nobody wants answered any more. Pure."""

from perdure_common.ids import derived
from perdure_contracts.suspending import AskDropped

from .progress import Progress
from .state import Run


def child_of(ask_id: str) -> str:
    """Return the child execution that an ask begins."""
    return derived("child", ask_id)


def drop_asks(progress: Progress, run: Run, reason: str) -> None:
    """Let nothing be waited for any more: children are cancelled, notices are taken back."""
    asks = {} if run.dispatch is None else run.dispatch.asks
    for ask_id, ask in list(asks.items()):
        progress.record(
            AskDropped(
                execution_id=progress.state.execution_id,
                node_id=run.node_id,
                scope=run.scope,
                run=run.run,
                ask_id=ask_id,
                kind=ask.kind,
                reason=reason,
                paused=ask.pauses,
            )
        )

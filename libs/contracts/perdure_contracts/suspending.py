"""Events of agents that wait for something that the engine asks for them.

Owner: services/engine. Stream: the execution id. These events are not published.
"""

from typing import TypeAlias

from .agent_asks import AgentAsk, AskKind
from .engine import ErrorFacts, Scope
from .message import Json, message


@message("engine.run-suspended.v1")
class RunSuspended:
    """An attempt ended because items wait for answers: `asks` has them by item, each with its id.

    `done` and `failed` are what it did of the others. `untils` are the instants after which an
    answer is not waited for any more, in the order of the asks. It `pauses` where people are asked.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    attempt: int
    token: str
    asks: tuple[tuple[int, str, AgentAsk], ...]
    suspended_at: str
    untils: tuple[str | None, ...] = ()
    done: Json = None
    failed: tuple[tuple[int, ErrorFacts], ...] = ()
    duration_ms: int = 0
    runner: str = ""
    pauses: bool = False


@message("engine.ask-answered.v1")
class AskAnswered:
    """What an agent asked for was answered: `answer` is what its sub-step is finished with.

    `paused` says that people were asked.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    ask_id: str
    answer: Json
    answered_at: str
    paused: bool = False


@message("engine.ask-dropped.v1")
class AskDropped:
    """Nobody wants the answer to an agent's question any more; `paused` as in `AskAnswered`."""

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    ask_id: str
    kind: AskKind
    reason: str
    paused: bool = False


SuspendingEvent: TypeAlias = RunSuspended | AskAnswered | AskDropped

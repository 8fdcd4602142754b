"""What recovery must remember about an execution in order to decide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from perdure_contracts.asking import RequestInteraction
from perdure_contracts.deciding import Cause
from perdure_contracts.failures import Explanation, Strategy
from perdure_contracts.message import Json
from perdure_contracts.recovery import FailureNoted

Verdict: TypeAlias = Literal["retry", "give_up"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An automatic attempt whose outcome is not known, or not confirmed, yet.

    `run` is the node run that it makes; `succeeded_at` is when the node completed after it. Until
    it is released, the engine is to `ask_again` after `delay_s`. Where it is `doubtful`, the node
    may have done something outside that must not be doubled. `turn` is the line that let it go.
    `scores` and `propensity` are those of the sampler that chose it, `helps` is P(it helps). It
    `explores` what would have been given up.
    """

    attempt_id: str
    number: int
    strategy: Strategy
    reason: str
    run: int
    ordered_at: datetime
    succeeded_at: datetime | None = None
    overrides: Json = None
    changed: Json = None
    cost: int = 0
    usd: float = 0.0
    probe_of: str = ""
    by: str = ""
    delay_s: float = 0.0
    ask_again: bool = False
    probe: bool = False
    doubtful: bool = False
    turn: str = ""
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    propensity: float = 1.0
    helps: float | None = None
    explores: bool = False


@dataclass(frozen=True, slots=True)
class Parked:
    """An attempt that waits to be made; fields are as in `recovery.attempt-parked.v1`.

    `wake_at` is when recovery looks by itself; the lines and people say when else. It waits `since`
    then, and `before` says what it had waited for until then; the attempt itself is `planned` so.
    """

    attempt_id: str
    number: int
    strategy: Strategy
    cause: Cause
    reason: str
    until: datetime
    line: str = ""
    interaction_id: str = ""
    wake_at: datetime | None = None
    drawn_s: float = 0.0
    probe: bool = False
    overrides: Json = None
    changed: Json = None
    counted: bool = False
    approved: bool = False
    cost: int = 0
    usd: float = 0.0
    request: RequestInteraction | None = None
    planned: str = ""
    before: str = ""
    since: datetime | None = None
    doubtful: bool = False
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    propensity: float = 1.0
    helps: float | None = None
    explores: bool = False


@dataclass(frozen=True, slots=True)
class Missed:
    """A plan whose verdict came too late; `attempt_id` is that of the refused decision.

    The other fields are those of the attempt that would have been made.
    """

    attempt_id: str
    strategy: Strategy
    delay_s: float
    drawn_s: float
    overrides: Json = None
    changed: Json = None
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    propensity: float = 1.0
    helps: float | None = None
    explores: bool = False


@dataclass(frozen=True, slots=True)
class Episode:
    """A node's failures from the first one on, until it is recovered or given up.

    `failure` is the latest one, `attempt` what is being tried about it, or `missed` what
    may be tried if the execution ends by it. `retried` counts the attempts so far, `drawn_s`
    is the wait drawn for the last of them, `tried` says what they did. `parked` is an attempt
    that waits.
    """

    failure: FailureNoted
    retried: int = 0
    drawn_s: float = 0.0
    attempt: Attempt | None = None
    missed: Missed | None = None
    tried: tuple[str, ...] = ()
    parked: Parked | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A run of a node that was left to people, and when."""

    episode_id: str
    run: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """A decision that gave a node up, and about which people are asked once the execution ends.

    Until then `interaction_id` is empty. `until` is when an answer comes too late.
    """

    failure: FailureNoted
    attempt_id: str
    number: int
    strategy: Strategy
    reason: str
    explanation: Explanation
    interaction_id: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """The open episodes of an execution, and what the guard rails count.

    `episodes` are keyed by node and scope; `decided` has the failures that were decided, and
    `told` the verdicts that the engine was given about them;
    `tried` counts automatic attempts by node and scope over all runs, `tried_today` those
    of the whole execution on the UTC day `day`. `lost` has what was left to people,
    `questions` what they are asked about it, by node and scope.
    """

    episodes: Mapping[str, Episode] = field(default_factory=dict[str, Episode])
    decided: frozenset[str] = frozenset()
    told: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    tried: Mapping[str, int] = field(default_factory=dict[str, int])
    day: str = ""
    tried_today: int = 0
    lost: Mapping[str, Lost] = field(default_factory=dict[str, Lost])
    questions: Mapping[str, Question] = field(default_factory=dict[str, Question])


def place(node_id: str, scope: tuple[tuple[str, int], ...]) -> str:
    """Return the key of a node in a scope: `node`, or `node@region.0/inner.2`."""
    path = "/".join(f"{region}.{iteration}" for region, iteration in scope)
    return f"{node_id}@{path}" if path else node_id


def episode_of(state: Execution, failure_id: str) -> Episode:
    """Return the open episode whose latest failure is `failure_id`.

    Raises:
        LookupError: None is, which is a bug: decisions follow their failure at once.
    """
    for episode in state.episodes.values():
        if episode.failure.failure_id == failure_id:
            return episode
    raise LookupError(f"no open episode has the failure {failure_id!r}")


def waking(state: Execution) -> Episode | None:
    """Return the episode whose held attempt recovery looks at first, None if there is none."""
    waiting = [
        (episode.parked.wake_at, key)
        for key, episode in state.episodes.items()
        if episode.parked is not None and episode.parked.wake_at is not None
    ]
    return state.episodes[min(waiting)[1]] if waiting else None


def parked_as(state: Execution, attempt_id: str) -> Episode | None:
    """Return the episode in which an attempt waits, None if it does not wait (any more)."""
    for episode in state.episodes.values():
        if episode.parked is not None and episode.parked.attempt_id == attempt_id:
            return episode
    return None


def asking(state: Execution, interaction_id: str) -> Episode | None:
    """Return the episode for which people were asked, None if nobody waits for them any more."""
    for episode in state.episodes.values():
        if episode.parked is not None and episode.parked.interaction_id == interaction_id:
            return episode
    return None


def question_of(state: Execution, attempt_id: str) -> Question:
    """Return the question about a decision.

    Raises:
        LookupError: There is none, which is a bug: only what was asked is answered.
    """
    for question in state.questions.values():
        if question.attempt_id == attempt_id:
            return question
    raise LookupError(f"nobody is asked about the attempt {attempt_id!r}")


def by_person(state: Execution, attempt_id: str) -> bool:
    """Tell whether a person asked for an attempt that is open, or not confirmed yet."""
    attempts = (episode.attempt for episode in state.episodes.values())
    return any(each is not None and each.attempt_id == attempt_id and each.by for each in attempts)


def begun_as(state: Execution, attempt_id: str) -> Episode | None:
    """Return the episode whose open attempt this is, None if it is over."""
    for episode in state.episodes.values():
        attempt = episode.attempt
        if attempt is not None and attempt.attempt_id == attempt_id:
            return None if attempt.succeeded_at is not None else episode
    return None


def tried_on(state: Execution, now: datetime) -> int:
    """Return the execution's automatic attempts on the UTC day of `now`."""
    return state.tried_today if state.day == day_of(now) else 0


def day_of(moment: datetime) -> str:
    """Return the UTC day of an instant: `2026-01-31`."""
    return moment.astimezone(UTC).date().isoformat()

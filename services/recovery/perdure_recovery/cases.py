"""What strategies look at (`Case`), and what they propose (`Plan`)."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, get_args

from perdure_contracts.failures import Sampler, Strategy
from perdure_contracts.message import Json
from perdure_contracts.undoing import COMPENSATE

from .classify import Classification
from .means import Means
from .waits import Wait, decorrelated, moment, only_asked

AUTOMATIC: Final[frozenset[Strategy]] = frozenset(get_args(Strategy)) - {
    "skip_compensate",
    "escalate_human",
    "dead_letter",
}
"""What makes an attempt without a person; guard rails are asked before."""
UNCHANGED: Final[frozenset[Strategy]] = frozenset(
    {"retry_now", "backoff", "wait_until", "reassign"}
)
"""Retries of the same step: only these teach whether a pattern is transient."""
UNDO: Final[Strategy] = "skip_compensate"
"""The strategy that undoes what a node did, where it is an attempt of its own."""


@dataclass(frozen=True, slots=True)
class Record:
    """How often a strategy was tried for a type in a workspace, and how often it helped."""

    tried: int = 0
    recovered: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """What the rules look at. `retried` counts the episode's automatic attempts so far.

    `drawn_s` is the wait drawn for the one before (0: none yet). `transient` is None where
    it is not known; `tried_at` is when the pattern was last tried, None if never.
    `tried` are the episode's strategies, `fallback_model:<dependency>` with the model that
    answered; `down` the dependencies whose breakers are open. `runner` is the one that failed,
    `problems` what was wrong with an answer, which was `judged` if it could be read. `records` are
    those of the type, for the sampler. What failed was `compensating` for what the node did before;
    or the node `looks_first` whether its effect has happened, before it is done again. `unsent` is
    what a breaker held up: no try was made, so that no wait grows. It is `explorable` where a try
    in vain harms nobody.
    """

    failure_id: str
    classification: Classification
    retried: int
    drawn_s: float
    transient: bool | None
    retry_after_s: float | None
    deadline: datetime | None
    tried_at: datetime | None
    now: datetime
    dependency: str = ""
    means: Means = field(default_factory=Means)
    tried: tuple[str, ...] = ()
    down: Set[str] = frozenset()
    runner: str = ""
    problems: tuple[str, ...] = ()
    judged: bool = False
    sampler: Sampler = "rules"
    records: Mapping[Strategy, Record] = field(default_factory=dict[Strategy, Record])
    compensating: bool = False
    looks_first: bool = False
    unsent: bool = False
    explorable: bool = False

    @property
    def attempt(self) -> int:
        """The number of the attempt that would be made."""
        return self.retried + 1

    def times(self, strategy: Strategy) -> int:
        """Return how often a strategy was tried in this episode."""
        return sum(each.partition(":")[0] == strategy for each in self.tried)

    def at_once(self) -> Wait:
        """Return a wait of less than a second."""
        return moment(self.failure_id, self.attempt)

    def pause(self) -> Wait:
        """Return a wait that grows from try to try, not shorter than the other side asked for."""
        if self.unsent:
            wait = only_asked(self.failure_id, self.attempt, self.retry_after_s or 0.0)
            return replace(wait, drawn_s=self.drawn_s)
        return decorrelated(
            self.failure_id,
            self.attempt,
            before_s=self.drawn_s,
            throttled=self.classification.throttled,
            retry_after_s=self.retry_after_s,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What was chosen: `delay_s` to wait, `drawn_s` of which chance drew, and why.

    A `probe` tries a failure that is believed lasting. `overrides` are what the engine changes,
    `changed` says it to people. `compensate` is what giving up does. `scores` and `propensity`
    are those of the sampler, `helps` is P(it helps) where it changes something. It `explores`
    what would have been given up.
    """

    strategy: Strategy
    reason: str
    delay_s: float = 0.0
    drawn_s: float = 0.0
    probe: bool = False
    overrides: Json = None
    changed: Json = None
    compensate: str = ""
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    propensity: float = 1.0
    helps: float | None = None
    explores: bool = False

    @property
    def automatic(self) -> bool:
        """Whether the plan makes an attempt without a person."""
        return self.strategy in AUTOMATIC or self.undoes

    @property
    def undoes(self) -> bool:
        """Whether the attempt undoes what the others did."""
        return bool(self.overrides) and COMPENSATE in self.overrides

    @property
    def unchanged(self) -> bool:
        """Whether the plan tries the same once more."""
        return self.strategy in UNCHANGED


def counts(strategy: Strategy, by: str) -> bool:
    """Return whether an attempt counts against the caps: none `by` a person, and no undoing."""
    return not by and strategy != UNDO


def tried_as(strategy: Strategy, changed: Json) -> str:
    """Return how an episode remembers what was tried: a fallback with the model that answered."""
    return f"{strategy}:{changed['to']}" if changed and "to" in changed else strategy

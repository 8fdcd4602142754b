"""What a check finds: which promise does not hold, where, what was seen, and what to do."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

VIOLATIONS_MAX = 50
"""Findings that are told of one check; more say nothing new."""

ADVICE: Final[dict[str, str]] = {
    "I1": "read the stream with `perdure executions show`; an effect may have happened twice: "
    "look at the other side by its idempotency key",
    "I2": "see what it waits for with `perdure executions show`; start it again with a new "
    "trigger event if it never began",
    "I3": "the table was changed by hand or by a defect; `perdure replay --check` shows each row",
    "I4": "stop the service and restore its schema from a backup: the journal is damaged",
    "I5": "check again in two minutes, for what Kafka lost is sent again within one; if it "
    "stays, restart the service so that it makes again what is unsent",
    "I6": "compare both decisions in the journal; restore from a backup if the second did harm",
    "I7": "two processes wrote one shard: stop all but one, then look at both writes",
    "I8": "see the firings in trigger_deliveries; `perdure triggers backfill` does what is missing",
    "I10": "redrive the record from its topic while the topic keeps it",
    "I13": "set recovery to `observe` for the workspace (`perdure recovery mode`) and look at "
    "the attempts",
    "I14": "undeploy one of the workflows, or deploy it again with another path: requests go to "
    "whichever the listener finds first",
}
"""What to do about a broken promise, where the finding does not know better."""


@dataclass(frozen=True)
class Violation:
    """A promise that does not hold: which, where, what was found, and what to do."""

    promise: str
    where: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        """The finding in one line."""
        return f"{self.promise} {self.where}: {self.found}"


@dataclass
class Findings:
    """What a check found, and how much it has looked at, by what that is."""

    violations: list[Violation] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)

    def add(self, promise: str, where: str, found: str, advice: str = "") -> None:
        """Note a violation, unless there are very many already."""
        if len(self.violations) < VIOLATIONS_MAX:
            advice = advice or ADVICE.get(promise, "")
            self.violations.append(Violation(promise, where, found, advice))

    def extend(self, others: "Findings") -> None:
        """Take over what another check found."""
        self.violations.extend(others.violations)
        self.checked.update(others.checked)

"""What an installation decides about all of its executions: how long, how large, how many."""

from dataclasses import dataclass

from .progress import OUTPUT_BYTES_MAX
from .queueing import NO_LIMITS, Limits
from .resuming import ResumeUrls

VERDICT_WAIT_S = 10.0
"""How long recovery is waited for where nobody says otherwise, in seconds."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms on which executions run.

    `verdict_wait_s` is how long recovery is waited for, in seconds; `output_bytes_max` how large
    what a node emits may be, as JSON; `urls` makes the resume URLs of executions that wait for
    calls; `limits` say how many executions may be open; `cancel_grace_s` is how long what a runner
    has claimed may go on in an execution that is cancelled, in seconds.
    """

    verdict_wait_s: float = VERDICT_WAIT_S
    output_bytes_max: int = OUTPUT_BYTES_MAX
    urls: ResumeUrls | None = None
    limits: Limits = NO_LIMITS
    cancel_grace_s: float = 0.0


TERMS = Terms()

"""Records that no service could apply: kept, edited, and sent again.

Owner: services/recovery; a stream for each letter.
"""

from typing import Literal, TypeAlias

from .message import message
from .shell import DeadLettered


@message("recovery.keep-dead-letter.v1")
class KeepDeadLetter:
    """A record that `service` could not apply is to be kept until a person decides.

    It was tried `attempts` times: the record, or the node that it stands for. `signature` tells
    letters that are alike, `pattern_id` is the failure's pattern where a failure made the letter,
    `family_branch` the branch of the families in which patterns with such a text are. `told_by`
    is the id of the message that told of it, empty where recovery made the letter itself: what
    is told of a parked stream under another id is that it has failed again.
    """

    letter_id: str
    service: str
    letter: DeadLettered
    attempts: int = 1
    signature: str = ""
    pattern_id: str = ""
    family_branch: str = ""
    told_by: str = ""


@message("recovery.redrive-dead-letter.v1")
class RedriveDeadLetter:
    """Send a dead letter to where it came from once more, or drop it.

    `letter` is the column `stream` of its row.
    """

    letter: str
    asked_by: str
    action: Literal["retry", "drop"] = "retry"


@message("recovery.edit-dead-letter.v1")
class EditDeadLetter:
    """Let a dead letter be sent again with another body; what it was stays written down.

    `letter` is the column `stream` of its row.
    """

    letter: str
    value: bytes
    edited_by: str
    reason: str = ""


@message("recovery.dead-letter-kept.v1")
class DeadLetterKept:
    """A dead letter is kept, bytes and all; fields are as in `recovery.keep-dead-letter.v1`.

    `kept_at` is when; empty before that was said. It is `decided` here what becomes of it, unless
    that was so when a failure made it.
    """

    letter_id: str
    service: str
    letter: DeadLettered
    attempts: int = 1
    signature: str = ""
    pattern_id: str = ""
    family_branch: str = ""
    told_by: str = ""
    kept_at: str = ""
    decided: bool = False


@message("recovery.dead-letter-reopened.v1")
class DeadLetterReopened:
    """The stream that waits behind a kept letter was let go and stopped again: the letter waits.

    `letter` is the record as it is told now: for a stream's wake, and for an answer that came by
    no topic, it need not be the one of before. `attempts` counts all tries of it.
    """

    letter_id: str
    letter: DeadLettered
    attempts: int
    signature: str
    family_branch: str
    told_by: str


@message("recovery.dead-letter-settled.v1")
class DeadLetterSettled:
    """A person has sent a dead letter to where it came from, or dropped it."""

    letter_id: str
    action: Literal["retry", "drop"]
    asked_by: str
    settled_at: str


@message("recovery.dead-letter-edited.v1")
class DeadLetterEdited:
    """A person has mended what a dead letter will be sent again with."""

    letter_id: str
    value: bytes
    edited_by: str
    reason: str
    edited_at: str


LetterCommand: TypeAlias = KeepDeadLetter | RedriveDeadLetter | EditDeadLetter
LetterEvent: TypeAlias = DeadLetterKept | DeadLetterSettled | DeadLetterEdited | DeadLetterReopened

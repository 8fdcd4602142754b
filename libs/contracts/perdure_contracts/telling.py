"""What recovery says beyond its decisions: what people mended, prose, edited letters.

Owner: services/recovery, like recovery.py.
"""

from .message import message


@message("recovery.episode-fixed.v1")
class EpisodeFixed:
    """A node that recovery had left to people completed when it was run again unchanged.

    Recovery could have done that: the episode counts as missed.
    """

    episode_id: str
    node_id: str
    fixed_at: str
    after_s: float


@message("recovery.edit-dead-letter.v1")
class EditDeadLetter:
    """Let a dead letter be sent again with another body; what it was stays written down.

    `letter` is the column `stream` of its row.
    """

    letter: str
    value: bytes
    edited_by: str
    reason: str = ""


@message("recovery.dead-letter-edited.v1")
class DeadLetterEdited:
    """A person has mended what a dead letter will be sent again with."""

    letter_id: str
    value: bytes
    edited_by: str
    reason: str
    edited_at: str


@message("recovery.keep-prose.v1")
class KeepProse:
    """Keep what a language model made of an explanation whose decision is over.

    `refused` says what it claimed that nobody had told it; `text` is empty then.
    """

    execution_id: str
    attempt_id: str
    text: str
    model: str
    refused: str = ""


@message("recovery.prose-kept.v1")
class ProseKept:
    """An explanation has been put into other words, or a model's words were refused."""

    attempt_id: str
    text: str
    model: str
    refused: str = ""

"""What recovery says beyond its decisions: what people mended, and prose.

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

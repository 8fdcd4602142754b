"""What must be remembered of a template in order to decide about its next change."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """A template as it stands: the hash of all that it says, and whether it is offered.

    An empty `sha256` is a template that is not there yet.
    """

    sha256: str = ""
    name: str = ""
    active: bool = False

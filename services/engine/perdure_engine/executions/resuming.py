"""The URL by which somebody outside lets an execution go on, made when it starts.

Its token follows from a secret of the process that decides the start, and stands in the
journal from then on: so nobody can guess it, no process needs the secret of another, and a
replay needs none.
"""

import hashlib
import hmac
from dataclasses import dataclass

from perdure_contracts.flow import ResumeUrlMade

from .progress import Progress

PATH = "/v1/resume"


@dataclass(frozen=True, slots=True)
class ResumeUrls:
    """Makes resume URLs: from a `secret`, below the address `base` where the engine answers."""

    secret: bytes = b""
    base: str = "http://127.0.0.1"

    def made(self, execution_id: str) -> ResumeUrlMade:
        """Return the token and URL of an execution."""
        token = hmac.new(self.secret, execution_id.encode(), hashlib.sha256).hexdigest()
        url = f"{self.base}{PATH}/{execution_id}/{token}"
        return ResumeUrlMade(execution_id=execution_id, token=token, url=url)


def make_url(progress: Progress, urls: ResumeUrls) -> None:
    """Give an execution that has just begun its URL, if its workflow waits for calls."""
    if progress.workflow.resumable:
        progress.record(urls.made(progress.state.execution_id))


def is_token(known: str, given: str) -> bool:
    """Compare tokens in a time that does not tell how much of one was right."""
    return bool(known) and hmac.compare_digest(known.encode(), given.encode())

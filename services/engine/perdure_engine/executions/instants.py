"""Instants as the state, events and rows have them: made once for each batch, not each time.

All events of a batch have the same instant, and what follows from it (its text, its
milliseconds) is the same as well.
"""

from datetime import datetime, timedelta
from functools import lru_cache

KEPT = 4_096


@lru_cache(KEPT)
def text_of(moment: datetime) -> str:
    """Return an instant as ISO text."""
    return moment.isoformat()


@lru_cache(KEPT)
def instant(text: str) -> datetime:
    """Return the instant of an ISO text."""
    return datetime.fromisoformat(text)


@lru_cache(KEPT)
def after(moment: datetime, seconds: float) -> str:
    """Return the instant some seconds after another one, as ISO text."""
    return (moment + timedelta(seconds=seconds)).isoformat()


@lru_cache(KEPT)
def milliseconds(moment: datetime) -> int:
    """Return an instant in milliseconds since 1970."""
    return int(moment.timestamp() * 1000)

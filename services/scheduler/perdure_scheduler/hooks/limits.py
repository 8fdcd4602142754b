"""How many requests a path takes: so many a minute, in a burst or spread out. Pure.

Several schedulers share the number out evenly: each counts its own requests, and takes no more than
its share. So all of them together never take more than is said once each knows how many there
are; where requests are spread unevenly they take less. Of more schedulers than there are
partitions some own no shard, and are known to themselves alone: they take a share on top.
Counting together would cost a write for each request.
"""

from dataclasses import dataclass, field

WINDOW_S = 60.0
PATHS_MAX = 50_000


@dataclass
class Rates:
    """Counts requests by path, with one number each: the instant at which all is forgotten.

    This is the generic cell rate algorithm (ITU-T I.371): each request moves the instant on by
    its share of a minute, and is taken if it stays within a minute from now. 0 is no limit.
    """

    per_minute: int
    sharers: int = 1
    _until: dict[str, float] = field(default_factory=dict[str, float])

    def wait_s(self, path: str, now: float, per_minute: int | None = None) -> float:
        """Count a request; return 0, or in how many seconds it may come again if it is refused.

        `per_minute` is what the trigger says itself, None if it says nothing.
        """
        most = self.per_minute if per_minute is None else per_minute
        if not most:
            return 0.0
        share = max(1.0, most / self.sharers)  # of less nobody would ever take one
        until = max(self._until.get(path, 0.0), now) + WINDOW_S / share
        if until > now + WINDOW_S + 1e-9:
            return until - now - WINDOW_S
        if len(self._until) > PATHS_MAX:
            self._until = {each: at for each, at in self._until.items() if at > now}
        self._until[path] = until
        return 0.0

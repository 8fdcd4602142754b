"""What is counted of requests: how they were answered, how long it took, what came again."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0, 30.0, 300.0)


class HookMetrics:
    """Counts; labels never name paths or tenants, whose number is not bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "perdure_hook_requests",
            "Requests to the listener by what they were answered.",
            ["subtype", "status"],
            registry=registry,
        )
        self._stored = Counter(
            "perdure_hook_events",
            "Requests that became events, or came again.",
            ["subtype", "duplicate"],
            registry=registry,
        )
        self._bad_bodies = Counter(
            "perdure_hook_bad_bodies",
            "Bodies that are not what their content type says.",
            ["kind"],
            registry=registry,
        )
        self._left_out = Counter(
            "perdure_hook_left_out",
            "Triggers that an event did not start, as they had had their number of requests.",
            ["subtype"],
            registry=registry,
        )
        self._ignored = Counter(
            "perdure_hook_ignored",
            "Requests that were proved, but that no trigger of their path asks for.",
            ["subtype"],
            registry=registry,
        )
        self._seconds = Histogram(
            "perdure_hook_seconds",
            "From the headers of a request to its answer.",
            buckets=BUCKETS,
            registry=registry,
        )
        self.waiting = Gauge(
            "perdure_hook_answers_waiting",
            "Executions whose answer a request waits for.",
            registry=registry,
        )

    def answered(self, subtype: str, status: int, took_s: float) -> None:
        """Count an answer."""
        self._requests.labels(subtype, str(status)).inc()
        self._seconds.observe(took_s)

    def bad_body(self, kind: str) -> None:
        """Count a body that cannot be read."""
        self._bad_bodies.labels(kind).inc()

    def left_out(self, subtype: str, count: int) -> None:
        """Count triggers that an event did not start although others had it."""
        self._left_out.labels(subtype).inc(count)

    def ignored(self, subtype: str) -> None:
        """Count a request that starts nothing."""
        self._ignored.labels(subtype).inc()

    def stored(self, subtype: str, *, duplicate: bool) -> None:
        """Count a request that is safe."""
        self._stored.labels(subtype, "yes" if duplicate else "no").inc()

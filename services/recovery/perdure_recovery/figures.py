"""Recovery's KPIs as metrics for Prometheus: those of the API, over the last day.

Of the tenant in `PERDURE_TENANT`. They are found at most once a minute, however often somebody
scrapes: the episodes of a day are counted for them. They are those of all processes together, so
only the one that has the first shard tells them: a sum over processes is right.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from perdure_common.api.reading import Reading
from perdure_common.observe import Figures
from perdure_common.run import utc_now
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from prometheus_client.core import GaugeMetricFamily, Metric

from .api_measures import SQL
from .measures import Counted, Group, Share, measured

PERIOD: Final = timedelta(days=1)
FRESH_S: Final = 60.0
SERVICE: Final = "recovery"

_BOUNDS: Final = ("value", "low", "high")
"""Of a share: itself, and Wilson's interval around it (95 %)."""


def figures(
    settings: Settings,
    reading: Reading,
    owner: Owner,
    clock: Callable[[], float] = time.monotonic,
) -> Figures:
    """Return what finds the metrics; what it found serves for a minute."""
    found: Sequence[Metric] = ()
    at: float | None = None
    finding = asyncio.Lock()

    async def find() -> Sequence[Metric]:
        if "0" not in owner.shards:
            return ()
        async with finding:  # who scrapes meanwhile gets what is found now
            return await find_anew()

    async def find_anew() -> Sequence[Metric]:
        nonlocal found, at
        if at is None or clock() - at >= FRESH_S:
            before = utc_now()
            period = (settings.tenant_id, before - PERIOD, before, None)
            episodes = await reading.rows(SQL["episodes"], *period)
            (told,) = await reading.rows(SQL["explanations"], *period)
            sizes = await reading.rows(SQL["sizes"])
            found = metrics_of([Counted(**row) for row in episodes], told, sizes)
            at = clock()
        return found

    return find


def metrics_of(
    episodes: Sequence[Counted], told: Mapping[str, Any], sizes: Sequence[Mapping[str, Any]]
) -> Sequence[Metric]:
    """Return the metrics of a day's episodes and explanations, and of the tables' sizes.

    What there is nothing to say of, such as a success rate without episodes, is left out.
    """
    by_type: dict[str, list[Counted]] = {}
    for each in episodes:
        by_type.setdefault(each.failure_type, []).append(each)
    groups = {"all": measured(episodes)}
    groups |= {name: measured(by_type[name]) for name in sorted(by_type)}
    count = told["explanations"]
    return (
        *_counts(groups),
        *_shares(groups),
        *_times(groups),
        _single("explanations_complete_ratio", "Of a day's explanations, those that say all.",
                told["complete"] / count if count else None),
        _single("explanations_faithfulness", "Of what they claim, how much has a source.",
                told["faithfulness"]),
        _family("table_bytes", "Size of a table with its indexes.", ("table",),
                [((row["table"],), row["bytes"]) for row in sizes]),
        _family("table_growth_bytes", "By how much it has grown in a day.", ("table",),
                [((row["table"],), row["grown_daily"]) for row in sizes]),
    )  # fmt: skip


def _counts(groups: Mapping[str, Group]) -> Iterable[Metric]:
    for name, about in (
        ("episodes", "Episodes of the last day: a node's failures until recovered or given up."),
        ("eligible", "Those in which something was tried."),
        ("recovered", "Those that recovered by themselves."),
        ("handled", "Those in which the author's own compensation ran."),
        ("open", "Those that are not over."),
    ):
        values = [((group,), getattr(of, name)) for group, of in groups.items()]
        metric = name if name == "episodes" else f"episodes_{name}"
        yield _family(metric, about, ("failure_type",), values)


def _shares(groups: Mapping[str, Group]) -> Iterable[Metric]:
    for name, metric, about in (
        ("success", "success_ratio", "Recovered of the eligible episodes that are over."),
        ("coverage", "coverage_ratio", "Eligible of all episodes."),
        ("false_positive_rate", "false_positive_ratio", "Tried again in vain, of all episodes."),
        ("explored", "explored_ratio", "Recovered of those tried instead of given up, by chance."),
        ("missed_rate", "missed_ratio", "Mended by people by an unchanged retry, of all episodes."),
    ):
        values: list[tuple[tuple[str, ...], float | None]] = []
        for group, of in groups.items():
            share: Share = getattr(of, name)
            values += [((group, bound), getattr(share, bound)) for bound in _BOUNDS]
        yield _family(metric, about, ("failure_type", "bound"), values)


def _times(groups: Mapping[str, Group]) -> Iterable[Metric]:
    about = "From a failure until its node was done, by quantile of the recovered episodes."
    quantiles: list[tuple[tuple[str, ...], float | None]] = []
    for group, of in groups.items():
        times = of.time_to_recovery
        quantiles += [((group, "0.5"), times.p50_s), ((group, "0.9"), times.p90_s)]
    yield _family("time_to_recovery_seconds", about, ("failure_type", "quantile"), quantiles)
    means = [((group,), of.time_to_recovery.mean_s) for group, of in groups.items()]
    about = "The mean of the same."
    yield _family("time_to_recovery_mean_seconds", about, ("failure_type",), means)


def _single(name: str, about: str, value: float | None) -> Metric:
    return _family(name, about, (), [((), value)])


def _family(
    name: str,
    about: str,
    labels: Sequence[str],
    values: Iterable[tuple[Sequence[str], float | None]],
) -> Metric:
    family = GaugeMetricFamily(f"perdure_recovery_{name}", about, labels=["service", *labels])
    for named, value in values:
        if value is not None:
            family.add_metric([SERVICE, *named], float(value))
    return family

"""Recovery's measures by HTTP: KPIs, the daily health summary, families, the compliance report.

All of them are about a period, `since` to `before` (instants; the last 30 days where neither is
given), and about one workspace where `workspace_id` names one.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.asking import TENANT_HEADER
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.api.slow import Slow
from perdure_common.run import utc_now

from .families import families
from .guard import EXECUTION_ATTEMPTS_MAX, NODE_ATTEMPTS_MAX
from .measures import Counted, kpis

SQL: Mapping[str, str] = queries(Path(__file__).with_name("measures.sql"))
PERIOD = timedelta(days=30)
ROWS_MAX = 500
PATTERNS_MAX = 2_000
"""Patterns that families are made of, the most frequent ones."""

FAILED_SHARE_MAX = 0.8
"""Failed of the attempts that are known, from which there is an alert."""
FAILED_SHARE_OF = 10
"""Fewest attempts of which that says anything."""
TABLE_BYTES_MAX = 1_000_000_000
"""Size of a table from which there is an alert."""
TABLE_GROWTH_MAX = 100_000_000
"""Bytes by which a table may grow in a day until there is one."""
_PERIOD_PARAMETERS: Sequence[Mapping[str, Any]] = (
    {"name": "X-Perdure-Tenant", "in": "header", "schema": {"type": "string"}},
    {"name": "workspace_id", "in": "query", "schema": {"type": "string"}},
    {"name": "since", "in": "query", "schema": {"type": "string", "format": "date-time"}},
    {"name": "before", "in": "query", "schema": {"type": "string", "format": "date-time"}},
)
_EXTRA: dict[str, Any] = {"parameters": list(_PERIOD_PARAMETERS)}


class Measures:
    """The endpoints; `tenant_id` is whose figures are shown when a request names none."""

    def __init__(
        self, reading: Reading, tenant_id: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reading = reading
        self._tenant_id = tenant_id
        self._slow = Slow(clock)

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints to an API."""
        routes = (
            ("/v1/kpis", self.kpis, "How well recovery does, with intervals"),
            ("/v1/health_summary", self.health, "A row for each workspace and UTC day"),
            ("/v1/families", self.families, "Patterns that are alike, the largest family first"),
            ("/v1/compliance_report", self.compliance, "Decisions, explanations and erasures"),
        )
        for path, endpoint, summary in routes:
            app.add_api_route(
                path,
                endpoint,
                name=path.rpartition("/")[2],
                summary=summary,
                tags=["measures"],
                openapi_extra=_EXTRA,
            )

    async def _rows(self, name: str, *arguments: Any) -> Sequence[Any]:
        """Return the rows of a statement; whether it took long is remembered for an hour."""
        began = self._slow.clock()
        rows = await self._reading.rows(SQL[name], *arguments)
        self._slow.note(name, began)
        return rows

    async def kpis(self, request: Request) -> dict[str, Any]:
        """Success with coverage, times to recovery, false positives, missed, explanations."""
        period = self._period(request)
        rows = await self._rows("episodes", *period)
        figures = kpis([Counted(**row) for row in rows])
        (told,) = await self._rows("explanations", *period)
        (tried,) = await self._rows("attempts", *period)
        sizes = await self._rows("sizes")
        count = told["explanations"]
        slow = {**self._reading.slow.lately(), **self._slow.lately()}
        return {
            "since": period[1].isoformat(),
            "before": period[2].isoformat(),
            "workspace_id": period[3],
            **figures,
            "explanations": {
                "explanations": count,
                "completeness": told["complete"] / count if count else None,
                "faithfulness": told["faithfulness"],
            },
            "table_bytes": {row["table"]: row["bytes"] for row in sizes},
            "alerts": alerts(tried["succeeded"], tried["failed"], sizes, slow),
        }

    async def health(self, request: Request) -> dict[str, Any]:
        """The view recovery_system_health_summary, the newest day first."""
        rows = await self._rows("health", *self._period(request), ROWS_MAX)
        return {"items": [json.loads(row["summary"]) for row in rows]}

    async def families(self, request: Request) -> dict[str, Any]:
        """Families of the most frequent patterns, each with its types and how often it came."""
        tenant_id, workspace = self._tenant(request), _named(request, "workspace_id")
        rows = await self._rows("patterns", tenant_id, workspace, PATTERNS_MAX)
        known = {row["pattern_signature"]: row for row in rows}
        found = families({name: str(row["error_message"]) for name, row in known.items()})
        return {"items": [_family(asdict(each), known) for each in found][:ROWS_MAX]}

    async def compliance(self, request: Request) -> dict[str, Any]:
        """What was decided, explained and erased in a period, and tried against the caps (none)."""
        period = self._period(request)
        (unexplained,) = await self._rows("unexplained", *period)
        limits = (NODE_ATTEMPTS_MAX, EXECUTION_ATTEMPTS_MAX)
        (beyond,) = await self._rows("beyond_caps", *period, *limits)
        (told,) = await self._rows("explanations", *period)
        erased = await self._rows("erasures", period[1], period[2])
        return {
            "since": period[1].isoformat(),
            "before": period[2].isoformat(),
            "decisions": await self._rows("decisions", *period),
            "unexplained_decisions": unexplained["count"],
            "attempts_beyond_caps": beyond["count"],
            "explanations": told["explanations"],
            "complete_explanations": told["complete"],
            "erasures": [dict(row) for row in erased],
        }

    def _tenant(self, request: Request) -> str:
        return request.headers.get(TENANT_HEADER) or self._tenant_id

    def _period(self, request: Request) -> tuple[str, datetime, datetime, str | None]:
        """Return the arguments that the statements share."""
        before = _instant(request, "before") or utc_now()
        since = _instant(request, "since") or before - PERIOD
        if since >= before:
            raise Problem(400, "invalid_period", "`since` must be before `before`")
        return self._tenant(request), since, before, _named(request, "workspace_id")


def alerts(
    succeeded: int,
    failed: int,
    sizes: Sequence[Mapping[str, Any]],
    slow: Mapping[str, float] | None = None,
) -> list[str]:
    """Return what somebody should look at, in words; `slow` are statements and their seconds."""
    found: list[str] = []
    known = succeeded + failed
    if known >= FAILED_SHARE_OF and failed / known > FAILED_SHARE_MAX:
        found.append(
            f"{failed} of {known} recovery attempts failed: look at `perdure recovery patterns`, "
            "or switch recovery to observe"
        )
    found += [
        f"recovery.{row['table']} has {row['bytes']:,} bytes: shorten the retention, or run "
        "cleanup_old_recovery_data"
        for row in sizes
        if row["bytes"] > TABLE_BYTES_MAX
    ]
    found += [
        f"recovery.{row['table']} grows by {row['grown_daily']:,} bytes a day: see what fails so "
        "often (`perdure recovery patterns`), or shorten the retention"
        for row in sizes
        if (row["grown_daily"] or 0) > TABLE_GROWTH_MAX
    ]
    found += [
        f"reading the {name} took {took * 1000:,.0f} ms: ask about a shorter period or one "
        "workspace, shorten the retention, or see whether autovacuum keeps up"
        for name, took in sorted((slow or {}).items())
    ]
    return found


def _family(family: dict[str, Any], known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = [known[name] for name in family["members"]]
    return {
        "template": family["template"],
        "signatures": list(family["members"]),
        "failure_types": sorted({str(row["failure_type"]) for row in rows}),
        "occurrences": sum(int(row["occurrence_count"]) for row in rows),
        "last_detected_at": max(row["last_detected_at"] for row in rows),
    }


def _named(request: Request, name: str) -> str | None:
    return request.query_params.get(name) or None


def _instant(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        raise Problem(
            400, "invalid_instant", f"`{name}` must be an instant such as 2026-01-31T12:00:00Z"
        ) from None
    return moment.replace(tzinfo=moment.tzinfo or UTC)

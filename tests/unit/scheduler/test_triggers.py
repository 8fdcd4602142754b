"""Which executions a trigger event starts, and what becomes of one that starts none."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from perdure_common.decider import Lookup, Recorded, Rejected
from perdure_contracts.cloudevents import CloudEvent
from perdure_contracts.engine import StartExecution
from perdure_contracts.message import Envelope
from perdure_contracts.scheduler import ReceiveTrigger, TriggerAccepted, TriggerEvent
from perdure_scheduler.app import service, triggers
from perdure_scheduler.decide import STARTS_MAX
from perdure_scheduler.hear import ATTRIBUTE_BYTES_MAX, DATA_BYTES_MAX
from perdure_scheduler.route import STARTS
from perdure_scheduler.state import Trigger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
W1 = "0190f3c0-0000-7000-8000-000000000001"
W2 = "0190f3c0-0000-7000-8000-000000000002"
TENANT = "tenant"


def event(kind: str = "manual", subject: str | None = "triage", **more: Any) -> CloudEvent:
    fields: dict[str, Any] = {
        "id": "e1",
        "source": "/me",
        "type": f"perdure.trigger.{kind}",
        "subject": subject,
        "data": b'{"a": 1}',
    }
    fields.update(more)
    return CloudEvent(**fields)


def heard(of: CloudEvent) -> object:
    envelope = Envelope(
        id=of.id, source=of.source, type=of.type, tenant_id=TENANT, topic="perdure.triggers.v1"
    )
    return service.hear(of, envelope)


def command(of: CloudEvent) -> ReceiveTrigger:
    result = heard(of)
    assert isinstance(result, ReceiveTrigger), result
    return result


def row(workflow_id: str = W1, node_id: str = "start", **more: Any) -> dict[str, Any]:
    return {
        "workflow_id": uuid.UUID(workflow_id),
        "workflow_name": "triage",
        "deployment_version": 3,
        "node_id": node_id,
        "trigger_subtype": "MANUAL",
        "trigger_config": {},
        "position": 0,
        **more,
    }


def decided(
    of: CloudEvent, index: Sequence[Mapping[str, Any]], state: Trigger | None = None
) -> tuple[TriggerEvent, ...] | Rejected:
    """Decide with the rows of `index` that the lookups ask for."""
    received, known = command(of), state or Trigger()
    facts = {
        name: [r for r in index if _answers(r, lookup)]
        for name, lookup in triggers.facts(known, received).items()
    }
    return triggers.decide(known, received, facts, NOW)


def _answers(row: Mapping[str, Any], lookup: Lookup) -> bool:
    """Whether a row of the index answers a lookup, as far as the test's rows say."""
    for column, wanted in lookup.where.items():
        values = cast("tuple[Any, ...]", wanted if isinstance(wanted, tuple) else (wanted,))
        if column in row and str(row[column]) not in [str(v) for v in values]:
            return False
    return True


def accepted(of: CloudEvent, *index: Mapping[str, Any]) -> tuple[TriggerAccepted, ...]:
    result = decided(of, index)
    assert not isinstance(result, Rejected), result
    return tuple(each for each in result if isinstance(each, TriggerAccepted))


def started(of: CloudEvent, *index: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    parts = accepted(of, *index)
    return [(s.workflow_id, s.node_id, s.version) for part in parts for s in part.starts]


def refused(of: CloudEvent, *index: Mapping[str, Any]) -> Rejected:
    result = decided(of, index)
    assert isinstance(result, Rejected)
    assert result.dead_letter
    return result


# Hearing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (event("carrier-pigeon"), "unknown_trigger_type"),
        (event("cron"), "unknown_trigger_type"),
        (event(subject=None), "missing_subject"),
        (event(id="x" * (ATTRIBUTE_BYTES_MAX + 1)), "bad_attribute"),
        (event(source="a\0b"), "bad_attribute"),
        (event(data=b'"' + b"x" * DATA_BYTES_MAX + b'"'), "payload_too_large"),
        (event(data=b"[" + b"1e15," * 50_000 + b"0]"), "payload_too_large"),
        (event(data=b"\x01" * 200_000, datacontenttype="text/plain"), "payload_too_large"),
        (event(data=b"{"), "bad_json"),
        (event(data=b"[" * 100_000), "bad_json"),
        (event(data=b"\xff"), "bad_encoding"),
    ],
)
def test_an_event_that_cannot_be_understood_becomes_a_dead_letter(
    wrong: CloudEvent, code: str
) -> None:
    result = heard(wrong)
    assert isinstance(result, Rejected)
    assert (result.code, result.dead_letter) == (code, True)


def test_the_largest_body_is_still_taken() -> None:
    body = b'"' + b"x" * (DATA_BYTES_MAX - 2) + b'"'
    assert len(command(event(data=body)).data) == DATA_BYTES_MAX - 2


def test_an_event_without_a_body_has_an_empty_object() -> None:
    assert command(event(data=b"")).data == {}


def test_text_that_is_no_json_stays_text() -> None:
    assert command(event(data=b"hello", datacontenttype="text/plain")).data == "hello"


def test_a_redelivery_meets_the_stream_of_the_first() -> None:
    first, again = command(event()), command(event(time="2026-01-01T00:00:00Z", data=b"{}"))
    assert triggers.stream_of(first) == triggers.stream_of(again)
    assert triggers.stream_of(first) != triggers.stream_of(command(event(source="/you")))


# Manual -----------------------------------------------------------------------------


def test_a_manual_event_names_a_workflow_by_its_name() -> None:
    assert started(event(), row(), row(W2, workflow_name="other")) == [(W1, "start", 3)]


def test_a_manual_event_names_a_workflow_by_its_id() -> None:
    assert started(event(subject=W2), row(), row(W2)) == [(W2, "start", 3)]


def test_an_id_is_meant_before_a_name_that_reads_the_same() -> None:
    assert started(event(subject=W2), row(workflow_name=W2), row(W2)) == [(W2, "start", 3)]


def test_a_name_that_reads_like_an_id_is_found_too() -> None:
    assert started(event(subject=W2), row(workflow_name=W2)) == [(W1, "start", 3)]


def test_two_workflows_of_one_name_are_ambiguous() -> None:
    result = refused(event(), row(), row(W2))
    assert result.code == "ambiguous_subject"
    assert W1 in result.reason and W2 in result.reason


def test_a_workflow_that_is_not_deployed_is_not_found() -> None:
    result = refused(event())
    assert result.code == "workflow_not_found"
    assert "deploy it" in result.reason


def test_the_first_manual_trigger_in_the_file_fires() -> None:
    rows = [row(node_id="b", position=4), row(node_id="a", position=2)]
    hook = row(node_id="hook", trigger_subtype="WEBHOOK", position=0)
    assert started(event(), hook, *rows) == [(W1, "a", 3)]


def test_without_a_manual_trigger_the_first_one_fires_by_hand() -> None:
    rows = [row(node_id=n, trigger_subtype="GITHUB", position=p) for n, p in (("b", 4), ("a", 2))]
    parts = accepted(event(), *rows)
    (start,) = parts[0].starts
    assert (start.node_id, start.mode, start.triggered_by) == ("a", "MANUAL", "MANUAL:a")


def test_an_event_may_name_the_trigger_node() -> None:
    rows = [row(node_id="a"), row(node_id="b", position=1)]
    assert started(event(extensions={"triggernode": "b"}), *rows) == [(W1, "b", 3)]
    result = refused(event(extensions={"triggernode": "c"}), *rows)
    assert result.code == "trigger_node_not_found"
    assert "a, b" in result.reason


# Webhook and GitHub -----------------------------------------------------------------


def test_a_webhook_event_starts_every_workflow_that_listens_to_its_path() -> None:
    hook: dict[str, Any] = {"trigger_subtype": "WEBHOOK", "index_key": "/orders"}
    rows = [row(W2, **hook), row(**hook), row(W1, "other", **{**hook, "index_key": "/other"})]
    assert started(event("webhook", "/orders/"), *rows) == [(W1, "start", 3), (W2, "start", 3)]


def test_an_event_that_matches_nothing_starts_nothing() -> None:
    assert decided(event("webhook", "/nobody"), []) == ()


def test_a_repository_is_looked_up_by_itself_its_owner_and_everything() -> None:
    received = command(event("github", "Acme/Shop"))
    assert triggers.facts(Trigger(), received)["by_key"].where == {
        "trigger_subtype": "GITHUB",
        "index_key": ("acme/shop", "acme/*", "acme", "*"),
        "deployment_status": "active",
        "is_active": True,
    }


def test_one_event_starts_one_execution_for_each_trigger_node_that_matches() -> None:
    rows = [
        row(W1, "all", trigger_subtype="GITHUB", index_key="*", position=1),
        row(W1, "ours", trigger_subtype="GITHUB", index_key="acme/shop", position=0),
        row(W2, "push", trigger_subtype="GITHUB", trigger_config={"events": ["push"]}),
    ]
    issue = event("github", "acme/shop", extensions={"event": "issues"})
    assert started(issue, *rows) == [(W1, "ours", 3), (W1, "all", 3)]


def test_what_matches_very_many_nodes_is_accepted_in_parts() -> None:
    many = [row(node_id=f"n{i}", position=i, trigger_subtype="WEBHOOK") for i in range(1_201)]
    parts = accepted(event("webhook", "/all"), *many)
    assert [len(part.starts) for part in parts] == [STARTS_MAX, STARTS_MAX, 201]
    assert len(set(triggers.fold(parts).executions)) == 1_201


# Executions -------------------------------------------------------------------------


def test_the_execution_id_is_ordered_by_the_events_time_and_the_same_each_time() -> None:
    parts = accepted(event(time="2026-01-01T00:00:00.123Z"), row())
    made = uuid.UUID(parts[0].starts[0].execution_id)
    assert made.version == 8
    assert made.int >> 80 == int(NOW.timestamp() * 1000) + 123
    assert decided(event(time="2026-01-01T00:00:00.123Z"), [row()]) == parts


@pytest.mark.parametrize(
    "time", [None, "2026-12-31T23:59:60Z", "1969-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"]
)
def test_an_event_without_a_usable_time_has_an_id_at_zero(time: str | None) -> None:
    parts = accepted(event(time=time), row())
    assert uuid.UUID(parts[0].starts[0].execution_id).int >> 80 == 0


def test_executions_of_different_events_workflows_and_nodes_differ() -> None:
    rows = [row(n, node, trigger_subtype="WEBHOOK") for n in (W1, W2) for node in ("a", "b")]
    ids = {
        start.execution_id
        for of in (event("webhook"), event("webhook", id="e2"), event("webhook", source="/you"))
        for part in accepted(of, *rows)
        for start in part.starts
    }
    assert len(ids) == 12


def test_the_engine_is_asked_to_start_each_execution_with_the_events_data() -> None:
    hook = row(trigger_subtype="WEBHOOK")
    parts = accepted(event("webhook", "/orders", time="2026-01-01T00:00:00Z"), hook)
    recorded = Recorded[TriggerEvent](parts[0], TENANT, "stream", 1, NOW)
    (outgoing,) = triggers.route(triggers.fold(parts), recorded)
    start = parts[0].starts[0]
    assert (outgoing.topic, outgoing.stream) == (STARTS, start.execution_id)
    assert outgoing.message == StartExecution(
        execution_id=start.execution_id,
        workflow_id=W1,
        version=3,
        node_id="start",
        mode="WEBHOOK",
        triggered_by="WEBHOOK:start",
        trigger={
            "id": "e1",
            "source": "/me",
            "type": "perdure.trigger.webhook",
            "subject": "/orders",
            "time": "2026-01-01T00:00:00Z",
        },
        data={"a": 1},
    )


def test_a_trigger_that_is_no_webhook_starts_in_mode_trigger() -> None:
    parts = accepted(event("github", "a/b"), row(trigger_subtype="GITHUB"))
    assert parts[0].starts[0].mode == "TRIGGER"


def test_a_duplicate_is_answered_with_the_executions_of_the_first() -> None:
    parts = accepted(event(), row())
    state = triggers.fold(parts)
    again = decided(event(), [row()], state)
    assert isinstance(again, Rejected)
    assert (again.code, again.dead_letter) == ("duplicate_trigger", False)
    assert state.executions[0] in again.reason


def test_the_delivery_is_a_row_with_all_executions() -> None:
    hooks = [row(W1, trigger_subtype="WEBHOOK"), row(W2, trigger_subtype="WEBHOOK")]
    parts = accepted(event("webhook", "/x"), *hooks)
    state = triggers.fold(parts)
    (written,) = triggers.project(state, Recorded(parts[0], TENANT, "stream", 1, NOW))
    assert written.table == "trigger_deliveries"
    assert written.key == {"tenant_id": TENANT, "source": "/me", "id": "e1"}
    assert written.set["executions"] == list(state.executions)
    assert written.set["received_at"] == NOW
    assert len(str(written.set["body_sha256"])) == 64


def test_events_with_one_key_start_one_execution_at_each_trigger() -> None:
    keyed = {"executionkey": "order-17"}
    ids = {
        started_id(event(id=id, extensions=keyed), row(workflow_id, node_id))
        for id in ("e1", "e2")
        for workflow_id, node_id in ((W1, "a"), (W1, "b"), (W2, "a"))
    }
    assert len(ids) == 3
    other = event(extensions={"executionkey": "order-18"})
    assert started_id(other, row(W1, "a")) not in ids


def started_id(of: CloudEvent, *index: Mapping[str, Any]) -> str:
    (found,) = accepted(of, *index)
    return found.starts[0].execution_id

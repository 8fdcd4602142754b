"""Filters of triggers, and the triggers that listen to topics and to mail addresses."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from perdure_common.decider import Lookup, Recorded, Rejected
from perdure_contracts.cloudevents import CloudEvent
from perdure_contracts.message import Envelope
from perdure_contracts.scheduler import FilterFailed, ReceiveTrigger, TriggerAccepted, TriggerEvent
from perdure_scheduler.app import service, triggers
from perdure_scheduler.state import Trigger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
W1 = "0190f3c0-0000-7000-8000-000000000001"
W2 = "0190f3c0-0000-7000-8000-000000000002"


def event(kind: str, subject: str | None = None, **more: Any) -> CloudEvent:
    fields: dict[str, Any] = {"id": "e1", "source": "/shop", "type": kind, "subject": subject}
    fields["data"] = b'{"total": 120, "tags": ["vip"]}'
    return CloudEvent(**{**fields, **more})


def from_topic(topic: str, kind: str = "", **more: Any) -> CloudEvent:
    return event(kind, extensions={"kafkatopic": topic}, **more)


def row(subtype: str, key: str, workflow_id: str = W1, **more: Any) -> dict[str, Any]:
    return {
        "workflow_id": uuid.UUID(workflow_id),
        "workflow_name": "orders",
        "deployment_version": 1,
        "node_id": "start",
        "trigger_subtype": subtype,
        "trigger_config": {},
        "index_key": key,
        "position": 0,
        **more,
    }


def filtered(text: str, workflow_id: str = W1) -> dict[str, Any]:
    config = {"filter": text}
    return row("KAFKA", "perdure.triggers.v1/*", workflow_id, trigger_config=config)


def decided(of: CloudEvent, *index: Mapping[str, Any]) -> Sequence[TriggerEvent]:
    envelope = Envelope(id=of.id, source=of.source, type=of.type, tenant_id="t", topic="x")
    command = service.hear(of, envelope)
    assert isinstance(command, ReceiveTrigger), command
    facts = {
        name: [each for each in index if _answers(each, lookup)]
        for name, lookup in triggers.facts(Trigger(), command).items()
    }
    result = triggers.decide(Trigger(), command, facts, NOW)
    assert not isinstance(result, Rejected), result
    return result


def _answers(found: Mapping[str, Any], lookup: Lookup) -> bool:
    for column, wanted in lookup.where.items():
        values = cast("tuple[Any, ...]", wanted if isinstance(wanted, tuple) else (wanted,))
        if column in found and str(found[column]) not in [str(each) for each in values]:
            return False
    return True


def started(of: CloudEvent, *index: Mapping[str, Any]) -> list[str]:
    parts = [each for each in decided(of, *index) if isinstance(each, TriggerAccepted)]
    return [start.workflow_id for part in parts for start in part.starts]


# Filters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("{{ $json.total > 100 }}", True),
        ("{{ $json.total > 200 }}", False),
        ("{{ $json.tags.includes('vip') && $event.type === 'shop.paid' }}", True),
        ("{{ $event.source === '/shop' }}", True),
        ("{{ $event.region === 'eu' }}", True),
        ("{{ $event.subject === null }}", False),
        ("{{ $json.missing?.deep === 1 }}", False),
    ],
)
def test_a_filter_sees_the_data_and_the_attributes_of_the_event(text: str, holds: bool) -> None:
    sent = event("shop.paid", extensions={"region": "eu"})
    assert started(sent, filtered(text)) == ([W1] if holds else [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ $json.total }}", "gave int, not true or false"),
        ("{{ $json.missing }}", "gave null"),
        ("{{ $json.missing.toUpperCase() === 'A' }}", "expression_"),
    ],
)
def test_a_filter_that_cannot_judge_starts_nothing_and_is_shown(text: str, says: str) -> None:
    [failed] = decided(event("shop.paid"), filtered(text))
    assert isinstance(failed, FilterFailed)
    [fault] = failed.faults
    assert (fault.workflow_id, fault.node_id) == (W1, "start") and says in fault.message
    recorded = Recorded[TriggerEvent](failed, "t", "s", 1, NOW)
    [shown] = triggers.project(Trigger(), recorded)
    assert shown.lazy and shown.add == {"filter_errors": 1}
    assert says in str(shown.set["filter_error"])
    assert triggers.route(Trigger(), recorded) == ()
    assert triggers.evolve(Trigger(), failed) == Trigger(), "a redelivery is judged anew"


def test_one_trigger_whose_filter_fails_does_not_keep_others_from_firing() -> None:
    rows = (filtered("{{ $json.total }}"), filtered("{{ true }}", W2))
    accepted, failed = decided(event("shop.paid"), *rows)
    assert isinstance(accepted, TriggerAccepted) and isinstance(failed, FilterFailed)
    assert [start.workflow_id for start in accepted.starts] == [W2]


@pytest.mark.parametrize("kind", ["manual", "webhook", "github", "email"])
def test_every_kind_of_trigger_has_filters(kind: str) -> None:
    key = {"manual": W1, "webhook": "/x", "github": "acme/shop", "email": "a@b.c"}[kind]
    sent = event(f"perdure.trigger.{kind}", key, extensions={"event": "push"})
    for text, found in (("{{ $json.total > 200 }}", []), ("{{ $json.total > 100 }}", [W1])):
        mine = row(kind.upper(), key, trigger_config={"filter": text})
        assert started(sent, mine) == found


# Topics -----------------------------------------------------------------------------------------


def test_an_event_of_any_type_fires_those_that_listen_to_it_or_to_all() -> None:
    rows = (
        row("KAFKA", "perdure.triggers.v1/shop.paid"),
        row("KAFKA", "perdure.triggers.v1/*", W2),
        row("KAFKA", "perdure.triggers.v1/shop.sent", node_id="other"),
        row("KAFKA", "orders/shop.paid", node_id="elsewhere"),
    )
    assert started(event("shop.paid"), *rows) == [W1, W2]


def test_what_starts_other_triggers_never_fires_those_of_our_topic() -> None:
    every = row("KAFKA", "perdure.triggers.v1/*")
    assert started(event("perdure.trigger.webhook", "/x"), every) == []


def test_a_record_of_a_foreign_topic_fires_those_of_that_topic_alone() -> None:
    rows = (row("KAFKA", "orders/*"), row("KAFKA", "perdure.triggers.v1/*", W2))
    assert started(from_topic("orders"), *rows) == [W1]
    assert started(from_topic("orders", "shop.paid"), *rows) == [W1]
    assert started(from_topic("sales"), *rows) == []


@pytest.mark.parametrize("kind", ["perdure.trigger.manual", "perdure.event.paid", "perdure.x"])
def test_no_type_on_a_foreign_topic_reaches_another_kind_of_trigger(kind: str) -> None:
    by_hand = row("MANUAL", W1)
    assert started(from_topic("orders", kind, subject=W1), by_hand) == []
    assert started(from_topic("orders", kind, subject=W1), row("KAFKA", f"orders/{kind}")) == [W1]


def test_a_record_that_is_too_large_is_a_dead_letter_that_says_how_large() -> None:
    sent = event("", extensions={"kafkatopic": "orders", "kafkabytes": "900000"}, data=b"")
    envelope = Envelope(id="1", source="/shop", type="", tenant_id="t", topic="x")
    refused = service.hear(sent, envelope)
    assert isinstance(refused, Rejected) and refused.dead_letter
    assert refused.code == "payload_too_large" and "900000" in refused.reason


# Mail -------------------------------------------------------------------------------------------


def test_a_mail_is_found_by_its_address_in_any_case_and_without_its_tag() -> None:
    mine = row("EMAIL", "orders@example.com")
    for address in ("Orders@Example.com", "orders+berlin@example.com"):
        assert started(event("perdure.trigger.email", address), mine) == [W1]
    assert started(event("perdure.trigger.email", "other@example.com"), mine) == []


def test_an_address_with_a_tag_of_its_own_comes_first() -> None:
    rows = (
        row("EMAIL", "orders@example.com"),
        row("EMAIL", "orders+berlin@example.com", W2),
    )
    assert started(event("perdure.trigger.email", "orders+berlin@example.com"), *rows) == [W2]
    assert started(event("perdure.trigger.email", "orders+paris@example.com"), *rows) == [W1]

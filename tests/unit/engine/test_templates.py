"""Templates are saved, changed, retired and offered again; what is no template is refused."""

from datetime import UTC, datetime
from typing import Any

import pytest
from perdure_common.decider import Recorded, Rejected
from perdure_contracts.templates import (
    RetireTemplate,
    SaveTemplate,
    TemplateCommand,
    TemplateEvent,
    TemplateRetired,
    TemplateSaved,
)
from perdure_engine.templates.decider import decider

ID = "0198c0de-0000-7000-8000-000000000009"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
START = {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL"}
DEFINITION = {"name": "w", "nodes": [START], "connections": []}


def save(**more: Any) -> SaveTemplate:
    given: dict[str, Any] = {
        "name": "Invoices",
        "document_type": "invoice",
        "definition": DEFINITION,
        **more,
    }
    given.setdefault("template_id", ID)
    return SaveTemplate(**given)


def decided(*commands: TemplateCommand) -> list[TemplateEvent] | Rejected:
    state, events = decider.initial, list[TemplateEvent]()
    for command in commands:
        found = decider.decide(state, command, {}, NOW)
        if isinstance(found, Rejected):
            return found
        for event in found:
            state = decider.evolve(state, event)
        events += found
    return events


def test_a_template_is_saved_once_for_each_change() -> None:
    events = decided(save(), save(), save(description="of last year"))
    assert isinstance(events, list)
    assert [type(event) for event in events] == [TemplateSaved, TemplateSaved]


def test_a_retired_template_is_retired_once_and_offered_again_when_saved() -> None:
    retire = RetireTemplate(template_id=ID, asked_by="ann")
    events = decided(save(), retire, retire, save())
    assert isinstance(events, list)
    assert [type(event) for event in events] == [TemplateSaved, TemplateRetired, TemplateSaved]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (save(template_id="mine"), "invalid_template"),
        (save(name=""), "invalid_template"),
        (save(document_type="x" * 256), "invalid_template"),
        (save(description="x" * 10_001), "invalid_template"),
        (save(definition={"name": "w"}), "invalid_definition"),
        (RetireTemplate(template_id=ID), "template_not_found"),
    ],
)
def test_what_is_no_template_is_refused(command: TemplateCommand, code: str) -> None:
    refused = decided(command)
    assert isinstance(refused, Rejected)
    assert (refused.code, bool(refused.reason)) == (code, True)


def test_the_row_says_what_the_template_says() -> None:
    events = decided(save(saved_by="ann"), RetireTemplate(template_id=ID))
    assert isinstance(events, list)
    state, row = decider.initial, dict[str, Any]()
    for version, event in enumerate(events, 1):
        state = decider.evolve(state, event)
        [upsert] = decider.project(state, Recorded(event, "t", ID, version, NOW))
        assert (upsert.table, upsert.key) == ("workflow_templates", {"id": ID})
        row |= upsert.set
    assert row == {
        "tenant_id": "t",
        "name": "Invoices",
        "description": None,
        "document_type": "invoice",
        "workflow_definition": DEFINITION,
        "is_active": False,
        "saved_by": "ann",
        "created_at": NOW,
        "updated_at": NOW,
    }

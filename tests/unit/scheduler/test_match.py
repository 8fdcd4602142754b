"""When a GitHub event fulfils the filters of a trigger."""

from typing import Any

import pytest
from perdure_scheduler.match import event_of, fulfils, keys_of

PUSH: dict[str, Any] = {
    "ref": "refs/heads/release/1.2",
    "before": "0",
    "after": "1",
    "commits": [
        {"added": ["docs/a.md"], "modified": [], "removed": ["src/old.py"]},
        {"added": [], "modified": ["README.md"], "removed": []},
    ],
}
PULL: dict[str, Any] = {
    "action": "opened",
    "number": 7,
    "pull_request": {"base": {"ref": "main"}, "head": {"ref": "feature"}},
}
ISSUE: dict[str, Any] = {"action": "opened", "issue": {"number": 1}}
PING: dict[str, Any] = {"zen": "Keep it simple.", "hook_id": 1}


@pytest.mark.parametrize(
    ("config", "data", "holds"),
    [
        ({}, ISSUE, True),
        ({}, PING, False),
        ({"events": ["ping"]}, PING, True),
        ({"events": ["issues"]}, ISSUE, True),
        ({"events": ["issues"]}, PUSH, False),
        ({"events": ["push", "issues"]}, PUSH, True),
        ({"actions": ["opened", "closed"]}, ISSUE, True),
        ({"actions": ["closed"]}, ISSUE, False),
        ({"actions": ["opened"]}, PUSH, False),
        ({"branches": ["main"]}, PULL, True),
        ({"branches": ["feature"]}, PULL, False),
        ({"branches": ["release/*"]}, PUSH, True),
        ({"branches": ["main"]}, PUSH, False),
        ({"branches": ["*"]}, {**PUSH, "ref": "refs/tags/v1"}, False),
        ({"branches": ["*"]}, ISSUE, False),
        ({"paths": ["docs/*"]}, PUSH, True),
        ({"paths": ["*.py"]}, PUSH, True),
        ({"paths": ["*.rs", "README.*"]}, PUSH, True),
        ({"paths": ["*.rs"]}, PUSH, False),
        ({"paths": ["*"]}, PULL, False),
        ({"events": ["push"], "branches": ["release/*"], "paths": ["docs/*"]}, PUSH, True),
        ({"events": ["push"], "branches": ["release/*"], "paths": ["*.rs"]}, PUSH, False),
        ({"events": ["issues"]}, "no object", False),
        ({"paths": ["*"]}, {"commits": [None, {"added": [1]}]}, False),
    ],
)
def test_every_given_filter_must_hold(config: dict[str, Any], data: Any, holds: bool) -> None:
    assert fulfils(config, {}, data) is holds


def test_the_extensions_say_more_than_the_payload() -> None:
    assert fulfils({"events": ["workflow_run"]}, {"event": "workflow_run"}, ISSUE)
    assert fulfils({"actions": ["closed"]}, {"action": "closed"}, ISSUE)
    assert not fulfils({}, {"event": "ping"}, ISSUE)


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (PUSH, "push"),
        (PULL, "pull_request"),
        ({**PULL, "review": {}}, None),
        (ISSUE, "issues"),
        ({**ISSUE, "comment": {}}, "issue_comment"),
        (PING, "ping"),
        ({"action": "published", "release": {}}, "release"),
        ({}, None),
    ],
)
def test_the_event_is_told_by_the_shape_of_its_payload(
    body: dict[str, Any], event: str | None
) -> None:
    assert event_of(body) == event


def test_an_organisation_is_looked_up_once_under_each_key() -> None:
    assert keys_of("GITHUB", "Acme") == ("acme", "acme/*", "*")
    assert keys_of("WEBHOOK", "orders/new/") == ("/orders/new",)

"""Real payloads of GitHub: each is about something, and reaches the triggers that listen to it."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from github_examples import examples
from perdure_scheduler.hooks.asked import Asked, chosen, read_payload, shared_ids
from perdure_scheduler.hooks.reading import about_github
from perdure_scheduler.hooks.routes import Route
from perdure_scheduler.hooks.verify import verified

EXAMPLES = examples()
FIELDS = {"secret": "It's a Secret to Everybody"}


def asked(event: str, payload: Any, *, form: bool = False, delivery: bytes = b"d1") -> Asked:
    text = json.dumps(payload, ensure_ascii=False)
    body = urlencode({"payload": text}).encode() if form else text.encode()
    digest = hmac.digest(FIELDS["secret"].encode(), body, "sha256").hex().encode()
    media = b"application/x-www-form-urlencoded" if form else b"application/json"
    headers = {
        b"content-type": [media],
        b"x-github-event": [event.encode()],
        b"x-github-delivery": [delivery],
        b"x-hub-signature-256": [b"sha256=" + digest],
    }
    return Asked("POST", "/github", (), headers, body)


def route(key: str, **config: Any) -> Route:
    settings = {"path": "/github", "auth": "github", "credential": "gh", **config}
    return Route("w", "triage", 1, key, "GITHUB", key, settings, ("POST",))


def reached(event: str, payload: Any, *routes: Route) -> list[str]:
    request = asked(event, payload)
    parsed = read_payload(request, "http://x/")
    about = about_github(request.headers, parsed.data)
    return [each.node_id for each in chosen(routes, about, parsed)]


def test_there_are_hundreds_of_payloads_of_dozens_of_events() -> None:
    assert len(EXAMPLES) > 300
    assert len({event for event, _ in EXAMPLES}) > 50


@pytest.mark.parametrize("form", [False, True])
def test_every_payload_verifies_and_is_read_as_it_was(form: bool) -> None:
    for event, payload in EXAMPLES:
        request = asked(event, payload, form=form)
        assert verified({"auth": "github"}, FIELDS, request.headers, request.body, 0)
        parsed = read_payload(request, "http://x/")
        assert parsed.data == payload, event
        assert json.loads(parsed.encoded) == payload, event
        assert parsed.kept == []


def test_every_payload_reaches_who_listens_to_all_and_to_its_own() -> None:
    for event, payload in EXAMPLES:
        about = about_github(asked(event, payload).headers, payload)
        assert about.subject, f"{event} is about nothing"
        subject = about.subject.lower()
        owner = subject.partition("/")[0]
        own = ["*"] if subject == "*" else sorted({subject, owner, f"{owner}/*", "*"})
        expected = [] if event == "ping" else own
        routes = [route(key) for key in own] + [route("nobody/nothing"), route("nobody")]
        assert sorted(reached(event, payload, *routes)) == expected, event


def test_every_payload_reaches_who_asks_for_its_event_and_action_and_nobody_else() -> None:
    for event, payload in EXAMPLES:
        action = payload.get("action")
        right = route("*", events=[event])
        assert reached(event, payload, right) == ["*"], event
        assert reached(event, payload, route("*", events=["no_such_event"])) == []
        if isinstance(action, str):
            assert reached(event, payload, route("*", events=[event], actions=[action])) == ["*"]
        assert reached(event, payload, route("*", actions=["no_such_action"])) == []


def test_pushes_are_told_apart_by_branch_and_path() -> None:
    pushes = [payload for event, payload in EXAMPLES if event == "push"]
    on_branch = [p for p in pushes if p["ref"].startswith("refs/heads/")]
    assert on_branch
    for payload in pushes:
        branch = payload["ref"].removeprefix("refs/heads/")
        is_branch = payload["ref"].startswith("refs/heads/")
        assert bool(reached("push", payload, route("*", branches=[branch]))) is is_branch
        assert reached("push", payload, route("*", branches=["no/such/*"])) == []
        changed = [
            path
            for commit in payload["commits"]
            for kind in ("added", "modified", "removed")
            for path in commit[kind]
        ]
        for path in changed:
            assert reached("push", payload, route("*", paths=[path])) == ["*"]
        assert reached("push", payload, route("*", paths=["no/such/path"])) == []


def test_pull_requests_are_told_apart_by_the_branch_that_they_go_to() -> None:
    pulls = [payload for event, payload in EXAMPLES if event == "pull_request"]
    assert pulls
    for payload in pulls:
        base = payload["pull_request"]["base"]["ref"]
        assert reached("pull_request", payload, route("*", branches=[base])) == ["*"]
        assert reached("pull_request", payload, route("*", branches=["no-such"])) == []


def test_a_delivery_is_one_by_its_id_and_by_its_body_because_the_id_is_not_signed() -> None:
    event, payload = EXAMPLES[0]
    first = asked(event, payload)
    again = asked(event, payload, delivery=b"d2")
    about, later = (about_github(each.headers, payload) for each in (first, again))
    event_id, keys = shared_ids(first, about, slack=False)
    assert event_id == "sha256:" + hashlib.sha256(first.body).hexdigest()
    assert keys == ("d1", event_id)
    assert shared_ids(again, later, slack=False) == (event_id, ("d2", event_id))


def test_without_a_repository_an_event_is_of_the_organisation_or_the_account() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"repository": {"full_name": "Acme/Shop"}, "organization": {"login": "x"}}, "Acme/Shop"),
        ({"organization": {"login": "Acme"}, "sender": {"login": "ann"}}, "Acme"),
        ({"installation": {"account": {"login": "acme"}}, "sender": {"login": "ann"}}, "acme"),
        ({"sender": {"login": "ann"}}, "ann"),
        ({"repository": {"full_name": 7}}, "*"),
        ({}, ""),
    ]
    for body, subject in cases:
        assert about_github({}, body).subject == subject

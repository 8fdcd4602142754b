"""EXTERNAL_ACTION GITHUB: issues and comments of GitHub's REST API."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_contracts.engine import ErrorFacts

from perdure_engine.nodes.external_action_github import REPOSITORY
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.services import Service, given, invalid

OF_ISSUES = ("number", "state", "title")
"""What is kept of an issue beside its id and address."""

HEADERS = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "perdure",
}


PAGE = 100
PAGES_MAX = 10
"""How far is looked for what an earlier attempt made."""

SLACK = timedelta(minutes=10)
"""By how much the clock of the other side may be behind ours."""


async def issue(github: Service, key: str) -> dict[str, Any] | Failed:
    """File, change or comment the issue of one item; return what was made, or why it was not.

    What is new gets a mark that people do not see: by it an earlier attempt's work is known.
    """
    parameters = github.parameters
    issues = _issues(parameters)
    if isinstance(issues, Failed):
        return issues
    operation = parameters.get("operation")
    if operation == "create_issue":
        body = _marked(given(parameters, "title", "body", "labels", "assignees"), key)
        return _told(await github.call("POST", issues, body), *OF_ISSUES)
    text = _number(parameters)
    if isinstance(text, Failed):
        return text
    if operation == "comment":
        body = _marked(given(parameters, "body"), key)
        return _told(await github.call("POST", f"{issues}/{text}/comments", body))
    body = given(parameters, "title", "body", "labels", "assignees", "state")
    return _told(await github.call("PATCH", f"{issues}/{text}", body), *OF_ISSUES)


async def made_before(github: Service, key: str, since: str) -> dict[str, Any] | Failed | None:
    """Return what an earlier attempt made, None if none did; looks at what is newer than `since`.

    The list that GitHub gives is read, not its search, which comes to know of things late.
    """
    parameters = github.parameters
    path = _issues(parameters)
    if isinstance(path, Failed):
        return path
    query = (("state", "all"), ("sort", "created"), ("direction", "desc"))
    names = OF_ISSUES
    if parameters.get("operation") == "comment":
        text = _number(parameters)
        if isinstance(text, Failed):
            return text
        path, query, names = f"{path}/{text}/comments", (), ()
    after = (datetime.fromisoformat(since).astimezone(UTC) - SLACK).strftime("%Y-%m-%dT%H:%M:%SZ")
    for page in range(1, PAGES_MAX + 1):
        more = (("since", after), ("per_page", str(PAGE)), ("page", str(page)))
        entries = await github.listed(path, (*query, *more))
        if isinstance(entries, Failed):
            return entries
        for entry in entries:
            if _mark(key) in str(entry.get("body") or ""):
                return _kept(entry, *names)
        if len(entries) < PAGE:
            return None
    text = f"it is not among the newest {PAGE * PAGES_MAX:,}, and there are more"
    return Failed(ErrorFacts(type="effect_unknown", message=text, effect_state="unknown"))


def _mark(key: str) -> str:
    return f"<!-- perdure: {key} -->"


def _marked(body: dict[str, Any], key: str) -> dict[str, Any]:
    text = body.get("body")
    return {**body, "body": f"{text}\n\n{_mark(key)}" if text else _mark(key)}


def _issues(parameters: Mapping[str, Any]) -> str | Failed:
    """Return the path of a repository's issues."""
    repository = str(parameters.get("repository") or "")
    if not REPOSITORY.fullmatch(repository) or ".." in repository:
        return invalid(f"`repository` is {repository[:80]!r}; write it as owner/name")
    return f"/repos/{repository}/issues"


def _number(parameters: Mapping[str, Any]) -> str | Failed:
    number: Any = parameters.get("number")
    text = str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)
    if isinstance(number, bool) or not (text.isascii() and text.isdecimal()):
        return invalid(f"`number` is {text[:80]!r}; it must be the number of an issue")
    return text


def _told(answered: Any, *names: str) -> dict[str, Any] | Failed:
    """Return of an answer what is worth keeping; the rest is addresses."""
    if isinstance(answered, Failed):
        return answered
    _, made = answered
    return _kept(made, *names)


def _kept(made: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {
        "id": made.get("id"),
        "url": made.get("html_url"),
        **{name: made.get(name) for name in names},
    }

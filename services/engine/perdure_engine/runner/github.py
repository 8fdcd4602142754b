"""EXTERNAL_ACTION GITHUB: issues and comments of GitHub's REST API."""

from typing import Any

from perdure_engine.nodes.external_action_github import REPOSITORY
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.services import Service, given, invalid

HEADERS = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "perdure",
}


async def issue(github: Service) -> dict[str, Any] | Failed:
    """File, change or comment the issue of one item; return what was made, or why it was not."""
    parameters = github.parameters
    repository = str(parameters.get("repository") or "")
    if not REPOSITORY.fullmatch(repository) or ".." in repository:
        return invalid(f"`repository` is {repository[:80]!r}; write it as owner/name")
    issues = f"/repos/{repository}/issues"
    operation = parameters.get("operation")
    if operation == "create_issue":
        body = given(parameters, "title", "body", "labels", "assignees")
        return _told(await github.call("POST", issues, body), "number", "state", "title")
    number: Any = parameters.get("number")
    text = str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)
    if isinstance(number, bool) or not (text.isascii() and text.isdecimal()):
        return invalid(f"`number` is {text[:80]!r}; it must be the number of an issue")
    if operation == "comment":
        made = await github.call("POST", f"{issues}/{text}/comments", given(parameters, "body"))
        return _told(made)
    body = given(parameters, "title", "body", "labels", "assignees", "state")
    return _told(await github.call("PATCH", f"{issues}/{text}", body), "number", "state", "title")


def _told(answered: Any, *names: str) -> dict[str, Any] | Failed:
    """Return of an answer what is worth keeping; the rest is addresses."""
    if isinstance(answered, Failed):
        return answered
    _, made = answered
    return {
        "id": made.get("id"),
        "url": made.get("html_url"),
        **{name: made.get(name) for name in names},
    }

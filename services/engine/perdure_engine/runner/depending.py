"""Which dependency a task's item calls, before it is called."""

from collections.abc import Mapping
from typing import Any

from perdure_engine.runner.dependencies import of_address
from perdure_engine.runner.tools import Tools


def dependency_of(tools: Tools, subtype: str, parameters: Mapping[str, Any]) -> str:
    """Return the dependency of an external action; empty where it calls nobody known.

    `parameters` have what a credential adds to them.
    """
    match subtype:
        case "HTTP_REQUEST":
            return _at("http", str(parameters.get("url") or ""))
        case "SLACK":
            return _at("http", tools.slack_url)
        case "GITHUB":
            return _at("http", tools.github_url)
        case "GOOGLE_CALENDAR":
            return _at("http", tools.google_calendar_url)
        case "SQL":
            name = str(parameters.get("database") or "")
            known = tools.databases.address(name) if name in tools.databases.names else ""
            called = str(parameters.get("credential") or name)
            return _at("sql", str(parameters.get("url") or known), called)
        case "SEND_EMAIL":
            name = str(parameters.get("server") or "")
            called = str(parameters.get("credential") or name)
            return _at("smtp", str(parameters.get("url") or tools.mail.get(name, "")), called)
        case _:
            return ""


def _at(kind: str, address: str, otherwise: str = "") -> str:
    found = of_address(kind, address, otherwise if address else "")
    return "" if found.endswith(":") else found

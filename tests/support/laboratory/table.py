"""The table of scenarios as it stands in docs/laboratory.md."""

from itertools import groupby

from laboratory.catalogue import KILLED, SCENARIOS
from laboratory.scenario import Expected, Scenario

BEGIN = "<!-- the table begins: made by `python -m laboratory` -->"
END = "<!-- the table ends -->"

TITLES = {
    "models": "Models",
    "http": "Other people's servers",
    "databases": "Databases",
    "work": "Workflows and their people",
    "platform": "The platform itself",
}


def in_document(text: str) -> str:
    """Return the document with the newest table in its place.

    Raises:
        ValueError: The document has no place for it.
    """
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:begin]}\n\n{table()}\n{text[end:]}"


def table() -> str:
    """Return all scenarios, by group."""
    lines: list[str] = []
    every = sorted((*SCENARIOS, *KILLED), key=lambda each: list(TITLES).index(each.group))
    for group, scenarios in groupby(every, key=lambda each: each.group):
        lines += [f"### {TITLES[group]}", ""]
        lines += ["| what happens | recognised as | what is done | how it ends |"]
        lines += ["| --- | --- | --- | --- |"]
        lines += [_row(each) for each in scenarios]
        lines += [""]
    return "\n".join(lines)


def _row(scenario: Scenario) -> str:
    first = scenario.expected[0]
    others = " (or as the machine has it)" if len(scenario.expected) > 1 else ""
    kinds = ", ".join(f"`{each}`" for each in dict.fromkeys(first.types)) or "no failure"
    done = ", ".join(f"`{each}`" for each in first.strategies) or "nothing"
    return f"| {scenario.name} | {kinds} | {done}{others} | {_end(first)} |"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _end(expected: Expected) -> str:
    calls = ", ".join(f"{name} asked {_times(count)}" for name, count in expected.calls.items())
    outcome = expected.outcome.replace("refused:", "rail ") or "by itself"
    return f"{expected.status}, {outcome}{f'; {calls}' if calls else ''}"

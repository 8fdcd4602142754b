"""What a model's answer must hold to, and what the model is told when it does not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perdure_contracts.cloudevents import CloudEventError, parse_json

from perdure_engine.nodes.json_schemas import problems_of

OUTPUT_TOOL = "final_answer"
"""The tool by which a model gives an answer that has a schema."""

FENCE = "```"


@dataclass(frozen=True)
class Accepted:
    """An answer that can be used."""

    value: Any


@dataclass(frozen=True)
class Rejected:
    """An answer that cannot; `problems` are `{path, message}`."""

    problems: list[dict[str, str]]

    @property
    def told(self) -> str:
        """What the model is told, so that it can mend its answer."""
        lines = [f"- {each['path'] or '(top)'}: {each['message']}" for each in self.problems]
        return "The answer does not hold to the schema:\n" + "\n".join(lines) + "\nAnswer again."


def judged(schema: Mapping[str, Any] | None, raw: Any) -> Accepted | Rejected:
    """Judge an answer: text or arguments of the output tool, against the schema where there is one.

    Text is read as JSON then, inside a code fence too: not every server of models knows tools.
    """
    if schema is None:
        text = str(raw or "").strip()
        if text:
            return Accepted(text)
        return Rejected([{"path": "", "message": "the answer is empty"}])
    value = raw
    if isinstance(raw, str):
        try:
            value = parse_json(_unfenced(raw), "the answer")
        except CloudEventError as error:
            return Rejected([{"path": "", "message": str(error)[:300]}])
    problems = problems_of(schema, value)
    return Rejected(problems) if problems else Accepted(value)


def _unfenced(raw: str) -> str:
    """Return what stands inside a code fence, all of the text where there is none."""
    first, _, inside = raw.strip().partition("\n")
    is_fence = first.startswith(FENCE) and first[len(FENCE) :].strip() in ("", "json")
    return inside.removesuffix(FENCE) if is_fence and inside.endswith(FENCE) else raw

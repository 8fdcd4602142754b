"""What a model says, read as the answer that its schema asks for."""

import time
from typing import Any

import pytest
from perdure_engine.runner.agents.outputs import Accepted, Rejected, judged

ANY: dict[str, Any] = {}


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 1}',
        '```json\n{"n": 1}\n```',
        ' \n```\n{"n":\n1}\n  ```  \n',
        '```json  \n{"n": 1}```',
    ],
)
def test_a_code_fence_is_taken_away(text: str) -> None:
    assert judged(ANY, text) == Accepted({"n": 1})


NO_ANSWERS = {
    "a fence and empty lines": "```" + "\n" * 50_000 + "x",
    "a fence and lines of spaces": "```\n" + "\n " * 50_000 + "x",
    "a fence alone": "```",
    "two fences in a line": "``````",
    "another language": "```python\n1\n```",
    "100,000 levels": "[" * 100_000,
    "half a surrogate pair": '"\\ud800"',
    "no number": "NaN",
}


@pytest.mark.parametrize("text", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_is_told_in_little_time(text: str) -> None:
    began = time.process_time()
    found = judged(ANY, text)
    assert time.process_time() - began < 1.0
    assert isinstance(found, Rejected)
    assert len(found.problems[0]["message"]) <= 300

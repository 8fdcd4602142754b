"""Runs JavaScript of an author's in V8: one line of JSON for each item in, one for its outcome out.

The first line is `{code, cpu_s, memory_mb, timeout_s}`. V8 has no files, no network and no clock
that it could wait for: what the code reaches is what the language has.
"""

import json
import os
import re
import sys
from typing import Any, NoReturn

from py_mini_racer import JSOOMException, JSTimeoutException, MiniRacer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from confined import MEGABYTE, confine, streams, tell

HEAD = "globalThis.__run = (function (item) {\n"
TAIL = """
});
globalThis.__one = (function (run, parse, write) {
  return function (text) {
    const made = run(parse(text));
    const text_ = write(made === undefined ? null : made);
    return typeof text_ === "string" ? "+" + text_ : "-what is returned is no JSON";
  };
})(globalThis.__run, JSON.parse, JSON.stringify);
"""
PLACE = re.compile(r"<anonymous>:(\d+)")


def _failed(error: Exception) -> dict[str, Any]:
    if isinstance(error, JSOOMException):
        return {"error": {"type": "code_memory", "message": "it needs more memory", "line": None}}
    if isinstance(error, JSTimeoutException):
        return {"error": {"type": "code_timeout", "message": "it does not end", "line": None}}
    text = str(error)
    place = PLACE.search(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = next((line for line in lines if "Error" in line), lines[0] if lines else "it failed")
    told = re.sub(r"^<anonymous>:\d+: ", "", told)
    line = int(place.group(1)) - HEAD.count("\n") if place else None
    return {"error": {"type": "code_failed", "message": told[:500], "line": line}}


def _read(text: str) -> dict[str, Any]:
    if text.startswith("+"):
        return {"ok": json.loads(text[1:])}
    return {"error": {"type": "code_output", "message": text[1:], "line": None}}


def main() -> NoReturn:
    """Answer items until there are no more."""
    asked, answers = streams()
    first = json.loads(asked.readline())
    engine = MiniRacer()
    memory = first["memory_mb"] * MEGABYTE
    confine(first["cpu_s"], None)
    broken: dict[str, Any] | None = None
    try:
        engine.eval(HEAD + first["code"] + TAIL, timeout_sec=first["timeout_s"], max_memory=memory)
    except Exception as error:
        broken = _failed(error)
    tell(answers, "{}")
    for line in asked:
        outcome = broken
        if outcome is None:
            try:
                text = engine.eval(
                    f"__one({json.dumps(line)})",
                    timeout_sec=first["timeout_s"],
                    max_memory=memory,
                )
                outcome = _read(str(text))
            except Exception as error:
                outcome = _failed(error)
        tell(answers, json.dumps(outcome))
    os._exit(0)


if __name__ == "__main__":
    main()

"""The guide to a new strategy is followed to the letter, in a copy, and the strategy works."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from guide import ROOT, steps

LINES_MAX = 10
"""Lines of code that a strategy takes."""
PACKAGES = ("services/recovery/perdure_recovery", "libs/contracts/perdure_contracts")
SCRIPT = """
import json, msgspec
from perdure_common.shell.codec import decode_body, encode_body
from perdure_contracts.engine import ErrorFacts
from recovery_story import Story, failed
import perdure_recovery
error = ErrorFacts(type="tool_error", message="the tool is busy", dependency="tool:search")
story, found = Story(), []
for number in (1, 2):
    events = story.hears(failed(f"f{number}", error=error, effect="pure", attempt=number))
    ordered = events[-1]
    assert decode_body("recovery.attempt-ordered.v1", encode_body(ordered)) == ordered
    found.append({"strategy": ordered.strategy, "delay_s": ordered.delay_s,
                  "told": ordered.explanation.retry_decision, "helps": ordered.helps,
                  "faithfulness": ordered.explanation.faithfulness})
rows = story.table("recovery_episodes")
print(json.dumps({"from": perdure_recovery.__file__, "found": found, "verdicts": story.verdicts(),
                  "eligible": [row["eligible"] for row in rows]}))
"""


def test_the_guide_takes_ten_lines_and_what_it_makes_works(tmp_path: Path) -> None:
    for package in PACKAGES:
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / Path(package).name, ignore=skipped)
    lines = 0
    for step in steps():
        path = tmp_path / "/".join(step.path.split("/")[-2:])
        path.write_text(step.applied(path.read_text("utf-8")), "utf-8")
        lines += sum(bool(line.strip()) for line in step.code.splitlines())
    assert lines <= LINES_MAX
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'tests/support'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    said = json.loads(told.stdout)
    assert said["from"].startswith(str(tmp_path))
    first, second = said["found"]
    assert (first["strategy"], first["delay_s"]) == ("next_hour", 3_600.0)
    assert first["told"].startswith("Try 1, next_hour: tools count anew at the full hour")
    assert first["faithfulness"] == 1.0
    assert first["helps"] == 0.7, "what the rules like best"
    assert second["strategy"] == "backoff"
    assert said["verdicts"] == ["retry", "retry"]
    assert said["eligible"] == [True]

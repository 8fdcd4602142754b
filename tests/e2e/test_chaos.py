"""`make chaos`, for a few seconds: it says what happened, and ends with its verdict in a line."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_a_short_chaos_run_says_what_happened_and_that_every_promise_holds() -> None:
    command = ["make", "--silent", "chaos", "SECONDS=12", "SEED=5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    *story, verdict = done.stdout.strip().splitlines()
    assert verdict.startswith("chaos: every promise holds.")
    told = "\n".join(story)
    for what in ("kill -9 engine", "kill -9 runner", "PostgreSQL answers", "Kafka stands still"):
        assert what in told

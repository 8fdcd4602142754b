"""Memory that a batch has used is there for the next one: the system need not clear it again."""

import os
import subprocess
import sys

import pytest
from perdure_common.allocator import ENVIRONMENT

ROUNDS = """
import resource, sys
from perdure_common.allocator import keep_freed_memory

assert sys.argv[1] == "as it is" or keep_freed_memory()
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(1_000_000) for _ in range(20)]
    blocks.clear()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(*faults)
"""


def faults(kept: str, **env: str) -> list[int]:
    """Return how many pages each of some equal rounds of work touched first."""
    clean = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS, kept],
        env={**clean, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(count) for count in done.stdout.split()]


@pytest.mark.parametrize(("kept", "env"), [("kept", {}), ("as it is", ENVIRONMENT)])
def test_memory_that_was_freed_is_used_again_without_a_fault(
    kept: str, env: dict[str, str]
) -> None:
    first, *_, last = faults(kept, **env)
    assert first > 1_000
    assert last < first / 10


def test_the_c_library_gives_large_blocks_back_unless_it_is_told_to_keep_them() -> None:
    """Otherwise the test above would prove nothing."""
    *_, last = faults("as it is")
    assert last > 1_000

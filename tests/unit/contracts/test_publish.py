"""The contracts stand alone: pydantic, and aiokafka only where something is published."""

import subprocess
import sys

import pytest
from perdure_contracts.publish import make_event

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"perdure_common", "aiokafka", "orjson", "structlog"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run(code: str) -> str:
    """Run Python with everything but the contracts' own needs out of reach."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_is_imported_without_the_rest_of_perdure() -> None:
    listed = run(
        "import importlib, pkgutil, perdure_contracts\n"
        "for module in pkgutil.iter_modules(perdure_contracts.__path__):\n"
        "    importlib.import_module('perdure_contracts.' + module.name)\n"
        "    print(module.name)\n"
    )
    assert {"cloudevents", "engine", "publish", "schemas"} <= set(listed.split())


def test_publishing_without_the_extra_says_what_to_install() -> None:
    told = run(
        "from perdure_contracts.publish import publish\n"
        "try:\n"
        "    publish('localhost:1', 'a', 'b', {})\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    assert "pip install perdure-contracts[publish]" in told


def test_json_data_is_json_and_bytes_are_bytes() -> None:
    assert make_event("a", "s", {"ü": 1}).json() == {"ü": 1}
    event = make_event("a", "", b"\x00", id="1", source="/me")
    assert (event.data, event.datacontenttype) == (b"\x00", "application/octet-stream")
    assert (event.id, event.source, event.subject) == ("1", "/me", None)
    assert make_event("a", "s", 1).id != make_event("a", "s", 1).id


def test_an_event_that_could_not_be_read_is_not_made() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        make_event("", "s", {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_event("a", "s", float("nan"))

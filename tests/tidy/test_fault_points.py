"""The named crash points are those in the code: none is forgotten, none is out of reach."""

import re
from pathlib import Path

from edges import PLANS
from perdure_common import fault

ROOT = Path(__file__).parents[2]
CALL = re.compile(r"fault\.point\(\s*\"(\w+)\"\s*\)")


def in_code() -> dict[str, list[str]]:
    """Return where each place is called."""
    found: dict[str, list[str]] = {}
    for path in [*ROOT.glob("libs/*/perdure_*/**/*.py"), *ROOT.glob("services/**/*.py")]:
        for place in CALL.findall(path.read_text(encoding="utf-8")):
            found.setdefault(place, []).append(str(path.relative_to(ROOT)))
    return found


def test_every_named_point_is_in_the_code_and_every_point_in_the_code_is_named() -> None:
    named = {place for places in fault.PLACES.values() for place in places}
    assert set(in_code()) == named


def test_a_point_stands_where_the_processes_that_name_it_come_by() -> None:
    for place, files in in_code().items():
        who = {name for name, places in fault.PLACES.items() if place in places}
        if all(file.startswith("services/engine/") for file in files):
            assert who <= {"engine", "runner"}, f"{place} is in {files}"
        elif "during" not in place:
            assert who & {"engine", "scheduler", "recovery"}, f"{place} is in {files}"


def test_something_leads_to_each_point_beside_the_shell_and_it_stands_in_its_service() -> None:
    edges = {(name, place) for name, places in fault.EDGES.items() for place in places}
    assert set(PLANS) == edges
    for place in {place for _, place in edges}:
        who = {name for name, place_of_it in edges if place_of_it == place}
        (file,) = in_code()[place]
        assert file.startswith("libs/") or who == {file.split("/")[1]}, f"{place} is in {file}"


def test_no_call_hides_from_this_test() -> None:
    for path in [*ROOT.glob("libs/**/*.py"), *ROOT.glob("services/**/*.py")]:
        text = path.read_text(encoding="utf-8")
        assert len(re.findall(r"fault\.point\(", text)) == len(CALL.findall(text)), path

"""The page of the scheduler's API names paths and codes that there are."""

import json
import re
from pathlib import Path

from perdure_common.api.asking import STATUSES
from perdure_scheduler.document import PATH, openapi

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "api-scheduler.md").read_text(encoding="utf-8")


def test_every_path_of_the_page_is_served_and_every_one_that_steers_is_on_it() -> None:
    told = set(re.findall(r"`(GET|POST) (/v1/[^`]+)`", PAGE))
    served = {
        (method.upper(), path)
        for path, methods in openapi()["paths"].items()
        for method in methods
        if method in ("get", "post")
    }
    assert len(told) > 12 and told <= served, told - served
    steering = {each for each in served if each[0] == "POST" and not each[1].startswith("/hooks")}
    assert steering - told == {("POST", "/v1/trigger_tests")}  # of the command line


def test_the_document_that_is_checked_in_is_what_the_routes_say() -> None:
    assert json.loads((ROOT / PATH).read_text(encoding="utf-8")) == openapi()


def test_refusals_have_the_statuses_that_the_page_says() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+) \| (\d{3}) \|", PAGE, re.MULTILINE)
    told = {code: int(status) for codes, status in rows for code in re.findall(r"\w+", codes)}
    assert {name: STATUSES[name] for name in told if name in STATUSES} == {
        name: status for name, status in told.items() if name in STATUSES
    }
    assert told["conflict"] == told["not_deployed"] == 409, "as every other refusal"

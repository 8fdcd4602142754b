"""Every problem of a definition at once, each with its place and what to do."""

from dataclasses import dataclass

from perdure_common.ids import sha256_of_json
from perdure_contracts.message import Json

from .loading import keep
from .model import Workflow
from .parsing import parse, size_problems
from .problems import Found, Problem
from .rules import check


@dataclass(frozen=True)
class Validation:
    """What was found: `workflow` is there if nothing is wrong, `sha256` if it is JSON."""

    problems: tuple[Problem, ...]
    workflow: Workflow | None = None
    sha256: str = ""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems for which the definition is refused."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that somebody should look at."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def validate(definition: Json, *, remember: bool = True) -> Validation:
    """Return every problem of `definition`, and the workflow if none is an error.

    The problems stand in the order of the file: the workflow's own, nodes, connections,
    then what lies between them. A definition that is too large, too deep or no JSON has
    that problem alone. A sound model is kept for those who run it, unless `remember` is False:
    then nothing is shared, and any thread may ask.
    """
    found = Found()
    if size_problems(definition, found):
        return Validation(tuple(found.problems))
    sha256 = sha256_of_json(definition)
    parsed = parse(definition, sha256, found)
    check(parsed, found)
    workflow = None if found.has_errors else parsed.workflow
    if workflow is not None and remember:
        keep(workflow)
    return Validation(tuple(found.problems), workflow, sha256)

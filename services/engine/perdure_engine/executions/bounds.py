"""How much one execution may take on: what is beyond it fails before any of it has begun. Pure."""

from perdure_contracts.engine import ErrorFacts, Scope

from perdure_engine.definition import Node
from perdure_engine.definition.region import Region
from perdure_engine.nodes.errors import data_error, whole_run
from perdure_engine.nodes.flow_foreach import ITEMS_MAX

from .finishing import Ended, finish
from .progress import Progress
from .rounds import pass_by
from .views import RunView, gather


def too_many_items(progress: Progress, node: Node, region: Region, scope: Scope, run: int) -> bool:
    """Fail a FOREACH that has more items than it may take on; return False if it has not.

    Each item is an iteration with runs, events and rows of its own.
    """
    inputs, edges = gather(progress.state, progress.workflow, node, scope)
    count = len(inputs.items)
    if count <= ITEMS_MAX:
        return False
    text = (
        f"{count:,} items arrived, at most {ITEMS_MAX:,} can go round; LIMIT or AGGREGATE them "
        "before, or let a workflow of its own take each part"
    )
    view = RunView(progress.state, progress.workflow, scope, inputs, edges, progress.now)
    outcome = whole_run(inputs, data_error("too_many_items", text))
    finish(progress, Ended(node, scope, run, inputs, edges), outcome, view)
    if progress.state.status == "RUNNING":
        pass_by(progress, node, region, scope)
    return True


def input_too_large(size: int | None, most: int) -> ErrorFacts:
    """Return why what a run is given cannot be sent to a runner."""
    if size is None:
        return data_error("input_not_json", "the parameters cannot be written as JSON")
    return data_error(
        "input_too_large",
        f"parameters and items have {size:,} bytes or more, at most {most:,} can be "
        "sent; split the items, or keep fewer fields",
    )

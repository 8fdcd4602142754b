"""What goes on inside an attempt of an agent, for those who watch; part of no journal.

Topic `perdure.engine.progress.v1`, by execution. Such an event may be lost, and may come for an
attempt that is over: the result of the node is what counts.
"""

from typing import Literal

from .message import Json, message


@message("engine.agent-progressed.v1")
class AgentProgressed:
    """An agent did something: of one item (`item`, its index), in one attempt (`token`).

    `n` counts what this attempt told of the item, from 1. `text` is what a model wrote since the
    last one (`what: text`); `name` the model or the tool; `detail` of `tool_finished` is
    `{outcome}`, of `model_finished` `{input_tokens, output_tokens, cost_usd}`. `repeated` says that
    it was done by an earlier attempt and its answer stood in the sub-steps.
    """

    execution_id: str
    node_id: str
    token: str
    item: int
    n: int
    what: Literal["model_started", "text", "model_finished", "tool_started", "tool_finished"]
    name: str = ""
    text: str = ""
    repeated: bool = False
    detail: Json = None

"""What becomes of n8n's agents: one node of ours, with the model that is attached to it there.

A workflow that the agent may call is a tool here too. Any other attachment leaves it a placeholder,
which keeps the names of all of them.
"""

from collections.abc import Mapping
from typing import Any

from perdure_contracts.cloudevents import parse_json

from .kinds import Map
from .source import Helper, Made, NotMapped, Source, slug
from .texts import is_expression, translated

PACKAGE = "@n8n/n8n-nodes-langchain."
MODEL, TOOL, PARSER = "ai_languageModel", "ai_tool", "ai_outputParser"
PROVIDERS = {"lmChatOpenAi": "openai", "lmChatAnthropic": "anthropic"}
ABSORBED = (MODEL, PARSER)
"""Attachments that become parameters of the agent; tools stay nodes."""

ASKED = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
"""What the model gives to a workflow that it calls, where the author says nothing."""


def agent(node: Source) -> Made:
    """AI Agent: with one model, workflows as tools, and a schema for its answer."""
    parameters = _asking(node)
    rounds = node.raw("options.maxIterations")
    if isinstance(rounds, int) and rounds >= 1:
        parameters["steps_max"] = min(rounds, 200)
    _instruct(parameters, node.get("options.systemMessage"))
    return Made("AI_AGENT", "AGENT", parameters, inputs=("main",))


def chain(node: Source) -> Made:
    """Basic LLM Chain: its item has `text`, or what the parser made of it."""
    parameters = _asking(node)
    messages = node.rows("messages.messageValues")
    told = [translated(each.get("message")) for each in messages]
    if any("System" not in str(each.get("type", "System")) for each in messages):
        raise NotMapped("messages that are not the system's have no counterpart")
    _instruct(parameters, "\n\n".join(str(each) for each in told))
    values = {"text": "{{ $json.output }}"}
    behind = (Helper("", "ACTION", "SET", {"values": values, "keep": "none"}),)
    return Made("AI_AGENT", "AGENT", parameters, behind=behind)


def tool_workflow(node: Source) -> Made:
    """Call n8n Workflow Tool."""
    workflow = node.named("workflowId")
    if not workflow or node.fixed("source", "database") != "database":
        raise NotMapped("it names no workflow of the database")
    given = node.raw("inputSchema") if node.raw("specifyInputSchema") else None
    if node.raw("workflowInputs.value"):
        raise NotMapped("its inputs are fields of a form; give `arguments` as a schema")
    parameters = {
        "name": slug(str(node.fixed("name", "") or node.name))[:64],
        "description": str(node.fixed("description", "") or node.name),
        "arguments": parse_json(given, "the schema") if isinstance(given, str) else ASKED,
        "workflow": workflow,
    }
    note = f"it calls the workflow {workflow!r}: import that too, under this name"
    return Made("TOOL", "WORKFLOW", parameters, outputs=(), inputs=(), notes=(note,))


def _instruct(parameters: dict[str, Any], text: Any) -> None:
    if text:
        parameters["instructions"] = text


def _asking(node: Source) -> dict[str, Any]:
    """Return what model is asked, with what prompt, and what its answer must hold to.

    Raises:
        NotMapped: Something that is attached has no counterpart.
    """
    parameters: dict[str, Any] = {}
    for kind, each in node.attached:
        short = each.kind.removeprefix(PACKAGE)
        if kind == MODEL and short in PROVIDERS and "model" not in parameters:
            parameters |= _model(each, PROVIDERS[short])
        elif kind == PARSER and short == "outputParserStructured":
            parameters["output_schema"] = _schema(each)
        elif not (kind == TOOL and short == "toolWorkflow"):
            raise NotMapped(f"{each.name!r} is attached as {kind}, which has no counterpart")
    if "model" not in parameters:
        raise NotMapped("no model is attached that has a counterpart")
    auto = node.raw("promptType", "auto") == "auto" and node.raw("text") is None
    prompt = "={{ $json.chatInput }}" if auto else node.raw("text") or node.raw("prompt")
    parameters["prompt"] = translated(prompt or "")
    return parameters


def _model(model: Source, provider: str) -> dict[str, Any]:
    name = model.raw("model")
    if not isinstance(name, str) or not name or is_expression(name):
        raise NotMapped(f"the model of {model.name!r} is not fixed")
    found: dict[str, Any] = {"provider": provider, "model": name}
    found["credential"] = model.handle() or provider
    for theirs, ours in (("temperature", "temperature"), ("maxTokens", "max_output_tokens"),
                         ("maxTokensToSample", "max_output_tokens"),
                         ("baseURL", "base_url")):  # fmt: skip
        value = model.raw(f"options.{theirs}")
        if value not in (None, "", -1):
            found[ours] = value
    return found


def _schema(parser: Source) -> Any:
    given = parser.raw("inputSchema", parser.raw("jsonSchema"))
    if parser.raw("schemaType", "manual") != "manual" or not isinstance(given, str):
        raise NotMapped("a schema that follows from an example has no counterpart")
    return parse_json(given, "the schema")


AGENTS: Mapping[str, Map] = {"agent": agent, "chainLlm": chain, "toolWorkflow": tool_workflow}
"""By the last part of the node's type."""

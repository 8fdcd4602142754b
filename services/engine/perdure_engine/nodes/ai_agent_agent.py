"""AI_AGENT AGENT: lets a language model work on each item, with tools, until it has an answer.

With `fallbacks`, recovery lets another provider's model answer when this one's cannot: it is down,
its quota is used up, it refuses, or waiting did not help. When the input is too long for the model,
recovery has it tried again with the middle of the prompt left out.

The answer is `{output, steps, tool_calls, usage: {input_tokens, output_tokens, cost_usd}, model}`.
Without `output_schema` the output is the model's text; with it, an object that holds to the
schema: a model that answers otherwise is told what is wrong, `output_retries` times.

Tools are nodes of type TOOL, connected by AI_TOOL. Each call of the model and of a tool is
written down before it is made and when it is done: an agent whose runner dies goes on behind the
last finished one and repeats none. A tool that cannot be repeated and whose outcome nobody knows
stops the agent; it is not called again.

A tool that is a workflow, or whose calls a person must allow (`approval`), is asked for by the
engine: the attempt ends, its runner is free, and the next one goes on with the answer. `timeout_s`
does not count that time, `run_timeout_s` of the node does.

Memories are nodes of type MEMORY, connected by AI_MEMORY. One that reads is asked before the first
turn, for its `query` or the prompt, and what it says is told to the model; it keeps the turn after
the last one. One that searches is asked only, one that writes is told only. A memory that does not
answer within its `timeout_s` is gone on without.

`provider: openai` speaks the Chat Completions of OpenAI, which most servers of models do
(`base_url`); `anthropic` speaks Messages. The key is a credential with `api_key`. Addresses that
are not public must be allowed (`PERDURE_HTTP_ALLOW`).

Limits hold over all attempts of an item, and are looked at before each call of the model: reaching
one is a typed error. Prices are those of `prices`, else of `PERDURE_MODEL_PRICES`, else the public
list that comes with perdure; `cost_max_usd` without a price is refused when it runs.
"""

from collections.abc import Iterable
from typing import Any, Literal

from perdure_contracts.engine import EffectClass

from . import mending
from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import credential, handle_faults
from .json_schemas import is_object_schema, schema_fault

PROVIDERS = ("openai", "anthropic")
STEPS_MAX = 10
TIMEOUT_S = 300.0
REQUEST_TIMEOUT_S = 120.0
OUTPUT_RETRIES = 2
TOOL_CALLS_MAX = 50


def effect(parameters: Parameters) -> EffectClass:
    """Return `keyed`: what was done stands in the sub-steps, and tools have keys of their own."""
    del parameters
    return "keyed"


def length(parameters: Parameters, timeout_s: float | None) -> Literal["short", "long"]:
    """Return `long`: an agent's lease guards its sub-steps."""
    del parameters, timeout_s
    return "long"


def attempt_timeout_s(parameters: Parameters) -> float:
    """Return the limit of one item in seconds, with time to tell that it was reached."""
    value: Any = parameters.get("timeout_s", TIMEOUT_S)
    return (float(value) if isinstance(value, int | float) else TIMEOUT_S) + 15.0


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from handle_faults(parameters)
    schema = parameters.get("output_schema")
    if schema is not None:
        fault = schema_fault(schema)
        if not fault and not is_object_schema(schema):
            fault = "its `type` must be `object`"
        if fault:
            yield Fault("invalid_parameter", "output_schema", fault)
    url = parameters.get("base_url")
    if isinstance(url, str) and "{{" not in url and not url.startswith(("https://", "http://")):
        text = f"`base_url` is {url[:80]!r}; it must begin with http:// or https://"
        yield Fault("invalid_parameter", "base_url", text)


SPECIFICATION = NodeSpecification(
    node_type="AI_AGENT",
    subtype="AGENT",
    summary="Lets a language model work on each item, with tools, until it has an answer.",
    place="runner",
    parameters=(
        Parameter("provider", "text", "Whose API it is.", default="openai", choices=PROVIDERS),
        Parameter("model", "text", "The model's name.", optional=False, expressions=True),
        Parameter("base_url", "text", "Where the API is; by default the provider's own."),
        credential("`api_key`"),
        Parameter(
            "instructions", "text", "What the model is to be, and to heed.", expressions=True
        ),
        Parameter("prompt", "text", "What it is asked.", optional=False, expressions=True),
        Parameter("output_schema", "object", "JSON Schema of the answer, an object."),
        Parameter(
            "output_retries",
            "integer",
            "How often it is asked again when its answer does not hold to the schema.",
            default=OUTPUT_RETRIES,
            least=0,
            most=10,
        ),
        Parameter("temperature", "number", "How freely it chooses.", least=0, most=2),
        Parameter("max_output_tokens", "integer", "Of one call of the model.", least=1),
        Parameter(
            "steps_max", "integer", "Calls of the model.", default=STEPS_MAX, least=1, most=200
        ),
        Parameter(
            "tool_calls_max",
            "integer",
            "Calls of tools.",
            default=TOOL_CALLS_MAX,
            least=0,
            most=1_000,
        ),
        Parameter(
            "tokens_max", "integer", "Tokens, those of the input and of the output.", least=1
        ),
        Parameter("cost_max_usd", "number", "What it may cost, in US dollars.", least=0),
        Parameter(
            "prices",
            "object",
            "What the model costs, in US dollars for a million tokens.",
            entries=(
                Parameter("input", "number", "Of the input.", optional=False, least=0),
                Parameter("output", "number", "Of the output.", optional=False, least=0),
            ),
        ),
        Parameter(
            "timeout_s",
            "number",
            "The limit of one item, in seconds.",
            default=TIMEOUT_S,
            least=1,
            most=3_600,
        ),
        Parameter(
            "request_timeout_s",
            "number",
            "The limit of one call of the model, in seconds.",
            default=REQUEST_TIMEOUT_S,
            least=1,
            most=3_600,
        ),
        Parameter(
            "fallbacks",
            "list",
            "Other models that recovery may ask when this one cannot answer; those of another "
            "provider are taken, in their order.",
            entries=(
                Parameter("provider", "text", "Whose API.", default="openai", choices=PROVIDERS),
                Parameter("model", "text", "The model's name.", optional=False),
                Parameter("base_url", "text", "Where the API is; the provider's own by default."),
                Parameter("credential", "text", "The handle of the credential with `api_key`."),
            ),
            most=5,
        ),
        Parameter(
            "stream", "boolean", "Whether those who watch see the text as it comes.", default=False
        ),
    ),
    effect=effect,
    length=length,
    attempt_timeout_s=attempt_timeout_s,
    check=_check,
    mending=mending.AGENT,
    example={
        "model": "gpt-5-mini",
        "credential": "openai",
        "instructions": "You sort support mails. Look an order up before you judge it.",
        "prompt": "{{ $json.subject }}\n\n{{ $json.text }}",
        "output_schema": {
            "type": "object",
            "properties": {
                "team": {"type": "string", "enum": ["billing", "shipping", "other"]},
                "urgent": {"type": "boolean"},
            },
            "required": ["team", "urgent"],
        },
        "cost_max_usd": 0.05,
    },
    errors=(
        *("rate_limit", "quota_exhausted", "dependency_down", "auth", "validation"),
        *("data_missing", "context_length", "model_refusal", "output_invalid", "timeout"),
        *("connect_failed", "connection_reset", "tls_failed", "address_refused", "name_not_found"),
        *("step_limit", "tool_call_limit", "token_limit", "cost_limit", "time_limit"),
        *("price_unknown", "effect_unknown", "credential_not_found", "credential_unreadable"),
        *("credentials_off", "invalid_parameters"),
    ),
)

"""AI_AGENT AGENT: the loop of one item, from the prompt to an answer that can be used.

Each turn asks the model, then calls what it asks for. Both are written down first and looked up
before that, so the loop of a resumed attempt runs through what was done without doing it.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perdure_common.shell.ports import Unreachable
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json
from perdure_contracts.progress import AgentProgressed

from perdure_engine.nodes.ai_agent_agent import OUTPUT_RETRIES, REQUEST_TIMEOUT_S, TIMEOUT_S
from perdure_engine.nodes.mending import shortened
from perdure_engine.runner.dependencies import Called
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.secrets import hidden, lacking, opened
from perdure_engine.runner.substeps import Agent, Usage
from perdure_engine.runner.tools import Tools

from . import libraries, models, outputs
from .calls import Calls
from .failures import Stop, limit, of_model, output_invalid, refusal
from .journal import Journal
from .limits import Limits
from .mcp import Servers, servers_of_agent
from .memories import kept, recalled
from .tools import tools_of_agent
from .waiting import Suspended, write_answers

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
    from pydantic_ai.models import Model, ModelRequestParameters

EMPTY = "The answer is empty. Answer again."


async def run(
    tools: Tools,
    agent: Agent,
    item: int,
    parameters: Mapping[str, Any],
    answers: Mapping[str, Json] | None = None,
) -> dict[str, Any] | Failed | Suspended:
    """Let an agent work on one item; return its answer, why there is none, or what it waits for.

    `answers` are those to what it asked before, by the names of its sub-steps.

    Raises:
        LeaseLost: The attempt is not this runner's any more; nothing of it may be told.
    """
    fields = await opened(tools.credentials, agent.tenant_id, parameters)
    if isinstance(fields, Failed):
        return fields
    if parameters.get("credential") is not None:
        failed = lacking(parameters["credential"], fields, "api_key")
        if failed is not None:
            return failed
    try:
        await libraries.load_libraries()
        journal = await Journal.read(tools.substeps, agent)
        await write_answers(journal, answers or {})
        work = Work(tools, journal, item, parameters, fields.get("api_key", ""))
        answer = await work.done()
    except Suspended as waits:
        return waits
    except Unreachable as error:
        return Failed(_journal_gone(error))
    return hidden(answer, fields)


def _journal_gone(error: Unreachable) -> ErrorFacts:
    return ErrorFacts(
        type="dependency_down",
        message=f"the agent's steps cannot be written down: {error}",
        retryable=True,
        stage="substeps",
        dependency="database",
        effect_state="unknown",
    )


@dataclass
class Work:
    """One item in one attempt.

    `transcript` is what was said so far as plain JSON: it names the next call of the model.
    `rejected` are calls of the model whose answers could not be used.
    """

    tools: Tools
    journal: Journal
    item: int
    parameters: Mapping[str, Any]
    api_key: str
    messages: "list[ModelMessage]" = field(default_factory=list)
    transcript: list[Any] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    steps: int = 0
    told: int = 0
    remembered: str = ""

    def __post_init__(self) -> None:
        given = self.parameters
        self.choice = models.Choice(
            provider=str(given.get("provider") or "openai"),
            model=str(given.get("model") or ""),
            base_url=str(given.get("base_url") or ""),
            api_key=self.api_key,
        )
        self.reduced_to: float | None = given.get("reduced_to")
        self.limits = Limits.of(given, self.tools.model_prices)
        self.schema: dict[str, Any] | None = given.get("output_schema")
        tenant_id = self.journal.agent.tenant_id
        servers = Servers(self.tools, tenant_id, servers_of_agent(given))
        self.calls = Calls(
            self.tools, self.journal, tools_of_agent(given), self.limits, self.tell, servers
        )

    def tell(self, what: Any, **more: Any) -> None:
        """Tell those who watch."""
        self.told += 1
        agent = self.journal.agent
        self.tools.progress.tell(
            agent.tenant_id,
            AgentProgressed(
                execution_id=agent.execution_id,
                node_id=agent.node_id,
                token=agent.token,
                item=self.item,
                n=self.told,
                what=what,
                **more,
            ),
        )

    async def done(self) -> dict[str, Any] | Failed:
        """Return the answer, within the time that the author gave."""
        limit_s = float(self.parameters.get("timeout_s") or TIMEOUT_S)
        try:
            async with asyncio.timeout(limit_s):
                answer = await self._turns()
            await self.calls.servers.close()
            return answer
        except TimeoutError:
            text = f"there is no answer after {limit_s:g} s; raise `timeout_s`, or let it do less"
            return Failed(limit("time_limit", text).error)
        except Stop as stop:
            await self.calls.servers.close()
            if stop.voids:
                await self.journal.void(self.rejected)
            return Failed(stop.error)

    async def _turns(self) -> dict[str, Any]:
        """Ask, and call what is asked for, until there is an answer."""
        from pydantic_ai.messages import ModelRequest, UserPromptPart

        model = models.model_of(self.choice, self.tools.models.client())
        prompt = str(self.parameters.get("prompt") or "")
        self.remembered = recalled(self.journal, self.parameters, prompt)
        own = self.calls.tools
        self.calls.tools = {**own, **await self.calls.servers.offered(self.journal, own)}
        self.messages = [
            ModelRequest(parts=[UserPromptPart(prompt)], instructions=self._instructions)
        ]
        self.transcript = [{"prompt": prompt}]
        if self.remembered:
            self.transcript[0]["remembered"] = self.remembered
        retries = int(self.parameters.get("output_retries", OUTPUT_RETRIES))
        while True:
            request, response = await self._ask(model)
            self.messages.append(response)
            calls = [part for part in response.parts if part.part_kind == "tool-call"]
            final = next((each for each in calls if each.tool_name == outputs.OUTPUT_TOOL), None)
            if calls and (final is None or self.schema is None):
                await self._call(calls)
                continue
            verdict = self._judge(response, final)
            if isinstance(verdict, outputs.Accepted):
                kept(self.journal, self.parameters, prompt, verdict.value)
                return self._answer(verdict.value, response)
            self.rejected.append(request)
            if len(self.rejected) > retries:
                raise output_invalid(
                    f"the model's answer does not hold to the schema after {len(self.rejected)} "
                    f"tries: {verdict.problems[0]['message']}",
                    self.choice.dependency,
                    {"problems": verdict.problems},
                )
            self._reject(verdict, calls, final)

    @property
    def _instructions(self) -> str | None:
        text = str(self.parameters.get("instructions") or "")
        if self.remembered:
            text = f"{text}\n\nWhat is remembered:\n{self.remembered}".strip()
        return text or None

    # Asking the model -------------------------------------------------------------------

    async def _ask(self, model: "Model[Any]") -> "tuple[str, ModelResponse]":
        """Return the model's answer to what was said so far, and the call's name."""
        asked = [self._asked_of(), self.transcript]
        request = self.journal.request_of("model", asked)
        known = self.journal.answer(request)
        if known is None:
            self.limits.check_before_call(self.steps, self.journal.used)
            known = await self._really_ask(model, request)
        else:
            self.tell("model_finished", name=self.choice.model, repeated=True)
        self.steps += 1
        self.transcript.append({"answer": known})
        response = _read_response(known)
        refused = (response.provider_details or {}).get("refusal")
        if refused or response.finish_reason == "content_filter":
            self.rejected.append(request)
            raise refusal(self.choice.dependency, str(refused or ""))
        if response.finish_reason == "length":
            self.rejected.append(request)
            raise output_invalid(
                "the model's answer was cut off; raise `max_output_tokens`, or ask for less",
                self.choice.dependency, None, "length",
            )  # fmt: skip
        return request, response

    def _asked_of(self) -> dict[str, Any]:
        """Return all that an answer depends on beside what was said."""
        given = self.parameters
        names = ("provider", "model", "base_url", "instructions", "temperature", "output_schema")
        seen = [[t.name, t.description, t.schema] for t in self.calls.tools.values()]
        reduced = {"reduced_to": self.reduced_to} if self.reduced_to is not None else {}
        return {**{name: given.get(name) for name in names}, "tools": seen, **reduced}

    async def _really_ask(self, model: "Model[Any]", request: str) -> Any:
        """Write down that the model is asked, ask it, and write its answer down."""
        name = self.choice.model
        known = self.limits.cost_of(name, Usage(1, 1), self.choice.provider, self.choice.base_url)
        self.limits.must_know_price(known is not None, name)
        tenant_id = self.journal.agent.tenant_id
        handle = str(self.parameters.get("credential") or "")
        called = Called(tenant_id, self.choice.dependency, handle)
        begun = self.tools.dependencies.begin(called)
        if isinstance(begun, Failed):
            raise Stop(begun.error)
        await self.journal.begin(request, "model", name)
        self.tell("model_started", name=name)
        timeout_s = float(self.parameters.get("request_timeout_s") or REQUEST_TIMEOUT_S)
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._request(model)
        except Exception as error:  # whatever a library raises is told, none of it is ours
            facts = of_model(error, called.dependency, timeout_s)
            self.tools.dependencies.heard(begun, facts)
            raise Stop(facts) from error
        self.tools.dependencies.heard(begun)
        usage = response.usage
        cost = self.limits.cost_of(name, usage, self.choice.provider, self.choice.base_url)
        used = Usage(usage.input_tokens, usage.output_tokens, cost or 0.0)
        answer = _written(response)
        await self.journal.finish(request, "model", answer, used)
        self.tell(
            "model_finished",
            name=name,
            detail={
                "input_tokens": used.input_tokens,
                "output_tokens": used.output_tokens,
                "cost_usd": used.cost_usd,
            },
        )
        return answer

    async def _request(self, model: "Model[Any]") -> "ModelResponse":
        from pydantic_ai import direct

        settings: Any = {}
        most = [
            each
            for each in (
                self.parameters.get("max_output_tokens"),
                self.limits.tokens_left(self.journal.used),
            )
            if each is not None
        ]
        if most:
            settings["max_tokens"] = min(most)
        if self.parameters.get("temperature") is not None:
            settings["temperature"] = float(self.parameters["temperature"])
        wanted = self._wanted()
        if not self.parameters.get("stream"):
            return await direct.model_request(
                model, self.messages, model_settings=settings, model_request_parameters=wanted
            )
        async with direct.model_request_stream(
            model, self.messages, model_settings=settings, model_request_parameters=wanted
        ) as stream:
            async for event in stream:
                text = _text_of(event)
                if text:
                    self.tell("text", name=self.choice.model, text=text)
            return stream.get()

    def _wanted(self) -> "ModelRequestParameters":
        """Return which tools the model may call, and how it gives its answer."""
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.tools import ToolDefinition

        tools = [
            ToolDefinition(
                name=each.name,
                description=each.description,
                parameters_json_schema=each.schema,
                strict=False,
            )
            for each in self.calls.tools.values()
        ]
        if self.schema is None:
            return ModelRequestParameters(function_tools=tools)
        final = ToolDefinition(
            name=outputs.OUTPUT_TOOL,
            description="Gives the final answer, and ends the work.",
            parameters_json_schema=self.schema,
            strict=False,
            kind="output",
        )
        return ModelRequestParameters(
            function_tools=tools, output_tools=[final], output_mode="tool", allow_text_output=False
        )

    # What came back ---------------------------------------------------------------------

    def _judge(
        self, response: "ModelResponse", final: "ToolCallPart | None"
    ) -> outputs.Accepted | outputs.Rejected:
        if final is not None:
            raw: Any = final.args
            if raw is None:
                raw = {}
            return outputs.judged(self.schema, raw)
        text = "".join(part.content for part in response.parts if part.part_kind == "text")
        return outputs.judged(self.schema, text)

    def _reject(
        self,
        verdict: outputs.Rejected,
        calls: "Sequence[ToolCallPart]",
        final: "ToolCallPart | None",
    ) -> None:
        """Tell the model what is wrong with its answer."""
        from pydantic_ai.messages import ModelRequest, ToolReturnPart, UserPromptPart

        told = verdict.told if self.schema is not None else EMPTY
        parts: list[Any] = [
            ToolReturnPart(
                each.tool_name,
                told if each is final else "Not called: the final answer came with it.",
                each.tool_call_id,
            )
            for each in calls
        ]
        if final is None:
            parts.append(UserPromptPart(told))
        self.messages.append(ModelRequest(parts=parts, instructions=self._instructions))
        self.transcript.append({"rejected": told})

    async def _call(self, calls: "Sequence[ToolCallPart]") -> None:
        """Call what the model asks for, side by side, and tell it what came of it."""
        from pydantic_ai.messages import ModelRequest, ToolReturnPart

        asked = [(part.tool_name, part.args) for part in calls]
        outcomes = await self.calls.all(asked)
        parts = [
            ToolReturnPart(
                part.tool_name,
                content=self._reduced(each.content),
                tool_call_id=part.tool_call_id,
                outcome="success" if each.ok else "failed",
            )
            for part, each in zip(calls, outcomes, strict=True)
        ]
        self.messages.append(ModelRequest(parts=parts, instructions=self._instructions))
        self.transcript.append({"tools": [[each.ok, each.content] for each in outcomes]})

    def _reduced(self, content: Any) -> Any:
        """Return what a tool said, shortened if the model could not read all of it."""
        if self.reduced_to is None or not isinstance(content, str):
            return content
        return shortened(content, self.reduced_to)

    def _answer(self, value: Any, response: "ModelResponse") -> dict[str, Any]:
        used = self.journal.used
        return {
            "output": value,
            "steps": self.steps,
            "tool_calls": self.calls.made,
            "usage": {
                "input_tokens": used.input_tokens,
                "output_tokens": used.output_tokens,
                "cost_usd": round(used.cost_usd, 9),
            },
            "model": response.model_name or self.choice.model,
        }


def _written(response: "ModelResponse") -> Any:
    """Return a model's answer as JSON, to be read again by `_read_response`."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    return json.loads(ModelMessagesTypeAdapter.dump_json([response]))


def _read_response(written: Any) -> "ModelResponse":
    from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse

    (read,) = ModelMessagesTypeAdapter.validate_python(written)
    assert isinstance(read, ModelResponse)
    return read


def _text_of(event: Any) -> str:
    """Return the text that an event of a stream brings, empty if it brings none."""
    match event.event_kind:
        case "part_start" if event.part.part_kind == "text":
            return str(event.part.content)
        case "part_delta" if event.delta.part_delta_kind == "text":
            return str(event.delta.content_delta)
        case _:
            return ""

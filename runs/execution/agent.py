"""An agent's attempt: ask the model, carry out the tool calls it wants, tell it the results, until it answers."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import re2

from pipelines.graph.canonical import digest
from pipelines.graph.lock import AgentSpec, PipelineSpec
from pipelines.graph.model import Json
from pipelines.graph.tools import ToolSpec
from runs.engine import marks
from runs.engine.decision import Start
from runs.engine.facts import ErrorClass, StepSucceeded
from runs.engine.loops import Repeats
from runs.execution import prompts, talk
from runs.execution.calls import Calls
from runs.execution.dispatch import Done, Wish, call_tool
from runs.execution.failures import Failure, Wanted, config
from runs.execution.models.values import Message, ModelRequest, Tool, ToolUse

_NOT_IN_NAMES = re2.compile(r"[^a-zA-Z0-9_-]")
# What the model can do something about; the rest ends the attempt, so that its retry policy decides.
_TOLD = {ErrorClass.TOOL_ERROR, ErrorClass.DENIED, ErrorClass.CONFIG}
LONGEST_NAME = 64


async def run(calls: Calls) -> StepSucceeded:
    """Return the agent's answer, which fits its schema; raise a Failure or Blocked."""
    start = calls.start
    agent = start.agent
    if agent is None:
        raise config("no_agent", f"The version has no agent for {start.path}. Choose one and publish again.")
    conversation = _Conversation(calls, agent, _offered(calls, agent))
    said_before = await conversation.listen()
    max_turns = int(start.node.config.get("max_turns") or 10)
    for turn in range(1, max_turns + 1):
        output = await conversation.turn()
        if output is not None:
            meta = {"model": conversation.model, "turns": turn, "tool_calls": conversation.tool_calls, **said_before}
            return StepSucceeded(start.path, start.attempt, output, meta)
    raise Failure(
        ErrorClass.LIMIT,
        "max_turns",
        f"{agent.id} did not finish within {max_turns} turns. Raise max_turns or give it a smaller task.",
    )


@dataclass(slots=True)
class _Conversation:
    calls: Calls
    agent: AgentSpec
    offered: Mapping[str, ToolSpec | PipelineSpec]
    tool_calls: int = 0
    model: str = ""
    schema: Json = None
    messages: list[Message] = field(default_factory=list)
    repeats: Repeats = field(default_factory=Repeats)
    started: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        start = self.calls.start
        self.model = model_of(start, self.agent)
        self.schema = self.agent.output_schema if start.node.output_schema is None else start.node.output_schema
        self.messages = list(prompts.repaired((prompts.system(self.agent), prompts.prompt(start)), start.repair))

    async def listen(self) -> Mapping[str, Json]:
        """Put what was said before between the agent's own words and the prompt; return what the meta says of it.

        Makes no call, and yields to nothing, for a step that has heard nothing.
        """
        if not {"talk", "session"} & self.calls.start.input.keys():
            return {}
        heard = await talk.before(self.calls, self.agent, self._request())
        self.messages[1:1] = heard.messages
        return heard.meta

    async def turn(self) -> Json:
        """Ask once; return the finished output, or None after carrying out the tool calls the model wants."""
        answer = await self.calls.ask(self._request())
        if not answer.tool_uses:
            output = self.calls.read(answer, self.schema, self.model)
            if self.schema is not self.agent.output_schema and self.agent.output_schema is not None:
                self.calls.read(answer, self.agent.output_schema, self.model)
            return output
        self.messages.append(answer.as_message())
        for use in answer.tool_uses:
            self.tool_calls += 1
            self.messages.append(Message("tool", await self._told(use), tool_use=use))
        return None

    def _request(self) -> ModelRequest:
        tools = tuple(_as_tool(name, spec) for name, spec in self.offered.items())
        return ModelRequest(
            model=self.model,
            messages=tuple(self.messages),
            tools=tools,
            schema=self.schema,
            max_output=self.agent.max_output,
            temperature=self.agent.temperature,
        )

    async def _told(self, use: ToolUse) -> str:
        """Return what the model hears about one tool call."""
        spec = self.offered.get(use.name)
        if spec is None:
            return f"There is no tool {use.name!r}. You may use: {', '.join(self.offered) or 'none'}."
        if use.args is None:
            return "The arguments were not a JSON object. Call the tool again with a JSON object."
        wanted = digest({"tool": spec.id, "args": use.args})
        if self.repeats.is_spent(wanted):
            return "Not carried out: this same call was made twice and nothing new has come of it. Go on without it."
        self.repeats.grant(wanted)
        if isinstance(spec, PipelineSpec):
            return self._started(spec, use.args, wanted)
        try:
            done = await call_tool(self.calls, Wish(spec, use.args, self.agent.id, use.id))
        except Failure as failure:
            if failure.error.cls not in _TOLD:
                failure.error = replace(failure.error, elsewhere=True)
                raise
            return _refusal(failure, spec.id)
        self.repeats.note(done.result)
        return _report(done, spec.id)

    def _started(self, spec: PipelineSpec, inputs: Mapping[str, Json], wanted: str) -> str:
        """Return what the pipeline came to that the model wants; raise Wanted when it has not been started yet."""
        self.started[wanted] += 1
        call = f"{self.calls.start.generation}/{wanted}/{self.started[wanted]}"
        answer = self.calls.start.answers.get(call)
        if answer is None:
            raise Wanted(spec.id, inputs, call)
        if "error" in answer:
            return f"The run failed: {answer['error']}"
        self.repeats.note(answer["output"])
        return _report(Done(answer["output"]), spec.id)


def model_of(start: Start, agent: AgentSpec | None) -> str:
    """Return the model to ask: a fallback's, else the step's own choice, else the agent's."""
    model = start.model or start.node.config.get("model") or (agent.model if agent else None)
    if not model:
        raise config("no_model", f"{start.path} names no model. Choose one and publish again.")
    return str(model)


def _as_tool(name: str, spec: ToolSpec | PipelineSpec) -> Tool:
    if isinstance(spec, ToolSpec):
        return Tool(name, _described(spec), spec.args_schema)
    about = f"Runs the pipeline “{spec.name}” and returns its result. {spec.description}".strip()
    return Tool(name, about, spec.inputs or {"type": "object"})


def _offered(calls: Calls, agent: AgentSpec) -> Mapping[str, ToolSpec | PipelineSpec]:
    """Return the agent's tools by the name the model sees, restricted to the step's subset."""
    subset = calls.start.node.config.get("tools")
    offered: dict[str, ToolSpec | PipelineSpec] = {}
    for tool_id in agent.tools:
        if subset is not None and tool_id not in subset:
            continue
        if (pipeline := calls.start.pipelines.get(tool_id)) is not None:
            offered[_NOT_IN_NAMES.sub("_", f"run_{pipeline.slug}")[:64]] = pipeline
            continue
        if (spec := calls.context.tools.get(tool_id)) is None:
            raise config("no_such_tool", f"The version has no tool {tool_id}, which {agent.id} uses. Publish it again.")
        offered[_name_for(spec, offered)] = spec
    return offered


def _name_for(spec: ToolSpec, taken: Collection[str]) -> str:
    """Return what the model calls a tool: one that no other tool of this agent has, whatever their servers say."""
    name = _NOT_IN_NAMES.sub("_", spec.id.partition("@")[0])
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 9]}_{digest(spec.id)[-8:]}"
    return name if name not in taken else f"{name[: LONGEST_NAME - 9]}_{digest(spec.id)[-8:]}"


def _described(spec: ToolSpec) -> str:
    """Return what the model reads about a tool; a server's own words are marked as such."""
    if spec.connection is None:
        return spec.description
    return f"The server {spec.connection} says of it: {marks.delimited(spec.description, spec.connection)}"


def _refusal(failure: Failure, tool_id: str) -> str:
    """Return what the model hears of a failed call: a reviewer's reason as it is, what a server wrote between marks."""
    message = failure.error.message
    said = message if failure.error.cls is ErrorClass.DENIED else marks.delimited(message, tool_id)
    return f"The call failed: {said}"


def _report(done: Done, tool_id: str) -> str:
    text = done.result if isinstance(done.result, str) else json.dumps(done.result, ensure_ascii=False)
    told = marks.delimited(text, tool_id)
    if done.edited is None:
        return told
    return f"A reviewer changed the arguments before it ran, to: {json.dumps(done.edited, ensure_ascii=False)}\n{told}"

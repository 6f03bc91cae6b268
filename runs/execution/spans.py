"""The names of OpenTelemetry's GenAI conventions that Baton writes, all in one place.

Source: open-telemetry/semantic-conventions-genai 0.1 (status Development). What it deprecates is not written:
`gen_ai.system`, `gen_ai.usage.prompt_tokens`, and `gen_ai.workflow.name`, which is `gen_ai.agent.name` now. The
conventions have no cost, so that one is ours.
"""

from collections.abc import Mapping

from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs.engine.facts import StepError
from runs.execution.models.values import ModelAnswer, ModelRequest, Usage

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
OUTPUT_TYPE = "gen_ai.output.type"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
AGENT_NAME = "gen_ai.agent.name"
AGENT_VERSION = "gen_ai.agent.version"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
DATA_SOURCE = "gen_ai.data_source.id"
# Content: exported only where the operator asks for it.
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
EVALUATION_EVENT = "gen_ai.evaluation.result"
EVALUATION_NAME = "gen_ai.evaluation.name"
EVALUATION_SCORE = "gen_ai.evaluation.score.value"
EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"
ERROR_TYPE = "error.type"
SERVICE_NAME, SERVICE_VERSION = "service.name", "service.version"

COST = "baton.cost.usd"
RUN_ID = "baton.run.id"
RUN_NUMBER = "baton.run.number"
WORKSPACE = "baton.workspace"
PIPELINE = "baton.pipeline"
PIPELINE_VERSION = "baton.pipeline.version"
REHEARSAL = "baton.rehearsal"
AGAIN = "baton.again"
PARENT_RUN = "baton.parent.run.id"
PARENT_STEP = "baton.parent.step.path"
STEP_PATH = "baton.step.path"
STEP_KIND = "baton.step.kind"
ATTEMPT = "baton.attempt"
USAGE_ESTIMATED = "baton.usage.estimated"
SIMULATED = "baton.simulated"
DEMO_PROVIDER = "baton.demo"

CHAT, INVOKE_AGENT, EXECUTE_TOOL, INVOKE_WORKFLOW = "chat", "invoke_agent", "execute_tool", "invoke_workflow"
RETRIEVAL = "retrieval"
# What the name of a span may have: a title or an argument in it may be longer.
LONGEST_NAME = 200
# Tools that look something up, with the argument that says where.
_SOURCES: Mapping[str, str] = {"knowledge.search": "collection"}


def chat_name(model: str) -> str:
    """Return the span name of a model call; `model` is provider/model."""
    return _named(CHAT, model.partition("/")[2] or model)


def agent_name(agent_id: str) -> str:
    return _named(INVOKE_AGENT, agent_id.partition("@")[0])


def tool_name(tool_id: str, request: Json = None) -> str:
    """Return the span name of a tool call; of one that looks something up, with where, as its request says."""
    name = tool_id.partition("@")[0]
    if (argument := _SOURCES.get(name)) is None:
        return _named(EXECUTE_TOOL, name)
    return _named(RETRIEVAL, ((request or {}).get("args") or {}).get(argument) or name)


def workflow_name(name: str) -> str:
    return _named(INVOKE_WORKFLOW, name)


def step_name(node: str) -> str:
    return _named("step", node)


def _named(operation: str, what: Json) -> str:
    return f"{operation} {what}"[:LONGEST_NAME]


def chat(request: ModelRequest) -> dict[str, Json]:
    """Return the attributes known before a model call; the provider is the model's prefix until it answers."""
    attributes: dict[str, Json] = {
        OPERATION: CHAT,
        PROVIDER: request.model.partition("/")[0],
        REQUEST_MODEL: request.model.partition("/")[2] or request.model,
        REQUEST_MAX_TOKENS: request.max_output,
        OUTPUT_TYPE: "text" if request.schema is None else "json",
    }
    if request.temperature is not None:
        attributes[REQUEST_TEMPERATURE] = request.temperature
    return attributes


def answered(answer: ModelAnswer, provider: str, usage: Usage, cost_micros: int | None) -> dict[str, Json]:
    """Return the attributes an answer adds. An unknown cost is left out, never zero."""
    attributes: dict[str, Json] = {
        PROVIDER: provider,
        RESPONSE_MODEL: answer.model,
        FINISH_REASONS: [answer.finish],
        INPUT_TOKENS: usage.input,
        OUTPUT_TOKENS: usage.output,
    }
    optional = {
        RESPONSE_ID: answer.response_id,
        CACHED_TOKENS: usage.cached,
        REASONING_TOKENS: usage.reasoning,
        USAGE_ESTIMATED: answer.usage is None,
        SIMULATED: provider == DEMO_PROVIDER,
        COST: dollars(cost_micros),
    }
    return attributes | {name: value for name, value in optional.items() if value}


def agent(agent_id: str) -> dict[str, Json]:
    """Return the attributes of an agent's step; `agent_id` is slug@number."""
    slug, _, number = agent_id.partition("@")
    return {OPERATION: INVOKE_AGENT, AGENT_NAME: slug, AGENT_VERSION: number}


def workflow(name: str) -> dict[str, Json]:
    """Return the attributes of a run, a pipeline that a step calls, or a team."""
    return {OPERATION: INVOKE_WORKFLOW, AGENT_NAME: name}


def tool(tool_id: str, call_id: str = "", args: Mapping[str, Json] | None = None) -> dict[str, Json]:
    """Return the attributes of a tool call; `call_id` is the model's own name for it."""
    attributes: dict[str, Json] = {OPERATION: EXECUTE_TOOL, TOOL_NAME: tool_id, TOOL_TYPE: "function"}
    if argument := _SOURCES.get(tool_id.partition("@")[0]):
        attributes |= {OPERATION: RETRIEVAL, DATA_SOURCE: (args or {}).get(argument)}
    return attributes | ({TOOL_CALL_ID: call_id} if call_id else {})


def step(run_id: str, path: str, kind: str, attempt: int) -> dict[str, Json]:
    return {RUN_ID: run_id, STEP_PATH: path, STEP_KIND: kind, ATTEMPT: attempt}


def run(run_id: str, pipeline: str, parent: object, parent_path: str | None) -> dict[str, Json]:
    """Return the attributes of a run; a child names the run and the step that started it."""
    own = {RUN_ID: run_id, **workflow(pipeline)}
    return {**own, PARENT_RUN: str(parent), PARENT_STEP: parent_path} if parent else own


def failed(error: StepError | Mapping[str, Json]) -> dict[str, Json]:
    """Return the attribute of a span that failed: `error.type` is our error class."""
    return {ERROR_TYPE: str(error.cls if isinstance(error, StepError) else error["class"])}

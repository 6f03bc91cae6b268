"""Names and values: agents, tools and models exist and have a price, arguments fit, schemas can be used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipelines.graph import schemas
from pipelines.graph.freeze import agents_of, is_pipeline, models_of, tools_of
from pipelines.graph.lock import resolve
from pipelines.graph.model import Json, Kind
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem, Severity, pointer
from pipelines.graph.regex import regex
from pipelines.graph.rules.references import schema_at
from pipelines.graph.rules.subject import Subject, named, problem
from pipelines.graph.rules.types import types_of, words

_NEEDED_BY_RULE = {
    "expr": ("expr",),
    "regex": ("pattern",),
    "contains": ("text",),
    "length": ("min", "max"),
    "unchanged_from": ("source",),
    "ai_rubric": ("rubric",),
}


def check_names(subject: Subject) -> Iterator[Problem]:
    """Yield what a step names that the library does not have."""
    for place in subject.places:
        for field, reference in agents_of(place.node):
            if subject.agent(reference) is None:
                yield problem(place, "error", "unknown_agent", _unknown("agent", reference), *field.split("/"))
        field = {Kind.TOOL: "tool", Kind.SUPERVISOR: "workers"}.get(place.node.kind, "tools")
        for reference in tools_of(place.node):
            if subject.tool(reference) is None:
                yield problem(place, "error", "unknown_tool", _unknown("tool", reference), field)
        yield from _agents_tools(subject, place)
        if place.node.kind is Kind.AGENT:
            yield from _agent(subject, place)


def check_prices(subject: Subject) -> Iterator[Problem]:
    """Yield models that cannot be reached or have no known price; under a cost cap the latter is an error."""
    severity: Severity = "error" if _has_cost_cap(subject) else "warning"
    for place in subject.places:
        for model in dict.fromkeys(_models(subject, place)):
            if model not in subject.library.prices:
                message = f"No connection leads to the model {model!r}. Add a connection, or choose another model."
                yield problem(place, "error", "unknown_model", message)
            elif subject.library.prices[model] is None:
                message = f"The price of {model!r} is not known, so its cost cannot be counted"
                advice = " and a call under a cost cap is refused" if severity == "error" else ""
                yield problem(place, severity, "unknown_price", f"{message}{advice}. Set it at its connection.")


def check_cap(subject: Subject) -> Iterator[Problem]:
    if subject.document.budget.max_cost_micros is None:
        message = "This pipeline has no cost cap. Set one, so that a run cannot spend more than you mean it to."
        yield Problem("no_cap", "warning", "/budget", None, message)


def check_values(subject: Subject) -> Iterator[Problem]:
    """Yield lists, arguments and schemas of the wrong type."""
    yield from _schema_problems(subject.document.inputs, "/inputs", None)
    for place in subject.places:
        node = place.node
        yield from _schema_problems(node.output_schema, pointer(place.where, "output_schema"), place.name)
        for field in ("checks", "rules"):
            for index, rule in enumerate(node.checks if field == "checks" else node.config.get("rules") or ()):
                yield from _rule(place, rule, (field, index))
        if node.kind is Kind.HUMAN:
            yield from _schema_problems(node.config["form"], pointer(place.where, "form"), place.name)
        elif node.kind is Kind.EACH:
            yield from _list(subject, place)
        elif node.kind is Kind.TOOL and (tool := subject.tool(node.config["tool"])) is not None:
            yield from given_fields(subject, place, Taker(tool.title, tool.args_schema, "args"))


def _unknown(what: str, reference: str) -> str:
    if not reference:
        return f"Choose an {what}." if what == "agent" else f"Choose a {what}."
    return f"There is no {what} {reference!r} in this workspace."


def _agents_tools(subject: Subject, place: Place) -> Iterator[Problem]:
    """Yield the tools of the step's agents that are not there; the pipelines among them have a rule of their own."""
    for field, reference in agents_of(place.node):
        agent = subject.agent(reference)
        for tool in agent.tools if agent else ():
            if not is_pipeline(tool) and resolve(tool, subject.library.tools) is None:
                message = f"The agent {reference!r} uses the tool {tool!r}, which is not in this workspace."
                yield problem(place, "error", "unknown_tool", message, *field.split("/"))


def _agent(subject: Subject, place: Place) -> Iterator[Problem]:
    agent = subject.agent(place.node.config["agent"])
    known = {name for tool in (agent.tools if agent else ()) if (name := resolve(tool, subject.library.tools))}
    for index, reference in enumerate(place.node.config["tools"] or ()):
        exact = resolve(reference, subject.library.tools)
        if agent and exact and exact not in known:
            message = f"The agent {place.node.config['agent']!r} does not have the tool {reference!r}."
            yield problem(place, "error", "tool_not_granted", message, "tools", index)
    if not place.node.config["prompt"].strip():
        yield problem(place, "warning", "empty_prompt", f"{named(place)} has no prompt.", "prompt")


def _models(subject: Subject, place: Place) -> Iterator[str]:
    node = place.node
    override = node.config.get("model")
    for where, reference in agents_of(node):
        if agent := subject.agent(reference):
            if not override or "/" in where:  # what the step itself overrides is its own agent's model
                yield agent.model
            yield from agent.fallback
    yield from models_of(node)


def _has_cost_cap(subject: Subject) -> bool:
    budgets = [subject.document.budget, *(place.node.budget for place in subject.places)]
    if any(budget and budget.max_cost_micros is not None for budget in budgets):
        return True
    agents = (subject.agent(reference) for place in subject.places for _, reference in agents_of(place.node))
    return any(agent is not None and agent.max_cost_micros is not None for agent in agents)


def _schema_problems(schema: Json, where: str, node: str | None) -> Iterator[Problem]:
    refusal = schemas.check_schema(schema) if schema is not None else None
    if refusal:
        yield Problem(refusal.code, "error", where + refusal.where, node, refusal.message)


def _rule(place: Place, rule: Mapping[str, Json], at: tuple[str, int]) -> Iterator[Problem]:
    yield from _schema_problems(rule["schema"], pointer(place.where, *at, "schema"), place.name)
    needed = _NEEDED_BY_RULE.get(rule["rule"], ())
    if needed and all(rule[name] in (None, "") for name in needed):
        message = f"The rule {rule['rule']!r} needs {' or '.join(map(repr, needed))}."
        yield problem(place, "error", "incomplete_rule", message, *at)
    elif rule["rule"] == "ai_rubric" and not rule["agent"] and not rule["model"]:
        yield problem(place, "error", "missing_agent", "A rubric needs a judge: choose an agent or a model.", *at)
    elif rule["rule"] == "schema" and not rule["schema"] and at[0] == "rules" and not place.node.output_schema:
        yield problem(place, "error", "incomplete_rule", "The rule 'schema' needs 'schema'.", *at)
    elif rule["pattern"]:
        try:
            regex(rule["pattern"])
        except ValueError as error:
            yield problem(place, "error", "bad_pattern", str(error), *at, "pattern")


def _list(subject: Subject, place: Place) -> Iterator[Problem]:
    over = place.node.config["over"]
    if isinstance(over, list):
        return
    if not isinstance(over, str) or "${" not in over:
        message = f"{named(place)} needs a list to go through, such as ${{input.topics}}."
        yield problem(place, "error", "type_mismatch", message, "over")
        return
    schema = schema_at(subject, place, over)
    if schema is not None and "array" not in types_of(schema):
        message = f"{named(place)} needs a list to go through; {over} is {words(types_of(schema))}."
        yield problem(place, "error", "type_mismatch", message, "over")


@dataclass(frozen=True, slots=True)
class Taker:
    """What a step gives values to: its name for people, the JSON Schema of what it takes, and the field they are in."""

    title: str
    schema: Mapping[str, Json]
    field: str

    @property
    def properties(self) -> Mapping[str, Json]:
        return self.schema.get("properties") or {}


def given_fields(subject: Subject, place: Place, taker: Taker) -> Iterator[Problem]:
    """Yield what is missing among the values a step gives, what is not taken, and what has the wrong type."""
    given = place.node.config[taker.field]
    for name in taker.schema.get("required", ()):
        if name not in given and "default" not in (taker.properties.get(name) or {}):
            message = f"{taker.title} needs {name!r}."
            yield problem(place, "error", "missing_argument", message, taker.field)
    for name, value in given.items():
        if name in taker.properties:
            yield from _argument(subject, place, (name, value), taker)
        elif taker.schema.get("additionalProperties") is False:
            message = f"{taker.title} takes no {name[:60]!r}. It takes: {', '.join(taker.properties)}."
            yield problem(place, "error", "unknown_argument", message, taker.field, name)


def _argument(subject: Subject, place: Place, argument: tuple[str, Json], taker: Taker) -> Iterator[Problem]:
    name, value = argument
    wanted = taker.properties[name]
    if not _has_holes(value):
        for finding in schemas.findings(dict(wanted), value)[:1]:
            message = f"The argument {name!r} does not fit: {finding.message}"
            yield problem(place, "error", "type_mismatch", message, taker.field, name)
        return
    if not isinstance(value, str):
        return
    schema = schema_at(subject, place, value)
    is_within_text = not (value.startswith("${") and value.endswith("}") and value.count("${") == 1)
    given = frozenset({"string"}) if is_within_text else types_of(schema or {})
    if not given & types_of(wanted):
        message = f"The argument {name!r} must be {words(types_of(wanted))}; {value[:60]} is {words(given)}."
        yield problem(place, "error", "type_mismatch", message, taker.field, name)


def _has_holes(value: Json) -> bool:
    match value:
        case str():
            return "${" in value
        case dict():
            return any(map(_has_holes, value.values()))
        case list():
            return any(map(_has_holes, value))
        case _:
            return False

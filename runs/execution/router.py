"""Routing by a model: it picks a port and says why and how surely; below the author's limit the other way is taken."""

import json
from collections.abc import Mapping, Sequence

from pipelines.graph.model import Json
from runs.engine import marks
from runs.engine.decision import Start
from runs.engine.facts import StepSucceeded
from runs.execution import prompts
from runs.execution.agent import model_of
from runs.execution.calls import Calls
from runs.execution.models.values import FORMER_MAX_OUTPUT, Message, ModelRequest

_TASK = (
    "Decide which way this goes. Judge only what the text says. Name your choice, the reason in one sentence, and your "
    "confidence between 0 and 1."
)


async def run(calls: Calls) -> StepSucceeded:
    """Return the chosen port or ports, with {chosen, reason, confidence} as output; raise a Failure."""
    start = calls.start
    config = start.node.config
    multi = bool(config.get("multi"))
    routes: Sequence[Mapping[str, Json]] = start.input.get("routes") or config["routes"]
    ports = list(dict.fromkeys(str(route["port"]) for route in routes))
    schema = _schema([*ports, str(config["otherwise"])], multi=multi)
    prompt = Message("user", _prompt(_described(start, routes), config["otherwise"], start.input.get("value")))
    model = model_of(start, start.agent)
    request = ModelRequest(
        model=model,
        messages=prompts.repaired((prompts.system(start.agent, _TASK), prompt), start.repair),
        schema=schema,
        max_output=calls.most_output(model, start.agent),
        temperature=start.agent.temperature if start.agent else None,
        formerly=None if start.agent else FORMER_MAX_OUTPUT,
    )
    answer = await calls.ask(request)
    verdict = calls.read(answer, schema, request.model)
    chosen = _chosen(verdict, multi=multi)
    if not chosen or verdict["confidence"] < float(config.get("min_confidence", 0.6)):
        chosen = [str(config["otherwise"])]
    output = {
        "chosen": chosen if multi else chosen[0],
        "reason": verdict["reason"],
        "confidence": verdict["confidence"],
    }
    return StepSucceeded(start.path, start.attempt, output, {"model": request.model}, tuple(chosen))


def _described(start: Start, routes: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return the routes as the model reads them; what filled their descriptions stays between marks."""
    templates = [str(route.get("description") or "") for route in start.node.config["routes"]]
    if len(templates) != len(routes):
        return [dict(route) for route in routes]
    return [
        {
            **route,
            "description": prompts.filled(
                template, route.get("description") or "", start.trust.get(f"/routes/{i}", "")
            ),
        }
        for i, (route, template) in enumerate(zip(routes, templates, strict=True))
    ]


def _chosen(verdict: Mapping[str, Json], *, multi: bool) -> list[str]:
    return list(dict.fromkeys(verdict["choices"])) if multi else [verdict["choice"]]


def _schema(ports: Sequence[str], *, multi: bool) -> dict[str, Json]:
    port = {"type": "string", "enum": list(dict.fromkeys(ports))}
    choice: dict[str, Json] = {"choices": {"type": "array", "items": port}} if multi else {"choice": port}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [*choice, "reason", "confidence"],
        "properties": {
            **choice,
            "reason": {"type": "string"},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        },
    }


def _prompt(routes: Sequence[Mapping[str, Json]], otherwise: Json, value: Json) -> str:
    """Return the ways with their descriptions, and the value as text from outside."""
    lines = [f"- {route['port']}: {route.get('description') or route['port']}" for route in routes]
    if all(route["port"] != otherwise for route in routes):
        lines.append(f"- {otherwise}: anything else")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "The ways:\n" + "\n".join(lines) + "\n\nThe text:\n" + marks.delimited(text, "input")

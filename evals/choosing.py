"""Asks a judge which of two answers is better, in both orders: one run, so that the two calls are reserved, journaled
and paid for as every call is, and survive a worker that dies."""

from collections.abc import Mapping

from accounts.access import Actor
from evals import judging
from evals.comparison import in_both_orders
from evals.comparison.preferences import TIE, A, B
from evals.models import Case
from evals.scorers.texts import as_text
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from pipelines.models import Pipeline, PipelineVersion
from runs.models import Run, Step

# So that the input of the run, in which each stands twice, stays in its row.
_LONGEST = 12_000
_ORDERS: Mapping[str, Mapping[str, str]] = {
    "forwards": {"first": A, "second": B},
    "backwards": {"first": B, "second": A},
}


def version_of(actor: Actor, of: Pipeline, model: str, prefer: str) -> PipelineVersion:
    """Return the version that chooses between a pipeline's answers by these words; raise Invalid `not_publishable`
    where the model is unknown."""
    return judging.kept(actor, of, _document(model, prefer))


def shown(case: Case, a: Json, b: Json) -> dict[str, Json]:
    """Return what the judge is given: in each order the case and both answers, as texts of a JSON object, so that no
    answer can pass for another."""
    about = {"input": _brief(case.inputs)}
    if case.has_expected:
        about["expected"] = _brief(case.expected_output)
    answers = {A: _brief(a), B: _brief(b)}
    return {
        order: {**about, **{name: answers[which] for name, which in names.items()}} for order, names in _ORDERS.items()
    }


def key_of(model: str, prefer: str, given: Mapping[str, Json]) -> str:
    """Return the digest of what a judge is asked: the same again has been answered already."""
    return digest({"model": model, "prefer": prefer, "given": dict(given)})


def said(run: Run) -> tuple[int, bool, str] | None:
    """Return what an ended run of a judge comes to: 1 for B, -1 for A, 0 for a tie; whether the order decided; and why.

    None where it did not answer in both orders. One query.
    """
    rows = Step.objects.filter(run=run, path__in=_ORDERS, state="succeeded")
    steps = {step.path: step.output or {} for step in rows}
    if len(steps) < len(_ORDERS):
        return None
    named = {order: names.get(str(steps[order]["chosen"]), TIE) for order, names in _ORDERS.items()}
    outcome, swayed = in_both_orders(named["forwards"], named["backwards"])
    reasons = [str(steps[order]["reason"]) for order in _ORDERS]
    return outcome, swayed, reasons[0] if outcome else f"{reasons[0]} In the other order: {reasons[1]}"


def _brief(value: Json) -> str:
    return as_text(value)[:_LONGEST]


def _document(model: str, prefer: str) -> dict[str, Json]:
    asked = prefer.replace("${", "$${")
    routes = [
        {"port": name, "description": f"the answer “{name}” is better than the other by this: {asked}"}
        for name in ("first", "second")
    ]
    tie = {"port": TIE, "description": "neither is better by that"}
    decide = {
        "kind": "decide",
        "mode": "ai",
        "model": model,
        "routes": [*routes, tie],
        "otherwise": TIE,
        "min_confidence": 0,
    }
    ports = ("first", "second", TIE)
    edges = [{"from": order, "port": port, "to": "result"} for order in _ORDERS for port in ports]
    return {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": "chooser",
        "name": "Judge of evaluations",
        "inputs": {
            "type": "object",
            "required": [*_ORDERS],
            "properties": {order: {"type": "object"} for order in _ORDERS},
        },
        "graph": {
            "nodes": {
                "start": {"kind": "input"},
                **{order: {**decide, "value": f"${{input.{order}}}"} for order in _ORDERS},
                "result": {"kind": "output", "value": "${steps.forwards.output | default(null)}"},
            },
            "edges": [*({"from": "start", "to": order} for order in _ORDERS), *edges],
        },
    }

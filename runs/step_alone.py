"""One step of a draft as a pipeline of its own: the one item of a For each whose surroundings are given.

An item that a child run carries out is told what its steps read of the run around it (`runs.engine.spread`); so is a
step that is tried alone. Nothing before it is in the document, so nothing before it can run or be paid for again.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from accounts.access import Actor
from pipelines import homes, sharing
from pipelines.graph.model import Json, Kind, Node
from pipelines.graph.places import Place, within
from pipelines.models import Pipeline
from runs.engine import trust
from runs.engine.decision import StepRecord
from runs.engine.scope import Scope, Step

HOLDER = "test"
"""The For each that holds the step."""
_HEAD = ("format", "format_version", "id", "budget", "limits", "defaults", "board", "approvals")
_NOT_ALONE = {
    Kind.INPUT: "The start form is tried with the whole draft: use Test run.",
    Kind.OUTPUT: "A Result only hands on what other steps came to: use Test run.",
    Kind.COMBINE: "A Combine joins what arrives from several steps: use Test run.",
    Kind.HUMAN: "This step asks a person, and a test asks nobody.",
    Kind.WAIT: "This step only waits, and a test would wait as long.",
}


def why_not(place: Place) -> str:
    """Return why a step cannot be tried alone; "" where it can."""
    if sentence := _NOT_ALONE.get(place.node.kind):
        return sentence
    inner = within(place.node.graph, place) if place.node.graph else iter(())
    if any(one.node.kind is Kind.HUMAN for one in inner):
        return "In it a person is asked, and a test asks nobody: use Test run."
    return ""


def document(draft: Mapping[str, Json], name: str, raw: Mapping[str, Json]) -> dict[str, Json]:
    """Return the document in which the raw step `name` of a draft is all there is, and asks nobody."""
    head = {key: copy.deepcopy(draft[key]) for key in _HEAD if key in draft}
    step = copy.deepcopy(dict(raw))
    for key in ("wait_for", "on_failed_input", "disabled"):
        step.pop(key, None)
    for one in [head.get("defaults", {}), head, *_all_of(step)]:
        _ask_nobody(one)
    holder = {"kind": Kind.EACH.value, "over": [], "graph": {"nodes": {name: step}, "edges": []}}
    return {**head, "name": f"Test of {name}", "graph": {"nodes": {HOLDER: holder}, "edges": []}}


def tested(version_document: Mapping[str, Any]) -> str:
    """Return the id of the step that such a document holds."""
    return str(next(iter(version_document["graph"]["nodes"][HOLDER]["graph"]["nodes"])))


def home(actor: Actor, pipeline: Pipeline, first: Json) -> Pipeline:
    """Return the pipeline under which the tests of a pipeline's steps are kept."""
    return sharing.home(actor, pipeline, homes.STEPS, "Steps of", first)


def scope_of(place: Place) -> Scope:
    """Return the scope that a step stands in, with those around it and nothing in them run."""
    if place.parent is None:
        return Scope.of(place.graph)
    return Scope.of(place.graph, _unrun(scope_of(place.parent), place.parent.node))


def labels(place: Place, names: set[str]) -> dict[str, str]:
    """Return whose words the values of these names are where the step stands."""
    return trust.of_names(scope_of(place), sorted(names))


def _unrun(scope: Scope, node: Node) -> Step:
    return Step(scope, node, StepRecord(node.id, node.id, node.kind))


def _all_of(step: dict[str, Json]) -> Iterator[dict[str, Json]]:
    yield step
    for inner in (step.get("graph") or {}).get("nodes", {}).values():
        yield from _all_of(inner)


def _ask_nobody(one: dict[str, Json]) -> None:
    """Let a failure end the step and a cap stop it, where a person would be asked."""
    if isinstance(policy := one.get("on_error"), dict) and policy.get("then") == "ask_human":
        del policy["then"]
    if isinstance(budget := one.get("budget"), dict) and budget.get("on_exceed") == "ask_human":
        del budget["on_exceed"]
    one.pop("review_plan", None)

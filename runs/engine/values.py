"""What expressions and templates may see: the run's input, outputs of ancestors, the item or round around a step."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pipelines.graph import expressions
from pipelines.graph.expressions import ExpressionError
from pipelines.graph.model import Json, Kind
from runs.engine.facts import ErrorClass, StepError
from runs.engine.scope import Scope, Step
from runs.engine.state import Execution
from runs.engine.status import StepState

LARGEST_VALUE = 20 * 1024 * 1024
"""Bytes of JSON of what a run is given and a step comes to, at most."""
LARGEST_ITEM = 2 * 1024 * 1024
"""The same of what one item of a spread For each is given: thousands of them begin, each with its own."""


class Unusable(Exception):
    """A template or expression that cannot be evaluated now; carries the step's error."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.message)
        self.error = error


class _Outputs(dict[str, Json]):
    """The steps that a template asks for, looked up when it does: a run may have thousands.

    A dict, because what evaluates a template walks JSON alone.
    """

    def __init__(self, find: Callable[[str], Json]) -> None:
        super().__init__()
        self._find = find

    def get(self, name: Any, default: Any = None) -> Any:
        found = self._find(str(name))
        return default if found is None else found

    def __contains__(self, name: object) -> bool:
        return self._find(str(name)) is not None


def rendered(run: Execution, step: Step, template: Json, more: Mapping[str, Json] | None = None) -> Json:
    """Return a template's value for this step; raise Unusable naming what is missing or wrong.

    In a step made as the run goes nothing is a template: its texts are put together from what people and models said.
    """
    if template is None or step.is_made:
        return template
    seen = _visible(run, step, more)
    return _guarded(lambda: expressions.render(template, seen))


def note_cache_words(run: Execution, step: Step) -> None:
    """Remember what the author adds to the key of the step's result; raise Unusable."""
    cache = step.node.cache or {}
    words = cache.get("key")
    if words is not None:
        step.record.memo["cache_words"] = rendered(run, step, words)
    if step.node.output_rubrics and cache.get("mode", "off") != "off":  # a kept result was judged by these
        asked = [{**rule, "rubric": rendered(run, step, rule["rubric"])} for rule in step.node.output_rubrics]
        step.record.memo["cache_words"] = [step.record.memo.get("cache_words"), asked]


def evaluated(run: Execution, step: Step, expression: str, more: Mapping[str, Json] | None = None) -> Json:
    """Return a bare expression's value for this step; raise Unusable."""
    seen = _visible(run, step, more)
    return _guarded(lambda: expressions.evaluate(expression, seen))


def rendered_inside(run: Execution, scope: Scope, template: Json) -> Json:
    """Return the value of a container's template that looks into a finished item or round; raise Unusable."""
    seen = _inside(run, scope)
    return _guarded(lambda: expressions.render(template, seen))


def evaluated_inside(run: Execution, scope: Scope, expression: str) -> Json:
    """Return the value of a container's expression that looks into a finished item or round; raise Unusable."""
    seen = _inside(run, scope)
    return _guarded(lambda: expressions.evaluate(expression, seen))


def around_item(run: Execution, scope: Scope, names: Collection[str]) -> dict[str, Json]:
    """Return those of the values around an item that have these names, as the item's own steps would see them."""
    seen = _around(run, scope)
    whole = "input" in names
    given = seen["input"] if isinstance(seen["input"], dict) else {}
    found: dict[str, Json] = {
        "input": {name: value for name, value in given.items() if whole or f"input.{name}" in names}
    }
    found.update({name: seen[name] for name in names if name in seen and name != "input"})
    if isinstance(found.get("round"), dict):
        found["round"] = _plain_round(found["round"], scope)
    steps = [name.removeprefix("steps.") for name in names if name.startswith("steps.")]
    outside = {name: _outside(scope, name) for name in steps}
    found["steps"] = {name: value for name, value in outside.items() if value is not None}
    return found


def _plain_round(seen: dict[str, Json], scope: Scope) -> dict[str, Json]:
    """Return what is seen of a round as JSON: an item in another run cannot look its steps up."""
    before = seen.get("previous")
    inner = next((one for one in _chain(scope) if one.container and one.container.node.kind is Kind.REPEAT), None)
    if before is None or inner is None:
        return seen
    found = {name: value for name in inner.graph.nodes if (value := before.get(name)) is not None}
    return {**seen, "previous": found}


def _inside(run: Execution, scope: Scope) -> dict[str, Json]:
    seen = _around(run, scope)
    seen["steps"] = _Outputs(
        lambda name: _output_of(scope, name) if name in scope.graph.nodes else _outside(scope, name)
    )
    return seen


def _visible(run: Execution, step: Step, more: Mapping[str, Json] | None) -> dict[str, Json]:
    seen = _around(run, step.scope)
    seen["steps"] = _Outputs(lambda name: _from(step.scope, step.node.id, name))
    if more:
        seen.update(more)
    return seen


def _around(run: Execution, scope: Scope) -> dict[str, Json]:
    beyond = run.root.outer.values
    seen: dict[str, Json] = {name: value for name, value in beyond.items() if name != "steps"}
    seen |= {"input": run.input, "board": run.board.values}
    if scope.container:
        for inner in reversed(list(_chain(scope))):
            if inner.container and inner.container.node.kind is Kind.REPEAT:
                seen["round"] = _round(run, inner.container, inner)
            elif inner.container and inner.container.node.kind is Kind.EACH:
                seen["item"] = seen[inner.container.node.config["as"]] = inner.item
                seen["item_index"] = inner.index
    return seen


def _round(run: Execution, step: Step, scope: Scope) -> dict[str, Json]:
    """Return what steps see of their round: its number and, from the second on, the outputs of the one before."""
    container = run.containers.get(step.path)
    before = container.scopes.get(scope.index - 1) if container else None
    if before is None:
        return {"n": scope.index}
    return {"n": scope.index, "previous": _Outputs(lambda name: _output_of(before, name))}


def _chain(scope: Scope) -> Iterator[Scope]:
    """Yield a scope and those around it, innermost first."""
    inner: Scope | None = scope
    while inner:
        yield inner
        inner = inner.container.scope if inner.container else None


def _from(scope: Scope, asking: str, name: str) -> Json:
    """Return what the step `asking` may see of the step `name`: only ancestors, in its own or an enclosing scope."""
    if name in scope.graph.nodes:
        return _output_of(scope, name) if _comes_before(scope, name, asking) else None
    return _outside(scope, name)


def _outside(scope: Scope, name: str) -> Json:
    if scope.container:
        return _from(scope.container.scope, scope.container.node.id, name)
    return scope.outer.values.get("steps", {}).get(name)


def _comes_before(scope: Scope, name: str, asking: str) -> bool:
    """Tell whether `name` is an ancestor of `asking`, so that its output cannot depend on who was faster."""
    graph = scope.graph
    seen = {asking}
    stack = [asking]
    while stack:
        for index in graph.ins[stack.pop()]:
            source = graph.edges[index].source
            if source == name:
                return True
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return False


def _output_of(scope: Scope, name: str) -> Json:
    step = scope.steps.get(name)
    if step is None or step.record.state is not StepState.SUCCEEDED:
        return None
    return {"output": step.record.output, "meta": step.record.meta or {}}


def _guarded(work: Callable[[], Json]) -> Json:
    try:
        return work()
    except ExpressionError as error:
        raise Unusable(StepError(ErrorClass.CONFIG, error.code, error.message)) from error

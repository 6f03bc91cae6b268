"""Where the words of a step's input come from: its author, the user, a model or a tool (engine.md §6).

Labels follow references, not contents, and a mixture has the label of its least trusted part.
"""

from collections.abc import Iterable, Iterator

from pipelines.graph.expressions import ExpressionError, Reference, expression_references, references
from pipelines.graph.model import Json, Kind, Node
from pipelines.graph.problems import pointer
from pipelines.graph.stand_ins import may_be_a_pipelines
from pipelines.graph.workers import all_workers
from runs.engine.scope import MADE, Scope, Step

AUTHOR, USER, MODEL, TOOL = "author", "user", "model", "tool"
_ORDER = (AUTHOR, USER, MODEL, TOOL)
EDITED = "edited"


def labels(step: Step, template: Json, where: str) -> dict[str, str]:
    """Return the label of every leaf of a template by JSON pointer; `where` is the pointer of the template itself.

    A step made as the run goes says itself whose words it was given.
    """
    if step.is_made:
        return dict.fromkeys((place for place, _ in _leaves(template, where)), step.record.memo[MADE]["trust"])
    return {place: _label(step.scope, leaf) for place, leaf in _leaves(template, where)}


def label_of(scope: Scope, template: str) -> str:
    """Return the label of one text template, as a step of this scope sees it."""
    return _label(scope, template)


def changed(before: Json, after: Json, where: str) -> list[str]:
    """Return the pointers of what a person wrote into a value: the leaves that are new or not what they were."""
    known = dict(_leaves(before, where))
    return sorted(place for place, leaf in _leaves(after, where) if place not in known or known[place] != leaf)


def _leaves(template: Json, where: str) -> Iterator[tuple[str, Json]]:
    match template:
        case dict():
            for key, value in template.items():
                yield from _leaves(value, pointer(where, key))
        case list() | tuple():
            for index, value in enumerate(template):
                yield from _leaves(value, pointer(where, index))
        case _:
            yield where, template


def _label(scope: Scope, template: Json) -> str:
    try:
        return worst(_source(scope, reference) for reference in references(template))
    except ExpressionError:
        return TOOL


def _source(scope: Scope, reference: Reference) -> str:
    """Return whose words a reference brings; of a root that nobody has thought of, the worst is assumed."""
    match reference.root:
        case "input":
            return _of_input(scope, str(reference.segments[0]) if reference.segments else "")
        case "item_index":
            return AUTHOR
        case "steps":
            return _of_output(scope, reference)
    inner: Scope | None = scope
    while inner and inner.container:
        node = inner.container.node
        if node.kind is Kind.REPEAT and reference.root == "round":
            return _of_round(inner, reference)
        if node.kind is Kind.EACH and reference.root in ("item", node.config["as"]):
            return _label(inner.container.scope, node.config["over"])
        inner = inner.container.scope
    return scope.outermost.outer.labels.get(reference.root, TOOL)


def _of_input(scope: Scope, name: str) -> str:
    """Return whose words a field of the run's input is; without a name, whose the least trusted field is."""
    labels = scope.outermost.outer.labels
    if not name:
        return worst([USER, *(label for at, label in labels.items() if at == "input" or at.startswith("input."))])
    return worst([USER, *(labels[at] for at in ("input", f"input.{name}") if at in labels)])


def of_names(scope: Scope, names: Iterable[str]) -> dict[str, str]:
    """Return whose words the values of these names are to the steps of a scope."""
    return {name: TOOL if name == "round" else _label(scope, f"${{{name}}}") for name in names}


def _of_output(scope: Scope, reference: Reference) -> str:
    """Return whose words a step's output is, or what else is known of it: reasons and errors quote models and tools."""
    if not reference.segments:
        return TOOL
    found = _of_step(scope, str(reference.segments[0]))
    is_about = reference.segments[1:2] == ("meta",) and found in (AUTHOR, USER)
    return MODEL if is_about and not _is_people_s(scope, str(reference.segments[0])) else found


def _is_people_s(scope: Scope, name: str) -> bool:
    """Tell whether what is known of a step are a person's own words: who decided, when and why."""
    home = _home_of(scope, name)
    return home is not None and home.graph.nodes[name].kind is Kind.HUMAN


def _of_round(scope: Scope, reference: Reference) -> str:
    """Return whose words an output of the round before is; its number is ours.

    Steps of one round may read those of the one before, which may read theirs: so no step is looked into here.
    """
    if reference.segments[:1] != ("previous",):
        return AUTHOR
    node = scope.graph.nodes.get(str(reference.segments[1])) if len(reference.segments) > 1 else None
    return MODEL if node and _is_a_models(node) and not may_be_a_pipelines(node) else TOOL


def _of_step(scope: Scope, name: str) -> str:
    home = _home_of(scope, name)
    if home is None:
        return scope.outermost.outer.labels.get(f"steps.{name}", TOOL)
    return _of_node(home, home.graph.nodes[name])


def _home_of(scope: Scope, name: str) -> Scope | None:
    """Return the scope that a step of this name is in, as seen from inside another."""
    home: Scope | None = scope
    while home and name not in home.graph.nodes:
        home = home.container.scope if home.container else None
    return home


def _of_node(scope: Scope, node: Node) -> str:
    known = scope.steps.get(node.id)
    is_edited = known is not None and EDITED in known.record.flags
    if is_edited:
        return USER
    return TOOL if may_be_a_pipelines(node) else _of_kind(scope, node)  # what another run comes to is anybody's


def _of_kind(scope: Scope, node: Node) -> str:
    match node.kind:
        case Kind.INPUT:
            return _of_input(scope, "")
        case Kind.HUMAN:
            return _of_person(scope, node)
        case Kind.AGENT | Kind.TEAM | Kind.SUPERVISOR:
            return MODEL if _is_a_models(node) else TOOL
        case Kind.DECIDE:
            return MODEL if node.config["mode"] == "ai" else AUTHOR
        case Kind.TRANSFORM:
            return worst(_of_expression(scope, expression) for expression in node.config["set"].values())
        case Kind.OUTPUT | Kind.CHECK:
            return worst(_label(scope, leaf) for _, leaf in _leaves(node.config.get("value"), ""))
        case Kind.COMBINE:
            written = [MODEL] if node.config["merge"] == "synthesize" else []
            sources = (scope.graph.edges[index].source for index in scope.graph.ins[node.id])
            return worst([*written, *(_of_step(scope, source) for source in sources)])
        case _:
            return TOOL


def _is_a_models(node: Node) -> bool:
    """Tell whether what a step gives was written by models alone; a Supervisor's may come from its tools."""
    if node.kind is Kind.SUPERVISOR:
        return all(worker.kind in ("agent", "supervisor") for worker in all_workers(node.config))
    return node.kind in (Kind.AGENT, Kind.TEAM)


def _of_person(scope: Scope, node: Node) -> str:
    """An answer is a user's own words; what a reviewer let pass is still whose it was."""
    if node.config["mode"] == "answer":
        return USER
    guarded = scope.graph.nodes.get(node.config.get("guards") or "")
    passed = guarded.config.get("args") if guarded else node.config.get("show")
    return worst([USER, *(_label(scope, leaf) for _, leaf in _leaves(passed, ""))])


def _of_expression(scope: Scope, expression: str) -> str:
    try:
        return worst(_source(scope, reference) for reference in expression_references(expression))
    except ExpressionError:
        return TOOL


def worst(found: Iterable[str]) -> str:
    """Return the least trusted of these labels, the author's when there is none."""
    return max(found, key=_ORDER.index, default=AUTHOR)

"""What an agent step has heard: which earlier steps of its run it talks on from, or the session it talks in.

A step hears only steps that come before it (its ancestors, in its own and the enclosing scopes, and the rounds before),
never those beside it, so that no answer depends on who was faster. Everything is by reference: the texts are in rows.
"""

from collections.abc import Iterator

from pipelines.graph.canonical import digest
from pipelines.graph.model import Graph, Json, Kind, Node
from runs.engine import paths, trust, values
from runs.engine.facts import ErrorClass, StepError
from runs.engine.scope import Scope, Step
from runs.engine.state import Execution

MOST_HEARD = 200
LONGEST_SESSION = 200


def of(run: Execution, step: Step) -> dict[str, Json]:
    """Return what joins the step's input: {"talk": [{path, trust}]}, {"session": {key, name, trust}} or nothing.

    Raise values.Unusable for a session without a name, or one that a model or a tool named.
    """
    match step.node.config["conversation"]:
        case "run":
            heard = list(_heard(step))[-MOST_HEARD:]
            return {"talk": heard} if heard else {}
        case "session":
            return {"session": _session(run, step)}
        case _:
            return {}


def _session(run: Execution, step: Step) -> dict[str, Json]:
    template = step.node.config["session"]
    name = values.rendered(run, step, template)
    text = name if isinstance(name, str) else "" if name is None else str(name)
    if not 1 <= len(text.strip()) <= LONGEST_SESSION:
        message = f"The session of {step.path} needs a name of 1 to {LONGEST_SESSION} characters: whose talk it is."
        raise values.Unusable(StepError(ErrorClass.CONFIG, "missing_session", message))
    if trust.label_of(step.scope, template) in (trust.MODEL, trust.TOOL):
        message = (
            f"The session of {step.path} is named by a model or a tool, which could so read somebody else's. Name it "
            "by the run's input."
        )
        raise values.Unusable(StepError(ErrorClass.CONFIG, "untrusted_session", message))
    key = digest({"pipeline": run.document.id, "agent": _slug(step.node), "session": text.strip()})
    label = trust.label_of(step.scope, step.node.config["prompt"])
    return {"key": key, "name": text.strip(), "trust": label}


def _heard(step: Step) -> Iterator[dict[str, Json]]:
    """Yield the steps of the same agent that this one hears, outermost first."""
    for scope, asking in reversed(list(_around(step))):
        names = [name for name in scope.graph.order if _talks_with(scope.graph, name, step.node)]
        if scope.container is not None and scope.container.node.kind is Kind.REPEAT:
            for number in range(1, scope.index):
                prefix = paths.of_round(scope.container.path, number)
                yield from (_entry(scope, name, prefix) for name in names)
        before = scope.graph.ancestors(asking)
        yield from (_entry(scope, name, scope.prefix) for name in names if name in before)


def _around(step: Step) -> Iterator[tuple[Scope, str]]:
    """Yield the step's scope and those around it, innermost first, each with the node of it that asks."""
    inner: Step | None = step
    while inner is not None:
        yield inner.scope, inner.node.id
        inner = inner.scope.container


def _talks_with(graph: Graph, name: str, node: Node) -> bool:
    other = graph.nodes[name]
    return other.kind is Kind.AGENT and other.config["conversation"] == "run" and _slug(other) == _slug(node)


def _entry(scope: Scope, name: str, prefix: str) -> dict[str, Json]:
    return {"path": prefix + name, "trust": trust.label_of(scope, scope.graph.nodes[name].config["prompt"])}


def _slug(node: Node) -> str:
    return str(node.config["agent"]).partition("@")[0]

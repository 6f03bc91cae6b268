"""What a step reads of what is around it: fields of the form, earlier steps, the item or the round it is in."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.graph.expressions import ExpressionError, Reference, expression_references, references
from pipelines.graph.model import Kind
from pipelines.graph.places import Place, within
from pipelines.graph.rules.references import holes
from pipelines.graph.shape import Hole

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """One value, by its path: `("input", "topic")`, `("steps", "research", "output")`, `("item",)`, `("round", "n")`.

    `optional`: wherever it is read, its absence is provided for.
    """

    path: Path
    optional: bool = False

    @property
    def key(self) -> str:
        return ".".join(self.path)


def reads(step: Place) -> list[Read]:
    """Return what a step, with all that is in it, reads of what is around it, in the order it is first named.

    A template that cannot be read names nothing.
    """
    found: dict[Path, bool] = {}
    for place in _inside(step):
        for hole in holes(place):
            known = _known(step, place, hole)
            for reference in references_of(hole):
                if _name(reference) not in known:
                    path = path_of(reference)
                    found[path] = found.get(path, True) and reference.optional
    return [Read(path, optional) for path, optional in found.items()]


def _inside(step: Place) -> Iterator[Place]:
    yield step
    if step.node.graph:
        yield from within(step.node.graph, step)


def _known(step: Place, place: Place, hole: Hole) -> set[str]:
    """Return the names that come from within the step: they need not be given."""
    known = set(hole.extra)
    around = [place] if hole.inner else []
    if place is not step:
        for container in place.enclosing:
            around.append(container)
            if container.name == step.name:
                break
    for container in around:
        node = container.node
        known |= {f"steps.{name}" for name in (node.graph.nodes if node.graph else ())}
        if node.kind is Kind.EACH:
            known |= {"item", "item_index", str(node.config["as"])}
        elif node.kind is Kind.REPEAT:
            known.add("round")
    return known


def references_of(hole: Hole) -> tuple[Reference, ...]:
    """Return what a template or an expression names; one that cannot be read names nothing."""
    try:
        return references(hole.value) if hole.form == "template" else expression_references(hole.value)
    except ExpressionError:
        return ()


def _name(reference: Reference) -> str:
    if reference.root == "steps" and reference.segments:
        return f"steps.{reference.segments[0]}"
    return reference.root


def path_of(reference: Reference) -> Path:
    """Return the value that holds what is read: a field of the form, the whole output of a step, a key of the board."""
    names = tuple(str(segment) for segment in reference.segments)
    match reference.root, names:
        case "steps", (name, *rest):
            return "steps", name, rest[0] if rest else "output"
        case "round", ("previous", name, *rest):
            return "round", "previous", name, rest[0] if rest else "output"
        case "input" | "board" | "round", (name, *_):
            return reference.root, name
        case _:
            return (reference.root,)

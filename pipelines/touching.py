"""Which parts of a document some ops change, so that two people who change different parts lose nothing.

Pure. A part is ("step", place), ("place", place) for where a box stands, ("edge", …), ("field", name) or ("all",).
"""

from collections.abc import Iterable, Sequence

from pipelines.ops import Op

Part = tuple[str, ...]
ALL: Part = ("all",)


def parts(ops: Sequence[Op]) -> frozenset[Part]:
    """Return every part of the document that these ops write."""
    return frozenset(part for op in ops for part in _parts(op))


def collide(ours: Iterable[Part], theirs: Iterable[Part]) -> Part | None:
    """Return a part of ours that theirs writes too (or that stands in what theirs writes), or None."""
    others = tuple(theirs)
    return next((part for part in ours if any(_meet(part, other) for other in others)), None)


def named(part: Part) -> str:
    """Return a part in a person's words."""
    match part:
        case ("step", place) | ("place", place):
            return f"the step {place!r}"
        case ("edge", _, source, _, target):
            return f"the arrow from {source!r} to {target!r}"
        case ("field", name):
            return f"the pipeline's {name.replace('_', ' ')}"
        case _:
            return "the whole pipeline"


def _parts(op: Op) -> Iterable[Part]:
    match op["op"]:
        case "set_node" | "remove_node":
            yield ("step", op["node"])
        case "add_edge" | "remove_edge":
            yield ("edge", op.get("scope", ""), op["from"], op.get("port", "done"), op["to"])
        case "set_document":
            for name in op["fields"]:
                yield ("field", name)
        case "move":
            for place in op["positions"]:
                yield ("place", place)
        case _:
            yield ALL


def _meet(one: Part, other: Part) -> bool:
    if ALL in (one, other):
        return True
    if one[0] != other[0] or one[0] != "step":
        return one == other
    return _holds(one[1], other[1]) or _holds(other[1], one[1])


def _holds(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}.")

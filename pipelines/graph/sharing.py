"""Which runs share a board: those of a version with a step that hands its board to the run it starts."""

from pipelines.graph.model import Document, Graph, Kind, Node
from pipelines.graph.places import Place, places, within
from pipelines.graph.reading import references_of
from pipelines.graph.rules.references import holes


def shares_board(document: Document) -> bool:
    """Tell whether other runs than its own may use the board of a run of this document."""
    return any(_hands_on(place.node) for place in places(document))


def items_use_board(node: Node) -> bool:
    """Tell whether the graph of a For each reads or changes the board."""
    graph = node.graph or Graph({}, ())
    own = Place("", "", node, Graph({node.id: node}, ()))
    return any(_uses_board(place) for place in (own, *within(graph, own)))


def _hands_on(node: Node) -> bool:
    if node.kind is Kind.PIPELINE:
        return bool(node.config["share_board"])
    return node.kind is Kind.EACH and bool(node.config["spread"]) and items_use_board(node)


def _uses_board(place: Place) -> bool:
    if place.node.kind is Kind.BOARD:
        return True
    return any(reference.root == "board" for hole in holes(place) for reference in references_of(hole))

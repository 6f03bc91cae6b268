"""Steps whose output nothing in their document reads: what they cost buys nothing, unless a person looks at it."""

from pipelines.graph.lock import PIPELINE_TOOL, Lock
from pipelines.graph.model import Document, Kind
from pipelines.graph.places import Place, places
from pipelines.graph.reading import references_of
from pipelines.graph.rules.references import holes
from pipelines.graph.tools import Effect

_GIVERS = (Kind.AGENT, Kind.COMBINE)


def unread(document: Document, lock: Lock) -> frozenset[str]:
    """Return the ids of the agents and combines whose output no step, result or condition of any scope reads.

    Whoever may have done something besides is not among them: an agent with a tool that has an effect, or one that
    starts pipelines, and one whose words are remembered. Two steps of one id are told as one.
    """
    every = list(places(document))
    read = {name for place in every for name in _read_by(place)}
    if "" in read:
        return frozenset()
    ids = {place.node.id for place in every if not _gives_only_words(place, lock)}
    return frozenset({place.node.id for place in every} - ids - read)


def _read_by(place: Place) -> set[str]:
    """Return the ids of the steps that one reads; "" stands for all of them."""
    node, found = place.node, set[str]()
    for hole in holes(place):
        for reference in references_of(hole):
            names = [str(one) for one in reference.segments]
            if reference.root == "steps":
                found.add(names[0] if names else "")
            elif reference.root == "round" and names[:1] in ([], ["previous"]):
                found.add(names[1] if len(names) > 1 else "")
    if node.kind is Kind.COMBINE:  # it takes what arrives, without naming it
        found |= {place.graph.edges[index].source for index in place.graph.ins[node.id]}
    if node.graph is not None and node.config.get("result") is None:  # then its last steps are its result
        found |= {name for name, edges in node.graph.outs.items() if not edges}
    return found


def _gives_only_words(place: Place, lock: Lock) -> bool:
    node = place.node
    if node.kind not in _GIVERS or node.config.get("conversation", "none") != "none":
        return False
    reference = node.config.get("agent")
    tools = lock.agent(str(reference)).tools if reference else ()
    return not any(tool.startswith(PIPELINE_TOOL) or lock.tool(tool).effect is not Effect.NONE for tool in tools)

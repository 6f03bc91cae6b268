"""What is worth saying about a step beside its output: who won a merge and why, what an agent had heard before."""

from collections.abc import Iterator, Mapping

from pipelines.canvas import spoken
from pipelines.graph.model import Json


def remarks(meta: Json) -> list[str]:
    """Return what a step's `meta` says to people, in sentences. They may quote a model, so show them as text only."""
    return list(_said(meta)) if isinstance(meta, Mapping) else []


def _said(meta: Mapping[str, Json]) -> Iterator[str]:
    winner, tied = meta.get("winner"), meta.get("tied")
    if isinstance(winner, str):
        reason = f": {meta['reason']}" if isinstance(meta.get("reason"), str) else "."
        yield f"“{spoken(winner)}” won{reason}"
        if meta.get("agreed") is False:
            yield "Asked again in the other order, the judge chose another; of those it named the one listed first won."
        elif isinstance(tied, list) and tied:
            yield f"As good, but listed later: {', '.join(spoken(str(name)) for name in tied)}."
    elif tied is True:
        yield "The vote was a tie; of equals the one listed first won."
    missing = meta.get("missing")
    if isinstance(missing, list) and missing:
        yield f"Did not arrive: {', '.join(spoken(str(name)) for name in missing)}."
    history = meta.get("history")
    if isinstance(history, Mapping):
        yield _heard(history)


def _heard(history: Mapping[str, Json]) -> str:
    turns = history.get("turns") or 0
    parts = [f"It went on from {turns} earlier exchange{'' if turns == 1 else 's'}"]
    if history.get("summed_up"):
        parts.append(f"{history['summed_up']} older summed up")
    if history.get("left_out"):
        parts.append(f"{history['left_out']} left out, to fit")
    return f"{'; '.join(parts)}."

"""Which caps of a run a document raises over another one: those that are higher there, or gone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.graph.parse import read_budget

_SAID: Mapping[str, Callable[[float], str]] = MappingProxyType(
    {
        "max_cost_micros": lambda amount: f"${dollars(int(amount))}",
        "max_tokens": lambda amount: f"{amount:,} tokens",
        "max_llm_calls": lambda amount: f"{amount:,} model calls",
        "max_seconds": lambda amount: f"{amount:,g} seconds",
    }
)


@dataclass(frozen=True, slots=True)
class Raised:
    """A cap that is raised: its field of `Budget`, what it was, and what it would be; None where it is taken away."""

    cap: str
    was: float
    now: float | None

    @property
    def words(self) -> str:
        say = _SAID[self.cap]
        return f"from {say(self.was)} to {say(self.now) if self.now is not None else 'no cap'}"


def raised(before: Sequence[Json], now: Json) -> list[Raised]:
    """Return which caps of a run a pipeline's document raises over each of those before; raise Refusal for no caps.

    A step's own cap lies within the run's, so that it raises nothing.
    """
    known = [read_budget(document.get("budget")) for document in before]
    new = read_budget(now.get("budget"))
    found = (_raised(cap, [getattr(one, cap) for one in known], getattr(new, cap)) for cap in _SAID)
    return [one for one in found if one is not None]


def in_words(found: Sequence[Raised]) -> str:
    """Return how caps are raised: "from $1 to $2 and from 100 tokens to no cap"."""
    return " and ".join(one.words for one in found)


def _raised(cap: str, before: Sequence[float | None], now: float | None) -> Raised | None:
    """Return the highest cap of those before as what is raised, None where it is not, or where one had no cap."""
    known = [amount for amount in before if amount is not None]
    if not known or len(known) < len(before):
        return None
    was = max(known)
    return Raised(cap, was, now) if now is None or now > was else None

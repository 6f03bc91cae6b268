"""Whether work goes round in circles: the same wish again with nothing new between, or within itself (engine.md §3)."""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.graph.canonical import digest
from pipelines.graph.model import Json

MOST_REPEATS = 2
_AROUND_WORDS = " \t\r\n.,;:!?…\"'“”‘’()"


def wish(worker: str, task: Json) -> str:
    """Return what two wishes for the same work have in common, however they are spaced, cased and punctuated."""
    return digest({"worker": worker, "task": _normalised(task)})


@dataclass(slots=True)
class Repeats:
    """The wishes since something new last came of any of them, and the results seen so far."""

    counts: Counter[str] = field(default_factory=Counter)
    results: set[str] = field(default_factory=set)

    def is_spent(self, wanted: str) -> bool:
        """Tell whether a wish was granted twice and nothing new has come since."""
        return self.counts[wanted] >= MOST_REPEATS

    def grant(self, wanted: str) -> None:
        self.counts[wanted] += 1

    def note(self, result: Json) -> bool:
        """Tell whether a result is new. If it is, what was asked before may be asked again."""
        seen = digest(result)
        if seen in self.results:
            return False
        self.results.add(seen)
        self.counts.clear()
        return True


def _normalised(value: Json) -> Json:
    match value:
        case str():
            words = unicodedata.normalize("NFKC", value).casefold().split()
            return " ".join(bare for word in words if (bare := word.strip(_AROUND_WORDS)))
        case Mapping():
            return {str(key): _normalised(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_normalised(entry) for entry in value]
        case _:
            return value

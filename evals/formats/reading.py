"""What the readers of other tools' files have in common."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from evals.scorers import assertions
from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal, pointer, shown

MOST_CASES = 2_000
MOST_BYTES = 4 * 1024 * 1024
MOST_PROBLEMS = 1_000
_LONGEST_NAME = 180


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something of the file that did not come along, and where it stands."""

    where: str
    message: str

    def as_json(self) -> dict[str, str]:
        return {"where": self.where, "message": self.message}


@dataclass(frozen=True, slots=True)
class Found:
    """Cases as `evals.cases` reads them."""

    cases: list[dict[str, Json]]
    problems: list[LeftOut]


@dataclass(frozen=True, slots=True)
class Written:
    data: Json
    problems: list[LeftOut]


@dataclass(slots=True)
class Reader:
    """Collects cases under names of their own, and problems. `under` names the field of an input that is no object."""

    under: str
    cases: list[dict[str, Json]] = field(default_factory=list)
    problems: list[LeftOut] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _counts: dict[str, int] = field(default_factory=dict)

    def lose(self, where: str, message: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(LeftOut(where, message))
        elif len(self.problems) == MOST_PROBLEMS:
            self.problems.append(LeftOut("", "More was left out than is listed here."))

    def unknown(self, given: Mapping[str, Json], known: Collection[str], where: str) -> None:
        """Name the keys that Baton has no place for."""
        for key in given:
            if key not in known:
                self.lose(pointer(where, key), f"Baton has no place for {shown(key)}; it was left out.")

    def name(self, given: Json, number: int) -> str:
        """Return a name that no other case of the file has."""
        said = str(given).strip() if isinstance(given, str | int | float) and given else ""
        base = said[:_LONGEST_NAME] or f"Case {number}"
        name, count = base, self._counts.get(base, 1)
        while name in self._names:
            count += 1
            name = f"{base} ({count})"
        self._names.add(name)
        self._counts[base] = count
        return name

    def inputs(self, given: Json) -> dict[str, Json]:
        return dict(given) if isinstance(given, dict) else {self.under: given}

    def metadata(self, given: Json) -> dict[str, Json]:
        if given is None:
            return {}
        return dict(given) if isinstance(given, dict) else {"metadata": given}

    def entries(self, given: Json, where: str) -> Iterator[tuple[str, Json]]:
        """Yield what is in a list with its place; name what is none."""
        if isinstance(given, list):
            for at, one in enumerate(given):
                yield pointer(where, at), one
        elif given is not None:
            self.lose(where, f"Here stands a list, not {shown(given)}; it was left out.")

    def keep(self, assertion: dict[str, Json], found: list[dict[str, Json]], where: str) -> None:
        """Add an assertion to those found, or name it where Baton does not take its pattern, schema or numbers; raise
        ValueError where there are more than a case may have."""
        try:
            assertions.read_one(assertion)
        except Refusal as refusal:
            self.lose(where, f"{assertion['type']} was left out: {refusal.message}")
            return
        if len(found) == assertions.MOST:
            raise ValueError(f"At {where} are more than {assertions.MOST} assertions.")
        found.append(assertion)

    def found(self) -> Found:
        if not self.cases:
            raise ValueError("The file has no case that could be read.")
        return Found(self.cases, self.problems)


def listed(data: Json, key: str) -> list[Json]:
    """Return the list that a file is, or has under a key; raise ValueError where there is none, or more than a dataset
    holds."""
    found = data.get(key) if isinstance(data, dict) else data
    if not isinstance(found, list):
        raise ValueError(f"The file has no list of {key}.")
    if len(found) > MOST_CASES:
        raise ValueError(f"The file has {len(found):,} {key}; a dataset has {MOST_CASES:,} cases at most.")
    return found


def check_shared(shared: Json, count: int) -> None:
    """Raise ValueError where what so many cases share is more than a dataset can hold, before it is given to each."""
    if len(canonical_json(shared)) * count > MOST_BYTES:
        raise ValueError(f"What its {count:,} cases share comes to more than 4 MB, given to each.")


def plain(given: Mapping[str, Json], field: str) -> Json:
    """Return inputs as another tool writes them: the one value where there is only this field."""
    return given[field] if list(given) == [field] else dict(given)

"""How the cases of a dataset are written in JSON, and read: an unknown key is refused with its place."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from accounts.errors import Invalid
from evals.formats.reading import MOST_BYTES, MOST_CASES
from evals.models import Case
from evals.scorers import assertions
from pipelines.graph.canonical import canonical_json, digest, sanitise
from pipelines.graph.composite import Field, Record
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal, pointer, shown
from pipelines.graph.shape import ABSENT, Anything, Text

MOST = MOST_CASES
_MOST_INPUT = 256 * 1024
_CASE = Record(
    {
        "name": Field(Text(200, 1), required=True),
        "inputs": Field(Anything(object_only=True), {}),
        "expected_output": Field(Anything(), ABSENT),
        "context": Field(Anything()),
        "asserts": Field(Anything(), []),
        "metadata": Field(Anything(object_only=True), {}),
    }
)


@dataclass(frozen=True, slots=True)
class CaseFields:
    """One case as it is saved. `asserts` are as they were written; reading them gives the defaults."""

    name: str
    inputs: Mapping[str, Json] = field(default_factory=dict)
    expected_output: Json = None
    has_expected: bool = False
    context: Json = None
    asserts: Sequence[Json] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    source: object = None

    @property
    def asked(self) -> str:
        """The digest of what an answer is an answer to."""
        expected = {"expected": self.expected_output} if self.has_expected else {}
        return digest({"name": self.name, "inputs": dict(self.inputs), "context": self.context, **expected})


def read(given: Json, where: str = "/cases") -> list[CaseFields]:
    """Return cases; raise Invalid (`invalid_cases`) naming the first that cannot be read, and where."""
    try:
        return _read(given, where)
    except Refusal as refusal:
        raise Invalid(refusal.message, code="invalid_cases", where=refusal.where) from None


def read_asserts(given: Json, where: str) -> list[dict[str, Json]]:
    """Return assertions with their defaults; raise Invalid `invalid_assertion`."""
    try:
        return assertions.read(given, where)
    except Refusal as refusal:
        raise Invalid(refusal.message, code="invalid_assertion", where=refusal.where) from None


def of_row(case: Case) -> CaseFields:
    return CaseFields(
        name=case.name,
        inputs=case.inputs,
        expected_output=case.expected_output,
        has_expected=case.has_expected,
        context=case.context,
        asserts=case.asserts,
        metadata=case.metadata,
        source=case.source,
    )


def as_json(case: CaseFields | Case) -> dict[str, Json]:
    """Return a case as it is written; without a key where nothing is expected."""
    expected = {"expected_output": case.expected_output} if case.has_expected else {}
    return {
        "name": case.name,
        "inputs": dict(case.inputs),
        **expected,
        "context": case.context,
        "asserts": list(case.asserts),
        "metadata": dict(case.metadata),
    }


def hash_of(cases: Iterable[CaseFields]) -> str:
    return digest([as_json(case) for case in cases])


def _read(given: Json, where: str) -> list[CaseFields]:
    if not isinstance(given, list):
        raise Refusal("wrong_type", f"Cases are a list, not {shown(given)}.", where)
    if not 1 <= len(given) <= MOST:
        raise Refusal("out_of_range", f"A dataset has 1 to {MOST:,} cases; this one has {len(given):,}.", where)
    clean, changed = sanitise(given)
    if changed:
        raise Refusal("bad_value", "The cases hold a NUL, a broken character or a number beyond limits.", where)
    if len(canonical_json(clean)) > MOST_BYTES:
        raise Refusal("out_of_range", "The cases have more than 4 MB together.", where)
    found = [_read_one(entry, pointer(where, index)) for index, entry in enumerate(clean)]
    names: set[str] = set()
    for index, case in enumerate(found):
        if case.name in names:
            message = f"Two cases are called {shown(case.name)}. Give each a name of its own."
            raise Refusal("bad_value", message, pointer(where, index, "name"))
        names.add(case.name)
    return found


def _read_one(given: Json, where: str) -> CaseFields:
    case = _CASE.read(given, where)
    if len(canonical_json(case["inputs"])) > _MOST_INPUT:
        raise Refusal("out_of_range", "The inputs of a case have more than 256 KB.", pointer(where, "inputs"))
    assertions.read(case["asserts"], pointer(where, "asserts"))
    has_expected = "expected_output" in case
    return CaseFields(**{**case, "expected_output": case.get("expected_output"), "has_expected": has_expected})

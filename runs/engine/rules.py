"""The rules that an output or a checked value must pass, one function each: what it finds, in sentences."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import count, islice

from pipelines.graph import schemas
from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal
from pipelines.graph.regex import regex
from runs.engine import injection, pii, quotes, values
from runs.engine.facts import ErrorClass, StepError
from runs.engine.scope import Step
from runs.engine.state import Execution

Rule = Mapping[str, Json]
# Each quotation is looked for in the whole source, so their number is what bounds the work.
MOST_QUOTATIONS = 200
_SHOWN = 80


def broken(run: Execution, step: Step, rule: Rule, value: Json) -> Iterator[str]:
    """Yield what is wrong with a value by one rule that needs no model; raise Unusable when it cannot be asked."""
    return _RULES[rule["rule"]](run, step, rule, value)


def misfits(schema: Json, value: Json) -> Iterator[str]:
    """Yield where a value does not fit a schema; raise Unusable for a schema that cannot be used."""
    try:
        found = schemas.findings(schema, value)
    except Refusal as refusal:
        raise _unusable(refusal.code, refusal.message) from refusal
    for finding in found:
        yield f"{finding.pointer or '/'}: {finding.message}"


def masked(value: Json, kinds: Collection[str]) -> Json:
    """Return a value whose texts, and names of fields, have their personal data masked."""
    match value:
        case dict():
            names = _masked_names(value, kinds)
            return {names[key]: masked(item, kinds) for key, item in value.items()}
        case list():
            return [masked(item, kinds) for item in value]
        case str() | int() if not isinstance(value, bool):
            found = pii.found_in(str(value), kinds)
            return pii.masked(str(value), found) if found else value
        case _:
            return value


def _masked_names(named: Iterable[str], kinds: Collection[str]) -> dict[str, str]:
    """Return what each field is called once it is masked: where that is another's name, with a number after it."""
    found = {name: pii.masked(name, pii.found_in(name, kinds)) for name in named}
    taken = {name for name, new in found.items() if name == new}
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(1))
    for name, new in found.items():
        if name != new:
            tries = (new if number == 1 else f"{new} ({number})" for number in numbers[new])
            found[name] = next(one for one in tries if one not in taken)
            taken.add(found[name])
    return found


def kinds_of(rule: Rule) -> Collection[str]:
    """Return which personal data a rule looks for."""
    return rule.get("find") or pii.KINDS


def _schema(_run: Execution, _step: Step, rule: Rule, value: Json) -> Iterator[str]:
    yield from misfits(rule.get("schema") or {}, value)


def _expression(run: Execution, step: Step, rule: Rule, value: Json) -> Iterator[str]:
    if values.evaluated(run, step, rule["expr"], {"value": value}) is not True:
        yield f"{rule['expr']} is not true."


def _length(_run: Execution, _step: Step, rule: Rule, value: Json) -> Iterator[str]:
    size = len(value) if isinstance(value, str | list | dict) else len(_text(value))
    unit = "entries" if isinstance(value, list | dict) else "characters"
    if rule.get("min") is not None and size < rule["min"]:
        yield f"It has {size} {unit}; at least {rule['min']} are wanted."
    if rule.get("max") is not None and size > rule["max"]:
        yield f"It has {size} {unit}; at most {rule['max']} are allowed."


def _pattern(_run: Execution, _step: Step, rule: Rule, value: Json) -> Iterator[str]:
    try:
        matches = regex(rule["pattern"]).found_in(_text(value))
    except ValueError as error:
        raise _unusable("bad_pattern", str(error)) from error
    if not matches:
        yield f"It does not match {rule['pattern']}."


def _contains(run: Execution, step: Step, rule: Rule, value: Json) -> Iterator[str]:
    wanted = _text(values.rendered(run, step, rule["text"]))
    if wanted not in _text(value):
        yield f"It does not contain {wanted!r}."


def _unchanged(run: Execution, step: Step, rule: Rule, value: Json) -> Iterator[str]:
    source = "\n".join(_texts(values.rendered(run, step, rule["source"])))
    text = "\n".join(_texts(value))
    if len(list(islice(quotes.quotations(text), MOST_QUOTATIONS + 1))) > MOST_QUOTATIONS:
        yield f"It has more than {MOST_QUOTATIONS} quotations, which is too many to check."
        return
    for passage in quotes.not_in(source, text):
        yield f"The source does not say “{passage[:_SHOWN]}{'…' if len(passage) > _SHOWN else ''}”."


def _personal(_run: Execution, _step: Step, rule: Rule, value: Json) -> Iterator[str]:
    """Say what kinds there are and how many, never the data itself: findings go into logs and prompts."""
    counts = Counter(one.kind for text in _texts(value) for one in pii.found_in(text, kinds_of(rule)))
    if counts:
        found = [pii.said(kind, counts[kind]) for kind in pii.KINDS if counts[kind]]
        yield f"It contains {' and '.join(found)}."


def _injected(_run: Execution, _step: Step, _rule: Rule, value: Json) -> Iterator[str]:
    for why in injection.signs_in("\n".join(_texts(value))):
        yield f"It reads like an order to a model: {why}."


def _left_to_judges(_run: Execution, _step: Step, _rule: Rule, _value: Json) -> Iterator[str]:
    """A rubric needs a model: the executor asks it."""
    yield from ()


def _texts(value: Json) -> Iterator[str]:
    """Yield every text, whole number and name of a field in a value."""
    match value:
        case dict():
            for name, item in value.items():
                yield name
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
        case str() | int() if not isinstance(value, bool):
            yield str(value)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else canonical_json(value).decode()


def _unusable(code: str, message: str) -> values.Unusable:
    return values.Unusable(StepError(ErrorClass.CONFIG, code, message))


_RULES: Mapping[str, Callable[[Execution, Step, Rule, Json], Iterator[str]]] = {
    "schema": _schema,
    "expr": _expression,
    "length": _length,
    "regex": _pattern,
    "contains": _contains,
    "unchanged_from": _unchanged,
    "pii": _personal,
    "injection": _injected,
    "ai_rubric": _left_to_judges,
}

"""Conditions as rows a person fills in, and the expression they mean. Pure.

An expression that is more than rows can say is left to the person as an expression.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.graph.expressions import ExpressionError
from pipelines.graph.expressions.syntax import Binary, Call, Has, Literal, Path, Tree, Unary, parse

OPERATORS = (
    ("==", "is"),
    ("!=", "is not"),
    (">", "is more than"),
    (">=", "is at least"),
    ("<", "is less than"),
    ("<=", "is at most"),
    ("contains", "contains"),
    ("!contains", "does not contain"),
    ("matches", "matches the pattern"),
    ("longer", "is longer than"),
    ("true", "is true"),
    ("false", "is not true"),
    ("has", "is there"),
    ("!has", "is missing"),
)
WITHOUT_VALUE = frozenset({"true", "false", "has", "!has"})
_COMPARED = frozenset({"==", "!=", ">", ">=", "<", "<="})
MAX_ROWS = 12


@dataclass(frozen=True, slots=True)
class Condition:
    path: str = ""
    op: str = "=="
    value: str = ""


@dataclass(frozen=True, slots=True)
class Conditions:
    """`every`: all must hold, else any one is enough."""

    rows: Sequence[Condition] = ()
    every: bool = True

    @property
    def shown(self) -> list[Condition]:
        """Return the rows and one to fill in."""
        return [*self.rows, Condition()]

    operators = OPERATORS


def read(expression: str) -> Conditions | None:
    """Return an expression as rows; None when rows cannot say it. Writing the rows means the same again."""
    if not expression.strip():
        return Conditions()
    try:
        tree = parse(expression)
    except ExpressionError:
        return None
    sign = tree.sign if isinstance(tree, Binary) and tree.sign in ("&&", "||") else "&&"
    rows = [_row(part) for part in _parts(tree, sign)]
    known = [row for row in rows if row is not None]
    if len(known) != len(rows) or len(rows) > MAX_ROWS:
        return None
    return Conditions(known, every=sign == "&&")


def write(conditions: Conditions) -> str:
    """Return the expression that rows mean; rows without a path count for nothing."""
    joint = " && " if conditions.every else " || "
    return joint.join(_written(row) for row in conditions.rows if row.path.strip())


def posted(name: str, form: Mapping[str, Sequence[str]]) -> Conditions:
    """Return the rows that a form brought for an input."""
    rows = [
        Condition(_one(form, f"{name}~{n}.path"), _one(form, f"{name}~{n}.op"), _one(form, f"{name}~{n}.value"))
        for n in range(MAX_ROWS + 1)
    ]
    return Conditions([row for row in rows if row.path.strip()], every=_one(form, f"{name}~every") != "any")


def _one(form: Mapping[str, Sequence[str]], name: str) -> str:
    return (form.get(name) or ("",))[0]


def _parts(tree: Tree, sign: str) -> Iterator[Tree]:
    if isinstance(tree, Binary) and tree.sign == sign:
        yield from _parts(tree.left, sign)
        yield from _parts(tree.right, sign)
    else:
        yield tree


def _row(tree: Tree) -> Condition | None:
    return _comparison(tree) or _presence(tree)


def _comparison(tree: Tree) -> Condition | None:
    match tree:
        case Binary(sign=sign, left=Path() as path, right=value) if sign in _COMPARED:
            literal = _literal(value)
            return None if literal is None else Condition(str(path), sign, literal)
        case Binary(sign=">", left=Call(name="size", args=(Path() as path,)), right=Literal(value=float() as length)):
            return Condition(str(path), "longer", f"{length:g}")
        case Call(name="contains" | "matches" as name, args=(Path() as path, Literal(value=str() as text))):
            return Condition(str(path), name, text)
        case Unary(sign="!", of=Call(name="contains", args=(Path() as path, Literal(value=str() as text)))):
            return Condition(str(path), "!contains", text)
        case _:
            return None


def _presence(tree: Tree) -> Condition | None:
    match tree:
        case Has(path=Path() as path):
            return Condition(str(path), "has")
        case Unary(sign="!", of=Has(path=Path() as path)):
            return Condition(str(path), "!has")
        case Path() as path:
            return Condition(str(path), "true")
        case Unary(sign="!", of=Path() as path):
            return Condition(str(path), "false")
        case _:
            return None


def _literal(tree: Tree) -> str | None:
    match tree:
        case Unary(sign="-", of=Literal(value=float() as number)):
            return f"{-number:g}"
        case Literal(value=bool() | None as word):
            return json.dumps(word)
        case Literal(value=float() as number):
            return f"{number:g}"
        case Literal(value=str() as text):
            # Text that reads as something else keeps its quotes.
            return _quoted(text) if _is_bare(text) or text[:1] in "'\"" else text
        case _:
            return None


def _written(row: Condition) -> str:
    path = row.path.strip().removeprefix("${").removesuffix("}")
    match row.op:
        case "contains" | "matches":
            return f"{path}.{row.op}({_quoted(row.value)})"
        case "!contains":
            return f"!{path}.contains({_quoted(row.value)})"
        case "longer":
            return f"size({path}) > {row.value.strip() or '0'}"
        case "true" | "false":
            return path if row.op == "true" else f"!{path}"
        case "has" | "!has":
            return f"{row.op.removesuffix('has')}has({path})"
        case op if op in _COMPARED:
            return f"{path} {op} {_said(row.value)}"
        case _:
            return f"{path} == {_said(row.value)}"


def _said(text: str) -> str:
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text if _is_bare(text) or quoted else _quoted(text)


def _is_bare(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), str | list | dict)
    except (ValueError, RecursionError):
        return False


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "")
    return f"'{escaped}'"

"""docs/errors.md lists every code that the sources raise: refusals and failed steps; format.md lists the problems."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("accounts", "approvals", "evals", "notices", "orchestrator_site", "pipelines", "runs")
# Which argument of a call is the code. A method of the same name may leave the first one out.
PLACES = {
    **dict.fromkeys(
        ("Refusal", "BadPlan", "Problem", "transient", "config", "invalid_output", "_refused", "ExpressionError"), 0
    ),
    **dict.fromkeys(("StepError", "Failure", "AnswerLost"), 1),
    "problem": 2,
}
METHODS = {"problem": 1, "__init__": 1}
_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+|[a-z]{4,}")
_LISTED = re.compile(r"^\| ((?:`[\w]+`(?:, )?)+) \|", re.MULTILINE)
# Of a form's field, which the page shows as a sentence.
FORM_ONLY = {"bad_login", "used_code", "password_of_this_place", "password_known"}


@cache
def listed() -> frozenset[str]:
    problems = (ROOT / "docs" / "format.md").read_text().partition("## Problems")[2]
    rows = _LISTED.findall((ROOT / "docs" / "errors.md").read_text() + problems)
    return frozenset(code for row in rows for code in re.findall(r"\w+", row))


def raised() -> Iterator[tuple[str, str]]:
    """Yield (code, file:line) of every code in the sources; a part filled in at run time is written as …"""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            if "migrations" in file.parts:
                continue
            tree = ast.parse(file.read_text())
            constants = dict(_constants(tree))
            for node in ast.walk(tree):
                for value in _code_values(node):
                    for code in _codes(value, constants):
                        yield code, f"{file.relative_to(ROOT)}:{value.lineno}"


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _code_values(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.ClassDef):
        yield from (value for part in node.body for value in _class_code(part))
    if not isinstance(node, ast.Call):
        return
    yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")
    is_method = isinstance(node.func, ast.Attribute)
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    place = METHODS.get(name) if is_method else PLACES.get(name)
    place = PLACES.get(name) if place is None else place
    if place is not None and len(node.args) > place:
        yield node.args[place]


def _class_code(part: ast.stmt) -> Iterator[ast.expr]:
    if not isinstance(part, ast.Assign):
        return
    target, value = part.targets[0], part.value
    if isinstance(target, ast.Name) and target.id == "code":
        yield value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        names = [name.id for name in target.elts if isinstance(name, ast.Name)]
        yield from (one for name, one in zip(names, value.elts, strict=False) if name == "code")


def _codes(value: ast.expr, constants: dict[str, ast.expr]) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(code)) if _CODE.fullmatch(code):
            yield code
        case ast.IfExp():
            yield from _codes(value.body, constants)
            yield from _codes(value.orelse, constants)
        case ast.Name(id=name) if name in constants:
            yield from _codes(constants[name], {})
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)


def is_listed(code: str) -> bool:
    pattern = re.compile(r"\w+".join(re.escape(part) for part in code.split("…")))
    return any(pattern.fullmatch(known) for known in listed())


def test_every_code_is_documented() -> None:
    found = [(code, place) for code, place in raised() if code not in FORM_ONLY]
    codes = {code for code, _ in found}
    assert {"bad_json", "not_published", "own_request", "no_cap", "max_turns", "http_…", "egress_refused"} <= codes
    missing = sorted({f"{code} ({place})" for code, place in found if not is_listed(code)})
    assert not missing, "\n".join(missing)


def test_nothing_is_documented_that_no_source_says() -> None:
    sources = "\n".join(file.read_text() for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    built = ("http_STATUS", "smtp_STATUS", "workspace_cap", "pipeline_cap", "unknown_agent", "unknown_pipeline")
    stale = {code for code in listed() if f'"{code}"' not in sources and code not in built}
    assert stale == set()

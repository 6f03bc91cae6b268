"""Nothing but `services.decide` writes an answer, and only the named few close a question: read from the sources."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from approvals import content

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("accounts", "approvals", "evals", "notices", "orchestrator_site", "pipelines", "runs")
WRITES = {
    *("create", "acreate", "bulk_create", "abulk_create", "get_or_create", "aget_or_create", "update_or_create"),
    *("update", "aupdate", "bulk_update", "abulk_update", "save", "asave", "insert", "raw"),
}
_SQL = re.compile(r"\b(insert\s+into|update|delete\s+from)\s+approvals_(approval|decisionrecord)\b", re.IGNORECASE)
OF_ANSWERS = {"DecisionRecord", "decisions", "standing"}
Place = tuple[str, str]


@cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    kept = (file for file in files if "migrations" not in file.parts)
    return tuple((str(file.relative_to(ROOT)), ast.parse(file.read_text())) for file in kept)


def functions() -> Iterator[tuple[Place, ast.AST]]:
    """Yield each function by its file and name, and what stands outside of all under the name ""."""
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (file, node.name), node
        rest = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        yield (file, ""), ast.Module(rest, [])


def calls(node: ast.AST) -> Iterator[ast.Call]:
    return (one for one in ast.walk(node) if isinstance(one, ast.Call))


def names(node: ast.AST) -> set[str]:
    """Return every name and attribute in an expression: of `DecisionRecord.objects.create` all three."""
    found = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return found | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def where(holds: Callable[[ast.Call], bool]) -> set[Place]:
    return {place for place, node in functions() for call in calls(node) if holds(call)}


def writers_of_answers() -> set[Place]:
    """Return who makes a row of an answer, or writes to such rows by the model or by a name bound to them."""
    found = set()
    for place, node in functions():
        known = OF_ANSWERS | {
            target.id
            for one in ast.walk(node)
            if isinstance(one, ast.Assign) and OF_ANSWERS & names(one.value)
            for target in one.targets
            if isinstance(target, ast.Name)
        }
        for call in calls(node):
            if called(call) == "DecisionRecord" or (called(call) in WRITES and known & names(call.func)):
                found.add(place)
    return found


def names_a_state(call: ast.Call) -> bool:
    fields = {one.value for one in ast.walk(call) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    keys = {keyword.arg for keyword in call.keywords}
    return called(call) in WRITES and ("state" in keys or (called(call) == "save" and "state" in fields))


def test_an_answer_is_recorded_in_one_place_which_only_decide_calls() -> None:
    assert writers_of_answers() == {
        ("approvals/services.py", "_record"),
        ("approvals/services.py", "take_back"),  # which sets `withdrawn_at` of one's own, and nothing else
    }
    callers = where(lambda call: called(call) == "_record")
    assert {place for place in callers if place[0] == "approvals/services.py"} == {("approvals/services.py", "decide")}


def test_taking_back_changes_no_more_than_that_it_was_taken_back() -> None:
    [node] = [node for place, node in functions() if place == ("approvals/services.py", "take_back")]
    updates = [call for call in calls(node) if called(call) == "update" and "mine" in names(call.func)]
    assert [[keyword.arg for keyword in call.keywords] for call in updates] == [["withdrawn_at"]]


def test_a_question_is_closed_by_its_answer_its_deadline_or_the_end_of_its_run() -> None:
    closed = {place for place in where(names_a_state) if place[0].startswith("approvals/")}
    assert closed == {("approvals/settling.py", "settle"), ("approvals/deadlines.py", "expire")}
    statements = {
        (file, node.lineno)
        for file, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.search(node.value)
    }
    emptying = "approvals/content.py"  # of what it showed, when its run is long over, and of nothing else
    assert {file for file, _ in statements} == {"runs/claims.py", "runs/store.py", emptying}
    assert not [statement for statement in content.REMOVE if "state" in statement or "decision =" in statement]


def test_what_settles_an_answer_is_reached_by_the_door_and_by_the_poll_alone() -> None:
    by = where(lambda call: called(call) in ("settle", "approve") and "settling" in names(call.func))
    assert by == {("approvals/services.py", "decide")}
    inside = {place for place in where(lambda call: called(call) == "settle") if place[0] == "approvals/settling.py"}
    assert inside == {("approvals/settling.py", "approve"), ("approvals/settling.py", "release")}


def test_every_way_in_goes_through_the_door() -> None:
    """API, pages and the bulk; there is no other, and no administration of its own."""
    way_in = where(lambda call: called(call) == "decide" and "services" in names(call.func))
    assert {place for place in way_in if place[0].partition("/")[0] != "runs"} == {
        ("approvals/api.py", "decide"),
        ("approvals/bulk.py", "_decide"),
        ("approvals/views/inbox.py", "_decide"),
    }
    assert not [
        file
        for file, tree in sources()
        for call in calls(tree)
        if "admin" in names(call.func) and called(call) == "register"
    ]

"""The rules of the desk, as tables."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals import policy
from approvals.needs import Person
from approvals.policy import CHOICES, Decision, Question
from pipelines.graph.canonical import digest
from pipelines.library.tools import TOOLS
from tests.approvals.builders import EMAIL

KINDS = list(CHOICES)
ROLES = ["viewer", "composer", "reviewer", "manager", "auditor", "admin"]


def person(*roles: str, id: str = "bob") -> Person:
    return Person(id, f"{id}@example.com", frozenset(roles))


def question(kind: str = "approve", **changes: Any) -> Question:
    known = {"kind": kind, "roles": policy.default_roles(kind), "people": (), "barred": ("alice",)}
    fields = {**known, **changes}
    for name in ("roles", "people", "barred"):
        fields[name] = frozenset(fields[name])
    return Question(**fields)


def a_call(**changes: Any) -> Question:
    tool = TOOLS["email.send@1"]
    known = {"payload": EMAIL, "payload_hash": digest(EMAIL), "tool": tool.id, "args_schema": tool.args_schema}
    return question(**{**known, **changes})


def code(question: Question, who: Person, said: Decision) -> str | None:
    refusal = policy.may_decide(question, who, said)
    return refusal.code if refusal else None


BOB = person("reviewer")
SEEN = digest(EMAIL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("roles", [[role] for role in ROLES] + [ROLES])
def test_nobody_answers_what_they_started_whatever_their_roles(kind: str, roles: list[str]) -> None:
    refusal = policy.may_answer(question(kind), person(*roles, id="alice"))
    assert refusal is not None
    assert refusal.code == "own_request"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
def test_reviewers_answer_everything_but_budgets_and_managers_answer_budgets(kind: str, role: str) -> None:
    allowed = policy.may_answer(question(kind), person(role)) is None
    assert allowed == (role == ("manager" if kind == "budget" else "reviewer"))


@pytest.mark.parametrize(
    ("kind", "asked", "roles", "allowed"),
    [
        ("approve", {"roles": ["manager"]}, ["manager"], True),
        ("approve", {"roles": ["manager"]}, ["reviewer"], False),
        ("approve", {"roles": ["composer"]}, ["composer"], False),
        ("answer", {"roles": ["composer"]}, ["composer"], True),
        ("answer", {"roles": ["admin"]}, ["admin"], False),
        ("approve", {"roles": ["admin"]}, ["admin"], False),
        ("approve", {"roles": [], "people": ["bob@example.com"]}, ["reviewer"], True),
        ("approve", {"roles": [], "people": ["bob@example.com"]}, ["composer"], False),
        ("approve", {"roles": [], "people": ["bob@example.com"]}, ["admin"], False),
        ("approve", {"roles": [], "people": ["carol@example.com"]}, ["reviewer"], False),
        ("answer", {"roles": [], "people": ["bob@example.com"]}, ["viewer"], True),
        ("budget", {"people": ["bob@example.com"]}, ["reviewer"], False),
        ("approve", {"roles": ["reviewer"]}, ["admin", "reviewer"], True),
    ],
)
def test_a_question_is_for_its_roles_and_people_but_acting_needs_a_decider(
    kind: str, asked: dict[str, Any], roles: list[str], allowed: bool
) -> None:
    assert (policy.may_answer(question(kind, **asked), person(*roles)) is None) == allowed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("choice", [*policy.Choice, "expire", "", "APPROVE", "x" * 100_000])
def test_each_kind_takes_its_own_decisions_only(kind: str, choice: str) -> None:
    who = person("reviewer", "manager")
    payload = "done" if choice in ("answer", "use") else None
    found = code(question(kind), who, Decision(choice, payload=payload, reason="because"))
    assert (found == "decision_not_offered") == (choice not in CHOICES[kind])


@pytest.mark.parametrize("reason", ["", "  \n "])
def test_a_rejection_needs_a_reason(reason: str) -> None:
    assert code(a_call(), BOB, Decision("reject", SEEN, reason=reason)) == "reason_required"


def test_a_reason_has_a_limit() -> None:
    assert code(a_call(), BOB, Decision("reject", SEEN, reason="x" * 4_001)) == "reason_too_long"


@pytest.mark.parametrize("kind", ["approve", "edit"])
@pytest.mark.parametrize(
    ("seen", "refused"),
    [("", "payload_hash_required"), (digest({}), "payload_changed"), ("sha256:", "payload_changed"), (SEEN, None)],
)
def test_an_approval_names_exactly_what_it_approves(kind: str, seen: str, refused: str | None) -> None:
    assert code(a_call(kind=kind), BOB, Decision("approve", seen)) == refused


def test_a_rejection_may_leave_the_fingerprint_out_but_not_name_another() -> None:
    assert code(a_call(), BOB, Decision("reject", "", reason="no")) is None
    assert code(a_call(), BOB, Decision("reject", digest({}), reason="no")) == "payload_changed"


def edited(**args: Any) -> dict[str, Any]:
    return {**EMAIL, "args": {**EMAIL["args"], **args}}


@pytest.mark.parametrize(
    ("payload", "refused", "where"),
    [
        (edited(body="Better."), None, None),
        ({**EMAIL}, None, None),
        ({**EMAIL, "tool": "http.request@1"}, "only_args_may_change", "/payload/tool"),
        ({**EMAIL, "connection": "other"}, "only_args_may_change", "/payload/connection"),
        ({**EMAIL, "a/b~c": None}, "only_args_may_change", "/payload/a~1b~0c"),
        ({"args": EMAIL["args"]}, "only_args_may_change", "/payload/tool"),
        ({"tool": "email.send@1"}, "invalid_payload", "/payload"),
        ("Send it", "invalid_payload", "/payload"),
        ([], "invalid_payload", "/payload"),
        (edited(cc="eve@example.com"), "invalid_payload", None),
        (edited(subject=7), "invalid_payload", "/payload/args/subject"),
        (edited(subject=""), "invalid_payload", "/payload/args/subject"),
        (edited(body="a\x00b"), "not_storable", "/payload"),
        (edited(body="\ud800"), "not_storable", "/payload"),
        (edited(body=float("nan")), "not_storable", "/payload"),
        (edited(body=10**30), "not_storable", "/payload"),
        (edited(body="x" * 300_000), "payload_too_large", "/payload"),
    ],
)
@pytest.mark.parametrize("kind", ["approve", "edit"])
def test_an_edit_changes_arguments_within_the_tools_schema_and_nothing_else(
    kind: str, payload: Any, refused: str | None, where: str | None
) -> None:
    refusal = policy.may_decide(a_call(kind=kind), BOB, Decision("approve", SEEN, payload))
    assert (refusal.code if refusal else None) == refused
    if refusal and where:
        assert refusal.where == where


def test_the_connection_of_a_call_cannot_be_edited_away() -> None:
    asked = {**EMAIL, "connection": "mail"}
    bound = a_call(payload=asked, payload_hash=digest(asked))
    assert code(bound, BOB, Decision("approve", digest(asked), EMAIL)) == "only_args_may_change"


def test_a_call_whose_tool_the_run_does_not_know_cannot_be_edited_but_can_be_approved_as_it_is() -> None:
    unknown = a_call(args_schema=None)
    assert code(unknown, BOB, Decision("approve", SEEN, edited(body="x"))) == "tool_unknown"
    assert code(unknown, BOB, Decision("approve", SEEN, EMAIL)) is None


def test_what_somebody_approved_already_cannot_be_edited_by_the_next() -> None:
    assert code(a_call(approvals=1), BOB, Decision("approve", SEEN, edited(body="x"))) == "edit_too_late"
    assert code(a_call(approvals=1), BOB, Decision("approve", SEEN)) is None


def test_a_deep_payload_is_refused_without_exhausting_the_stack() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert code(question("answer"), BOB, Decision("answer", payload=deep)) == "too_deep"


@pytest.mark.parametrize("kind", ["failure", "outcome_unknown"])
def test_use_needs_an_output_and_the_others_take_none(kind: str) -> None:
    assert code(question(kind), BOB, Decision("use")) == "payload_required"
    assert code(question(kind), BOB, Decision("use", payload={"sent": True})) is None
    for choice in ("retry", "skip", "stop"):
        assert code(question(kind), BOB, Decision(choice)) is None
        assert code(question(kind), BOB, Decision(choice, payload={})) == "payload_not_taken"


def test_an_answer_fits_the_questions_form() -> None:
    form = {"type": "object", "required": ["colour"], "properties": {"colour": {"enum": ["red", "blue"]}}}
    asked = question("answer", form=form)
    assert code(asked, BOB, Decision("answer")) == "payload_required"
    assert code(asked, BOB, Decision("answer", payload={"colour": "red"})) is None
    refusal = policy.may_decide(asked, BOB, Decision("answer", payload={"colour": "green"}))
    assert refusal is not None
    assert (refusal.code, refusal.where) == ("invalid_payload", "/payload/colour")


@pytest.mark.parametrize("form", [{"$ref": "https://evil.example/schema"}, {"type": 7}, {"$ref": "#"}, "x"])
def test_a_form_that_cannot_be_checked_lets_nothing_through(form: Any) -> None:
    assert code(question("answer", form=form), BOB, Decision("answer", payload=1)) == "form_unusable"


@pytest.mark.parametrize(
    ("payload", "refused"),
    [
        (None, None),
        ({"add_usd": "2.00"}, None),
        ({"add_usd": "0"}, "invalid_payload"),
        ({"add_usd": "-1"}, "invalid_payload"),
        ({"add_usd": "1e9"}, "invalid_payload"),
        ({"add_usd": "0.0000001"}, "invalid_payload"),
        ({"add_usd": "NaN"}, "invalid_payload"),
        ({"add_usd": "Infinity"}, "invalid_payload"),
        ({"add_usd": 2}, "invalid_payload"),
        ({"add_usd": "2", "more": 1}, "invalid_payload"),
        ("2.00", "invalid_payload"),
    ],
)
def test_a_manager_adds_an_exact_amount(payload: Any, refused: str | None) -> None:
    assert code(question("budget"), person("manager"), Decision("approve", payload=payload)) == refused


def test_a_cap_on_tokens_is_raised_by_what_was_asked_only() -> None:
    asked = question("budget", payload={"add_tokens": 500})
    for payload, refused in ((None, None), ({"add_tokens": 500}, None), ({"add_usd": "2"}, "invalid_payload")):
        assert code(asked, person("manager"), Decision("approve", payload=payload)) == refused


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(KINDS), st.sampled_from([*policy.Choice]))
def test_any_json_gets_a_verdict_and_never_an_exception(payload: Any, kind: str, choice: str) -> None:
    asked = a_call(kind=kind) if kind in policy.BOUND_KINDS else question(kind)
    policy.may_decide(asked, person("reviewer", "manager"), Decision(choice, SEEN, payload, "because"))
    policy.is_edit(asked, Decision(choice, SEEN))

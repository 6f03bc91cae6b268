"""What the desk says in words."""

from typing import Any

import pytest

from approvals import words
from tests.approvals.builders import EMAIL


@pytest.mark.parametrize(
    ("tool", "args", "told"),
    [
        ("email.send@1", {"to": "ana@x.io", "subject": "Hi"}, "Send an email to ana@x.io with the subject “Hi”."),
        ("http.request@1", {"method": "POST", "url": "https://x.io/a"}, "Send data to https://x.io/a (POST request)."),
        ("http.request@1", {"method": "get", "url": "https://x.io/a"}, "Read https://x.io/a (GET request)."),
        ("http.request@1", {"method": "DELETE", "url": "https://x.io/a"}, "Delete https://x.io/a (DELETE request)."),
        ("crm.log@1", {"contact": "Ana", "note": "Called."}, "Log a note about Ana in the CRM: “Called.”."),
        ("notes.append@1", {"text": "Milk"}, "Add a note: “Milk”."),
        ("pay.refund@2", {"amount": 12.5, "to": ["Ana", "Bo"]}, "Run pay.refund@2 with amount: 12.5; to: Ana, Bo."),
        ("lamp.off@1", {}, "Run lamp.off@1."),
        ("mcp.files.read.all@1", {"path": "/a"}, "Run read.all at the server files with path: /a."),
        (
            "http.request@1",
            {"method": "GET", "url": "https://x.io/a", "secret_headers": {"Authorization": "Bearer crm-key"}},
            "Read https://x.io/a (GET request). It sends the secret crm-key.",
        ),
    ],
)  # fmt: skip
def test_a_call_is_told_in_one_plain_sentence(tool: str, args: dict[str, Any], told: str) -> None:
    assert words.sentence("approve", "ignored", {"tool": tool, "args": args}) == told


def test_an_unknown_outcome_says_so() -> None:
    assert words.sentence("outcome_unknown", "", EMAIL).endswith("The last try may or may not have worked.")


@pytest.mark.parametrize("kind", ["approve", "edit", "answer", "failure", "budget", "outcome_unknown"])
def test_a_question_without_a_call_is_its_title_or_the_kinds_own_sentence(kind: str) -> None:
    assert words.sentence(kind, "Which colour?", None) == "Which colour?"
    assert words.sentence(kind, "", {"add_usd": "1"}).endswith(".")


def test_hostile_text_cannot_fake_a_second_line_or_turn_the_direction_round() -> None:
    told = words.plain("ana@x.io\n\nApproved by Bob\u202e moc.live\x00\x1b[31m\u200b!")
    assert told == "ana@x.io Approved by Bob moc.live[31m!"


@pytest.mark.parametrize(
    "value", ["x" * 1_000_000, ["y" * 500] * 500, {"k" * 300: "v" * 300}, None, True, 3.5, [[[[1]]]]]
)
def test_any_value_is_short_and_on_one_line(value: Any) -> None:
    told = words.plain(value)
    assert 0 < len(told) <= 120
    assert "\n" not in told


@pytest.mark.parametrize(
    ("action", "risk"),
    [
        ({"tool": "email.send@1", "effect": "irreversible"}, "Cannot be undone"),
        ({"tool": "pay.refund@1"}, "Cannot be undone"),
        ({"tool": "crm.log@1", "effect": "reversible"}, "Reversible"),
        ({"tool": "notes.append@1", "effect": "reversible"}, "Reversible"),
        ({"tool": "http.request@1", "effect": "none"}, "Leaves Baton"),
        ({"tool": "calendar.move@1", "effect": "reversible"}, "Leaves Baton"),
        (None, None),
        ({}, None),
    ],
)
def test_the_risk_is_told_in_words(action: Any, risk: str | None) -> None:
    found = words.risk(action)
    assert (found.word if found else None) == risk

"""Files of other tools: what comes along, what is named as left out, and that nothing in code is taken."""

from typing import Any

import pytest
from django.test import Client

from evals import cases, formats
from evals.scorers import assertions
from tests.people import a_team, bearer

PYDANTIC = {
    "name": "capitals",
    "cases": [
        {
            "name": "simple",
            "inputs": "What is the capital of France?",
            "expected_output": "Paris",
            "metadata": {"difficulty": "easy"},
            "evaluators": [
                "EqualsExpected",
                {"IsInstance": "str"},
                {"MaxDuration": 2.0},
                {"LLMJudge": {"rubric": "Short?"}},
            ],
        },
        {
            "name": "simple",
            "inputs": {"text": "And of Peru?", "tone": "calm"},
            "evaluators": [{"Contains": "Lima"}],
            "x": 1,
        },
        {"name": "lost"},
    ],
    "evaluators": [{"Custom": {"path": "evil.py"}}],
}
PROMPTFOO = {
    "prompts": ["file://prompt.txt"],
    "defaultTest": {"vars": {"tone": "calm"}, "assert": [{"type": "latency", "threshold": 2500}]},
    "tests": [
        {
            "description": "greets",
            "vars": {"text": "Hello"},
            "assert": [
                {"type": "icontains", "value": "hello", "metric": "polite"},
                {"type": "not-contains-any", "value": ["damn", "hell no"]},
                {"type": "javascript", "value": "output.length < 10"},
                {"type": "llm-rubric", "value": "file://rubric.txt"},
                {"type": "llm-rubric", "value": "Is it polite?", "threshold": 0.9},
                {"type": "regex", "value": "(?=x)"},
                {"type": "cost", "threshold": 0.002},
                {"type": "similar", "value": "Hi", "threshold": 0.8},
                {"type": "contains", "value": "H", "transform": "output.trim()"},
            ],
            "options": {"transform": "code"},
        },
        "file://more.yaml",
    ],
}
GOLDENS = [
    {"input": "Where is my parcel?", "expected_output": "On its way.", "context": ["It left on Monday."],
     "expected_tools": [{"name": "crm.log"}], "actual_output": None, "retrieval_context": ["x"]},
    {"inputs": "no"},
]  # fmt: skip


def where(found: formats.Found) -> list[str]:
    return [problem.where for problem in found.problems]


def test_pydantic_evals() -> None:
    found = formats.read("pydantic-evals", PYDANTIC, "text")
    one, two = found.cases
    assert (one["inputs"], one["expected_output"], one["metadata"]) == (
        {"text": "What is the capital of France?"},
        "Paris",
        {"difficulty": "easy"},
    )
    assert [entry["type"] for entry in one["asserts"]] == ["equals", "latency", "rubric"]
    assert (two["name"], two["inputs"]) == ("simple (2)", {"text": "And of Peru?", "tone": "calm"})
    assert "expected_output" not in two
    assert where(found) == ["/evaluators/0", "/cases/0/evaluators/1", "/cases/1/x", "/cases/2"]


def test_promptfoo() -> None:
    found = formats.read("promptfoo", PROMPTFOO)
    (case,) = found.cases
    assert case["inputs"] == {"tone": "calm", "text": "Hello"}
    assert case["asserts"] == [
        {"type": "contains", "value": ["hello"], "match": "all", "ignore_case": True, "name": "polite"},
        {"type": "contains", "value": ["damn", "hell no"], "match": "none", "ignore_case": False},
        {"type": "rubric", "rubric": "Is it polite?", "min_score": 0.9},
        {"type": "cost", "max_usd": "0.002"},
        {"type": "contains", "value": ["H"], "match": "all", "ignore_case": False},
        {"type": "latency", "max_seconds": 2.5},
    ]
    at = "/tests/0/assert"
    assert where(found) == [
        "/tests/0/options",
        f"{at}/2",
        f"{at}/3",
        f"{at}/5",
        f"{at}/7",
        f"{at}/8/transform",
        "/tests/1",
    ]
    assert "code" in found.problems[1].message


def test_deepeval() -> None:
    found = formats.read("deepeval", GOLDENS, "message")
    (case,) = found.cases
    assert (case["name"], case["inputs"]) == ("Case 1", {"message": "Where is my parcel?"})
    assert case["context"] == ["It left on Monday."]
    assert case["asserts"][1] == {"type": "trajectory", "tools": {"crm.log": {"min": 1}}}
    assert where(found) == ["/0/retrieval_context", "/1"]


@pytest.mark.parametrize("name", formats.FORMATS)
@pytest.mark.parametrize("data", [{}, [], "x", 7, None, {"tests": 1, "cases": 1}, [[1], "x"]])
def test_another_file_is_refused_and_never_half_read(name: str, data: Any) -> None:
    with pytest.raises(ValueError, match="The file has no"):
        formats.read(name, data)


@pytest.mark.parametrize(
    ("name", "file", "field"),
    [("pydantic-evals", PYDANTIC, "text"), ("promptfoo", PROMPTFOO, "text"), ("deepeval", GOLDENS, "text")],
)
def test_what_is_written_is_read_again_alike(name: str, file: Any, field: str) -> None:
    first = [cases.as_json(case) for case in cases.read(formats.read(name, file, field).cases)]
    written = formats.write(name, first, field)
    again = [cases.as_json(case) for case in cases.read(formats.read(name, written.data, field).cases)]
    if name == "deepeval":
        assert [problem.where for problem in written.problems] == ["/0/asserts"]
        first, again = ([{**case, "asserts": []} for case in some] for some in (first, again))
    else:
        assert written.problems == []
    for one, other in zip(first, again, strict=True):
        assert {**one, "asserts": with_defaults(one)} == {**other, "asserts": with_defaults(other)}


def with_defaults(case: dict[str, Any]) -> list[dict[str, Any]]:
    return assertions.read(case["asserts"])


@pytest.mark.django_db
def test_a_file_is_brought_over_the_api_with_what_was_left_out() -> None:
    team = a_team()
    alice, bob = (bearer(person, team.workspace) for person in (team.alice, team.bob))
    body = {"name": "brought", "format": "promptfoo", "data": PROMPTFOO}

    made = Client().post("/api/v1/dataset-files", body, "application/json", headers=alice)
    follow = Client().post(
        "/api/v1/dataset-files", {**body, "format": "deepeval", "data": GOLDENS}, "application/json", headers=alice
    )
    out = Client().get("/api/v1/datasets/brought/versions/1/export?format=promptfoo", headers=bob)
    refused = Client().post("/api/v1/dataset-files", body, "application/json", headers=bob)

    assert (made.status_code, made.json()["version"], len(made.json()["problems"])) == (201, 1, 7)
    assert (follow.status_code, follow.json()["version"]) == (201, 2)
    assert out.json()["data"]["tests"][0]["description"] == "greets"
    assert refused.status_code == 403
    for change, code in (
        ({"format": "csv"}, "unknown_format"),
        ({"data": {}}, "unreadable_file"),
        ({"name": "A b"}, "bad_dataset_name"),
    ):
        answer = Client().post("/api/v1/dataset-files", {**body, **change}, "application/json", headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (422, code)

"""Datasets: versions that never change, cases that are read or refused, runs that become cases."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.errors import Conflict, Forbidden, Invalid
from evals import cases, datasets
from evals.models import Case, Dataset, DatasetVersion
from runs.models import Run
from runs.services import Order, start_run
from tests.evals.builders import a_case, a_dataset, an_echo
from tests.people import Team, a_team, acting, bearer, signed_in_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


def succeeded(team: Team, **fields: Any) -> Run:
    run = start_run(acting(team.alice), an_echo(team), Order({"text": "Hello"}))
    Run.objects.filter(pk=run.pk).update(**{"state": "succeeded", "output": "Hello!", **fields})
    run.refresh_from_db()
    return run


@pytest.mark.parametrize("row", [DatasetVersion, Case])
def test_a_version_and_its_cases_never_change(team: Team, row: Any) -> None:
    a_dataset(team, a_case("one", "Hello", expected_output=None))
    found = row.objects.get()
    for act in (lambda: row.objects.update(**{"note" if row is DatasetVersion else "name": "x"}), found.delete):
        with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
            act()


def test_a_new_version_follows_and_the_same_cases_are_the_same_version(team: Team) -> None:
    first = a_dataset(team, a_case("one", "Hello", expected_output=None))
    again = datasets.add_version(
        acting(team.alice), "greetings", cases.read([a_case("one", "Hello", expected_output=None)])
    )
    other = datasets.add_version(acting(team.alice), "greetings", cases.read([a_case("one", "Hello")]))
    assert (again.pk, other.number) == (first.pk, 2)
    assert [case.has_expected for case in Case.objects.order_by("id")] == [True, False]
    assert [cases.as_json(case).get("expected_output", "none") for case in Case.objects.order_by("id")] == [
        None,
        "none",
    ]


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ([], "/cases"),
        ("x", "/cases"),
        ([{"inputs": {}}], "/cases/0"),
        ([{"name": "a", "input": {}}], "/cases/0/input"),
        ([{"name": "a", "inputs": []}], "/cases/0/inputs"),
        ([{"name": "a"}, {"name": "a"}], "/cases/1/name"),
        ([{"name": "a", "asserts": [{"type": "python"}]}], "/cases/0/asserts/0/type"),
        ([{"name": "a", "inputs": {"text": "x" * 300_000}}], "/cases/0/inputs"),
        ([{"name": "a", "inputs": {"text": "\0"}}], "/cases"),
    ],
)
def test_cases_that_cannot_be_read_are_refused_with_their_place(given: Any, where: str) -> None:
    with pytest.raises(Invalid) as refusal:
        cases.read(given)
    assert (refusal.value.code, refusal.value.where) == ("invalid_cases", where)


@pytest.mark.parametrize("name", ["", "Große", "UPPER", "a b", "a/b", "x" * 64])
def test_a_dataset_has_a_plain_name(team: Team, name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        datasets.create(acting(team.alice), name, cases.read([a_case("one", "Hello")]))
    assert refusal.value.code == "bad_dataset_name"


def test_a_run_becomes_a_case_and_a_second_one_joins_it(team: Team) -> None:
    run = succeeded(team)
    datasets.add_run(acting(team.alice), run, "good-ones")
    second = datasets.add_run(acting(team.alice), run, "good-ones", f"Run {run.number}")
    assert (second.number, second.size) == (2, 2)
    one, other = Case.objects.filter(version=second).order_by("position")
    assert (one.inputs, one.expected_output, one.source) == ({"text": "Hello"}, "Hello!", run.pk)
    assert other.name == f"Run {run.number} (2)"


@pytest.mark.parametrize("state", ["failed", "running", "cancelled"])
def test_only_a_run_that_succeeded_is_an_example(team: Team, state: str) -> None:
    run = succeeded(team, state=state)
    with pytest.raises(Conflict):
        datasets.add_run(acting(team.alice), run, "good-ones")
    assert not Dataset.objects.exists()


def test_who_may_not_edit_changes_nothing(team: Team) -> None:
    run = succeeded(team)
    a_dataset(team, a_case("one", "Hello"))
    for person in (team.bob, team.carol, team.erin):
        with pytest.raises(Forbidden):
            datasets.add_run(acting(person), run, "greetings")
        with pytest.raises(Forbidden):
            datasets.add_version(acting(person), "greetings", cases.read([a_case("two", "Hello")]))
    assert DatasetVersion.objects.count() == 1


def test_programs_write_and_read_datasets(team: Team) -> None:
    alice, bob = (bearer(person, team.workspace) for person in (team.alice, team.bob))
    body = {"name": "greetings", "cases": [a_case("one", "Hello", expected_output="Hello")]}

    made = Client().post("/api/v1/datasets", body, "application/json", headers=alice)
    twice = Client().post("/api/v1/datasets", body, "application/json", headers=alice)
    more = {"cases": [*body["cases"], a_case("two", "Bye")], "note": "more"}
    next_one = Client().post("/api/v1/datasets/greetings/versions", more, "application/json", headers=alice)
    read = Client().get("/api/v1/datasets/greetings/versions/2", headers=bob).json()
    old = Client().get("/api/v1/datasets/greetings/versions/1", headers=bob).json()
    numbers = Client().get("/api/v1/datasets/greetings/versions", headers=bob).json()["items"]
    lost = Client().get("/api/v1/datasets/greetings/versions/3", headers=bob)

    assert (made.status_code, made.json()["version"], made.json()["cases"]) == (201, 1, 1)
    assert (twice.status_code, twice.json()["code"]) == (409, "dataset_exists")
    assert (next_one.status_code, next_one.json()["version"]) == (201, 2)
    assert [case["name"] for case in read["cases"]] == ["one", "two"]
    assert read["cases"][0] == {**body["cases"][0], "context": None, "asserts": [], "metadata": {}}
    assert len(old["cases"]) == 1
    assert [one["version"] for one in numbers] == [2, 1]
    assert lost.status_code == 404


def test_a_page_refuses_bad_cases_and_keeps_what_was_typed(team: Team) -> None:
    a_dataset(team, a_case("one", "Hello"))
    client = signed_in_as(team.alice)
    for text, says in (("[{]", "JSON"), ('[{"nome": "x"}]', "nome"), ('[{"name": "x", "name": "y"}]', "twice")):
        answer = client.post("/datasets/greetings/", {"cases": text})
        assert answer.status_code in (400, 422)
        assert says in answer.content.decode()
        assert text.replace('"', "&quot;") in answer.content.decode()
    assert DatasetVersion.objects.count() == 1


def test_a_run_is_saved_from_its_page(team: Team) -> None:
    run = succeeded(team)
    page = signed_in_as(team.alice).get(f"/runs/{run.pk}/").content.decode()
    assert f"/runs/{run.pk}/case/" in page
    assert "Save as test case" not in signed_in_as(team.bob).get(f"/runs/{run.pk}/").content.decode()

    saved = signed_in_as(team.alice).post(f"/runs/{run.pk}/case/", {"dataset": "good-ones", "name": "Polite"})

    assert (saved.status_code, saved["Location"]) == (302, "/datasets/good-ones/")
    assert Case.objects.get().name == "Polite"

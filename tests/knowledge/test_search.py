"""What a search finds, in which order, and whose."""

import time

import pytest

from pipelines.knowledge import collections
from pipelines.knowledge.models import Collection
from pipelines.knowledge.search import UnknownCollection, find
from tests.people import Team, a_team, acting

TEXTS = {
    "leave.md": "# Holidays\n\nThere are thirty days of holidays a year.\n\n# Illness\n\nCall by nine if you are ill.",
    "travel.md": "# Hotels\n\nA hotel may cost up to 120 euros a night.\n\n# Trains\n\nTrains: book second class.",
    "größe.txt": "Die Straße wird bis zum Jahresende gesperrt.",
}


@pytest.fixture
def team(db: None) -> Team:
    team = a_team()
    for person, slug in ((team.alice, "handbook"), (team.charlie, "theirs")):
        made = collections.create(acting(person), slug)
        for name, text in TEXTS.items():
            collections.add(acting(person), made, name, text)
    return team


def places(team: Team, query: str, limit: int = 5) -> list[tuple[str, str]]:
    return [(one.document, one.place) for one in find(team.workspace.pk, "handbook", query, limit)]


def test_a_question_finds_the_passage_that_answers_it(team: Team) -> None:
    assert places(team, "How many holidays do I have each year?")[0] == ("leave.md", "lines 1–3")
    assert places(team, "what may a hotel cost")[0] == ("travel.md", "lines 1–3")
    assert places(team, "Straße")[0] == ("größe.txt", "line 1")


def test_a_word_is_found_in_another_form(team: Team) -> None:
    assert places(team, "holiday") == [("leave.md", "lines 1–3")]
    assert places(team, "booking train") == [("travel.md", "lines 5–7")]


def test_phrases_and_exclusions_are_heard(team: Team) -> None:
    assert places(team, '"second class"') == [("travel.md", "lines 5–7")]
    assert places(team, '"class second"') == []
    assert places(team, "euros -hotel") == []
    assert len(places(team, "hotel or ill")) == 2


def test_passages_with_every_word_come_before_those_with_some(team: Team) -> None:
    found = find(team.workspace.pk, "handbook", "thirty trains ill holidays")
    assert found[0].place == "lines 1–3"
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(0 < one.score < 1 for one in found)
    book = Collection.objects.get(slug="handbook", workspace=team.workspace)
    collections.add(acting(team.alice), book, "z.txt", "ill ill ill ill ill ill. A night train, for one who is ill.")
    assert places(team, "ill train night")[0] == ("z.txt", "line 1")


def test_no_more_is_given_than_asked_for(team: Team) -> None:
    assert len(places(team, "holidays hotel train ill", limit=2)) == 2
    assert len(places(team, "holidays hotel train ill", limit=0)) == 1


@pytest.mark.parametrize("query", ["", "the", "\0", "'; drop table x --", "a & | ! <-> (", "\ud800", "!!", "x" * 9_000])
def test_no_query_breaks_the_search(team: Team, query: str) -> None:
    assert isinstance(find(team.workspace.pk, "handbook", query), list)


def test_another_workspaces_collection_is_not_there(team: Team) -> None:
    with pytest.raises(UnknownCollection) as refused:
        find(team.workspace.pk, "theirs", "holidays")
    assert refused.value.message == "There is no collection named 'theirs' here. There are: handbook."


def test_a_large_collection_answers_soon(team: Team) -> None:
    book = collections.create(acting(team.alice), "large")
    for n in range(4):
        rules = (f"Rule {n}.{one}: holidays, hotels and trains are booked early. " * 8 for one in range(1_000))
        collections.add(acting(team.alice), book, f"{n}.txt", "\n\n".join(rules))
    begun = time.perf_counter()
    found = find(team.workspace.pk, "large", "when are holidays and hotels booked")
    assert time.perf_counter() - begun < 5
    assert len(found) == 5

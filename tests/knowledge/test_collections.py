"""Collections: who may fill them, what becomes of a text, and what the audit log keeps."""

import time
from contextlib import suppress

import pytest

from accounts.errors import Conflict, Forbidden, Invalid
from accounts.models import AuditEntry
from pipelines.knowledge import collections, texts
from pipelines.knowledge.models import Collection, Document, Passage
from tests.people import Team, a_team, acting


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture
def handbook(team: Team) -> Collection:
    return collections.create(acting(team.alice), "handbook", "Handbook")


def add(team: Team, handbook: Collection, name: str, text: str) -> Document:
    return collections.add(acting(team.alice), handbook, name, text)


def test_a_document_is_kept_with_its_passages(team: Team, handbook: Collection) -> None:
    document = add(team, handbook, "leave.md", "# Leave\n\nThirty days.\n\n# Illness\n\nCall us.")
    assert (document.media_type, document.characters, len(document.sha256)) == ("text/markdown", 42, 64)
    assert [(one.n, one.place) for one in document.passages.order_by("n")] == [(1, "lines 1–3"), (2, "lines 5–7")]


def test_the_same_text_changes_nothing_and_another_one_takes_its_place(team: Team, handbook: Collection) -> None:
    first = add(team, handbook, "leave.md", "Thirty days.")
    assert add(team, handbook, "leave.md", "Thirty days.") == first
    second = add(team, handbook, "leave.md", "Thirty-one days.")
    assert (second.pk, second.text) == (first.pk, "Thirty-one days.")
    assert [passage.text for passage in Passage.objects.all()] == ["Thirty-one days."]
    actions = AuditEntry.objects.order_by("seq").values_list("action", "target")
    added = [("document.added", "handbook/leave.md"), ("document.replaced", "handbook/leave.md")]
    assert list(actions) == [("collection.created", "handbook"), *added]


def test_html_is_kept_as_its_words(team: Team, handbook: Collection) -> None:
    page = (
        "<title>Leave</title><style>p{color:red}</style><script>alert('no')</script><h1>Holidays &amp; more</h1>"
        "<p>Thirty <b>days</b>,\n  a year.<p>Ask <i>Ines</i><table><tr><td>May<td>June</table>"
    )
    document = add(team, handbook, "leave.html", page)
    assert document.text == "Leave\n\nHolidays & more\n\nThirty days, a year.\n\nAsk Ines\n\nMay June"
    assert document.passages.get().place == "§1–5"


@pytest.mark.parametrize("unit", ["<a", "<![", "</", "&", "<a b='", "<p>"])
def test_hostile_html_is_read_or_refused_in_time(unit: str) -> None:
    begun = time.perf_counter()
    with suppress(Invalid):
        texts.readable(unit * (500_000 // len(unit)) + " words", texts.HTML)
    assert time.perf_counter() - begun < texts.SECONDS + 5


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("report.pdf", "x", "unsupported_type"),
        ("empty.txt", " \n ", "empty_document"),
        ("empty.html", "<p></p>", "empty_document"),
        ("nul.txt", "a\0b", "bad_text"),
        ("half.txt", "a\ud800b", "bad_text"),
        ("long.txt", "x" * 1_000_001, "document_too_large"),
        ("", "x", "invalid"),
        ("n" * 201, "x", "invalid"),
        ("a\0b", "x", "bad_text"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    team: Team, handbook: Collection, name: str, text: str, code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        add(team, handbook, name, text)
    assert refused.value.code == code
    assert not Document.objects.exists()


def test_a_file_that_is_no_text_is_refused() -> None:
    assert texts.decoded("\ufeffGrüße".encode()) == "Grüße"
    with pytest.raises(Invalid) as refused:
        texts.decoded(b"%PDF-1.7 \xff\xfe")
    assert refused.value.code == "not_text"


def test_a_full_collection_says_so(team: Team, handbook: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collections, "MOST_CHARACTERS", 10)
    add(team, handbook, "a.txt", "12345")
    with pytest.raises(Invalid) as refused:
        add(team, handbook, "b.txt", "123456")
    assert refused.value.code == "collection_full"
    add(team, handbook, "a.txt", "1234567890")
    monkeypatch.setattr(collections, "MOST_DOCUMENTS", 1)
    with pytest.raises(Invalid):
        add(team, handbook, "b.txt", "1")


def test_a_name_is_taken_once_per_workspace(team: Team, handbook: Collection) -> None:
    with pytest.raises(Conflict):
        collections.create(acting(team.alice), "handbook")
    assert collections.create(acting(team.charlie), "handbook").workspace == team.elsewhere
    with pytest.raises(Invalid):
        collections.create(acting(team.alice), "Hand Book")


def test_only_who_edits_fills_and_removes(team: Team, handbook: Collection) -> None:
    document = add(team, handbook, "leave.md", "Thirty days.")
    for person in (team.bob, team.carol, team.erin):
        actor = acting(person)
        for act in (
            lambda actor=actor: collections.create(actor, "other"),
            lambda actor=actor: collections.add(actor, handbook, "a.txt", "x"),
            lambda actor=actor: collections.remove_document(actor, document),
            lambda actor=actor: collections.remove(actor, handbook),
        ):
            with pytest.raises(Forbidden):
                act()
    collections.remove_document(acting(team.alice), document)
    collections.remove(acting(team.alice), handbook)
    assert not Passage.objects.exists()
    assert not Collection.objects.exists()
    actions = AuditEntry.objects.order_by("seq").values_list("action", flat=True)
    assert list(actions)[-2:] == ["document.removed", "collection.removed"]


def test_a_list_tells_sizes(team: Team, handbook: Collection) -> None:
    add(team, handbook, "a.txt", "12345")
    add(team, handbook, "b.md", "# A\n\none\n\n# B\n\ntwo")
    collections.create(acting(team.alice), "empty")
    collections.create(acting(team.charlie), "theirs")
    rows = collections.listed(acting(team.bob)).order_by("slug")
    assert [(row.slug, row.size, row.passages, row.characters) for row in rows] == [
        ("empty", 0, 0, 0),
        ("handbook", 2, 3, 23),
    ]

"""The pages of knowledge: who composes fills collections, everybody reads and searches, a stranger finds nothing."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from pipelines import gallery
from pipelines.gallery import handbooks
from pipelines.knowledge.models import Collection, Document
from tests.people import Team, a_team, acting, signed_in_as

PAGE = "/knowledge/handbook/"


@pytest.fixture
def team(db: None) -> Team:
    team = a_team()
    handbooks.bring(acting(team.alice), gallery.template("document-questions").document)
    return team


def text_of(client: Client, address: str, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_collection_is_made_from_its_name(team: Team) -> None:
    alice = signed_in_as(team.alice)
    answer = alice.post("/knowledge/", {"name": "Price Lists"})
    assert answer.headers["location"] == "/knowledge/price-lists/"
    assert "No document yet." in text_of(alice, "/knowledge/price-lists/")
    again = alice.post("/knowledge/", {"name": "price lists"})
    assert (again.status_code, Collection.objects.count()) == (409, 2)
    assert "There is already a collection named" in again.content.decode()
    assert 'value="price lists"' in again.content.decode()
    assert alice.post("/knowledge/", {"name": "…"}).status_code == 422


def test_a_file_or_a_pasted_text_becomes_a_document(team: Team) -> None:
    alice = signed_in_as(team.alice)
    file = SimpleUploadedFile("travel.html", b"<p>Trains are <b>blue</b>.", "text/html")
    assert alice.post(f"{PAGE}add/", {"file": file}).headers["location"] == PAGE
    assert Document.objects.get(name="travel.html").text == "Trains are blue."
    alice.post(f"{PAGE}add/", {"text": "Buses are red.", "name": "buses.txt"})
    page = text_of(alice, PAGE, q="which colour have the buses")
    assert "buses.txt can be searched: 1 passage." in page
    assert "Buses are red." in page


def test_what_cannot_be_read_is_told_and_what_was_typed_stays(team: Team) -> None:
    alice = signed_in_as(team.alice)
    answer = alice.post(f"{PAGE}add/", {"text": "kept words", "name": "report.pdf"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "cannot be read" in page
    assert "kept words" in page
    file = SimpleUploadedFile("photo.txt", b"\xff\xd8\xff", "text/plain")
    assert "not text in UTF-8" in alice.post(f"{PAGE}add/", {"file": file}).content.decode()
    assert Document.objects.count() == 3


def test_a_search_is_tried_on_the_page_and_htmx_gets_what_was_found_alone(team: Team) -> None:
    bob = signed_in_as(team.bob)
    page = text_of(bob, PAGE, q="how many days of holidays")
    assert page.index("28 days of holidays") < page.index("Your team lead approves holidays")
    part = bob.get(PAGE, {"q": "hotel"}, headers={"HX-Request": "true"}).content.decode()
    assert "120 euros a night" in part
    assert "<html" not in part
    assert "No passage has a word of that." in text_of(bob, PAGE, q="submarine")


def test_documents_and_collections_are_removed_by_who_composes(team: Team) -> None:
    alice, bob = signed_in_as(team.alice), signed_in_as(team.bob)
    document = Document.objects.get(name="holidays.md")
    for path in (f"{PAGE}{document.pk}/remove/", f"{PAGE}remove/"):
        assert bob.post(path).status_code == 403
        assert alice.post(path).status_code == 302
    assert not Collection.objects.exists()


def test_who_only_reads_is_offered_nothing_to_change(team: Team) -> None:
    bob = signed_in_as(team.bob)
    assert "New collection" not in text_of(bob, "/knowledge/")
    page = text_of(bob, PAGE)
    assert "Add a document" not in page
    assert "/remove/" not in page
    assert bob.post("/knowledge/", {"name": "Mine"}).status_code == 403
    assert bob.post(f"{PAGE}add/", {"text": "mine"}).status_code == 403
    assert Document.objects.count() == 3


def test_a_stranger_sees_no_collection(team: Team) -> None:
    charlie = signed_in_as(team.charlie)
    document = Document.objects.get(name="holidays.md")
    assert "handbook" not in text_of(charlie, "/knowledge/")
    assert charlie.get(PAGE, {"q": "holidays"}).status_code == 404
    for path in (f"{PAGE}add/", f"{PAGE}remove/", f"{PAGE}{document.pk}/remove/"):
        assert charlie.post(path, {"text": "x"}).status_code == 404
    assert Document.objects.count() == 3

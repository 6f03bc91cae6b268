"""Whatever comes as a file is searched for malware before it is kept; without an answer nothing is taken."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import scanner
from accounts.models import AuditEntry
from evals import cases, datasets
from evals.models import Case, Dataset, DatasetVersion
from orchestrator_site import env, health
from orchestrator_site.management.commands import doctor
from pipelines.gallery import handbooks
from pipelines.graph.canonical import canonical_json, digest
from pipelines.knowledge import collections
from pipelines.knowledge.models import Collection, Document, Passage
from pipelines.models import Agent, Pipeline
from runs.models import Artifact
from tests.api.world import a_world
from tests.clamd import MARK, SIGNATURE, VERSION, Clamd
from tests.people import Team, a_team, acting, bearer, signed_in_as
from tests.pipelines.builders import a_document

KEPT = (Document, Passage, Pipeline, Agent, Dataset, DatasetVersion, Case)
Answer = tuple[int, str]


@pytest.fixture
def team(db: None) -> Team:
    made = a_team()
    collections.create(acting(made.alice), "handbook")
    datasets.create(acting(made.alice), "greetings", cases.read([{"name": "first"}]))
    return made


@pytest.fixture(params=["tcp", "unix"])
def clamd(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Clamd]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # the path of a socket is short
        made = Clamd(Path(folder) if request.param == "unix" else None)
        settings.SCANNER = made.address
        yield made
        made.close()


def program(team: Team, place: str, body: Any, **headers: str) -> Answer:
    answer = Client().post(
        f"/api/v1/{place}", body, "application/json", headers=bearer(team.alice, team.workspace) | headers
    )
    return answer.status_code, answer.content.decode()


def page(team: Team, place: str, **form: Any) -> Answer:
    answer = signed_in_as(team.alice).post(place, form)
    return answer.status_code, answer.content.decode()


def file(name: str, content: str) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content.encode())


def a_pipeline(said: str) -> dict[str, Any]:
    return a_document("brought", description=said)


def a_case(said: str) -> list[dict[str, Any]]:
    return [{"name": "brought", "inputs": {"message": said}}]


def by_command(team: Team, said: str) -> Answer:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as kept:
        kept.write(json.dumps(a_pipeline(said)))
        kept.flush()
        try:
            call_command("import_pipeline", kept.name, workspace="acme")
        except CommandError as refused:
            return (503 if "not_scanned" in str(refused) else 422), str(refused)
    return 302, ""


WAYS: dict[str, Callable[[Team, str], Answer]] = {
    "document, program": lambda team, said: program(
        team, "knowledge/handbook/documents", {"name": "a.txt", "text": said}
    ),
    "document, file": lambda team, said: page(team, "/knowledge/handbook/add/", file=file("a.html", f"<p>{said}")),
    "document, pasted": lambda team, said: page(team, "/knowledge/handbook/add/", name="a.txt", text=said),
    "import, program": lambda team, said: program(team, "imports", {"document": a_pipeline(said)}),
    "import, file": lambda team, said: page(
        team, "/new/import/", form="f1", file=file("a.json", json.dumps(a_pipeline(said)))
    ),
    "import, pasted": lambda team, said: page(team, "/new/import/", form="f1", document=json.dumps(a_pipeline(said))),
    "import, command": by_command,
    "dataset, program": lambda team, said: program(team, "datasets", {"name": "brought", "cases": a_case(said)}),
    "dataset, its next version": lambda team, said: program(
        team, "datasets/greetings/versions", {"cases": a_case(said)}
    ),
    "dataset, another tool's": lambda team, said: program(
        team, "dataset-files", {"name": "brought", "format": "deepeval", "data": [{"input": said}]}
    ),
    "dataset, page": lambda team, said: page(team, "/datasets/+new/", name="brought", cases=json.dumps(a_case(said))),
    "dataset, page of one": lambda team, said: page(team, "/datasets/greetings/", cases=json.dumps(a_case(said))),
}


def kept() -> list[int]:
    return [model.objects.count() for model in KEPT]


@pytest.mark.parametrize("way", WAYS)
def test_malware_is_refused_by_its_name_whichever_way_it_comes_and_nothing_is_kept(
    team: Team, clamd: Clamd, way: str
) -> None:
    before = kept()
    status, said = WAYS[way](team, f"Hello, {MARK}!")
    assert (status, SIGNATURE in said) == (422, True), said
    assert kept() == before
    [entry] = AuditEntry.objects.filter(action="file.refused")
    assert (entry.workspace, entry.data["signature"]) == (team.workspace, SIGNATURE)
    assert MARK.encode() in clamd.scanned[-1]
    status, said = WAYS[way](team, "Hello, you!")
    assert status in (201, 302), said
    assert kept() != before
    assert b"Hello, you!" in clamd.scanned[-1]


@pytest.mark.parametrize("way", WAYS)
def test_without_a_scanner_that_answers_nothing_is_taken(team: Team, settings: Settings, way: str) -> None:
    settings.SCANNER = "tcp://127.0.0.1:1"
    before = kept()
    status, said = WAYS[way](team, "Hello, you!")
    assert status == 503, said
    assert "searched for malware here" in said
    assert kept() == before
    settings.SCANNER = ""
    assert WAYS[way](team, "Hello, you!")[0] in (201, 302)


def escaped(said: str) -> str:
    """Return JSON of a pipeline that says so, with no letter of it as it is."""
    letters = "".join(f"\\u{ord(letter):04x}" for letter in said)
    return json.dumps(a_pipeline("%")).replace("%", letters)


def test_what_is_kept_is_searched_and_not_only_how_it_was_written(team: Team, clamd: Clamd) -> None:
    before = kept()
    entities = "".join(f"&#{ord(letter)};" for letter in MARK)
    several = {"name": "brought", "cases": a_case(f"\n{MARK}\n".replace("-", '"-'))}
    clamd.mark = MARK.replace("-", '"-')
    assert program(team, "datasets", several)[0] == 422
    clamd.mark = MARK
    assert page(team, "/knowledge/handbook/add/", file=file("a.html", f"<p>{entities}"))[0] == 422
    assert page(team, "/new/import/", form="f1", document=escaped(MARK))[0] == 422
    assert kept() == before


def test_a_text_is_looked_at_from_its_beginning_wherever_it_stands(team: Team, clamd: Clamd) -> None:
    longer = "x" * 100
    assert program(team, "datasets", {"name": "brought", "cases": a_case(longer)})[0] == 201
    assert longer.encode() in clamd.scanned


def test_few_wait_for_the_scanner_at_once(team: Team, clamd: Clamd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "TURN_SECONDS", 0.1)
    for _ in range(scanner.AT_ONCE):
        assert scanner._turns.acquire(blocking=False)
    try:
        assert program(team, "imports", {"document": a_pipeline("Hello")})[0] == 503
    finally:
        scanner._turns.release(scanner.AT_ONCE)
    assert program(team, "imports", {"document": a_pipeline("Hello")})[0] == 201
    assert scanner._turns.acquire(blocking=False), "each gives its turn back"
    scanner._turns.release()


def test_files_that_come_with_baton_need_no_scanner(team: Team, settings: Settings) -> None:
    settings.SCANNER = "tcp://127.0.0.1:1"
    wanted = {"tool": handbooks.SEARCH, "args": {"collection": min(handbooks._THERE)}}
    Collection.objects.all().delete()
    handbooks.bring(acting(team.alice), wanted)
    assert Document.objects.exists()


def test_the_api_names_what_was_found_and_what_to_do_without_an_answer(team: Team, clamd: Clamd) -> None:
    body = {"name": "a.txt", "text": MARK}
    alice = bearer(team.alice, team.workspace)
    found = Client().post("/api/v1/knowledge/handbook/documents", body, "application/json", headers=alice)
    assert (found.status_code, found.json()["code"]) == (422, "malware_found")
    clamd.close()
    away = Client().post("/api/v1/knowledge/handbook/documents", body, "application/json", headers=alice)
    assert (away.status_code, away.json()["code"], away["Retry-After"]) == (503, "not_scanned", "30")


def test_it_is_written_down_although_the_request_is_undone_and_once_for_each(team: Team, clamd: Clamd) -> None:
    body = {"name": "a.txt", "text": MARK}
    for _ in range(2):
        status, _ = program(team, "knowledge/handbook/documents", body, **{"Idempotency-Key": "k-1"})
        assert status == 422
    assert (
        list(AuditEntry.objects.filter(action="file.refused").values_list("actor", "target"))
        == [("alice@example.com", "handbook/a.txt")] * 2
    )


@pytest.mark.parametrize(
    "says", ["INSTREAM size limit exceeded. ERROR", "stream: OK\nstream: OK", "OK", "stream: FOUND", "x" * 2_000]
)
def test_only_a_plain_answer_counts(team: Team, clamd: Clamd, says: str) -> None:
    clamd.says = says
    status, said = WAYS["document, program"](team, "Hello, you!")
    assert (status, "not_scanned" in said) == (503, True)
    assert not Document.objects.exists()


def test_a_scanner_that_says_nothing_is_not_waited_for_without_end(
    team: Team, clamd: Clamd, monkeypatch: pytest.MonkeyPatch
) -> None:
    clamd.silent = True
    monkeypatch.setattr(scanner, "SECONDS_IN_ALL", 0.5)
    began = time.monotonic()
    assert WAYS["document, program"](team, "Hello, you!")[0] == 503
    assert time.monotonic() - began < 5


def test_a_large_file_is_scanned_whole(team: Team, clamd: Clamd) -> None:
    text = "Hello, you! " * 80_000
    assert WAYS["document, program"](team, text)[0] == 201
    assert clamd.scanned == [text.encode()]
    assert WAYS["document, file"](team, text + MARK)[0] == 422


def test_who_may_keep_nothing_asks_no_scanner(team: Team, clamd: Clamd) -> None:
    answer = signed_in_as(team.bob).post("/knowledge/handbook/add/", {"name": "a.txt", "text": MARK})
    assert answer.status_code == 403
    assert clamd.scanned == []


@pytest.mark.django_db
def test_what_a_run_has_kept_is_searched_before_it_is_downloaded(clamd: Clamd) -> None:
    world = a_world()
    run, bob = world.here.run, bearer(world.team.bob, world.team.workspace)
    for value, status in ((f"From the web: {MARK}", 422), ("From the web: nothing", 200)):
        hashed = digest(value)
        Artifact.objects.create(run=run, hash=hashed, size=len(canonical_json(value)), value=value)
        answer = Client().get(f"/api/v1/runs/{run.pk}/artifacts/{hashed}", {"form": "text"}, headers=bob)
        assert answer.status_code == status
    assert clamd.scanned[-2:] == [f"From the web: {MARK}".encode(), b"From the web: nothing"]


def test_the_doctor_says_what_the_scanner_is_and_that_it_is_away(clamd: Clamd, settings: Settings) -> None:
    assert doctor._scanner() == VERSION
    clamd.close()
    with pytest.raises(health.NotReady, match="No file is taken until it does"):
        doctor._scanner()
    settings.SCANNER = ""
    assert doctor._scanner() == "none is set, so files are kept as they come"


@pytest.mark.parametrize(
    "address", ["unix:", "unix:///", "unix://run/s", "tcp://", "tcp://h:x", "tcp://u@h:1", "http://h"]
)
def test_an_address_that_is_no_socket_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("EXAMPLE", address)
    with pytest.raises(ImproperlyConfigured, match="EXAMPLE must"):
        env.socket("EXAMPLE")

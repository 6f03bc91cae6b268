"""The evidence of a run: what is in it, who may take it, and that no change to it goes unnoticed."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from accounts import audit, seals
from accounts.access import Actor
from accounts.errors import Conflict, Forbidden, NotFound
from accounts.models import AuditEntry
from accounts.roles import Role
from approvals import services
from approvals.evidence import checking
from approvals.evidence.packing import evidence_of
from runs.models import Artifact, Call, Event, Run
from tests.approvals.builders import Desk, a_desk, an_approval, approve
from tests.conftest import database_url
from tests.people import signed_in_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(db: Any) -> Desk:
    """A run that asked bob, who said yes, and has ended."""
    desk = a_desk()
    approval = an_approval(desk.run)
    services.decide(desk.actor("bob"), approval.pk, approve(approval, reason="Fine."))
    Event.objects.create(run=desk.run, seq=1, type="run_created", at=Now(), payload={"by": "alice@example.com"})
    Call.objects.create(
        run=desk.run,
        key="a@1/1",
        path="a",
        attempt=1,
        n=1,
        kind="model",
        name="stub/m",
        state="finished",
        request={"messages": [{"role": "user", "text": "Wünsche"}]},
        response={"text": "done", "sum": 1e20},
        started_at=Now(),
    )
    Run.objects.filter(pk=desk.run.pk).update(state="succeeded", finished_at=Now())
    audit.record(desk.team.workspace, desk.team.alice, "run.cancelled", str(desk.run.pk))
    return desk


def packed(desk: Desk, by: str = "erin") -> bytes:
    return evidence_of(desk.actor(by), desk.run.pk)[1].read()


def found(data: bytes, key: str | None = None) -> checking.Found:
    return checking.check(io.BytesIO(data), key or seals.public_key())


def files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(data: bytes, **changed: bytes | None) -> bytes:
    """Return the archive with other files; None leaves one out."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in (files(data) | {name.replace("__", "."): text for name, text in changed.items()}).items():
            if text is not None:
                archive.writestr(name, text)
    return made.getvalue()


def test_it_holds_what_the_run_did_and_each_file_has_its_sum(desk: Desk) -> None:
    data = packed(desk)
    assert found(data).wrong == []
    held = files(data)
    manifest = json.loads(held["manifest.json"])
    assert (manifest["run"], manifest["made_by"]) == (str(desk.run.pk), "erin@example.com")
    assert manifest["files"].keys() == held.keys() - {"manifest.json", "manifest.sig"}
    for name, one in manifest["files"].items():
        assert hashlib.sha256(held[name]).hexdigest() == one["sha256"]
    (decision,) = map(json.loads, held["decisions.jsonl"].splitlines())
    people = json.loads(held["people.json"])
    assert (decision["reason"], people[decision["by_id"]]) == ("Fine.", "bob@example.com")
    assert "Wünsche" in held["prompts.jsonl"].decode()
    assert json.loads(held["version.json"])["hash"] == desk.run.version.hash
    assert b"run_created" in held["events.jsonl"]
    assert b"run.cancelled" in held["audit.jsonl"]
    assert AuditEntry.objects.filter(action="run.evidence_exported", target=str(desk.run.pk)).count() == 1


def test_it_holds_values_too_large_for_their_rows(desk: Desk) -> None:
    Artifact.objects.create(run=desk.run, hash="sha256:" + "a" * 64, size=9, value={"text": "A long one."})
    (value,) = map(json.loads, files(packed(desk))["values.jsonl"].splitlines())
    assert (value["hash"][-1], value["value"]) == ("a", {"text": "A long one."})


def test_no_change_goes_unnoticed(desk: Desk) -> None:
    data = packed(desk)
    decisions = files(data)["decisions.jsonl"].replace(b"Fine.", b"Oh no")
    forged = files(data)["manifest.json"].replace(b"erin@", b"carl@")
    longer = files(data)["events.jsonl"] + b"{}\n"
    for changed, said in (
        (rewritten(data, decisions__jsonl=decisions), "decisions.jsonl is not what was signed."),
        (rewritten(data, events__jsonl=longer), "events.jsonl is not what was signed."),
        (rewritten(data, prompts__jsonl=None), "prompts.jsonl is missing."),
        (rewritten(data, more__json=b"{}"), "more.json is not in the manifest."),
        (rewritten(data, manifest__json=forged), "manifest.json was changed."),
        (rewritten(data, manifest__sig=b"x" * 64), "manifest.json was changed."),
        (rewritten(data, manifest__sig=None), "no evidence bundle."),
        (data[: len(data) // 2], "no ZIP archive"),
        (b"hello", "no ZIP archive"),
    ):
        assert any(said in one for one in found(changed).wrong), said


def test_damage_anywhere_is_said_and_never_an_error_of_ours(desk: Desk) -> None:
    data = packed(desk)
    for place in range(0, len(data), 3):
        for flip in (0x01, 0xFF):
            changed = bytearray(data)
            changed[place] ^= flip
            found(bytes(changed))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        begin = archive.getinfo("prompts.jsonl").header_offset + 60
    deflated = bytearray(data)
    deflated[begin : begin + 20] = b"\xff" * 20
    assert "prompts.jsonl is not what was signed." in found(bytes(deflated)).wrong


@pytest.mark.django_db(transaction=True)
def test_it_is_of_one_moment(desk: Desk) -> None:
    asked = []

    def meanwhile(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'FROM "runs_event"' in sql and not asked:
            asked.append(sql)
            with psycopg.connect(database_url()) as other:
                other.execute("UPDATE runs_call SET name = 'changed'")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(meanwhile):
        data = packed(desk)
    assert asked
    assert b"stub/m" in files(data)["prompts.jsonl"]
    assert Call.objects.get().name == "changed"


def test_it_says_that_events_were_removed_before(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads(files(packed(desk))["manifest.json"])["trimmed_at"] is None
    Run.objects.filter(pk=desk.run.pk).update(trimmed_at="2030-01-02T03:04:05Z")
    data = packed(desk)
    assert json.loads(files(data)["manifest.json"])["trimmed_at"] == "2030-01-02T03:04:05+00:00"
    (tmp_path / "run.zip").write_bytes(data)
    call_command("verify_bundle", str(tmp_path / "run.zip"))
    assert "events and spans had been removed at 2030-01-02T03:04:05+00:00" in capsys.readouterr().out


def test_a_name_that_is_there_twice_is_noticed(desk: Desk) -> None:
    made = io.BytesIO(packed(desk))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(made, "a") as archive:
        archive.writestr("run.json", b"{}")
    assert "run.json is there twice." in found(made.getvalue()).wrong


def test_another_installations_signature_is_none(desk: Desk, settings: Any) -> None:
    data, key = packed(desk), seals.public_key()
    settings.SECRET_KEY = "another installation's key of some length"
    assert found(data).wrong
    assert found(data, key).wrong == []
    assert found(data, "no key").wrong


def test_only_who_may_export_takes_it_and_only_of_a_run_that_has_ended(desk: Desk) -> None:
    for name in ("alice", "bob"):
        with pytest.raises(Forbidden):
            evidence_of(desk.actor(name), desk.run.pk)
    stranger = Actor(desk.team.charlie, desk.team.elsewhere, frozenset({Role.AUDITOR}))
    with pytest.raises(NotFound):
        evidence_of(stranger, desk.run.pk)
    Run.objects.filter(pk=desk.run.pk).update(state="running")
    with pytest.raises(Conflict) as refused:
        evidence_of(desk.actor("erin"), desk.run.pk)
    assert refused.value.code == "run_not_over"


def test_it_is_downloaded_from_the_runs_page_and_checked_by_the_command(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    erin, address = signed_in_as(desk.team.erin), f"/runs/{desk.run.pk}/evidence/"
    assert erin.get(address).status_code == 405
    answer = erin.post(address)
    assert f'filename="acme-run-{desk.run.number}.zip"' in answer["Content-Disposition"]
    file = tmp_path / "run.zip"
    data = b"".join(answer)  # type: ignore[call-overload]
    file.write_bytes(data)
    call_command("verify_bundle", str(file))
    assert f"Whole: run {desk.run.number} of " in capsys.readouterr().out
    call_command("verify_bundle", "--show-key")
    assert capsys.readouterr().out.strip() == seals.public_key()
    file.write_bytes(rewritten(data, run__json=b"{}"))
    with pytest.raises(CommandError, match="not as it was made"):
        call_command("verify_bundle", str(file))
    assert "run.json is not what was signed." in capsys.readouterr().err
    for wrong in ([], [str(tmp_path / "absent.zip")]):
        with pytest.raises(CommandError):
            call_command("verify_bundle", *wrong)

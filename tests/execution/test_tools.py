"""The built-in tools against real sockets and rows."""

import asyncio
import base64
import json
import sys
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from accounts.models import Workspace
from pipelines.graph import gates
from pipelines.library.tools import TOOLS
from runs.engine.facts import ErrorClass, StepBlocked, StepError, StepFailed, StepSucceeded
from runs.execution.post import message_id
from runs.execution.statuses import seconds_after
from runs.execution.steps import carry_out
from runs.models import Note
from tests.execution.contexts import WORKSPACE, MemoryContext, a_tool_step
from tests.sink import Sink

MAIL = {"to": "maya@northwind.example", "subject": "An idea", "body": "Good day,\n.\nGrüße"}


def approved(tool: str, args: dict[str, Any]) -> MemoryContext:
    return a_tool_step(tool, args, grants={gates.payload_hash(gates.payload(TOOLS[tool], args)): "approval-1"})


async def output_of(step: MemoryContext) -> Any:
    fact = await carry_out(step)
    assert isinstance(fact, StepSucceeded), fact
    return fact.output


async def error_of(step: MemoryContext) -> StepError:
    fact = await carry_out(step)
    assert isinstance(fact, StepFailed), fact
    return fact.error


# http.request


async def test_json_is_sent_and_json_comes_back(sink: Sink) -> None:
    args = {"method": "POST", "url": f"{sink.url}/orders", "json": {"ä": 1}, "idempotency_header": "Idempotency-Key"}

    result = await output_of(approved("http.request@1", args))

    assert result["status"] == 200
    assert result["json"] == {"ok": True}
    effect = sink.effects[0]
    assert json.loads(effect["body"]) == {"ä": 1}
    assert effect["headers"]["content-type"] == "application/json"
    assert effect["key"] == "run-1/send/1"


@pytest.mark.parametrize(("status", "cls"), [(400, "tool_error"), (404, "tool_error"), (503, "transient")])
async def test_an_answer_of_400_or_more_is_a_failure(sink: Sink, status: int, cls: str) -> None:
    args = {"method": "GET", "url": f"{sink.url}/status?code={status}"}

    error = await error_of(a_tool_step("http.request@1", args))

    assert (error.cls, error.code) == (cls, f"http_{status}")


@pytest.mark.parametrize("said", ["400", "404", "408", "409", "429", "501", "505", "511", "503&after=2"])
async def test_a_post_that_was_refused_was_not_done_and_is_not_offered_for_a_retry(sink: Sink, said: str) -> None:
    step = approved("http.request@1", {"method": "POST", "url": f"{sink.url}/status?code={said}"})

    error = await error_of(step)

    assert (error.cls, error.code) == (ErrorClass.TOOL_ERROR, f"http_{said[:3]}")
    assert (error.lost, error.maybe_done, step.outcomes[0].lost) == (False, False, False)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 507, 520])
async def test_an_unkeyed_post_whose_answer_leaves_open_whether_it_was_done_waits_for_a_person(
    sink: Sink, status: int
) -> None:
    step = approved("http.request@1", {"method": "POST", "url": f"{sink.url}/status?code={status}"})

    fact = await carry_out(step)

    assert isinstance(fact, StepBlocked)
    assert (fact.kind, fact.call, fact.maybe_done) == ("outcome_unknown", "send@1/1", True)
    assert str(status) in fact.why
    assert step.outcomes[0].lost

    again = await carry_out(step.again())

    assert isinstance(again, StepBlocked)
    assert again.why == fact.why
    assert len(sink.effects) == 1


@pytest.mark.parametrize(
    ("said", "lost"), [("500", True), ("502", True), ("503", True), ("503&after=2", False), ("429", False)]
)
async def test_a_keyed_post_may_be_sent_again_whether_or_not_it_was_done(sink: Sink, said: str, lost: bool) -> None:
    args = {"method": "POST", "url": f"{sink.url}/status?code={said}", "idempotency_header": "Idempotency-Key"}
    step = approved("http.request@1", args)

    error = await error_of(step)
    assert (error.cls, error.lost, error.maybe_done) == (ErrorClass.TRANSIENT, lost, lost)
    await error_of(step.again(attempt=2))

    assert {effect["key"] for effect in sink.effects} == {"run-1/send/1"}
    assert len(sink.effects) == 2


NOVEMBER = "Mon, 30 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("2", "", 2.0),
        (" 120 ", "", 120.0),
        ("Mon, 30 Nov 2026 12:00:30 GMT", NOVEMBER, 30.0),
        ("Monday, 30-Nov-26 12:01:00 GMT", NOVEMBER, 60.0),
        ("Mon Nov 30 12:00:05 2026", NOVEMBER, 5.0),
        ("Mon, 30 Nov 2026 11:00:00 GMT", NOVEMBER, 0.0),
        ("Mon, 30 Nov 2026 13:00:10 GMT", "", 10.0),
        ("Mon, 30 Nov 2026 13:00:10 GMT", "soon", 10.0),
        ("Sun, 30 Nov 2036 12:00:00 GMT", NOVEMBER, None),
        ("9" * 400, "", None),
        ("-1", "", None),
        ("1.5", "", None),
        ("soon", NOVEMBER, None),
        ("Mon, 99 Nov 2026 12:00:30 GMT", NOVEMBER, None),
        ("Mon, 30 Nov 99999999999999999999 12:00:30 GMT", NOVEMBER, None),
        ("\u0662", "", None),
        ("", NOVEMBER, None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date_of_the_servers_clock(
    value: str, date: str, seconds: float | None
) -> None:
    asked_at = datetime(2026, 11, 30, 13, tzinfo=UTC)
    assert seconds_after({"Retry-After": value, "Date": date}, asked_at) == seconds


async def test_a_server_that_names_a_date_is_asked_again_then(sink: Sink) -> None:
    in_a_minute = quote(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    args = {"method": "GET", "url": f"{sink.url}/status?code=503&after={in_a_minute}"}

    error = await error_of(a_tool_step("http.request@1", args))

    assert error.cls is ErrorClass.TRANSIENT
    assert error.retry_after is not None
    assert 50 < error.retry_after <= 60


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504])
async def test_reading_is_tried_again_after_whatever_failed_at_the_server(sink: Sink, status: int) -> None:
    error = await error_of(a_tool_step("http.request@1", {"method": "GET", "url": f"{sink.url}/status?code={status}"}))

    assert (error.cls, error.lost, error.maybe_done) == (ErrorClass.TRANSIENT, False, False)


async def test_reading_follows_redirects_and_drops_what_could_be_a_credential(sink: Sink) -> None:
    async with Sink() as other:
        args = {
            "method": "GET",
            "url": f"{sink.url}/redirect?to={other.url}/landed",
            "headers": {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "Accept": "text/plain"},
        }

        assert (await output_of(a_tool_step("http.request@1", args)))["status"] == 200

        landed = other.effects[0]["headers"]
        assert landed["accept"] == "text/plain"
        assert "s3cret" not in json.dumps(landed)
        assert sink.effects[0]["headers"]["authorization"] == "Bearer s3cret"


async def test_writing_does_not_follow_redirects(sink: Sink) -> None:
    args = {"method": "POST", "url": f"{sink.url}/redirect?to={sink.url}/elsewhere"}

    assert (await output_of(approved("http.request@1", args)))["status"] == 302
    assert len(sink.effects) == 1


async def test_redirects_are_counted(sink: Sink) -> None:
    error = await error_of(a_tool_step("http.request@1", {"method": "GET", "url": f"{sink.url}/loop"}))

    assert error.code == "too_many_redirects"
    assert len(sink.effects) == 6


@pytest.mark.parametrize("path", ["/big?bytes=6000000", "/gzip?bytes=600000000"])
async def test_an_answer_that_is_too_large_is_cut_off(sink: Sink, path: str) -> None:
    error = await error_of(a_tool_step("http.request@1", {"method": "GET", "url": f"{sink.url}{path}"}, timeout=30.0))

    assert error.code == "too_large"


async def test_a_packed_answer_is_unpacked_within_bounds(sink: Sink) -> None:
    result = await output_of(a_tool_step("http.request@1", {"method": "GET", "url": f"{sink.url}/gzip?bytes=1000"}))

    assert len(result["text"]) == 1000


@pytest.mark.parametrize(
    "headers", [{"Host": "elsewhere"}, {"Content-Length": "0"}, {"X-A": "b\r\nX-Injected: 1"}, {"X\nY": "z"}]
)
async def test_headers_that_could_smuggle_are_refused(sink: Sink, headers: dict[str, str]) -> None:
    args = {"method": "GET", "url": f"{sink.url}/x", "headers": headers}

    assert (await error_of(a_tool_step("http.request@1", args))).cls is ErrorClass.CONFIG
    assert sink.effects == []


async def test_arguments_that_do_not_fit_never_leave(sink: Sink) -> None:
    error = await error_of(a_tool_step("http.request@1", {"method": "BREW", "url": f"{sink.url}/x", "extra": 1}))

    assert error.code == "invalid_arguments"
    assert sink.effects == []


async def test_arguments_of_many_megabytes_never_leave(sink: Sink) -> None:
    args = {"method": "GET", "url": f"{sink.url}/x", "body": "x" * 5_000_000}

    error = await error_of(a_tool_step("http.request@1", args))

    assert error.code == "arguments_too_large"
    assert sink.effects == []


async def test_proxies_of_the_environment_are_ignored(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert (await output_of(a_tool_step("http.request@1", {"method": "GET", "url": f"{sink.url}/x"})))["status"] == 200


# email.send


async def test_a_mail_is_handed_over_once_with_an_id_that_follows_from_its_key(sink: Sink) -> None:
    result = await output_of(approved("email.send@1", MAIL))

    assert result == {"message_id": message_id("run-1/send/1"), "to": MAIL["to"]}
    assert [(mail["to"], mail["id"]) for mail in sink.mails] == [(MAIL["to"], result["message_id"])]
    message = message_from_bytes(sink.mails[0]["text"].replace("\r\n..", "\r\n.").encode())
    body = message.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert "Grüße" in body.decode()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"to": "a@example.com\r\nBcc: everyone@example.com"}, "header_injection"),
        ({"subject": "Hi\nBcc: everyone@example.com"}, "header_injection"),
        ({"to": "a@example.com, b@example.com"}, "bad_address"),
        ({"to": "nobody"}, "bad_address"),
        ({"to": "refuse@example.com"}, "recipient_refused"),
    ],
)
async def test_a_mail_that_cannot_be_is_refused(sink: Sink, changed: dict[str, str], code: str) -> None:
    assert (await error_of(approved("email.send@1", MAIL | changed))).code == code
    assert sink.mails == []


async def test_a_mail_server_that_falls_silent_leaves_a_question(sink: Sink) -> None:
    fact = await carry_out(approved("email.send@1", MAIL | {"to": "silent@example.com"}))

    assert isinstance(fact, StepBlocked)
    assert fact.kind == "outcome_unknown"
    assert len(sink.mails) == 1


async def test_a_mail_server_that_is_away_is_transient(sink: Sink, settings: Any) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"

    error = await error_of(approved("email.send@1", MAIL))

    assert (error.cls, error.code) == (ErrorClass.TRANSIENT, "cannot_connect")


async def test_a_mail_server_that_asks_to_come_later_is_transient(sink: Sink) -> None:
    error = await error_of(approved("email.send@1", MAIL | {"to": "later@example.com"}))

    assert (error.cls, error.code) == (ErrorClass.TRANSIENT, "smtp_451")


async def test_a_mail_server_that_is_rude_at_the_end_has_the_mail_all_the_same(sink: Sink) -> None:
    result = await output_of(approved("email.send@1", MAIL | {"to": "rude@example.com"}))

    assert [mail["id"] for mail in sink.mails] == [result["message_id"]]


async def test_mails_can_be_kept_as_files(tmp_path: Path, settings: Any) -> None:
    settings.EMAIL_URL = f"file://{tmp_path}/mails"

    await output_of(approved("email.send@1", MAIL))

    (file,) = (tmp_path / "mails").iterdir()
    assert message_from_bytes(file.read_bytes())["Subject"] == "An idea"


async def test_mails_are_printed_by_default(capsys: pytest.CaptureFixture[str], settings: Any) -> None:
    settings.EMAIL_URL = "console:"

    await output_of(approved("email.send@1", MAIL))

    assert "Subject: An idea" in capsys.readouterr().out


# crm.log and notes.append


@pytest.mark.django_db(transaction=True)
async def test_a_note_is_written_once_under_its_key() -> None:
    await asyncio.to_thread(Workspace.objects.create, id=WORKSPACE, slug="sample", name="Sample")
    first = a_tool_step("crm.log@1", {"contact": "maya@northwind.example", "note": "Wrote to her."})
    before = await output_of(first)
    first.crash()

    after = await output_of(first.again())

    assert before == after
    (note,) = await asyncio.to_thread(lambda: list(Note.objects.values("book", "contact", "text", "idempotency_key")))
    assert note == {
        "book": "crm",
        "contact": "maya@northwind.example",
        "text": "Wrote to her.",
        "idempotency_key": "run-1/send/1",
    }


@pytest.mark.django_db(transaction=True)
async def test_two_notes_are_two_rows() -> None:
    await asyncio.to_thread(Workspace.objects.create, id=WORKSPACE, slug="sample", name="Sample")
    for run in ("run-1", "run-2"):
        step = a_tool_step("notes.append@1", {"text": "A line."})
        step.run_id = run
        await output_of(step)

    assert await asyncio.to_thread(Note.objects.count) == 2


# The sink as a process of its own, as the fault tests use it


async def test_the_sink_counts_in_a_process_of_its_own(settings: Any) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.1"]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.sink", stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        url = f"http://127.0.0.1:{json.loads(await process.stdout.readline())['http']}"
        credentials = base64.b64encode(b"user:secret").decode()
        args = {"method": "GET", "url": f"{url}/x", "headers": {"Authorization": f"Basic {credentials}"}}
        await output_of(a_tool_step("http.request@1", args))

        effects = await asyncio.to_thread(lambda: json.load(urlopen(f"{url}/admin/effects")))
        assert [effect["path"] for effect in effects] == ["/x"]
    finally:
        process.kill()
        await process.wait()

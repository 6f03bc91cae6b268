"""No secret is but where it has to be: planted ones are looked for, in every spelling, in what stays and leaves."""

import base64
import hashlib
import hmac
import io
import json
import logging
import math
import re
import secrets as random
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests
from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from websockets.sync.client import connect

from accounts import passwords, second_factor, secrets, tokens
from accounts.models import Secret, User
from accounts.roles import Scope
from notices import channels
from notices.channels import ChannelFields
from notices.models import Delivery
from orchestrator_site import keeping
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Connection
from runs.models import Run
from tests.api import walks
from tests.collector import Collector
from tests.conftest import LiveStack, wait_for
from tests.faults.stage import Stage
from tests.people import signed_in_as

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def a_canary(name: str) -> str:
    """Return a value that nobody guesses, of letters that each spelling writes differently."""
    return f"{name}?{random.token_hex(8)}/+~{random.token_hex(4)}"


def spellings(value: str) -> set[str]:
    """Return how a value may stand in something: as it is, in an address, JSON or bytes, and within base64."""
    raw = value.encode()
    found = {value, quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value)[1:-1], raw.hex()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            whole = encode(b"x" * before + raw + b"xx").decode()
            found.add(whole[math.ceil(before * 8 / 6) : (before + len(raw)) * 8 // 6])
    return found


@pytest.mark.parametrize(
    "hide",
    [
        str,
        lambda said: quote(said, safe=""),
        lambda said: base64.b64encode(f"x{said}".encode()).decode(),
        lambda said: base64.urlsafe_b64encode(f"user:{said}".encode()).decode(),
        lambda said: json.dumps({"a": said}),
        lambda said: said.encode().hex(),
    ],
)
def test_a_canary_is_found_however_it_is_spelled(hide: Any) -> None:
    value = a_canary("one")
    assert found_in("here", hide(f"before {value} after").encode(), {"one": value}) == ["one in here"]
    assert found_in("here", b"before after", {"one": value}) == []


def found_in(place: str, said: bytes, planted: dict[str, str]) -> list[str]:
    text = said.decode("utf-8", "replace")
    return [f"{name} in {place}" for name, value in planted.items() if any(one in text for one in spellings(value))]


@dataclass
class Planted:
    """The secrets of a workspace and its people, and what was gathered of everything that could hold them."""

    stage: Stage
    web: LiveStack
    collector: Collector
    values: dict[str, str] = field(default_factory=dict)
    gathered: dict[str, bytes] = field(default_factory=dict)

    def secret(self, name: str, value: str = "", hosts: list[str] | None = None) -> str:
        self.values[name] = value or a_canary(name)
        secrets.put(self.stage.team.workspace, name, self.values[name], hosts or [])
        return self.values[name]

    def browser(self, user: User) -> requests.Session:
        session = requests.Session()
        session.cookies.set("sessionid", signed_in_as(user).session.session_key)
        return session

    def keep(self, answer: requests.Response) -> requests.Response:
        """Gather an answer with its headers; of a packed one what is inside."""
        place = f"{answer.request.method} {answer.request.path_url[:60]} {answer.status_code} #{len(self.gathered)}"
        body = answer.content
        if body.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(body)) as packed:
                body = b"\n".join(packed.read(name) for name in packed.namelist())
        self.gathered[place] = f"{answer.headers}\n".encode() + body
        return answer


@pytest.fixture
def planted(stage: Stage, tmp_path: Path) -> Iterator[Planted]:
    web = LiveStack(tmp_path)
    web.web.start()
    wait_for(lambda: _lives(web), 60, web.logs)
    with Collector() as collector:
        yield Planted(stage, web, collector)
    web.stop()


def _lives(web: LiveStack) -> bool:
    try:
        return requests.get(f"{web.url}/healthz", timeout=5).ok
    except requests.RequestException:
        return False


# What is planted, and what happens to it


def plant(planted: Planted) -> None:
    """Give a tool, a model, a hook, a channel and a person secrets of their own."""
    stage, bob = planted.stage, planted.stage.team.bob
    planted.secret("crm-key", hosts=["127.0.0.1"])
    planted.values["model-key's beginning"] = planted.secret("model-key")[:18]
    planted.secret("hook-key")
    planted.values["slack-mark"] = random.token_hex(12)
    planted.secret("slack-address", f"{stage.sink_url}/echo?code=500&to={planted.values['slack-mark']}")
    Connection.objects.filter(name="stub").update(secret="model-key")
    channels.create(stage.composer, ChannelFields("ops", "slack", "slack-address"))
    planted.values["password"] = a_canary("password")
    bob.set_password(planted.values["password"])
    bob.save()
    planted.values["app"] = base64.b32encode(random.token_bytes(20)).decode()
    sealed = second_factor.Adapter().encrypt(planted.values["app"])
    Authenticator.objects.create(user=stage.team.carol, type=Authenticator.Type.TOTP, data={"secret": sealed})
    planted.values["token"] = a_canary("token")
    tokens.keep(planted.values["token"], stage.team.dana, stage.team.workspace, list(Scope))


def run_all(planted: Planted) -> list[Run]:
    """Let a tool and a model say their keys in an answer, and in an error; return the runs."""
    stage, key = planted.stage, planted.values["model-key"]
    said = f"{key} {quote(key, safe='')} {base64.b64encode(f'user:{key}'.encode()).decode()}"
    call = {"name": "http_get", "args": {"url": f"{stage.sink_url}/x?{said}"}}
    refusal = f"{'.' * 480}{said}"  # an error's words are cut at 500
    answers = [{"text": said, "match": "say it"}, {"tool_calls": [call], "match": "call it"}]
    stage.models.ask("/admin/script", [*answers, {"kind": "400", "text": refusal}])
    agents.create(stage.composer, "speaker", AgentFields("stub/stub-0ms", max_output=200))

    def read(code: int) -> dict[str, Any]:
        args = {"method": "GET", "url": f"{stage.sink_url}/echo?code={code}", "secret_headers": {"X-Key": "crm-key"}}
        return {"kind": "tool", "tool": "http.request@1", "args": args}

    def ask(prompt: str) -> dict[str, Any]:
        return {"kind": "agent", "agent": "speaker@1", "prompt": prompt}

    ends: dict[str, Any] = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "${steps.ask.output}"}}
    good = stage.pipeline(
        "good", {**ends, "read": read(200), "ask": ask("say it")}, ["start>read", "read>ask", "ask>end"]
    )
    bad = stage.pipeline("bad", {**ends, "ask": ask("be refused")}, ["start>ask", "ask>end"])
    called = stage.pipeline("called", {**ends, "ask": ask("call it")}, ["start>ask", "ask>end"])
    worse_ends = {**ends, "end": {"kind": "output", "value": "${steps.read.output}"}}
    worse = stage.pipeline("worse", {**worse_ends, "read": read(500)}, ["start>read", "read>end"])
    runs = [stage.start(pipeline) for pipeline in (good, bad, worse, called)]
    return [stage.wait(run, seconds=60) for run in runs]


def listen(planted: Planted, run: Run) -> None:
    """Gather the frames of a run for programs and for the page."""
    cookie = planted.browser(planted.stage.team.bob).cookies["sessionid"]
    for kind in ("", "?frames=html"):
        address = f"{planted.web.url.replace('http', 'ws', 1)}/ws/runs/{run.pk}{kind}"
        headers = {"Cookie": f"sessionid={cookie}"}
        with connect(address, origin=planted.web.url, additional_headers=headers, max_size=2**24) as link:  # type: ignore[arg-type]
            said = ""
            while "run_finished" not in said and '"seq"' not in said[-1:]:
                try:
                    said += str(link.recv(3))
                except TimeoutError:
                    break
        planted.gathered[f"frames {run.pipeline.slug}{kind}"] = said.encode()


def look_around(planted: Planted, runs: list[Run]) -> None:
    """Gather every page, list and export of the workspace that could speak of the runs or of the secrets."""
    web, dana = planted.web.url, planted.browser(planted.stage.team.dana)
    plain = [route.partition(" ")[2] for route in walks.reading_routes() if not walks.CALLS[route].names_something]
    paths = [f"/api/v1{path}" for path in plain]
    paths += [
        "/audit/",
        "/audit.csv",
        "/settings/notifications/",
        "/settings/triggers/",
        "/connections/",
        *(f"/connections/{name}/" for name in Connection.objects.values_list("name", flat=True)),
        *(f"/connections/+secrets/{name}/" for name in Secret.objects.values_list("name", flat=True)),
        "/runs/",
        "/costs/",
        "/metrics",
    ]
    for run in runs:
        at = f"/api/v1/runs/{run.pk}"
        paths += [f"{at}{part}" for part in ("", "/steps", "/events", "/spans", "/ledger", "/receipt")]
        views = ("", "?view=timeline", "?view=steps", "?view=log", "step/?path=read", "step/?path=ask")
        paths += [f"/runs/{run.pk}/{view}" for view in views]
        paths += [f"/pipelines/{run.pipeline.slug}/export/", f"/api/v1/pipelines/{run.pipeline.slug}/export"]
    for path in paths:
        planted.keep(dana.get(f"{web}{path}", timeout=30))
    token = dana.get(f"{web}/account/", timeout=30).cookies["csrftoken"]
    for run in runs:
        sent = {"csrfmiddlewaretoken": token}
        bundle = planted.keep(dana.post(f"{web}/runs/{run.pk}/evidence/", sent, timeout=30))
        assert bundle.ok, bundle.text[:300]


def be_refused(planted: Planted) -> None:
    """Send secrets where they are refused, and gather what the refusals say."""
    web, value = planted.web.url, planted.values["new-secret"]
    programs = {"Authorization": f"Bearer {planted.values['token']}"}
    for body in (
        {"name": "bad name!", "value": value},
        {"name": "a", "value": [value]},
        {"name": "a", "value": value * 999},
    ):
        assert (
            planted.keep(requests.post(f"{web}/api/v1/secrets", json=body, headers=programs, timeout=30)).status_code
            == 422
        )
    dana = planted.browser(planted.stage.team.dana)
    dana.get(f"{web}/connections/+secrets/", timeout=30)
    for form in ({"name": "bad name!", "value": value}, {"name": "a", "value": value, "hosts": "no host!"}):
        said = {"csrfmiddlewaretoken": dana.cookies["csrftoken"], **form}
        assert planted.keep(dana.post(f"{web}/connections/+secrets/", said, timeout=30)).status_code == 422
    broken = f'{{"name": "a", "value": "{value}"'
    planted.keep(requests.post(f"{web}/api/v1/secrets", broken, headers=programs, timeout=30))
    unknown = {"Authorization": f"Bearer {planted.values['unknown-token']}"}
    for path in ("/api/v1/runs", "/api/v1/nothing", "/metrics"):
        planted.keep(requests.get(f"{web}{path}", headers=unknown | {"X-Forwarded-For": "192.0.2.1"}, timeout=30))
    stranger = requests.Session()
    stranger.get(f"{web}/login/", timeout=30)
    form = {"csrfmiddlewaretoken": stranger.cookies["csrftoken"], "email": "bob@example.com"}
    planted.keep(stranger.post(f"{web}/login/", form | {"password": planted.values["wrong-password"]}, timeout=30))
    planted.keep(stranger.post(f"{web}/login/", form | {"password": planted.values["password"]}, timeout=30))


def tell_the_channel(planted: Planted) -> None:
    """Have a channel told whose server fails and sends back what it was sent and where to."""
    programs = {"Authorization": f"Bearer {planted.values['token']}"}
    assert requests.post(f"{planted.web.url}/api/v1/channels/ops/test", headers=programs, timeout=30).ok
    refused = Delivery.objects.filter(channel__name="ops").exclude(error="")
    wait_for(refused.exists, 60, planted.stage.logs)


def forget_the_password(planted: Planted) -> None:
    """Have a link sent, open it, and choose a password that is no good and one that is."""
    passwords.ask("carol@example.com", "192.0.2.9")
    wait_for(lambda: "carol@example.com" in str(planted.stage.sink.ask("/admin/mails")), 60, planted.stage.logs)
    mail = next(one["text"] for one in planted.stage.sink.ask("/admin/mails") if one["to"] == "carol@example.com")
    link = re.search(r"(/password/new/[\w-]+/)([\w-]+)/", mail.replace("=\r\n", ""))
    assert link, mail
    planted.values["link"] = link[2]
    person, address = requests.Session(), f"{planted.web.url}{link[1]}{link[2]}/"
    assert person.get(address, timeout=30).ok
    form = {"csrfmiddlewaretoken": person.cookies["csrftoken"]}
    planted.keep(person.post(address, form | {"password": planted.values["short"]}, timeout=30))
    planted.keep(person.post(address, form | {"password": planted.values["new-password"]}, timeout=30))
    planted.keep(person.get(address, timeout=30))


def change_the_password_late(planted: Planted) -> None:
    """Send a change of a password where the second factor has to be shown first."""
    address = f"{planted.web.url}/account/password/"
    carol = planted.browser(User.objects.get(pk=planted.stage.team.carol.pk))  # with the new password
    assert "Is it you?" in carol.get(address, timeout=30).text
    form = {"csrfmiddlewaretoken": carol.cookies["csrftoken"], "current": planted.values["new-password"]}
    planted.keep(carol.post(address, form | {"password": planted.values["late-password"]}, timeout=30))


def fail(planted: Planted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Gather the answer to a fault of ours while it has a secret in hand, and the traceback that the log gets."""

    def breaks(workspace: Any, name: str, value: str, hosts: Any) -> None:
        raise RuntimeError(f"This broke at {name}.")

    monkeypatch.setattr(secrets, "put", breaks)
    client = signed_in_as(planted.stage.team.dana)
    client.raise_request_exception = False
    body = {"name": "a", "value": planted.values["new-secret"]}
    with caplog.at_level(logging.DEBUG):
        answer = client.post("/api/v1/secrets", body, content_type="application/json")
    assert answer.status_code == 500
    planted.gathered["fault of ours"] = answer.content
    planted.gathered["its traceback"] = caplog.text.encode()
    monkeypatch.undo()


def call_the_hook(planted: Planted) -> None:
    """Send a signed call to no trigger: what was signed and with what stays outside."""
    stamp, nonce, body = str(int(time.time())), random.token_hex(12), b'{"title": "x"}'
    said = f"{stamp}.{nonce}.acme/orders.".encode() + body
    key = planted.values["hook-key"]
    signed = {
        "X-Baton-Timestamp": stamp,
        "X-Baton-Nonce": nonce,
        "X-Baton-Signature": f"v1={hmac.new(key.encode(), said, hashlib.sha256).hexdigest()}",
        "X-Key": key,
        "Content-Type": "application/json",
    }
    planted.keep(requests.post(f"{planted.web.url}/hooks/orders?key={quote(key)}", body, headers=signed, timeout=30))


def test_a_planted_secret_is_in_no_dump_log_span_frame_export_or_error_page(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plant(planted)
    for name in ("new-secret", "unknown-token", "wrong-password", "new-password", "late-password"):
        planted.values[name] = a_canary(name)
    planted.values["short"] = random.token_urlsafe(8)  # eleven characters, one too few
    content = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    planted.stage.worker("w1", OTEL_EXPORTER_OTLP_ENDPOINT=planted.collector.url, **{content: "true"})
    runs = run_all(planted)
    assert [run.state for run in runs] == ["succeeded", "failed", "failed", "failed"]
    for run in runs:
        listen(planted, run)
    forget_the_password(planted)
    change_the_password_late(planted)
    be_refused(planted)
    call_the_hook(planted)
    tell_the_channel(planted)
    look_around(planted, runs)
    fail(planted, monkeypatch, caplog)
    wait_for(lambda: len(planted.collector.spans) > 5, 60, planted.stage.logs)
    gather_what_stays(planted)

    outside = json.dumps(planted.stage.effects())
    assert planted.values["crm-key"] in outside, "the tool sent it"
    found = [one for place, said in planted.gathered.items() for one in found_in(place, said, planted.values)]
    assert found == []


def gather_what_stays(planted: Planted) -> None:
    stays = planted.gathered
    stays["dump"] = keeping._run("pg_dump", ["--format=plain", "--enable-row-security"]).encode()
    assert b"COPY public.accounts_secret" in stays["dump"], "it is a dump of these tables"
    stays["sessions"] = json.dumps([row.get_decoded() for row in Session.objects.all()]).encode()
    stays["web.log"] = (planted.web.folder / "web.log").read_bytes()
    stays["worker.log"] = b"\n".join(worker.log.read_bytes() for worker in planted.stage.workers)
    assert b"/login/" in stays["web.log"] or b"/api/v1" in stays["web.log"], "it is the log of these requests"
    for number, sent in enumerate(planted.collector.requests):
        stays[f"spans {number}"] = sent["body"]

"""The pages of connections: what they say, refused forms, what is in use, and who may change what."""

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import safe, secrets
from accounts.models import AuditEntry, Membership, User
from accounts.roles import Role, Scope
from evals.models import Case, Dataset, DatasetVersion, PublishGate
from pipelines import connection_uses
from pipelines.library import agents, connections, mcp
from pipelines.library.agents import AgentFields
from pipelines.library.connections import ConnectionFields
from pipelines.models import Agent, Circuit, Connection, PipelineVersion
from runs.models import Trigger
from tests.mcp_server import ECHO
from tests.pages.builders import World, some_triggers
from tests.pages.connecting import (
    FORM,
    KEEP,
    LIST,
    NEW,
    PRICES,
    VALUE,
    a_secret,
    a_step_calls,
    a_way,
    an_agent,
    main,
    page,
    plain,
)
from tests.people import acting, bearer, just_come_in, signed_in_as

# The list


def test_an_empty_list_says_what_to_do_next(world: World) -> None:
    html = main(page(world.team.dana, LIST))
    assert "No connection yet." in html
    assert f'href="{NEW}"' in html
    assert f'href="{KEEP}"' in html
    reader = main(page(world.team.bob, LIST))
    assert "An admin adds the first one." in reader
    assert f'href="{NEW}"' not in reader


def test_the_list_says_where_each_leads_its_limits_and_what_uses_it(world: World) -> None:
    a_secret(world)
    a_way(world, max_concurrent=4, rpm=60, tpm=90_000)
    a_way(world, "files", kind="mcp", base_url="https://tools.example/mcp", secret="files-key")
    an_agent(world)
    html = main(page(world.team.bob, LIST))
    row = html[html.index("/connections/local/") : html.index("</tbody>")]
    for words in ("127.0.0.1:9", "local-key", "4 at once, 60 calls a minute, 90,000 tokens a minute", "1 agent"):
        assert words in row, words
    files = html[html.index("/connections/files/") :]
    assert "tools.example" in files
    assert "not there" in files[: files.index("</tr>")], "the secret that it names is missing"
    assert "nothing yet" in files
    assert "connection local" in html[html.index("Secrets") :]


def test_a_circuit_that_is_open_is_said(world: World) -> None:
    a_way(world, secret="")
    now, soon = timezone.now(), timezone.now() + dt.timedelta(minutes=5)
    Circuit.objects.create(workspace=world.team.workspace, subject="local/phi", opened_at=now, retry_at=now)
    for subject in ("local/llama", "helper@1 with local/mixtral", "other/llama", "localized/x"):
        Circuit.objects.create(workspace=world.team.workspace, subject=subject, opened_at=now, retry_at=soon)
    html = main(page(world.team.bob, LIST))
    assert html.count("keeps failing") == 2
    assert "llama keeps failing: left alone, next try" in html
    assert "phi kept failing: the next call tries it again" in html
    assert "agent helper@1 with mixtral keeps failing" in html
    assert "keeps failing" in page(world.team.bob, "/connections/local/")


def test_the_operators_providers_are_named_without_their_keys(world: World, settings: Any) -> None:
    settings.PROVIDER_ENV = {"openai": (VALUE, ""), "google": ("", "")}
    html = page(world.team.bob, LIST)
    assert "has set up openai for every workspace" in html
    assert VALUE not in html


# Making and changing


def test_a_form_makes_a_connection(world: World) -> None:
    a_secret(world)
    response = signed_in_as(world.team.dana).post(NEW, FORM)
    assert response["Location"] == "/connections/local/?workspace=acme"
    made = Connection.objects.get(name="local")
    assert (made.kind, made.base_url, made.secret) == ("openai", "http://127.0.0.1:9/v1", "local-key")
    assert (made.max_concurrent, made.rpm, made.tpm, made.trusted_address) == (4, 60, None, True)
    assert AuditEntry.objects.filter(action="connection.created", target="local", actor="dana@example.com").exists()


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"name": "Not A Name"}, "name", "cannot name a connection"),
        ({"name": "taken"}, "name", "There is already a connection"),
        ({"kind": "nonsense"}, "kind", "The kind must be one of"),
        ({"base_url": "ftp://x"}, "base_url", "The base address must be like"),
        ({"base_url": "http://169.254.169.254/"}, "base_url", "is not an address"),
        ({"base_url": "https://me:secret@host/v1"}, "base_url", "must not carry a name"),
        ({"trusted": ""}, "trusted", "Tick the box"),
        ({"secret": "nobodys"}, "secret", "There is no secret of this name"),
        ({"secret_header": "X-Key"}, "secret_header", "Only an MCP connection"),
        ({"max_concurrent": "0"}, "max_concurrent", "a whole number from 1"),
        ({"rpm": "many"}, "rpm", "a whole number from 1"),
        ({"tpm": "99999999999"}, "tpm", "a whole number from 1"),
        ({"kind": "mcp", "tpm": "5"}, "tpm", "no limit on tokens"),
        ({"kind": "mcp", "base_url": ""}, "base_url", "needs the address of its server"),
    ],
)
def test_what_cannot_be_is_said_at_its_place_and_nothing_is_lost(
    world: World, change: dict[str, str], place: str, words: str
) -> None:
    a_secret(world)
    a_way(world, "taken")
    typed = {**FORM, **change}
    response = signed_in_as(world.team.dana).post(NEW, typed)
    html = plain(response)
    assert response.status_code == 422
    sentence = html[html.index(f'id="e-{place}"') :]
    assert words in sentence[: sentence.index("</span>")]
    for name in ("name", "base_url", "max_concurrent", "rpm", "tpm"):
        (shown,) = re.findall(rf'<input [^>]*name="{name}"[^>]*>', html)
        assert f'value="{typed[name]}"' in shown
    (box,) = re.findall(r'<input [^>]*name="trusted"[^>]*>', html)
    assert ("checked" in box) == bool(typed["trusted"])
    chosen = re.findall(r'<input [^>]*name="kind" value="(\w+)"[^>]* checked>', html)
    assert chosen == [kind for kind in ("openai", "mcp") if kind == typed["kind"]]
    assert typed["secret"] == "nobodys" or '<option value="local-key" selected>' in html
    assert not Connection.objects.filter(name="local").exists()


def test_a_change_keeps_name_and_prices(world: World) -> None:
    a_secret(world)
    a_way(world, prices=PRICES)
    dana = signed_in_as(world.team.dana)
    html = main(plain(dana.get("/connections/local/")))
    assert 'value="http://127.0.0.1:9/v1"' in html
    assert '<option value="local-key" selected>' in html
    response = dana.post(
        "/connections/local/", {**FORM, "name": "other", "rpm": "7", "base_url": "https://x.example/v1"}
    )
    assert response["Location"] == "/connections/local/?workspace=acme"
    row = Connection.objects.get(name="local")
    assert (row.rpm, row.base_url, row.prices) == (7, "https://x.example/v1", PRICES)
    assert AuditEntry.objects.filter(action="connection.changed", target="local").exists()


def test_a_refused_change_is_shown_again_and_changes_nothing(world: World) -> None:
    a_secret(world)
    a_way(world)
    response = signed_in_as(world.team.dana).post("/connections/local/", {**FORM, "rpm": "-1", "max_concurrent": "9"})
    html = plain(response)
    assert response.status_code == 422
    assert 'value="-1"' in html
    assert 'value="9"' in html
    assert Connection.objects.get(name="local").max_concurrent is None


# Removing


def test_a_connection_that_nothing_uses_is_removed(world: World) -> None:
    a_way(world)
    dana = signed_in_as(world.team.dana)
    assert "Remove this connection" in plain(dana.get("/connections/local/"))
    assert dana.post("/connections/local/remove/")["Location"] == f"{LIST}?workspace=acme"
    assert not Connection.objects.exists()
    assert AuditEntry.objects.filter(action="connection.removed", target="local").exists()


@pytest.mark.parametrize(
    "fields", [{}, {"model": "demo/echo", "fallback": ("local/llama",)}], ids=["by its model", "as a fallback"]
)
def test_a_connection_that_an_agent_uses_is_not_removed(world: World, fields: dict[str, Any]) -> None:
    a_way(world)
    an_agent(world, **fields)
    dana = signed_in_as(world.team.dana)
    html = main(plain(dana.get("/connections/local/")))
    assert "Remove this connection" not in html
    assert "Helper" in html[html.index("Where it is used") :]
    response = dana.post("/connections/local/remove/")
    assert response.status_code == 409
    assert "connection_in_use" in plain(response)
    assert "is used by the agent Helper" in plain(response)
    assert Connection.objects.filter(name="local").exists()


def test_by_the_api_a_connection_is_removed_under_the_same_rule(world: World) -> None:
    a_way(world)
    an_agent(world)
    refused = _deleted(world, world.team.dana)
    assert (refused.status_code, refused.json()["code"]) == (409, "connection_in_use")
    assert "is used by the agent Helper" in refused.json()["message"]
    assert _deleted(world, world.team.alice).status_code == 403, "who may not is told nothing of its uses"
    agents.new_version(acting(world.team.alice), Agent.objects.get(slug="helper"), AgentFields(model="demo/echo"))
    assert _deleted(world, world.team.dana).status_code == 204
    assert not Connection.objects.filter(name="local").exists()


def _deleted(world: World, user: User) -> Any:
    return Client().delete("/api/v1/connections/local", headers=bearer(user, world.team.workspace, *Scope))


def test_a_connection_whose_tool_a_step_calls_is_not_removed(world: World) -> None:
    files = a_way(world, "files", kind="mcp", secret="")
    mcp.register(acting(world.team.dana), files, [ECHO], None)
    a_step_calls(world, "mcp.files.echo@1", {"text": "hello"})
    response = signed_in_as(world.team.dana).post("/connections/files/remove/")
    assert response.status_code == 409
    assert f"is used by the pipeline {world.pipeline.name}" in plain(response)
    uses = plain(response)
    assert "1 step, in the draft only" in uses[uses.index("Where it is used") :]


def test_what_a_version_that_runs_on_uses_is_not_removed(world: World) -> None:
    a_way(world)
    an_agent(world)
    lock = {"agents": {"helper@1": {"model": "local/llama"}}}
    old = PipelineVersion.objects.create(
        pipeline=world.pipeline, number=90, document=world.pipeline.draft.document, lock=lock, note=""
    )
    helper = Agent.objects.get(slug="helper")
    agents.new_version(acting(world.team.alice), helper, AgentFields(model="demo/echo"))
    assert signed_in_as(world.team.dana).get("/connections/local/").context["line"].uses == ()
    some_triggers(world)
    Trigger.objects.filter(slug="orders").update(version=old.number)
    dana = signed_in_as(world.team.dana)
    assert dana.post("/connections/local/remove/").status_code == 409
    Trigger.objects.filter(slug="orders").update(version=None)
    calling = {"pipelines": {"x@90": {"version": str(old.pk)}}}
    caller = PipelineVersion.objects.create(
        pipeline=world.pipeline, number=91, document=world.pipeline.draft.document, lock=calling, note=""
    )
    assert dana.get("/connections/local/").context["line"].uses == ()
    world.pipeline.published = caller
    world.pipeline.save()
    assert dana.post("/connections/local/remove/").status_code == 409
    assert Connection.objects.filter(name="local").exists()


def test_who_judges_for_a_gate_is_not_removed(world: World) -> None:
    a_way(world)
    a_way(world, "rubrics", secret="")
    rubric = {"type": "rubric", "rubric": "Is it kind?", "model": "rubrics/llama"}
    fields = {"name": "one", "position": 1, "digest": "sha256:0"}
    version = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(workspace=world.team.workspace, name="kindness"), number=1, size=1
    )
    Case.objects.create(version=version, asserts=[rubric], **fields)
    PublishGate.objects.create(
        pipeline=world.pipeline, dataset=version, min_pass_rate=1, judge="local/llama", repeats=1
    )
    dana = signed_in_as(world.team.dana)
    assert main(plain(dana.get(LIST))).count("1 publish gate") == 2
    for name in ("local", "rubrics"):
        response = dana.post(f"/connections/{name}/remove/")
        assert response.status_code == 409
        assert f"is used by the publish gate {world.pipeline.name}" in plain(response)


def test_an_agent_that_a_draft_holds_to_its_version_is_read_in_that_version(world: World) -> None:
    a_way(world)
    an_agent(world)
    helper = Agent.objects.get(slug="helper")
    agents.new_version(acting(world.team.alice), helper, AgentFields(model="demo/echo"))
    draft = world.pipeline.draft
    nodes = {**draft.document["graph"]["nodes"], "ring": {"kind": "agent", "agent": "helper@1", "prompt": "Hello"}}
    draft.document, draft.revision = {**draft.document, "graph": {**draft.document["graph"], "nodes": nodes}}, 99
    draft.save()
    response = signed_in_as(world.team.dana).post("/connections/local/remove/")
    assert response.status_code == 409
    assert "in the draft only" in plain(response)


def test_a_draft_is_read_as_it_is_by_then_and_whoever_empties_what_is_kept_changes_no_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = a_way(world, "files", kind="mcp", secret="")
    mcp.register(acting(world.team.dana), files, [ECHO], None)
    a_step_calls(world, "mcp.files.echo@1", {"text": "hello"})

    class Emptied(dict[Any, Any]):
        """Forgets at once what is put into it, as if others cleared it all the time."""

        def __setitem__(self, key: Any, value: Any) -> None: ...

    monkeypatch.setattr(connection_uses, "_read", Emptied())
    uses = connection_uses.uses(acting(world.team.dana))
    assert [use.name for use in uses["files"]] == [world.pipeline.name]


def test_a_form_acts_in_the_workspace_that_it_was_shown_for(world: World) -> None:
    """Names are the same everywhere, and another tab may have chosen another workspace since."""
    a_secret(world)
    a_way(world)
    other = world.team.elsewhere
    Membership.objects.create(workspace=other, user=world.team.dana, roles=[Role.ADMIN])
    there = acting(world.team.dana, other)
    safe.write(there, "local-key", "theirs")
    connections.create(there, ConnectionFields("local", base_url="http://127.0.0.1:9/v1", secret="local-key"))
    dana = signed_in_as(world.team.dana)
    paths = ("/connections/+secrets/local-key/", "/connections/local/")
    shown = [plain(dana.get(f"{path}?workspace=acme")) for path in paths]
    dana.get("/?workspace=globex")
    actions = [re.findall(r'<form class="card pad [^>]*action="([^"]*)"', html)[0] for html in shown]
    dana.post(actions[0], {"value": "ours, newly", "hosts": ""})
    dana.post(actions[1], {**FORM, "rpm": "7"})
    assert secrets.reveal(other.pk, "local-key") == "theirs"
    assert secrets.reveal(world.team.workspace.pk, "local-key") == "ours, newly"
    assert [row.rpm for row in Connection.objects.order_by("workspace__slug")] == [7, None]


# Who may


def test_a_reader_sees_no_form_and_changes_nothing(world: World) -> None:
    a_secret(world)
    a_way(world)
    for person in (world.team.alice, world.team.bob, world.team.carol, world.team.erin):
        browser = signed_in_as(person)
        html = main(plain(browser.get("/connections/local/")))
        assert "local-key" in html
        assert "<form" not in html
        assert "/connections/+secrets/" not in main(plain(browser.get(LIST)))
        for path in (NEW, "/connections/local/", "/connections/local/remove/", "/connections/+secrets/local-key/"):
            assert browser.post(path, {**FORM, "name": "other", "value": "x"}).status_code == 403
    assert secrets.reveal(world.team.workspace.pk, "local-key") == VALUE


def test_charlie_finds_nothing(world: World) -> None:
    a_secret(world)
    a_way(world)
    a_way(world, "files", kind="mcp", secret="")
    browser = signed_in_as(world.team.charlie)
    html = main(plain(browser.get(LIST)))
    assert "No connection yet." in html
    assert "No secret yet." in html
    for path in ("/connections/local/", "/connections/+secrets/local-key/", "/connections/files/tools/"):
        assert browser.get(path).status_code == 404
        assert browser.post(path, {**FORM, "value": "x"}).status_code == 404
        assert path.endswith("tools/") or browser.post(f"{path}remove/").status_code == 404
    assert Connection.objects.count() == 2
    assert secrets.reveal(world.team.workspace.pk, "local-key") == VALUE


@pytest.mark.parametrize("path", [NEW, KEEP, "/connections/local/", "/connections/local/remove/"])
def test_forms_need_their_token(world: World, path: str) -> None:
    a_way(world, secret="")
    assert just_come_in(signed_in_as(world.team.dana, csrf=True)).post(path, FORM).status_code == 403
    assert Connection.objects.count() == 1


def test_who_sees_no_content_is_not_told_what_tools_say(world: World) -> None:
    files = a_way(world, "files", kind="mcp", secret="")
    mcp.register(acting(world.team.dana), files, [ECHO], None)
    world.team.workspace.without_content = ["manager"]
    world.team.workspace.save()
    html = main(page(world.team.carol, "/connections/files/"))
    assert "Says what it was told." not in html
    assert "Says what it was told." in page(world.team.bob, "/connections/files/")

"""The pages of agents: who sees and changes what, versions made by forms, hostile words shown as words."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, User
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Agent, AgentVersion, Connection, Draft, Pipeline
from runs.models import Call, Run, Span, Step
from tests.pages.builders import EVALUATED, HOSTILE, World, a_model_call
from tests.people import acting, signed_in_as

FORM = {
    "name": "Reply writer",
    "role": "Writer",
    "goal": "Answer customers",
    "instructions": "Be kind.",
    "model": "demo/writer",
    "max_output": "1000",
    "schema-row": ["0", "1"],
    "schema-0-name": "reply",
    "schema-0-type": "string",
    "schema-0-required": "on",
    "schema-1-name": "tone",
    "schema-1-type": "string",
    "schema-1-enum": "kind, firm",
}


def an_agent(world: World, **fields: Any) -> Agent:
    given = {"model": "demo/writer", "instructions": "Be kind.", **fields}
    return agents.create(acting(world.team.alice), "reply-writer", AgentFields(**given), "Reply writer").agent


def editing(world: World, **changes: Any) -> dict[str, Any]:
    return {**FORM, "based_on": "1", **changes}


def post(user: User, path: str, form: dict[str, Any] | None = None, **options: Any) -> Any:
    return signed_in_as(user).post(path, form or {}, **options)


def page(user: User, path: str) -> str:
    response = signed_in_as(user).get(path)
    assert response.status_code == 200, response
    return str(response.content.decode())


# The list


def test_the_list_says_what_each_agent_is_and_where_it_is_used(world: World) -> None:
    an_agent(world, tools=("email.send@1",))
    html = page(world.team.bob, "/agents/")
    row = html[html.index("Reply writer") :]
    assert "demo/writer" in row
    assert "$0.25 · $2.00" in row
    assert "cannot be undone" in row
    assert "nowhere yet" in row
    assert "1 pipeline" in html
    assert "New agent" not in html
    assert "New agent" in page(world.team.alice, "/agents/")


def test_an_unknown_price_is_said_and_never_counted_as_nothing(world: World) -> None:
    Connection.objects.create(workspace=world.team.workspace, name="local", kind="openai", base_url="http://x.example")
    an_agent(world, model="local/llama")
    html = page(world.team.alice, "/agents/?find=llama")
    assert "unknown price" in html
    assert "$0.00" not in html[html.index('id="agents"') : html.index("</table>")]


@pytest.mark.parametrize(
    ("query", "is_there"),
    [("find=reply", True), ("find=nobody", False), ("show=unused", True), ("show=irreversible", False)],
)
def test_the_list_is_narrowed_by_address(world: World, query: str, is_there: bool) -> None:
    an_agent(world)
    assert ("Reply writer" in page(world.team.alice, f"/agents/?{query}")) is is_there


def test_a_workspace_without_agents_says_what_one_is(world: World) -> None:
    html = page(world.team.charlie, "/agents/")
    assert "No agent yet." in html
    assert "Reply writer" not in html


def test_figures_come_from_the_calls_of_all_versions(world: World) -> None:
    an_agent(world)
    a_model_call(world.run, 3_000, agent="reply-writer@1")
    a_model_call(world.run, 4_000, agent="reply-writer@2")
    a_model_call(world.run, None, agent="reply-writer@2", status="error")
    long_ago = timezone.now() - dt.timedelta(days=20)
    a_model_call(world.run, 9_000_000, agent="reply-writer@1", start=long_ago, end=long_ago)
    html = page(world.team.bob, "/agents/+figures/")
    assert 'id="fig-runs-reply-writer" hx-swap="innerHTML">1<' in html
    assert "$0.007" in html
    assert "$9" not in html
    assert "fig-runs-reply-writer" not in page(world.team.charlie, "/agents/+figures/")


def test_an_agents_own_figures_say_times_and_failures(world: World) -> None:
    an_agent(world)
    start = timezone.now()
    for seconds in (2, 4, 6):
        a_model_call(world.run, 3_000, agent="reply-writer@1", start=start, end=start + dt.timedelta(seconds=seconds))
    a_model_call(world.run, None, agent="reply-writer@1", status="error", start=start, end=start)
    html = page(world.team.bob, "/agents/reply-writer/figures/")
    assert "3.0 s · 5.7 s" in html
    assert "1 of 4 failed" in html
    assert "percall-1" in html
    assert signed_in_as(world.team.charlie).get("/agents/reply-writer/figures/").status_code == 404


def test_the_picker_says_how_fast_each_model_was(world: World) -> None:
    start = timezone.now()
    a_model_call(world.run, 10, model="demo/judge", start=start, end=start + dt.timedelta(seconds=3))
    assert "3.0 s" in page(world.team.alice, "/agents/+speeds/")
    assert Span.objects.exists()
    assert "3.0 s" not in page(world.team.charlie, "/agents/+speeds/")


# Making and saving


def test_a_form_makes_an_agent(world: World) -> None:
    response = post(world.team.alice, "/agents/+new/", FORM)
    assert response["Location"] == "/agents/reply-writer/"
    version = AgentVersion.objects.get(agent__slug="reply-writer")
    assert (version.number, version.agent.name, version.instructions) == (1, "Reply writer", "Be kind.")
    assert version.output_schema == {
        "type": "object",
        "required": ["reply"],
        "properties": {"reply": {"type": "string"}, "tone": {"type": "string", "enum": ["kind", "firm"]}},
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "Give the agent a name."),
        ({"slug": "Not A Slug"}, "cannot name an agent"),
        ({"slug": "outreach-writer"}, "There is already an agent"),
        ({"model": "other", "other_model": "nonsense"}, "does not name a model"),
        ({"max_output": "many"}, "as a whole number"),
        ({"max_output": "0"}, "between 1 and"),
        ({"temperature": "9"}, "between 0 and 2"),
        ({"temperature": "nan"}, "from 0 to 2"),
        ({"max_cost": "lots"}, "is not an amount in dollars"),
        ({"tools": "no.such@1"}, "There is no tool"),
        ({"fallback": ["demo/echo", "nonsense"]}, "does not name a model"),
        ({"egress": "not a host"}, "is no host"),
        ({"schema-1-name": "reply"}, "two fields called reply"),
        ({"schema-more": "{"}, "cannot be read"),
    ],
)
def test_what_cannot_be_is_said_at_its_place_and_nothing_is_lost(
    world: World, change: dict[str, Any], words: str
) -> None:
    response = post(world.team.alice, "/agents/+new/", {**FORM, **change})
    html = response.content.decode()
    assert response.status_code == 422
    assert words in html.replace("&#x27;", "'").replace("&quot;", '"')
    assert "Answer customers" in html
    assert 'value="kind, firm"' in html
    assert not Agent.objects.filter(slug="reply-writer").exists()


def test_saving_makes_the_next_version_and_leaves_the_one_before(world: World) -> None:
    agent = an_agent(world)
    response = post(world.team.alice, "/agents/reply-writer/", editing(world, instructions="Be kind and short."))
    assert response["Location"] == "/agents/reply-writer/"
    said = list(agent.versions.order_by("number").values_list("number", "instructions"))
    assert said == [(1, "Be kind."), (2, "Be kind and short.")]


def test_saving_what_is_there_already_makes_no_version(world: World) -> None:
    agent = an_agent(world, tools=("notes.append@1", "crm.log@1"), secrets=("crm-key",), egress=("api.example.com",))
    html = page(world.team.alice, "/agents/reply-writer/")
    assert "crm-key" in html
    form = {
        **dict.fromkeys(("role", "goal"), ""),
        "name": "Reply writer",
        "instructions": "Be kind.",
        "model": "demo/writer",
        "max_output": "4096",
        "tools": ["crm.log@1", "notes.append@1"],
        "secrets": "crm-key",
        "egress": "api.example.com",
        "based_on": "1",
    }
    post(world.team.alice, "/agents/reply-writer/", form)
    assert agent.versions.count() == 1


def test_a_new_name_is_no_new_version(world: World) -> None:
    agent = an_agent(world)
    form = {"name": "Answerer", "instructions": "Be kind.", "model": "demo/writer", "max_output": "4096"}
    post(world.team.alice, "/agents/reply-writer/", {**form, "based_on": "1"})
    agent.refresh_from_db()
    assert (agent.name, agent.versions.count()) == ("Answerer", 1)
    assert AuditEntry.objects.filter(action="agent.renamed", target="reply-writer").exists()


def test_a_refused_form_renames_nothing(world: World) -> None:
    agent = an_agent(world)
    assert (
        post(world.team.alice, "/agents/reply-writer/", editing(world, name="Other", temperature="9")).status_code
        == 422
    )
    agent.refresh_from_db()
    assert agent.name == "Reply writer"


def test_two_people_who_save_at_once_hear_of_each_other(world: World) -> None:
    agent = an_agent(world)
    agents.new_version(acting(world.team.alice), agent, AgentFields("demo/echo"))
    response = post(world.team.alice, "/agents/reply-writer/", editing(world))
    html = response.content.decode()
    assert response.status_code == 422
    assert "Somebody saved v2 while you wrote" in html
    assert 'name="based_on" value="2"' in html
    assert agent.versions.count() == 2
    assert post(world.team.alice, "/agents/reply-writer/", editing(world, based_on="2")).status_code == 302


@pytest.mark.parametrize("button", [{"schema-do": "add"}, {"fallback-do": "add"}])
def test_a_button_of_the_rows_saves_nothing(world: World, button: dict[str, str]) -> None:
    agent = an_agent(world)
    response = post(world.team.alice, "/agents/reply-writer/", editing(world, fallback=["demo/echo"], **button))
    assert response.status_code == 200
    assert agent.versions.count() == 1
    html = response.content.decode()
    assert html.count('name="fallback"') == 2 + ("fallback-do" in button)  # one of them in the template
    assert ('name="schema-2-name"' in html) is ("schema-do" in button)


# Versions


def test_a_version_shows_what_it_changed_in_the_sentence_itself(world: World) -> None:
    agent = an_agent(world)
    agents.new_version(acting(world.team.alice), agent, AgentFields("demo/echo", instructions="Be very kind."))
    html = page(world.team.bob, "/agents/reply-writer/?version=2")
    assert "Be <ins>very </ins>kind." in html
    assert "Model from <del>demo/writer</del> to <ins>demo/echo</ins>" in html
    older = page(world.team.bob, "/agents/reply-writer/?version=1&against=2")
    assert "Be <del>very </del>kind." in older


def test_an_older_version_is_used_again_as_the_newest(world: World) -> None:
    agent = an_agent(world, secrets=("crm-key",))
    agents.new_version(acting(world.team.alice), agent, AgentFields("demo/echo"))
    assert "Use this version again" in page(world.team.alice, "/agents/reply-writer/?version=1")
    assert "Use this version again" not in page(world.team.bob, "/agents/reply-writer/?version=1")
    assert post(world.team.alice, "/agents/reply-writer/versions/1/again/").status_code == 302
    newest = agent.versions.get(number=3)
    assert (newest.model, newest.instructions, newest.secrets) == ("demo/writer", "Be kind.", ["crm-key"])


@pytest.mark.parametrize(
    "query", ["version=9", "version=x", "against=9", "version=99999999999", "version=1&against=-1"]
)
def test_a_version_that_is_not_there_is_not_found(world: World, query: str) -> None:
    an_agent(world)
    assert signed_in_as(world.team.alice).get(f"/agents/reply-writer/?{query}").status_code == 404


def test_the_page_says_which_pipelines_use_which_version(world: World) -> None:
    agent = Agent.objects.get(slug="outreach-writer")
    agents.new_version(acting(world.team.alice), agent, AgentFields("demo/echo"))
    html = page(world.team.alice, "/agents/outreach-writer/")
    uses = html[html.index("Where it is used") :]
    assert world.pipeline.name in uses
    assert "runs v1 · draft v1" in uses
    response = post(world.team.alice, f"/agents/outreach-writer/pipelines/{world.pipeline.slug}/")
    assert response["Location"] == "/agents/outreach-writer/"
    draft = Draft.objects.get(pipeline=world.pipeline)
    assert "outreach-writer@2" in str(draft.document)
    assert Pipeline.objects.get(pk=world.pipeline.pk).published_id == world.pipeline.published_id
    assert "runs v1 · draft v2" in page(world.team.alice, "/agents/outreach-writer/")


# Who may


def test_a_reader_sees_what_the_agent_says_and_no_form(world: World) -> None:
    an_agent(world)
    html = page(world.team.bob, "/agents/reply-writer/")
    assert "What v1 says" in html
    assert "Be kind." in html
    assert 'id="agent-form"' not in html
    assert "Your roles do not start tests" in page(world.team.bob, "/agents/reply-writer/test/")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/agents/+new/"),
        ("get", "/agents/+new/"),
        ("post", "/agents/reply-writer/"),
        ("post", "/agents/reply-writer/versions/1/again/"),
        ("post", "/agents/reply-writer/pipelines/prospect-outreach/"),
        ("post", "/agents/reply-writer/test/"),
    ],
)
def test_who_may_not_edit_or_run_is_refused(world: World, method: str, path: str) -> None:
    an_agent(world)
    assert getattr(signed_in_as(world.team.erin), method)(path, FORM | {"prompt": "x"}).status_code == 403
    assert AgentVersion.objects.filter(agent__slug="reply-writer").count() == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/agents/reply-writer/"),
        ("get", "/agents/reply-writer/?version=1"),
        ("post", "/agents/reply-writer/"),
        ("post", "/agents/reply-writer/versions/1/again/"),
        ("post", "/agents/reply-writer/pipelines/prospect-outreach/"),
        ("get", "/agents/reply-writer/test/"),
        ("post", "/agents/reply-writer/test/"),
    ],
)
def test_charlie_finds_nothing(world: World, method: str, path: str) -> None:
    an_agent(world)
    browser = signed_in_as(world.team.charlie)
    assert getattr(browser, method)(path, editing(world, prompt="Hello.")).status_code == 404
    assert AgentVersion.objects.filter(agent__slug="reply-writer").count() == 1


@pytest.mark.parametrize("path", ["/agents/+new/", "/agents/reply-writer/", "/agents/reply-writer/test/"])
def test_forms_need_their_token(world: World, path: str) -> None:
    an_agent(world)
    browser = signed_in_as(world.team.alice, csrf=True)
    assert browser.post(path, editing(world, prompt="Hello.")).status_code == 403


def test_a_stranger_is_sent_to_sign_in(world: World) -> None:
    assert Client().get("/agents/")["Location"].startswith("/login/")


def test_hostile_words_are_shown_as_words(world: World) -> None:
    agent = an_agent(world, role=HOSTILE, goal=HOSTILE, instructions=HOSTILE)
    agents.rename(acting(world.team.alice), agent, HOSTILE[:120])
    agents.new_version(acting(world.team.alice), agent, AgentFields("demo/echo", instructions=f"{HOSTILE} more"))
    for path in ("/agents/", "/agents/reply-writer/", "/agents/reply-writer/?version=1", "/agents/reply-writer/test/"):
        html = page(world.team.alice, path)
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert not EVALUATED.search(html), path


# The bench


def a_trial(world: World, **fields: Any) -> Run:
    an_agent(
        world, output_schema={"type": "object", "required": ["reply"], "properties": {"reply": {"type": "string"}}}
    )
    post(world.team.alice, "/agents/reply-writer/test/", {"prompt": "Hello.", "version": "1", "max_cost_usd": "0.05"})
    run = Run.objects.get(tags__contains=["test"])
    for name, value in fields.items():
        setattr(run, name, value)
    run.save()
    return run


def test_a_test_is_a_rehearsal_that_stops_at_its_cap(world: World) -> None:
    run = a_trial(world)
    assert run.rehearsal
    assert run.input == {"prompt": "Hello."}
    assert run.budget["max_cost_micros"] == 50_000


def test_a_test_shows_its_output_part_by_part_and_what_was_simulated(world: World) -> None:
    now = timezone.now()
    run = a_trial(
        world,
        state="succeeded",
        output={"reply": HOSTILE},
        cost_micros=1_500,
        input_tokens=120,
        output_tokens=30,
        started_at=now,
        finished_at=now + dt.timedelta(seconds=2),
    )
    Step.objects.create(run=run, path="agent", node="agent", kind="agent", state="succeeded", output=run.output)
    told = '<untrusted source="email.send@1">{"simulated": true, "would_have": "Send an email to Ingrid"}</untrusted>'
    asked = [
        {"role": "assistant", "text": "", "tool_calls": [{"id": "1", "name": "email_send", "args": {"to": "x"}}]},
        {"role": "tool", "text": told, "tool_call_id": "1"},
    ]
    Call.objects.create(
        run=run,
        key="agent@1/1",
        path="agent",
        attempt=1,
        n=1,
        kind="model",
        name="demo/writer",
        state="finished",
        request_hash="x",
        request={"messages": asked},
        idempotency_key="x",
        started_at=now,
    )
    html = page(world.team.bob, f"/agents/reply-writer/test/{run.pk}/")
    assert "Fits the schema" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "120 in, 30 out" in html
    assert "$0.0015" in html
    assert "2.0 s" in html
    assert "would have: Send an email to Ingrid" in html
    assert "hx-trigger" not in html


def test_a_test_that_works_still_asks_again(world: World) -> None:
    run = a_trial(world)
    html = page(world.team.alice, f"/agents/reply-writer/test/{run.pk}/")
    assert 'hx-trigger="every 1s"' in html
    assert "Queued" in html


def test_other_runs_are_no_tests_of_an_agent(world: World) -> None:
    a_trial(world)
    browser = signed_in_as(world.team.alice)
    assert browser.get(f"/agents/reply-writer/test/{world.run.pk}/").status_code == 404
    run = Run.objects.get(tags__contains=["test"])
    assert browser.get(f"/agents/outreach-writer/test/{run.pk}/").status_code == 404
    assert signed_in_as(world.team.charlie).get(f"/agents/reply-writer/test/{run.pk}/").status_code == 404


def test_two_versions_are_tried_with_one_prompt(world: World) -> None:
    agent = an_agent(world)
    agents.new_version(acting(world.team.alice), agent, AgentFields("demo/echo"))
    form = {"prompt": "Hello.", "both": "yes", "older": "1", "newer": "2"}
    post(world.team.alice, "/agents/reply-writer/test/", form)
    runs = Run.objects.filter(tags__contains=["test"]).order_by("number")
    assert [list(run.version.lock["agents"]) for run in runs] == [["reply-writer@1"], ["reply-writer@2"]]


@pytest.mark.parametrize(
    ("form", "words"),
    [({"prompt": ""}, "prompt"), ({"prompt": "x", "max_cost_usd": "lots"}, "is not an amount")],
)
def test_a_refused_test_says_why_on_the_bench(world: World, form: dict[str, str], words: str) -> None:
    an_agent(world)
    response = post(world.team.alice, "/agents/reply-writer/test/", form)
    assert response.status_code == 422
    assert 'role="alert"' in response.content.decode()
    assert not Run.objects.filter(tags__contains=["test"]).exists()
    fragment = post(world.team.alice, "/agents/reply-writer/test/", form, headers={"HX-Request": "true"})
    assert fragment.status_code == 200
    assert 'role="alert"' in fragment.content.decode()


def test_the_bench_says_where_a_test_stops_and_that_the_model_only_pretends(world: World) -> None:
    an_agent(world, max_cost_usd="0.20", tools=("email.send@1",))
    html = page(world.team.alice, "/agents/reply-writer/test/")
    assert 'value="0.20"' in html
    assert "simulated" in html
    assert "What its tools would change is simulated." in html

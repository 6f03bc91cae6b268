"""Roles that see costs but no content: a canary in all that is content, then every route and page as such a person."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from accounts import content
from accounts.models import AuditEntry, Membership, Workspace
from accounts.roles import Role
from approvals.models import Approval
from notices.models import Notice
from pipelines import publish
from pipelines.models import Draft, PipelineVersion
from runs import services
from runs.models import Run, Step
from tests.api import page_walks, walks
from tests.api.page_walks import PAGES
from tests.api.rows import undone
from tests.api.walks import CALLS
from tests.api.world import World
from tests.approvals.builders import a_question
from tests.people import Team, acting, bearer, signed_in_as

CANARY = "zilpzalp-7731"
OURS = ("pipelines", "runs", "approvals", "evals", "notices")
BLIND = ("carol", "erin", "victor")

# What is kept in JSON or as text and is not content: settings, prices, figures, and who is asked.
NO_CONTENT = {
    *("pipelines.Pipeline.split", "pipelines.Connection.prices", "pipelines.BudgetChange.terms"),
    *("pipelines.McpTool.args_schema", "pipelines.McpTool.result_schema", "pipelines.AgentVersion.output_schema"),
    *("approvals.Approval.rules", "approvals.Approval.turns", "approvals.Approval.form", "approvals.Approval.action"),
    *("approvals.Approval.trust", "approvals.Calendar.week", "approvals.Calendar.holidays", "approvals.Rule.levels"),
    *("runs.Run.large", "runs.Run.origin", "runs.Run.budget", "runs.Run.prices", "runs.Step.large", "runs.Inbox.large"),
    *("runs.Call.large", "runs.CacheEntry.large", "runs.Trigger.last_error", "runs.Firing.error"),
    *("evals.Evaluation.gate", "evals.Evaluation.summary", "evals.Evaluation.comparison"),
    *("notices.Delivery.error", "notices.Channel.error", "notices.Event.data"),
}
# Texts that name a place in a run, or a call by its place, of whatever length that is.
PLACES = {"path", "parent_path", "port", "key", "idempotency_key", "call", "request", "probe"}
# Content in which a stray text would break what reads it; `plant` puts the canary where text belongs.
BY_HAND = {
    *("runs.Run.error", "pipelines.Draft.document", "pipelines.PipelineVersion.document", "notices.Notice.data"),
    *("pipelines.PipelineVersion.lock", "pipelines.DraftEdit.ops", "evals.Case.asserts", "evals.Evaluation.asserts"),
}


def content_fields() -> Iterator[tuple[type[models.Model], "models.Field[Any, Any]"]]:
    """Yield every field of ours that may hold what runs say, so that a new one is content until it is listed above."""
    for app in OURS:
        for model in apps.get_app_config(app).get_models():
            for field in model._meta.concrete_fields:
                is_words = isinstance(field, models.TextField) and field.name not in PLACES
                if is_words or isinstance(field, models.JSONField):
                    name = f"{app}.{model.__name__}.{field.name}"
                    if name not in NO_CONTENT | BY_HAND:
                        yield model, field


def planted(value: Any) -> Any:
    if isinstance(value, dict):
        return {**value, "canary": CANARY}
    return [*value, CANARY] if isinstance(value, list) else CANARY


def plant() -> None:
    """Put the canary into every content field of every row that is there, also where rows never change."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
    _plant()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = DEFAULT")


def _plant() -> None:
    for model, field in content_fields():
        for row in model._default_manager.only(field.name):
            value = getattr(row, field.name)
            if value is not None or field.name in ("input", "output"):  # elsewhere null says that there is nothing
                model._default_manager.filter(pk=row.pk).update(**{field.name: planted(value)})
    for kind in (Draft, PipelineVersion):
        for row in kind._default_manager.all():
            document = {**row.document, "description": CANARY}
            for node in document["graph"]["nodes"].values():
                node.update({"prompt": CANARY} if "prompt" in node else {})
            kind._default_manager.filter(pk=row.pk).update(document=document)
    Run.objects.filter(state="succeeded").update(
        state="failed",
        finished_at=timezone.now() - timedelta(seconds=1),
        error={"class": "tool", "code": "gone", "message": CANARY, "path": "write"},
    )
    Approval.objects.update(title=f"Send {CANARY}")
    Step.objects.update(title=CANARY)  # a model may have written it
    Notice.objects.filter(approval__isnull=False).update(subject=CANARY, data={"said": CANARY, "place": "/"})


@pytest.fixture
def sown(world: World) -> World:
    """The world with the canary in it, and a question about money beside the other; three roles see no content."""
    plant()
    Run.objects.filter(pk=world.here.run.pk).update(input={"topic": CANARY})
    budget = {"payload": {"add_usd": "2.00"}, "title": "The run needs $2 more"}
    a_question(world.here.run, "budget", roles=["manager"], **budget)
    hide(world.team)
    return world


def hide(team: Team) -> None:
    Workspace.objects.filter(pk=team.workspace.pk).update(without_content=[role.value for role in content.HIDEABLE])


def is_free(path: str) -> bool:
    return content.is_free_of_it(resolve(path.partition("?")[0]).route)


def said(answer: Any) -> str:
    return str(answer.getvalue().decode(errors="replace")) + str(dict(answer.headers))


def test_the_canary_is_found_by_who_sees_content(sown: World) -> None:
    alice = signed_in_as(sown.team.alice)
    ids = sown.here.ids()
    by_route = {route for route in walks.reading_routes() if CANARY in said(walks.call(alice, route, sown))}
    reads = page_walks.pages(public=False, reads=True)
    by_page = {one for one in reads if CANARY in said(page_walks.open_page(alice, one, ids, {"path": "write"}))}
    assert len(by_route) >= 20, by_route
    assert len(by_page) >= 15, by_page
    assert {"GET /runs", "GET /runs/{run_id}", "GET /runs/{run_id}/events", "GET /approvals"} <= by_route
    assert {"runs/", "runs/<uuid:run_id>/", "approvals/", "notices/", ""} & by_page


@pytest.mark.parametrize("name", BLIND)
def test_no_route_shows_content_to_who_sees_costs_alone(sown: World, name: str) -> None:
    browser, headers = signed_in_as(sown.person(name)), bearer(sown.person(name), sown.team.workspace)
    for route, sample in CALLS.items():
        path = sample.path(route, sown.here.ids())
        for client, sent in ((browser, {}), (Client(), headers)):
            with undone():
                answer = walks.call(client, route, sown, **sent)
                assert CANARY not in said(answer), route
                if not is_free(path):
                    assert (answer.status_code, answer.json()["code"]) == (403, "content_hidden"), route


@pytest.mark.parametrize("name", BLIND)
def test_no_page_shows_content_to_who_sees_costs_alone(sown: World, name: str) -> None:
    client, ids = signed_in_as(sown.person(name)), sown.here.ids()
    for pattern, page in PAGES.items():
        if page.public:
            continue
        with undone():
            answers = [page_walks.open_page(client, pattern, ids, {"path": "write"})] if page.reads else []
            answers += [page_walks.post_page(client, pattern, ids)] if page.posts is not None else []
            for answer in answers:
                assert CANARY not in said(answer), pattern
                assert answer.status_code == 403 or is_free(page.path(pattern, ids)), pattern


def test_every_page_they_are_led_to_opens(sown: World) -> None:
    client = signed_in_as(sown.team.carol)
    asked = Approval.objects.get(kind="budget")
    for path in ("/", "/runs/", f"/runs/{sown.here.run.pk}/", "/pipelines/", "/approvals/", "/costs/", "/notices/"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        for link in set(links_of(answer)):
            assert client.get(link).status_code == 200, (path, link)
    assert client.get(f"/approvals/{asked.pk}/").status_code == 200


def links_of(answer: Any) -> list[str]:
    found = re.findall(r'<a [^>]*href="(/[^"#]*)"', answer.content.decode())
    return [one.replace("&amp;", "&") for one in found if not one.startswith("/static/")]


def test_a_run_shows_what_it_costs(sown: World) -> None:
    carol = signed_in_as(sown.team.carol)
    shown = carol.get(f"/api/v1/runs/{sown.here.run.pk}").json()
    assert (shown["input"], shown["output"], shown["cost_usd"]) == ({}, None, "0")
    page = carol.get(f"/runs/{sown.here.run.pk}/").content.decode()
    assert "not what it says" in page
    assert "write" in page


def test_a_manager_answers_about_money_alone(sown: World) -> None:
    carol = signed_in_as(sown.team.carol)
    about_money = Approval.objects.get(kind="budget")
    assert [one["id"] for one in carol.get("/api/v1/approvals").json()["items"]] == [str(about_money.pk)]
    for path in ("", "/precedent"):
        assert carol.get(f"/api/v1/approvals/{sown.here.approval.pk}{path}").status_code == 404
    body = {"decision": "reject", "reason": "No."}
    refused = carol.post(f"/api/v1/approvals/{sown.here.approval.pk}/decide", body, content_type="application/json")
    assert refused.status_code == 404
    decided = carol.post(f"/api/v1/approvals/{about_money.pk}/decide", body, content_type="application/json")
    assert decided.json()["state"] == "rejected"


def test_a_second_role_that_sees_content_is_enough(sown: World) -> None:
    Membership.objects.filter(user=sown.team.carol).update(roles=[Role.MANAGER, Role.REVIEWER])
    shown = signed_in_as(sown.team.carol).get(f"/api/v1/runs/{sown.here.run.pk}").json()
    assert shown["input"] == {"topic": CANARY}


def test_an_admin_says_which_roles_see_costs_alone(world: World) -> None:
    dana = signed_in_as(world.team.dana)
    for hidden in (["manager", "viewer"], ["manager", "viewer"], []):
        body = {"hidden_from": hidden}
        answer = dana.put("/api/v1/content", body, content_type="application/json")
        assert set(answer.json()["hidden_from"]) == set(hidden)
        assert dana.get("/api/v1/content").json() == answer.json()
    acts = list(AuditEntry.objects.filter(action="content_access_changed").values_list("data", flat=True))
    first = ["viewer", "manager"]
    assert acts == [{"before": [], "hidden_from": first}, {"before": first, "hidden_from": []}]


@pytest.mark.parametrize("role", ["composer", "reviewer", "admin"])
def test_content_is_not_kept_from_who_works_with_it(world: World, role: str) -> None:
    dana = signed_in_as(world.team.dana)
    answer = dana.put("/api/v1/content", {"hidden_from": [role]}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (422, "needs_content")


def test_the_form_says_it_too(world: World) -> None:
    dana = signed_in_as(world.team.dana)
    dana.post("/people/content/?workspace=acme", {"hide-auditor": "on", "hide-admin": "on"})
    assert Workspace.objects.get(slug="acme").without_content == ["auditor"]
    assert 'name="hide-auditor" checked' in dana.get("/people/").content.decode()


@pytest.mark.parametrize("name", BLIND)
def test_a_question_about_money_shows_no_content_on_any_address(sown: World, name: str) -> None:
    about_money = Approval.objects.get(kind="budget")
    ids = sown.here.ids() | {"approval": str(about_money.pk)}
    client = signed_in_as(sown.person(name))
    for route, sample in CALLS.items():
        if "approval" in sample.holes.values():
            with undone():
                assert CANARY not in said(walks.call(client, route, sown, ids)), route
    for pattern, page in PAGES.items():
        if "approval" in page.holes.values():
            with undone():
                answers = [page_walks.open_page(client, pattern, ids, {})] if page.reads else []
                answers += [page_walks.post_page(client, pattern, ids)] if page.posts is not None else []
                for answer in answers:
                    assert CANARY not in said(answer), pattern


@pytest.mark.parametrize("name", BLIND)
@pytest.mark.parametrize("state", ["queued", "running", "waiting", "paused", "cancelling", "failed", "cancelled"])
def test_lists_and_pages_of_runs_show_no_content_whatever_their_state(sown: World, name: str, state: str) -> None:
    runs = Run.objects.filter(workspace=sown.team.workspace)
    error = {"class": "budget", "code": "budget_exceeded", "message": "It spent it all.", "path": "write"}
    runs.update(state=state, error=error if state == "failed" else None, input={"topic": CANARY}, output=CANARY)
    client, run = signed_in_as(sown.person(name)), sown.here.run.pk
    paths = ["/", "/runs/", "/runs/?of=all", "/pipelines/", "/pipelines/?archived", "/counts/", "/places/", "/costs/"]
    paths += [f"/runs/{run}/{rest}" for rest in ("", "?view=log", "?view=timeline", "asks/", "buttons/")]
    paths += [
        "/costs/runs/?begun=all",
        "/costs/runs/?figure=cost",
        "/notices/",
        "/approvals/?q=zil",
        "/approvals/?view=all",
    ]
    paths += [f"/api/v1/runs{rest}" for rest in ("", f"/{run}", f"/{run}/receipt", f"/{run}/ledger")]
    for path in paths:
        assert CANARY not in said(client.get(path)), path


def test_the_audit_log_keeps_no_words_of_people_about_runs_and_versions(world: World) -> None:
    """Whoever reads the log need not be somebody who sees content; the words stand at the version and in the run."""
    olga = acting(world.olga, world.team.workspace)
    publish.publish(olga, world.here.pipeline, CANARY)
    services.stop_step(olga, world.here.run, "write", CANARY)
    services.cancel(olga, world.here.run, CANARY)
    hide(world.team)
    erin = signed_in_as(world.team.erin)
    for path in ("/audit/", "/audit.csv", "/api/v1/audit"):
        assert CANARY not in said(erin.get(path)), path
    assert world.here.pipeline.versions.filter(note=CANARY).exists()

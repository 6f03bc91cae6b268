"""What is kept from somebody is in nothing else that they see: what calls it, what it started, and what judges it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import access
from accounts.access import Actor
from accounts.errors import Forbidden
from accounts.models import AuditEntry, Workspace
from accounts.roles import Share
from approvals.models import Approval
from evals import evaluations
from notices import sending, spreading
from notices.models import Delivery, Event, Kind, Notice
from pipelines import budgets, drafts, gallery, publish, raising, sharing
from pipelines.budgets import BudgetFields
from pipelines.graph.caps import Raised
from pipelines.models import Budget, Draft, DraftEdit, Pipeline, PipelineVersion
from pipelines.raising import Allowed
from pipelines.sharing import Lists
from runs import step_alone, trials
from runs.budgets import allow_more, period_start
from runs.models import BudgetCounter, Run, SentEvent, Step
from runs.services import Order, start_run
from tests.api import page_walks, walks
from tests.api.kept import keep
from tests.api.page_walks import PAGES
from tests.api.rows import undone
from tests.api.test_content import CANARY, content_fields, planted, said
from tests.api.test_sharing import calling
from tests.api.walks import CALLS
from tests.api.world import World
from tests.people import acting, signed_in_as
from tests.pipelines.builders import a_pipeline

FOR_DANA = ("dana@example.com",)


@pytest.fixture
def kept(world: World) -> World:
    keep(world, see=FOR_DANA)
    return world


def client_of(world: World, name: str) -> Client:
    return signed_in_as(world.person(name))


def as_(world: World, name: str) -> Actor:
    return acting(world.person(name), world.team.workspace)


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


# One condition, whatever is kept


@pytest.mark.parametrize("model", [Run, Approval, SentEvent, Notice])
def test_a_list_has_as_many_conditions_for_one_kept_pipeline_as_for_many(world: World, model: Any) -> None:
    alice = as_(world, "alice")
    lengths = []
    for count in (1, 5):
        alice.workspace.sharing = {
            f"018f0000-0000-7000-8000-00000000000{n}": {"slug": f"kept-{n}", "see": ["admin"]} for n in range(count)
        }
        rows = access.scoped(model, alice)
        assert rows.count() == model.objects.filter(workspace=alice.workspace).count()
        lengths.append(str(rows.query).count("ancestors"))
    assert lengths[0] == lengths[1]


def test_a_run_below_any_kept_pipeline_is_hidden_however_far_above_it_is(world: World) -> None:
    owner = as_(world, "olga")
    helper = a_published(owner, "helper")
    above = [["first", "sha256:0"], [world.here.pipeline.slug, "sha256:1"], ["last", "sha256:2"]]
    below, beside = (start_run(owner, helper, Order({"topic": "x"})) for _ in range(2))
    Run.objects.filter(pk=below.pk).update(origin={"ancestors": above})
    Run.objects.filter(pk=beside.pk).update(origin={"ancestors": [["first", world.here.pipeline.slug]]})
    keep(world, see=FOR_DANA)
    seen = set(access.scoped(Run, as_(world, "bob")).values_list("pk", flat=True))
    assert (below.pk in seen, beside.pk in seen) == (False, True)


# Runs of it


def a_published(actor: Actor, slug: str) -> Pipeline:
    pipeline = a_pipeline(actor, slug)
    publish.publish(actor, pipeline)
    pipeline.refresh_from_db()
    return pipeline


def test_the_last_run_of_a_pipeline_is_the_last_that_its_reader_sees(world: World) -> None:
    owner = as_(world, "olga")
    helper = a_published(owner, "helper")
    alone = start_run(owner, helper, Order({"topic": "own"}))
    child = start_run(owner, helper, Order({"topic": "theirs"}))
    Run.objects.filter(pk=child.pk).update(origin={"ancestors": [[world.here.pipeline.slug, "sha256:0"]]})
    keep(world, see=FOR_DANA)
    for name, shown, other in (("dana", child, alone), ("bob", alone, child)):
        page = text_of(client_of(world, name), "/pipelines/")
        assert str(shown.pk) in page, name
        assert str(other.pk) not in page, name


def test_a_step_names_no_run_that_it_started_of_what_is_kept(world: World) -> None:
    owner = as_(world, "olga")
    caller = calling(owner, "caller", world.here.pipeline.slug)
    publish.publish(owner, caller)
    caller.refresh_from_db()
    run = start_run(owner, caller, Order({"topic": "tides"}))
    Step.objects.create(run=run, path="call", node="call", kind="pipeline", state="succeeded")
    Run.objects.filter(pk=run.pk).update(children=1)
    Run.objects.filter(pk=world.here.run.pk).update(parent=run, parent_path="call", parent_count=1)
    keep(world, see=FOR_DANA)
    child = str(world.here.run.pk)
    for name, is_named in (("dana", True), ("bob", False)):
        client = client_of(world, name)
        for path in ("step/?path=call", "step/?path=call&from=1"):
            assert (child in text_of(client, f"/runs/{run.pk}/{path}")) is is_named, (name, path)
        found = client.get(f"/api/v1/runs/{run.pk}/lineage?path=call").json()
        assert bool(found["items"][0]["runs"]) is is_named, name


# A reference that somebody writes by hand


def test_problems_say_nothing_of_a_kept_pipeline_that_is_named_by_hand(kept: World) -> None:
    named = kept.here.pipeline
    Pipeline.objects.filter(pk=named.pk).update(name="Moonlight")
    version = named.versions.get(number=1)
    _rewrite(version.pk, {**version.document, "name": "Moonlight", "inputs": _FORM})
    by_hand = calling(as_(kept, "alice"), "by-hand", named.slug)
    for name, is_told in (("olga", True), ("alice", False)):
        client = client_of(kept, name)
        answers = [
            *(text_of(client, f"/api/v1/pipelines/by-hand{rest}") for rest in ("/problems", "/draft")),
            *(text_of(client, f"/pipelines/by-hand/{rest}") for rest in ("", "step/?at=call", "publish/")),
            client.post("/api/v1/pipelines/by-hand/publish").content.decode(),
        ]
        assert any("Moonlight" in one or "phase" in one for one in answers) is is_told, name
    assert by_hand.versions.count() == 0


_FORM = {"type": "object", "required": ["phase"], "properties": {"phase": {"type": "string"}}}


def _rewrite(version: Any, document: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        values = [json.dumps(document), version]
        cursor.execute("UPDATE pipelines_pipelineversion SET document = %s WHERE id = %s", values)
        cursor.execute("SET session_replication_role = DEFAULT")


def test_a_lock_holds_nothing_of_what_is_kept_from_its_reader(world: World) -> None:
    owner = as_(world, "olga")
    publish.publish(owner, calling(owner, "caller", world.here.pipeline.slug))
    keep(world, see=FOR_DANA)
    for name, count in (("dana", 1), ("alice", 0)):
        lock = client_of(world, name).get("/api/v1/pipelines/caller/versions/1").json()["lock"]
        assert len(lock["pipelines"]) == count, name


# Judges


def test_what_a_judge_is_asked_is_kept_with_what_it_judges(world: World) -> None:
    rubric = {"type": "rubric", "rubric": "It speaks of moonlight."}
    asked = {"judge": "demo/judge", "asserts": [rubric], "baseline": 1, "prefer": "Say moonlight."}
    order = evaluations.Order(world.here.pipeline.slug, "acme-cases", repeats=1, **asked)
    evaluations.start(as_(world, "olga"), order)
    keep(world, see=FOR_DANA)
    alice = client_of(world, "alice")
    assert "JUDGE" not in text_of(client_of(world, "dana"), "/pipelines/?archived"), "nobody has put it away"
    for pipeline in Pipeline.objects.filter(workspace=world.team.workspace):
        for path in (f"/api/v1/pipelines/{pipeline.slug}/draft", f"/pipelines/{pipeline.slug}/"):
            assert "moonlight" not in alice.get(path).content.decode(), path


def test_who_only_sees_it_neither_runs_nor_opens_what_stands_in_its_homes(world: World) -> None:
    """A home is archived, but who may edit one brings it back and runs its draft, or shows it to everybody."""
    both = ("alice@example.com", "dana@example.com")
    keep(world, see=both, run=FOR_DANA, edit=FOR_DANA)
    owner = as_(world, "olga")
    home = step_alone.home(owner, world.here.pipeline, world.here.pipeline.draft.document)
    alice = as_(world, "alice")
    assert access.shares(alice, Share.SEE, str(home.pk))
    for refused in (
        lambda: drafts.restore(alice, home),
        lambda: publish.freeze_draft(alice, home),
        lambda: sharing.put(alice, home, Lists()),
    ):
        with pytest.raises(Forbidden) as found:
            refused()
        assert found.value.code == "not_shared"


def test_a_trial_of_a_template_runs_no_pipeline_that_its_person_may_not_run(world: World) -> None:
    owner = as_(world, "olga")
    made = gallery.instantiate(owner, "debate")
    sharing.put(owner, made, Lists(run=FOR_DANA))
    for name, is_it in (("dana", True), ("alice", False)):
        run = trials.try_template(as_(world, name), "debate", f"form-{name}")
        assert (run.pipeline_id == made.pk) is is_it, name


# What is said elsewhere


def test_a_refusal_does_not_name_what_is_kept(world: World) -> None:
    """Who may run a pipeline need not see what it starts."""
    owner, named = as_(world, "olga"), world.here.pipeline
    version = named.versions.get(number=1)
    _rewrite(version.pk, {**version.document, "name": "Moonlight"})
    caller = calling(owner, "caller", named.slug)
    publish.publish(owner, caller)
    caller.refresh_from_db()
    keep(world, see=FOR_DANA)
    with pytest.raises(Forbidden) as found:
        start_run(as_(world, "alice"), caller, Order({"topic": "tides"}))
    assert found.value.code == "not_shared"
    assert "Moonlight" not in found.value.message
    keep(world, run=FOR_DANA)
    with pytest.raises(Forbidden) as found:
        start_run(as_(world, "alice"), caller, Order({"topic": "tides"}))
    assert "Moonlight" in found.value.message


def test_channels_hear_of_no_question_of_what_is_kept_for_some(world: World) -> None:
    """Whoever reads a channel need not be somebody who sees the pipeline."""
    told = Delivery.objects.filter(channel__workspace=world.team.workspace)
    about = {"kind": Kind.ASKED, "approval": world.here.approval, "run": world.here.run}
    for key, lists, count in (("one", {"run": FOR_DANA}, 1), ("two", {"see": FOR_DANA}, 1)):
        keep(world, **lists)
        spreading.tell(Event.objects.create(workspace=Workspace.objects.get(slug="acme"), key=key, **about))
        assert told.count() == count, lists
    told.update(next_at=timezone.now() - timedelta(minutes=1))
    Delivery.objects.exclude(pk__in=told).delete()
    sending.send_due()
    assert told.get().state == Delivery.State.DROPPED, "it was still to be sent when the list was made"


def test_why_a_cap_of_what_is_kept_was_raised_is_read_by_whom_it_is_kept_for(world: World) -> None:
    owner, slug = as_(world, "olga"), world.here.pipeline.slug
    budgets.put(owner, BudgetFields("day", "5", pipeline=slug, reason="Moonlight by day"))
    budgets.put(owner, BudgetFields("day", "5", reason="Of all"))
    raised = Allowed([Raised("max_cost_micros", 1, 2)], "Moonlight by run")
    raising.record(owner, world.here.pipeline, raised)
    keep(world, see=FOR_DANA)
    set_for_it = Budget.objects.get(workspace=world.team.workspace, pipeline=world.here.pipeline)
    places = ("/api/v1/budgets/changes", "/api/v1/budgets/changes?format=csv", "/costs/budgets/")
    for name, is_told in (("dana", True), ("bob", False), ("carol", False), ("erin", False)):
        client = client_of(world, name)
        for place in places:
            found = client.get(place).getvalue().decode()
            assert "Of all" in found, (name, place)
            assert ("Moonlight by day" in found, "Moonlight by run" in found) == (is_told, is_told), (name, place)
        assert ("Moonlight" in text_of(client, f"/costs/budgets/{set_for_it.pk}/")) is is_told, name


@pytest.mark.parametrize("above", [[], ["helper"]])
def test_why_a_run_of_what_is_kept_was_given_more_of_all_is_read_by_whom_it_is_kept_for(
    world: World, above: list[str]
) -> None:
    """The budget is everybody's, so that all see that there is more; who asked and the words are the run's."""
    of = [*above, world.here.pipeline.slug]
    budgets.keep(as_(world, "olga"), "workspace/day", "allowed", 1, 2, "Moonlight is dear", of=of)
    budgets.keep(as_(world, "olga"), "workspace/month", "allowed", 1, 2, "Sunlight is dear", of=["helper"])
    keep(world, see=FOR_DANA)
    for name, is_told in (("dana", True), ("bob", False), ("carol", False), ("erin", False)):
        for place in ("/api/v1/budgets/changes", "/api/v1/budgets/changes?format=csv", "/costs/budgets/"):
            found = client_of(world, name).get(place).getvalue().decode()
            assert "workspace/day" in found, (name, place)
            assert "Sunlight" in found, (name, place)
            assert ("Moonlight" in found) is is_told, (name, place)


def test_what_was_done_to_a_budget_of_what_is_kept_is_told_without_why(world: World) -> None:
    """Who reads what was done need not see the pipeline."""
    owner, slug = as_(world, "olga"), world.here.pipeline.slug
    budgets.put(owner, BudgetFields("month", "5", reason="Of all"))
    of_it = budgets.put(owner, BudgetFields("month", "5", pipeline=slug, reason="Moonlight is set"))
    BudgetCounter.objects.create(budget=of_it, period_start=period_start(of_it))
    allow_more(owner, of_it, "1", "Moonlight is allowed")
    budgets.remove(owner, of_it, "Moonlight is removed")
    raising.record(owner, world.here.pipeline, Allowed([Raised("max_cost_micros", 1, 2)], "Moonlight is raised"))
    keep(world, see=FOR_DANA)
    done = {"budget.set", "budget.allowed", "budget.removed", "pipeline.cap_raised"}
    assert done <= set(AuditEntry.objects.values_list("action", flat=True))
    erin = client_of(world, "erin")
    for place in ("/audit/", "/audit.csv", "/api/v1/audit"):
        found = erin.get(place).getvalue().decode()
        assert "Of all" in found, place
        assert "Moonlight" not in found, place


# A word in all that it says, then every address

# What is a workspace's and no pipeline's.
OF_ALL = {"Agent", "AgentVersion", "Document", "Passage", "Case", "Dataset", "DatasetVersion", "Connection", "McpTool"}
OF_ALL |= {
    "Channel",
    "Delivery",
    "Rule",
    "Calendar",
    "AlertRule",
    "AlertFiring",
    "Budget",
    "BudgetChange",
    "PriceChange",
}


def sow(world: World) -> None:
    """Put the canary into every content field of what is the pipeline's, its runs', questions' and evaluations'."""
    of_it = {"pipeline": world.here.pipeline}
    theirs = {Run: of_it, Draft: of_it, DraftEdit: of_it, PipelineVersion: of_it, Pipeline: {"slug": "acme-brief"}}
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
    for model, field in content_fields():
        if model.__name__ not in OF_ALL:
            for row in model._default_manager.filter(**theirs.get(model, {})).only(field.name):
                if (value := getattr(row, field.name)) is not None:
                    model._default_manager.filter(pk=row.pk).update(**{field.name: planted(value)})
    for kind in (Draft, PipelineVersion):
        for row in kind._default_manager.filter(pipeline=world.here.pipeline):
            kind._default_manager.filter(pk=row.pk).update(document={**row.document, "description": CANARY})
    Approval.objects.update(title=CANARY)
    Step.objects.update(title=CANARY)
    Notice.objects.filter(approval__isnull=False).update(subject=CANARY, data={"said": CANARY, "place": "/"})
    SentEvent.objects.update(run=world.here.run)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = DEFAULT")


@pytest.fixture
def sown(world: World) -> World:
    caller = calling(as_(world, "olga"), "caller", world.here.pipeline.slug)
    publish.publish(as_(world, "olga"), caller)
    _ = world.here.pipeline.draft  # of which the walk makes what it sends itself
    sow(world)
    keep(world, see=FOR_DANA)
    return world


def test_the_word_is_found_by_whom_it_is_kept_for(sown: World) -> None:
    client = client_of(sown, "dana")
    found = {route for route in walks.reading_routes() if CANARY in said(walks.call(client, route, sown))}
    assert {"GET /runs", "GET /pipelines", "GET /events", "GET /approvals", "GET /decisions"} & found
    assert len(found) >= 10, found


@pytest.mark.parametrize("name", ["alice", "bob", "carol", "erin"])
def test_no_address_says_a_word_of_what_is_kept(sown: World, name: str) -> None:
    client, ids = client_of(sown, name), sown.here.ids()
    for wanted in (ids, ids | {"pipeline": "caller"}):
        for route in CALLS:
            with undone():
                assert CANARY not in said(walks.call(client, route, sown, wanted)), route
        for pattern, page in PAGES.items():
            if page.public:
                continue
            with undone():
                answers = [page_walks.open_page(client, pattern, wanted, {"path": "write"})] if page.reads else []
                answers += [page_walks.post_page(client, pattern, wanted)] if page.posts is not None else []
                for answer in answers:
                    assert CANARY not in said(answer), pattern
    for path in ("/runs/?of=all", "/pipelines/?archived", "/approvals/?view=all", "/approvals/?q=zil"):
        assert CANARY not in said(client.get(path)), path

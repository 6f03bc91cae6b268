"""Raising a cap of a run by publishing, going back or sharing runs: for who sets budgets, with a reason, and kept."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.errors import Forbidden, Invalid, Refused
from accounts.models import AuditEntry
from accounts.roles import Role
from pipelines import bundles, drafts, publish, splits
from pipelines.graph import caps
from pipelines.graph.caps import Raised
from pipelines.models import BudgetChange, Draft, Pipeline, PipelineVersion
from runs import trials
from tests.people import Team, a_member, a_team, acting, bearer, signed_in_as
from tests.pipelines.builders import a_document, a_pipeline, a_published_pipeline

pytestmark = pytest.mark.django_db
ONE, TWO = {"max_cost_usd": "1.00"}, {"max_cost_usd": "2.00"}


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture
def pipeline(team: Team) -> Pipeline:
    """A pipeline whose published version 1 lets a run spend $1."""
    return a_published_pipeline(acting(team.alice))


def drafted(team: Team, pipeline: Pipeline, budget: dict[str, Any]) -> Pipeline:
    revision = Draft.objects.get(pipeline=pipeline).revision
    drafts.save(acting(team.alice), pipeline, a_document(budget=budget), revision)
    return Pipeline.objects.get(pk=pipeline.pk)


def lowered(team: Team, pipeline: Pipeline) -> Pipeline:
    """Publish a version 2 that lets a run spend half of that."""
    publish.publish(acting(team.alice), drafted(team, pipeline, {"max_cost_usd": "0.50"}))
    return Pipeline.objects.get(pk=pipeline.pk)


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refusal:
        act()
    return refusal.value.code


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (ONE, ONE, ""),
        (ONE, {"max_cost_usd": "0.99"}, ""),
        (ONE, {"max_cost_usd": "1.000001"}, "from $1 to $1.000001"),
        (ONE, {}, "from $1 to no cap"),
        (ONE, None, "from $1 to no cap"),
        ({}, TWO, ""),
        (None, None, ""),
        ({"max_tokens": 5_000}, {"max_tokens": 6_000}, "from 5,000 tokens to 6,000 tokens"),
        ({"max_llm_calls": 3, **ONE}, {}, "from $1 to no cap and from 3 model calls to no cap"),
        ({"max_seconds": 60}, {"max_seconds": 90.5, "max_cost_usd": "9"}, "from 60 seconds to 90.5 seconds"),
        (ONE, {**ONE, "on_exceed": "ask_human", "alert_at": [0.1]}, ""),
    ],
)  # fmt: skip
def test_a_cap_is_raised_that_is_higher_or_gone(before: Any, now: Any, words: str) -> None:
    assert caps.in_words(caps.raised([{"budget": before}], {"budget": now})) == words


def test_what_several_versions_allow_is_the_highest_of_them() -> None:
    known = [{"budget": one} for one in (ONE, TWO)]
    assert caps.raised(known, {"budget": TWO}) == []
    assert caps.raised(known, {"budget": {"max_cost_usd": "3"}}) == [Raised("max_cost_micros", 2_000_000, 3_000_000)]
    assert caps.raised([*known, {}], {"budget": {}}) == [], "one of them has no cap, so that nothing is raised"


@pytest.mark.parametrize("budget", [TWO, {}])
def test_a_composer_publishes_no_higher_cap(team: Team, pipeline: Pipeline, budget: dict[str, str]) -> None:
    draft = drafted(team, pipeline, budget)
    with pytest.raises(Forbidden, match=r"raises the cap of a run of Brief from \$1 to .* manager or admin") as refusal:
        publish.publish(acting(team.alice), draft, reason="I want to")
    assert (refusal.value.code, refusal.value.where) == ("may_not_raise_cap", "/budget")
    assert PipelineVersion.objects.count() == 1
    assert not BudgetChange.objects.exists()


def test_whoever_sets_budgets_raises_it_with_a_reason_and_that_is_kept(team: Team, pipeline: Pipeline) -> None:
    carla = acting(a_member(team.workspace, "carla", Role.COMPOSER, Role.MANAGER))
    draft = drafted(team, pipeline, TWO)
    for none in ("", "  "):
        with pytest.raises(Invalid) as refusal:
            publish.publish(carla, draft, reason=none)
        assert (refusal.value.code, refusal.value.where) == ("reason_needed", "/reason")
    version = publish.publish(carla, draft, "Better", reason=" The  fair is this week ")
    [change] = BudgetChange.objects.all()
    assert (change.scope, change.act, change.was_micros, change.cap_micros) == (
        "pipeline brief/run", "raised", 1_000_000, 2_000_000,
    )  # fmt: skip
    assert (change.reason, change.by) == ("The fair is this week", carla.user)
    entry = AuditEntry.objects.get(action="pipeline.cap_raised")
    assert (entry.actor, entry.target) == ("carla@example.com", "brief")
    assert entry.data == {
        "version": version.number,
        "caps": [{"cap": "max_cost_micros", "was": 1_000_000, "now": 2_000_000}],
    }


def test_a_cap_that_is_taken_away_is_kept_as_removed(team: Team, pipeline: Pipeline) -> None:
    publish.publish(acting(team.dana), drafted(team, pipeline, {"max_llm_calls": 9}), reason="It is free")
    [change] = BudgetChange.objects.all()
    assert (change.act, change.was_micros, change.cap_micros) == ("removed", 1_000_000, None)


def test_a_cap_that_is_no_money_needs_the_same_and_stands_in_the_audit_log(team: Team, pipeline: Pipeline) -> None:
    publish.publish(acting(team.alice), drafted(team, pipeline, {**ONE, "max_llm_calls": 3}))
    more = drafted(team, pipeline, {**ONE, "max_llm_calls": 4})
    assert code_of(lambda: publish.publish(acting(team.alice), more)) == "may_not_raise_cap"
    publish.publish(acting(team.dana), more, reason="One more look")
    assert not BudgetChange.objects.exists()
    assert AuditEntry.objects.get(action="pipeline.cap_raised").data["caps"] == [
        {"cap": "max_llm_calls", "was": 3, "now": 4}
    ]


def test_lower_caps_the_same_ones_and_a_first_version_need_nothing(team: Team, pipeline: Pipeline) -> None:
    publish.publish(acting(team.alice), pipeline)
    publish.publish(acting(team.alice), drafted(team, pipeline, {"max_cost_usd": "0.10"}))
    a_pipeline(acting(team.alice), "fresh")
    assert trials.publish_first(acting(team.alice), "fresh").published is not None
    assert not AuditEntry.objects.filter(action="pipeline.cap_raised").exists()


def test_a_step_s_own_cap_lies_within_the_run_s_and_is_free(team: Team, pipeline: Pipeline) -> None:
    document = a_document()
    document["graph"]["nodes"]["write"]["budget"] = {"max_cost_usd": "0.20"}
    publish.publish(acting(team.alice), saved(team, pipeline, document))
    document["graph"]["nodes"]["write"]["budget"] = {"max_cost_usd": "0.90"}
    assert publish.publish(acting(team.alice), saved(team, pipeline, document)).number == 3


def saved(team: Team, pipeline: Pipeline, document: dict[str, Any]) -> Pipeline:
    drafts.save(acting(team.alice), pipeline, document, Draft.objects.get(pipeline=pipeline).revision)
    return Pipeline.objects.get(pk=pipeline.pk)


def test_going_back_to_a_higher_cap_is_raising_it(team: Team, pipeline: Pipeline) -> None:
    pipeline = lowered(team, pipeline)
    assert code_of(lambda: publish.rollback(acting(team.alice), pipeline, 1, "Back")) == "may_not_raise_cap"
    assert code_of(lambda: publish.rollback(acting(team.dana), pipeline, 1)) == "reason_needed"
    assert publish.rollback(acting(team.dana), pipeline, 1, "The other was too low").number == 3
    assert AuditEntry.objects.get(action="pipeline.cap_raised").data["version"] == 3


def test_new_runs_are_shared_with_no_higher_cap(team: Team, pipeline: Pipeline) -> None:
    pipeline, half = lowered(team, pipeline), [(1, 50), (2, 50)]
    assert code_of(lambda: splits.put(acting(team.alice), pipeline, half)) == "may_not_raise_cap"
    assert code_of(lambda: splits.put(acting(team.dana), pipeline, half)) == "reason_needed"
    splits.put(acting(team.dana), pipeline, half, "To compare them")
    assert BudgetChange.objects.get().reason == "To compare them"
    splits.put(acting(team.alice), Pipeline.objects.get(pk=pipeline.pk), [(1, 10), (2, 90)])


def left_out(team: Team, pipeline: Pipeline) -> Pipeline:
    """Give all new runs version 2, half as dear as version 3, which is published."""
    publish.publish(acting(team.alice), drafted(team, pipeline, {"max_cost_usd": "0.50"}))
    publish.publish(acting(team.dana), drafted(team, pipeline, ONE), reason="The fair")
    splits.put(acting(team.alice), pipeline, [(2, 100)])
    return Pipeline.objects.get(pk=pipeline.pk)


def test_a_published_version_that_a_split_leaves_out_is_not_what_new_runs_get(team: Team, pipeline: Pipeline) -> None:
    pipeline = left_out(team, pipeline)
    draft = drafted(team, pipeline, {"max_cost_usd": "0.75"})
    assert code_of(lambda: publish.publish(acting(team.alice), draft)) == "may_not_raise_cap"
    assert code_of(lambda: publish.rollback(acting(team.alice), pipeline, 3)) == "may_not_raise_cap"
    assert code_of(lambda: splits.put(acting(team.alice), pipeline, [(3, 100)])) == "may_not_raise_cap"
    assert publish.rollback(acting(team.alice), pipeline, 2).number == 4


def test_a_split_is_ended_for_a_higher_cap_only_as_that_is_published(team: Team, pipeline: Pipeline) -> None:
    pipeline = left_out(team, pipeline)
    assert code_of(lambda: splits.end(acting(team.alice), pipeline, "Enough")) == "may_not_raise_cap"
    assert code_of(lambda: splits.end(acting(team.dana), pipeline)) == "reason_needed"
    assert Pipeline.objects.get(pk=pipeline.pk).split == [{"version": 2, "percent": 100}]
    splits.end(acting(team.dana), pipeline, "Enough")
    assert Pipeline.objects.get(pk=pipeline.pk).split == []
    change = BudgetChange.objects.latest("id")
    assert (change.was_micros, change.cap_micros, change.reason) == (500_000, 1_000_000, "Enough")
    assert AuditEntry.objects.filter(action="pipeline.cap_raised").latest("seq").data["version"] == 3


def test_a_split_that_allowed_as_much_is_ended_by_whoever_publishes(team: Team, pipeline: Pipeline) -> None:
    pipeline = lowered(team, pipeline)
    splits.put(acting(team.dana), pipeline, [(1, 10), (2, 90)], "To compare")
    splits.end(acting(team.alice), pipeline)
    assert Pipeline.objects.get(pk=pipeline.pk).split == []


def test_programs_and_pages_end_a_split_with_a_reason(team: Team, pipeline: Pipeline) -> None:
    left_out(team, pipeline)
    address = "/api/v1/pipelines/brief/split"
    alice, dana = (bearer(person, team.workspace) for person in (team.alice, team.dana))
    for headers, query, status in ((alice, "?reason=x", 403), (dana, "", 422), (dana, "?reason=Enough", 204)):
        assert Client().delete(f"{address}{query}", headers=headers).status_code == status
    splits.put(acting(team.alice), pipeline, [(2, 100)])
    browsers = signed_in_as(team.alice), signed_in_as(team.dana)
    tells, asks = (one.get("/pipelines/brief/versions/").content.decode() for one in browsers)
    assert "Why, since v3 raises a cap of a run" in asks
    assert "v3 raises a cap of a run: to end it is for a manager or admin" in tells
    assert "disabled>End it" in tells
    ends = "/pipelines/brief/split/end/"
    assert browsers[0].post(ends, {"reason": "x"}).status_code == 403
    refused = browsers[1].post(ends, {"reason": " "})
    assert refused.status_code == 422
    assert "Say why" in refused.content.decode()
    assert browsers[1].post(ends, {"reason": "Enough"}).status_code == 302


def test_a_version_that_a_split_leaves_out_keeps_no_share_beside_a_new_one(team: Team, pipeline: Pipeline) -> None:
    left_out(team, pipeline)
    drafted(team, pipeline, {"max_cost_usd": "0.40"})
    alice, dana = signed_in_as(team.alice), signed_in_as(team.dana)
    address, tenth = "/pipelines/brief/publish/", {"share": "10"}
    tells, asks = (one.get(address).content.decode() for one in (alice, dana))
    assert "where v3 keeps a share, the cap of a run is raised from $0.5 to $1" in tells
    assert 'name="reason"' in asks
    assert alice.post(address, tenth).status_code == 403
    assert dana.post(address, tenth).status_code == 422
    assert Pipeline.objects.get(pk=pipeline.pk).split == [{"version": 2, "percent": 100}]
    assert dana.post(address, {**tenth, "reason": "To compare"}).status_code == 302
    assert Pipeline.objects.get(pk=pipeline.pk).split == [
        {"version": 3, "percent": 90}, {"version": 4, "percent": 10},
    ]  # fmt: skip
    assert BudgetChange.objects.latest("id").reason == "To compare"
    splits.put(acting(team.alice), Pipeline.objects.get(pk=pipeline.pk), [(2, 100)])
    assert alice.post(address, {"share": "100"}).status_code == 302


def test_a_version_with_a_lower_cap_may_get_some_of_the_runs_first(team: Team, pipeline: Pipeline) -> None:
    drafted(team, pipeline, {"max_cost_usd": "0.50"})
    answer = signed_in_as(team.alice).post("/pipelines/brief/publish/", {"share": "10"})
    assert answer.status_code == 302
    assert Pipeline.objects.get(pk=pipeline.pk).split == [
        {"version": 1, "percent": 90}, {"version": 2, "percent": 10},
    ]  # fmt: skip


def test_an_import_is_a_draft_whose_cap_is_asked_about_when_it_is_published(team: Team, pipeline: Pipeline) -> None:
    revision = Draft.objects.get(pipeline=pipeline).revision
    op = {"op": "replace", "document": a_document(budget=TWO)}
    drafts.apply_ops(acting(team.alice), pipeline, revision, "one", [op])
    assert code_of(lambda: publish.publish(acting(team.alice), pipeline)) == "may_not_raise_cap"
    brought = bundles.taken_in(acting(team.alice), a_document("other", budget=TWO), "form").pipeline
    assert brought.published is None
    assert publish.publish(acting(team.alice), brought).number == 1, "nothing of it was published before"


def test_programs_say_why_they_raise_a_cap(team: Team, pipeline: Pipeline) -> None:
    drafted(team, pipeline, TWO)
    address = "/api/v1/pipelines/brief"
    alice, dana = (bearer(person, team.workspace) for person in (team.alice, team.dana))
    edits_only = bearer(team.dana, team.workspace, "read", "edit")  # type: ignore[arg-type]

    def post(path: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, str | None]:
        answer = Client().post(f"{address}/{path}", body, "application/json", headers=headers)
        return answer.status_code, answer.json().get("code")

    for headers in (alice, edits_only):
        assert post("publish", {"reason": "I want to"}, headers) == (403, "may_not_raise_cap")
    assert post("publish", {"note": "More"}, dana) == (422, "reason_needed")
    assert post("publish", {"note": "More", "reason": "The fair"}, dana) == (201, None)
    assert post("rollback", {"version": 1}, alice) == (201, None)
    assert post("rollback", {"version": 2}, alice) == (403, "may_not_raise_cap")
    assert post("rollback", {"version": 2, "reason": "The fair"}, dana) == (201, None)
    assert post("rollback", {"version": 1}, alice) == (201, None)
    arms = [{"version": 2, "percent": 100}]
    put = Client().put(f"{address}/split", {"arms": arms}, "application/json", headers=alice)
    assert (put.status_code, put.json()["code"]) == (403, "may_not_raise_cap")
    told = Client().put(f"{address}/split", {"arms": arms, "reason": "x"}, "application/json", headers=dana)
    assert told.status_code == 200
    found = Client().get("/api/v1/budgets/changes", headers=alice).json()["items"]
    assert [(one["scope"], one["act"], one["cap_usd"]) for one in found] == [("pipeline brief/run", "raised", "2")] * 3


def test_the_page_asks_whoever_may_for_a_reason_and_tells_the_others_whom_to_ask(
    team: Team, pipeline: Pipeline
) -> None:
    drafted(team, pipeline, TWO)
    alice, dana = signed_in_as(team.alice), signed_in_as(team.dana)
    page, theirs = (one.get("/pipelines/brief/publish/").content.decode() for one in (dana, alice))
    assert "Raises a cap of a run: that needs a reason" in page
    assert "from $1 to $2" in page
    assert 'name="reason"' in page
    assert 'name="reason"' not in theirs
    assert "That is for a manager or admin who may publish" in theirs
    assert "disabled>Publish version 2" in theirs
    assert alice.post("/pipelines/brief/publish/", {"reason": "x"}).status_code == 403
    refused = dana.post("/pipelines/brief/publish/", {"note": "More", "reason": " "})
    assert refused.status_code == 422
    assert "Say why" in refused.content.decode()
    assert dana.post("/pipelines/brief/publish/", {"reason": "The fair"}).status_code == 302
    budgets = dana.get("/costs/budgets/").content.decode()
    assert "pipeline brief/run" in budgets
    assert "The fair" in budgets


def test_the_list_of_versions_leads_to_where_a_reason_is_given(team: Team, pipeline: Pipeline) -> None:
    lowered(team, pipeline)
    alice, dana = signed_in_as(team.alice), signed_in_as(team.dana)
    where = "/pipelines/brief/compare/?from=1&amp;to=2"
    for browser in (alice, dana):
        listed = browser.get("/pipelines/brief/versions/").content.decode()
        assert f'href="{where}" title="It raises a cap of a run"' in listed
        assert 'action="/pipelines/brief/versions/1/rollback/"' not in listed
    asks, tells = (one.get(where.replace("&amp;", "&")).content.decode() for one in (dana, alice))
    assert 'name="reason"' in asks
    assert "Going back raises the cap of a run from $0.5 to $1: say why" in asks
    assert 'name="reason"' not in tells
    assert alice.post("/pipelines/brief/versions/1/rollback/", {"reason": "x"}).status_code == 403
    assert dana.post("/pipelines/brief/versions/1/rollback/").status_code == 422
    assert dana.post("/pipelines/brief/versions/1/rollback/", {"reason": "Too low"}).status_code == 302
    shared = {"version": "1", "percent": "20", "other": "2"}
    publish.publish(acting(team.dana), drafted(team, pipeline, {"max_cost_usd": "0.10"}))
    assert alice.post("/pipelines/brief/split/", shared).status_code == 403
    assert 'name="reason"' in dana.get("/pipelines/brief/versions/").content.decode()
    assert dana.post("/pipelines/brief/split/", {**shared, "reason": "To compare"}).status_code == 302

"""Publishing, the list of versions, comparing, going back, sharing runs: each as a plain form, each for whom it is."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership
from accounts.roles import Role
from pipelines import drafts, publish, splits
from pipelines.models import Budget, Draft, DraftEdit, Pipeline, PipelineVersion
from tests.pages.builders import HOSTILE, a_run_of
from tests.people import Team, a_member, a_team, acting, signed_in_as
from tests.pipelines.builders import a_document, a_pipeline, a_published_pipeline, prompting

ADDRESSES = ["publish/", "versions/", "versions/1.json", "compare/", "compare/?from=1&to=2"]
FRAGMENTS = ["publish/runs/", "versions/1-2/runs/", "compare/1/draft/runs/"]
POSTS = ["publish/", "versions/1/rollback/", "versions/1/edit/", "split/", "split/end/"]
SPLIT = {"version": "1", "percent": "20", "other": "2"}


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture
def pipeline(team: Team) -> Pipeline:
    """A pipeline with two versions, and a draft that differs from the second."""
    alice = acting(team.alice)
    pipeline = a_published_pipeline(alice)
    edit(team, pipeline, "Second ${input.topic | default('it')}")
    publish.publish(alice, pipeline, "A second try")
    edit(team, pipeline, "Third ${input.topic | default('it')}")
    return Pipeline.objects.get(pk=pipeline.pk)


def edit(team: Team, pipeline: Pipeline, prompt: str, **fields: Any) -> Draft:
    revision = Draft.objects.get(pipeline=pipeline).revision
    return drafts.save(acting(team.alice), pipeline, prompting(a_document(**fields), prompt), revision)


def address(rest: str, slug: str = "brief") -> str:
    return f"/pipelines/{slug}/{rest}"


def read(team: Team, rest: str, name: str = "alice") -> str:
    return signed_in_as(getattr(team, name)).get(address(rest)).content.decode()


def post(team: Team, rest: str, name: str = "alice", **posted: str) -> Any:
    return signed_in_as(getattr(team, name)).post(address(rest), posted)


def live(pipeline: Pipeline) -> PipelineVersion:
    found = Pipeline.objects.select_related("published").get(pk=pipeline.pk).published
    assert found is not None
    return found


def break_draft(team: Team, pipeline: Pipeline) -> None:
    document = a_document()
    document["graph"]["nodes"]["write"]["agent"] = "nobody@1"
    drafts.save(acting(team.alice), pipeline, document, Draft.objects.get(pipeline=pipeline).revision)


# Who sees and who does


@pytest.mark.parametrize("rest", ADDRESSES + FRAGMENTS)
@pytest.mark.parametrize("name", ["alice", "bob", "carol", "dana", "erin"])
def test_every_member_reads_every_page(team: Team, pipeline: Pipeline, rest: str, name: str) -> None:
    assert signed_in_as(getattr(team, name)).get(address(rest)).status_code == 200


@pytest.mark.parametrize("rest", ADDRESSES + FRAGMENTS)
def test_charlie_gets_what_an_absent_name_gets(team: Team, pipeline: Pipeline, rest: str) -> None:
    charlie = signed_in_as(team.charlie)
    theirs, absent = charlie.get(address(rest)), charlie.get(address(rest, "absent"))
    assert (theirs.status_code, absent.status_code) == (404, 404)
    assert without_tokens(theirs) == without_tokens(absent)


@pytest.mark.parametrize("rest", POSTS)
def test_charlie_changes_nothing_and_learns_nothing(team: Team, pipeline: Pipeline, rest: str) -> None:
    charlie = signed_in_as(team.charlie)
    theirs, absent = charlie.post(address(rest), SPLIT), charlie.post(address(rest, "absent"), SPLIT)
    assert (theirs.status_code, absent.status_code) == (404, 404)
    assert without_tokens(theirs) == without_tokens(absent)
    assert PipelineVersion.objects.count() == 2
    assert Draft.objects.get(pipeline=pipeline).revision == 3


def without_tokens(response: Any) -> str:
    lines = response.content.decode().splitlines()
    return "\n".join(line for line in lines if "csrfmiddlewaretoken" not in line and "nonce" not in line)


@pytest.mark.parametrize("rest", POSTS)
@pytest.mark.parametrize("name", ["bob", "carol", "erin"])
def test_who_may_not_publish_or_edit_changes_nothing(team: Team, pipeline: Pipeline, rest: str, name: str) -> None:
    response = post(team, rest, name, **SPLIT)
    assert response.status_code == 403
    assert "You may not" in response.content.decode()
    assert PipelineVersion.objects.count() == 2
    assert Draft.objects.get(pipeline=pipeline).revision == 3


def test_a_viewer_reads_what_changes_and_is_told_whom_to_ask(team: Team, pipeline: Pipeline) -> None:
    viewer = signed_in_as(a_member(team.workspace, "vera", Role.VIEWER))
    page = viewer.get(address("publish/")).content.decode()
    assert "What changes" in page
    assert "Ask a composer or admin" in page
    assert 'name="note"' not in page
    versions = viewer.get(address("versions/")).content.decode()
    assert "Roll back" not in versions
    assert "Edit from it" not in versions
    assert viewer.post(address("publish/")).status_code == 403


@pytest.mark.parametrize("rest", POSTS)
def test_each_form_is_held_to_its_token(team: Team, pipeline: Pipeline, rest: str) -> None:
    browser = signed_in_as(team.alice, csrf=True)
    assert browser.post(address(rest), SPLIT).status_code == 403
    assert PipelineVersion.objects.count() == 2


@pytest.mark.parametrize("rest", [one for one in POSTS if one != "publish/"])
def test_nothing_is_changed_by_looking(team: Team, pipeline: Pipeline, rest: str) -> None:
    assert signed_in_as(team.alice).get(address(rest)).status_code == 405


def test_who_is_not_signed_in_is_sent_to_sign_in(team: Team, pipeline: Pipeline) -> None:
    response = Client().get(address("publish/"))
    assert response["Location"] == f"/login/?next={address('publish/')}"


# Publishing


def test_publish_publishes_with_the_note_and_opens_the_history(team: Team, pipeline: Pipeline) -> None:
    response = post(team, "publish/", note="  Better words. ", revision="3")
    assert response["Location"] == address("versions/")
    assert (live(pipeline).number, live(pipeline).note) == (3, "Better words.")
    page = read(team, "versions/")
    assert "Better words." in page
    assert "Draft is v3" in page


def test_the_page_says_what_changes_in_words_and_as_two_pictures(team: Team, pipeline: Pipeline) -> None:
    page = read(team, "publish/")
    assert "Publish version 3" in page
    assert "1 change from v2 to the draft" in page
    assert "<del>Second</del>" in page
    assert "<ins>Third</ins>" in page
    assert page.count('<svg class="dp"') == 2
    assert page.count('class="ds step k-agent changed"') == 2
    assert 'href="/pipelines/brief/?node=write"' in page


def test_the_first_version_has_nothing_to_be_compared_with(team: Team) -> None:
    a_published_pipeline(acting(team.alice))
    a_pipeline(acting(team.alice), "fresh")
    browser = signed_in_as(team.alice)
    page = browser.get(address("publish/", "fresh")).content.decode()
    assert "The first version" in page
    assert page.count('<svg class="dp"') == 1
    assert 'name="share"' not in page
    assert "Never published" in browser.get(address("versions/", "fresh")).content.decode()
    assert browser.post(address("publish/", "fresh")).status_code == 302


def test_errors_block_and_lead_to_their_steps(team: Team, pipeline: Pipeline) -> None:
    break_draft(team, pipeline)
    page = read(team, "publish/")
    assert "1 error to solve first" in page
    assert "There is no agent &#x27;nobody@1&#x27;" in page
    assert 'href="/pipelines/brief/?node=write">Open the step' in page
    refused = post(team, "publish/", note="I try it all the same")
    assert refused.status_code == 422
    content = refused.content.decode()
    assert "cannot be published yet" in content
    assert "I try it all the same" in content, "what was typed is kept"
    assert live(pipeline).number == 2


def test_a_draft_that_changed_while_it_was_read_is_not_published_unseen(team: Team, pipeline: Pipeline) -> None:
    edit(team, pipeline, "Meanwhile ${input.topic | default('it')}")
    response = post(team, "publish/", note="What I read", revision="3")
    assert response.status_code == 409
    content = response.content.decode()
    assert "Somebody changed this pipeline while you read" in content
    assert "<ins>Meanwhile</ins>" in content, "the page shows what there is now"
    assert 'name="revision" value="4"' in content
    assert live(pipeline).number == 2


def test_a_refusal_answers_htmx_with_the_page_s_inside_and_success_with_where_to_go(
    team: Team, pipeline: Pipeline
) -> None:
    browser = signed_in_as(team.alice)
    refused = browser.post(address("publish/"), {"revision": "1"}, headers={"HX-Request": "true"})
    assert refused.status_code == 409
    assert refused.content.decode().startswith('<div class="pubg" id="publishing">')
    done = browser.post(address("publish/"), {"revision": "3"}, headers={"HX-Request": "true"})
    assert done["HX-Redirect"] == address("versions/")


def test_a_version_may_first_get_a_share_of_the_new_runs(team: Team, pipeline: Pipeline) -> None:
    post(team, "publish/", share="10")
    found = Pipeline.objects.get(pk=pipeline.pk)
    assert [(arm.version, arm.percent) for arm in splits.arms_of(found)] == [(2, 90), (3, 10)]
    page = read(team, "versions/")
    assert "90 % of new runs use version 2, 10 % of new runs use version 3" in page


@pytest.mark.parametrize("posted", [{"share": "101"}, {"share": "x"}, {"note": "n" * 2_001}])
def test_a_form_filled_in_by_hand_is_refused_without_a_version(
    team: Team, pipeline: Pipeline, posted: dict[str, str]
) -> None:
    assert post(team, "publish/", **posted).status_code == 422
    assert PipelineVersion.objects.count() == 2


def test_the_checklist_tells_cap_budget_prices_and_what_cannot_be_undone(team: Team, pipeline: Pipeline) -> None:
    Budget.objects.create(workspace=team.workspace, period="day", max_cost_micros=20_000_000)
    page = read(team, "publish/")
    assert "$1.00 a run, $20.00 a day" in page
    assert "Every model has a known price" in page
    assert "Does nothing that cannot be undone" in page
    document = a_document(budget={})
    document["graph"]["nodes"]["send"] = {
        "kind": "tool",
        "tool": "email.send@1",
        "args": {"to": "a@b.example", "subject": "s", "body": "b"},
    }
    document["graph"]["edges"] += [{"from": "write", "to": "send"}, {"from": "send", "to": "result"}]
    drafts.save(acting(team.alice), pipeline, document, 3)
    page = read(team, "publish/")
    assert "No cap for a run" in page
    assert "the run stops and asks" in page
    assert "0 of 1" in page


def test_a_draft_that_says_the_same_is_said_so(team: Team, pipeline: Pipeline) -> None:
    post(team, "publish/")
    page = read(team, "publish/")
    assert "There is nothing to publish" in page
    assert "say the same" in page


def test_hostile_text_stays_text(team: Team, pipeline: Pipeline) -> None:
    document = prompting(a_document(), HOSTILE.replace("$", ""))
    document["graph"]["nodes"]["write"]["title"] = HOSTILE[:60]
    drafts.save(acting(team.alice), pipeline, document, 3)
    post(team, "publish/", note=HOSTILE)
    for rest in ("publish/", "versions/", "compare/?from=1&to=3"):
        page = read(team, rest)
        assert "<script>alert" not in page
        assert "<img src=x" not in page


# Versions


def test_versions_are_listed_newest_first_with_who_note_hash_and_which_is_live(team: Team, pipeline: Pipeline) -> None:
    page = read(team, "versions/")
    assert page.index("v2") < page.index(">v1<")
    assert "A second try" in page
    assert "No note" in page
    assert live(pipeline).hash[7:13] in page
    assert page.count(">Live<") == 1
    assert "Draft differs from v2" in page


def test_older_versions_are_a_page_away(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    for _ in range(21):
        publish.publish(acting(team.alice), pipeline)
    page = read(team, "versions/")
    assert 'id="runs-3"' in page
    assert 'id="runs-2"' not in page
    older = page.split('href="?cursor=')[1].split('"')[0]
    assert 'id="runs-2"' in read(team, f"versions/?cursor={older}")


def test_roll_back_publishes_the_old_version_again_and_leaves_the_draft(team: Team, pipeline: Pipeline) -> None:
    response = post(team, "versions/1/rollback/")
    assert response["Location"] == address("versions/")
    assert live(pipeline).number == 3
    assert live(pipeline).document == a_document()
    assert "Third" in json.dumps(Draft.objects.get(pipeline=pipeline).document)
    assert live(pipeline).note == "Back to version 1"


def test_a_version_that_can_no_longer_be_published_says_why(team: Team, pipeline: Pipeline) -> None:
    drafts.archive(acting(team.alice), pipeline)
    response = post(team, "versions/1/rollback/")
    assert response.status_code == 409
    assert "is archived" in response.content.decode()


@pytest.mark.parametrize("rest", ["versions/9/rollback/", "versions/9/edit/", "versions/0/rollback/"])
def test_a_version_that_is_not_there_is_not_found(team: Team, pipeline: Pipeline, rest: str) -> None:
    assert post(team, rest).status_code == 404


def test_edit_from_a_version_is_one_change_of_the_draft_that_can_be_undone(team: Team, pipeline: Pipeline) -> None:
    before = Draft.objects.get(pipeline=pipeline).document
    response = post(team, "versions/1/edit/", revision="3")
    assert response["Location"] == "/pipelines/brief/"
    draft = Draft.objects.get(pipeline=pipeline)
    assert (draft.document, draft.revision) == (a_document(), 4)
    undo = DraftEdit.objects.get(pipeline=pipeline, revision=4).ops["inverse"]
    drafts.apply_ops(acting(team.alice), pipeline, 4, "undo", undo)
    assert Draft.objects.get(pipeline=pipeline).document == before
    assert live(pipeline).number == 2


def test_edit_from_a_version_never_overwrites_a_change_its_reader_has_not_seen(team: Team, pipeline: Pipeline) -> None:
    response = post(team, "versions/1/edit/", revision="2")
    assert response.status_code == 409
    assert "Somebody changed this pipeline meanwhile" in response.content.decode()
    assert Draft.objects.get(pipeline=pipeline).revision == 3


def test_a_version_comes_as_a_file_that_can_be_imported(team: Team, pipeline: Pipeline) -> None:
    response = signed_in_as(team.bob).get(address("versions/1.json"))
    assert response["Content-Disposition"] == 'attachment; filename="brief-v1.json"'
    assert json.loads(response.content) == a_document()
    assert signed_in_as(team.bob).get(address("versions/7.json")).status_code == 404


def test_new_runs_are_shared_between_two_versions_and_that_is_ended(team: Team, pipeline: Pipeline) -> None:
    post(team, "split/", **SPLIT)
    assert Pipeline.objects.get(pk=pipeline.pk).split == [
        {"version": 1, "percent": 20},
        {"version": 2, "percent": 80},
    ]
    assert "20 % of new runs use version 1" in read(team, "versions/", "bob")
    post(team, "split/end/")
    assert Pipeline.objects.get(pk=pipeline.pk).split == []


@pytest.mark.parametrize(
    "posted",
    [{"percent": "0"}, {"percent": "100"}, {"percent": "many"}, {"other": "1"}, {"version": ""}, {"percent": "9" * 99}],
)
def test_shares_that_do_not_fit_are_refused_in_place(team: Team, pipeline: Pipeline, posted: dict[str, str]) -> None:
    response = post(team, "split/", **{**SPLIT, **posted})
    assert response.status_code == 422
    assert "That was not done." in response.content.decode()
    assert Pipeline.objects.get(pk=pipeline.pk).split == []


# Comparing


def test_any_two_are_compared_in_either_direction(team: Team, pipeline: Pipeline) -> None:
    forth, back = read(team, "compare/?from=1&to=2"), read(team, "compare/?from=2&to=1")
    assert "<ins>Second" in forth
    assert "<del>Second" in back
    assert 'href="?from=2&amp;to=1"' in forth


def test_without_a_choice_what_runs_is_compared_with_the_draft(team: Team, pipeline: Pipeline) -> None:
    page = read(team, "compare/")
    assert "Compare v2 with the draft" in page
    assert "<ins>Third" in page


@pytest.mark.parametrize("query", ["from=9", "to=9", "from=x", "from=-1", f"from={'9' * 40}", "from=²"])
def test_what_cannot_be_compared_is_not_found(team: Team, pipeline: Pipeline, query: str) -> None:
    assert signed_in_as(team.alice).get(address(f"compare/?{query}")).status_code == 404


# What runs say


def a_version_run(pipeline: Pipeline, team: Team, number: int | None = 2, **fields: Any) -> None:
    version = pipeline.versions.get(number=number) if number else None
    a_run_of(pipeline, team, **{"version": version, "state": "succeeded", **fields})


def test_the_list_says_how_the_runs_of_each_version_went(team: Team, pipeline: Pipeline) -> None:
    for cost, state in ((100_000, "succeeded"), (300_000, "failed"), (0, "running")):
        a_version_run(pipeline, team, 2, cost_micros=cost, state=state)
    a_version_run(pipeline, team, 2, cost_micros=9, unpriced_calls=1, state="cancelled")
    assert 'hx-get="/pipelines/brief/versions/1-2/runs/"' in read(team, "versions/")
    parts = read(team, "versions/1-2/runs/")
    assert 'id="runs-2" hx-swap="innerHTML">4<' in parts
    assert "$0.20" in parts, "the mean of the two that ended"
    assert "50 %" in parts
    assert "1 of 2 that ended" in parts
    assert "runs-1" not in parts


def test_the_publish_page_says_who_still_runs_and_how_the_draft_was_tried(team: Team, pipeline: Pipeline) -> None:
    assert "This draft was never run as it is" in read(team, "publish/runs/")
    a_version_run(pipeline, team, 2, state="waiting")
    version = publish.freeze_draft(acting(team.alice), pipeline)
    a_run_of(pipeline, team, version=version, state="succeeded")
    parts = read(team, "publish/runs/")
    assert "The run in progress finishes on v2." in parts
    assert 'class="ok" id="check-run"' in parts
    edit(team, pipeline, "Other ${input.topic | default('it')}")
    assert "This draft was never run as it is" in read(team, "publish/runs/"), "another draft was tried"


def test_a_difference_is_told_with_its_interval_and_not_where_runs_are_few(team: Team, pipeline: Pipeline) -> None:
    for step in range(8):
        a_version_run(pipeline, team, 1, cost_micros=200_000 + step * 1_000)
        a_version_run(pipeline, team, 2, cost_micros=100_000 + step * 1_000)
    parts = read(team, "compare/1/2/runs/")
    assert "Better" in parts
    assert "8 runs of v1, 8 of v2" in parts
    assert "−<span" in parts
    assert ">$0.103<" in parts
    assert "Too few runs" in read(team, "compare/1/draft/runs/")


def test_the_list_of_pipelines_says_that_a_draft_differs(team: Team, pipeline: Pipeline) -> None:
    assert (
        'href="/pipelines/brief/publish/">draft differs' in signed_in_as(team.bob).get("/pipelines/").content.decode()
    )
    post(team, "publish/")
    assert "draft differs" not in signed_in_as(team.bob).get("/pipelines/").content.decode()


def test_a_membership_that_ended_ends_the_pages_too(team: Team, pipeline: Pipeline) -> None:
    Membership.objects.filter(user=team.alice).delete()
    assert signed_in_as(team.alice).get(address("publish/")).status_code == 404

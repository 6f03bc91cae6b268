"""Every page: who sees it, what a stranger gets, and that hostile text stays text."""

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from accounts.access import Actor
from accounts.roles import Role
from pipelines import gallery
from pipelines.canvas import picture
from pipelines.graph.parse import parse
from tests.pages.builders import EVALUATED, HOSTILE, World, a_run_of, a_step, an_event
from tests.people import signed_in_as
from tests.pipelines.builders import a_document

ADDRESSES = [
    "/",
    "/pipelines/",
    "/pipelines/{slug}/run/",
    "/pipelines/{slug}/run/?sample",
    "/runs/",
    "/runs/?state=waiting",
    "/runs/{run}/",
    "/runs/{run}/?view=timeline",
    "/runs/{run}/?view=timeline&waiting=0",
    "/runs/{run}/?view=steps",
    "/runs/{run}/?view=log",
    "/runs/{run}/step/?path=research",
    "/runs/{run}/fork/",
    "/runs/{run}/fork/?path=research",
    "/runs/{run}/asks/",
    "/runs/{run}/changes?after=0",
    "/runs/{run}/at/?seq=1",
    "/approvals/",
    "/approvals/?view=all",
    "/approvals/{approval}/",
    "/costs/",
    "/costs/templates/",
    "/pipelines/?archived",
    "/pipelines/{slug}/export/",
    "/templates/",
    "/templates/?goal=Sell&find=email",
    "/templates/prospect-outreach/",
    "/start/",
    "/start/?want=email&leaves=mail&yes=before",
    "/start/{slug}/",
    "/counts/",
    "/places/",
]
OF_AN_OBJECT = [address for address in ADDRESSES if "{" in address]


def address_of(address: str, world: World) -> str:
    return address.format(slug=world.pipeline.slug, run=world.run.pk, approval=world.approval.pk)


@pytest.mark.parametrize("name", ["alice", "bob", "carol", "dana", "erin"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_every_member_reads_every_page(world: World, address: str, name: str) -> None:
    browser = signed_in_as(getattr(world.team, name))
    assert browser.get(address_of(address, world)).status_code == 200


@pytest.mark.parametrize("address", OF_AN_OBJECT)
def test_charlie_gets_what_an_absent_id_gets(world: World, address: str) -> None:
    stranger = signed_in_as(world.team.charlie)
    response = stranger.get(address_of(address, world))
    assert response.status_code == 404
    assert b"Halden" not in response.content


@pytest.mark.parametrize("address", ADDRESSES)
def test_nobody_reads_without_signing_in(world: World, client: Client, address: str) -> None:
    response = client.get(address_of(address, world))
    assert response.status_code == 302
    assert response["Location"].startswith("/login/")


@pytest.mark.parametrize("address", ["/runs/{run}/", "/runs/{run}/?view=steps", "/runs/{run}/step/?path=research"])
def test_text_of_models_is_shown_as_text(world: World, address: str) -> None:
    content = signed_in_as(world.team.bob).get(address_of(address, world)).content.decode()
    assert "<script>alert" not in content
    assert "<img src=x" not in content
    assert not EVALUATED.search(content)


def test_an_approval_shows_hostile_text_as_text(world: World) -> None:
    from tests.approvals.builders import EMAIL, an_approval

    payload = {**EMAIL, "args": {**EMAIL["args"], "body": HOSTILE}}
    approval = an_approval(world.run, payload=payload, title=HOSTILE, why=HOSTILE)
    content = signed_in_as(world.team.bob).get(f"/approvals/{approval.pk}/").content.decode()
    assert "<script>alert" not in content
    assert "&lt;script&gt;alert" in content


def test_live_fragments_escape_what_they_carry(world: World) -> None:
    an_event(world.run, "step_failed", "approve", error={"message": HOSTILE})
    response = signed_in_as(world.team.bob).get(f"/runs/{world.run.pk}/changes?after=0")
    assert b"<script>alert" not in response.content
    assert response["X-Seq"] == str(world.run.seq)


def test_a_page_carries_the_policy_and_its_script_the_nonce(world: World) -> None:
    response = signed_in_as(world.team.bob).get("/")
    policy = response["Content-Security-Policy"]
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert f'nonce="{nonce}"' in response.content.decode()
    assert "unsafe" not in policy


def test_the_theme_is_kept_without_script(world: World) -> None:
    browser = signed_in_as(world.team.bob)
    browser.post("/theme/", {"theme": "dark"})
    assert 'data-theme="dark"' in browser.get("/").content.decode()
    browser.post("/theme/", {"theme": "<script>"})
    assert "data-theme" not in browser.get("/").content.decode().split("<head>")[0]


def test_a_refusal_is_a_page(world: World) -> None:
    response = signed_in_as(world.team.bob).get("/runs/019a0000-0000-7000-8000-000000000000/")
    assert response.status_code == 404
    assert "nothing here under that name" in response.content.decode()


def test_more_runs_cost_no_more_queries(world: World, django_assert_max_num_queries: pytest.FixtureRequest) -> None:
    for _ in range(20):
        a_run_of(world.pipeline, world.team, state="succeeded")
    browser = signed_in_as(world.team.bob)
    with django_assert_max_num_queries(18):  # type: ignore[operator]
        assert browser.get("/runs/").status_code == 200


def test_people_see_only_buttons_they_may_press(world: World) -> None:
    page = f"/runs/{world.run.pk}/"
    assert "Stop run" in signed_in_as(world.team.alice).get(page).content.decode()
    assert "Stop run" in signed_in_as(world.team.carol).get(page).content.decode()
    assert "Stop run" not in signed_in_as(world.team.bob).get(page).content.decode()
    decision = f"/approvals/{world.approval.pk}/"
    assert 'value="approve"' in signed_in_as(world.team.bob).get(decision).content.decode()
    assert 'value="approve"' not in signed_in_as(world.team.alice).get(decision).content.decode()


def test_an_address_that_does_not_exist_is_a_page(db: None, client: Client) -> None:
    response = client.get("/no/such/page/")
    assert response.status_code == 404
    assert "nothing here under that name" in response.content.decode()


def test_a_failure_of_ours_is_a_page_too() -> None:
    page = render_to_string("500.html")
    assert "Something went wrong here" in page


def test_a_run_offers_review_only_to_who_may_answer(world: World) -> None:
    asks = f"/runs/{world.run.pk}/asks/"
    assert ">Review</a>" in signed_in_as(world.team.bob).get(asks).content.decode()
    assert ">Review</a>" not in signed_in_as(world.team.alice).get(asks).content.decode()


def test_a_list_says_needs_you_only_to_who_may_answer(world: World) -> None:
    for address in ("/runs/", "/"):
        assert "<li data-mine>" in signed_in_as(world.team.bob).get(address).content.decode()
        assert "<li data-mine>" not in signed_in_as(world.team.alice).get(address).content.decode()


def test_a_decision_page_says_needs_you_only_to_who_may_answer(world: World) -> None:
    page = f"/approvals/{world.approval.pk}/"
    assert "Needs you</span>" in signed_in_as(world.team.bob).get(page).content.decode()
    assert "Needs you</span>" not in signed_in_as(world.team.alice).get(page).content.decode()


def test_live_fragments_carry_the_count_of_steps(world: World) -> None:
    an_event(world.run, "step_started", "send")
    content = signed_in_as(world.team.bob).get(f"/runs/{world.run.pk}/changes?after=0").content.decode()
    assert '<hx-partial id="step-count" hx-swap="innerHTML">3</hx-partial>' in content


def test_the_log_names_steps_by_their_titles(world: World) -> None:
    an_event(world.run, "step_started", "research", attempt=1)
    content = signed_in_as(world.team.bob).get(f"/runs/{world.run.pk}/?view=log").content.decode()
    assert "“Research” began." in content


def test_a_failed_run_says_why_and_where(world: World) -> None:
    error = {"class": "budget", "message": "Only $0.01 is left.", "path": "research"}
    run = a_run_of(world.pipeline, world.team, state="failed", reason="budget", error=error)
    content = signed_in_as(world.team.alice).get(f"/runs/{run.pk}/").content.decode()
    assert "The run stopped at its cap." in content
    assert "Only $0.01 is left." in content
    assert f'/runs/{run.pk}/step/?path=research"' in signed_in_as(world.team.alice).get("/").content.decode()


def test_a_for_each_shows_how_many_of_its_items_are_through(world: World) -> None:
    operator = Actor(world.team.alice, world.team.workspace, frozenset(Role))
    run = a_run_of(gallery.instantiate(operator, "topic-research"), world.team, state="running")
    a_step(run, "research", "each", state="running", input={"over": ["a", "b", "c"]})
    a_step(run, "research[0].dig", "agent", state="succeeded", cost_micros=1_000)
    a_step(run, "research[0].finding", "transform", state="succeeded")
    a_step(run, "research[1].dig", "agent", state="running")
    content = signed_in_as(world.team.alice).get(f"/runs/{run.pk}/").content.decode()
    assert ">1 of 3</a> · " in content
    steps = signed_in_as(world.team.alice).get(f"/runs/{run.pk}/?view=steps").content.decode()
    assert "Dig, item 2" in steps


def test_a_step_with_a_kept_result_leads_to_the_step_that_paid(world: World) -> None:
    origin = {"run": str(world.run.pk), "path": "research[3].draft"}
    run = a_run_of(world.pipeline, world.team, state="succeeded")
    a_step(run, "research", "agent", state="succeeded", flags=["cached"], meta={"cached": origin})
    content = signed_in_as(world.team.alice).get(f"/runs/{run.pk}/step/?path=research").content.decode()
    assert "Done, cached" in content
    assert f'href="/runs/{world.run.pk}/step/?path=research%5B3%5D.draft"' in content


def test_a_step_that_waits_for_an_open_circuit_says_so(world: World) -> None:
    message = "stub/m has failed 5 times within a minute and is left alone until 12:03:20 UTC."
    error = {"class": "transient", "code": "circuit_open", "message": message}
    run = a_run_of(world.pipeline, world.team, state="waiting")
    a_step(run, "research", "agent", state="waiting", wait_reason="circuit", error=error)
    an_event(run, "step_waiting", "research", reason="circuit", delay=30, error=error)
    alice = signed_in_as(world.team.alice)
    content = alice.get(f"/runs/{run.pk}/step/?path=research").content.decode()
    assert "for a service that keeps failing to come back" in content
    assert "is left alone until 12:03:20 UTC" in content
    assert "left alone until 12:03:20 UTC" in alice.get(f"/runs/{run.pk}/?view=log").content.decode()


def test_nobody_is_offered_a_run_they_may_not_start(world: World) -> None:
    for address in ("/", f"/pipelines/{world.pipeline.slug}/run/"):
        assert "#run" in signed_in_as(world.team.alice).get(address).content.decode()
        assert 'href="#run"' not in signed_in_as(world.team.bob).get(address).content.decode()
    assert "Run a pipeline" not in signed_in_as(world.team.bob).get("/").content.decode()


def test_a_rejected_approval_is_not_shown_as_a_success(world: World) -> None:
    run = a_run_of(world.pipeline, world.team, state="succeeded", reason="no_result")
    a_step(run, "approve", "human", state="succeeded", port="rejected")
    content = signed_in_as(world.team.alice).get(f"/runs/{run.pk}/?view=steps").content.decode()
    assert "Rejected</span>" in content


def test_the_last_frame_says_that_the_run_ended(world: World) -> None:
    run = a_run_of(world.pipeline, world.team, state="succeeded", finished_at=timezone.now())
    an_event(run, "run_finished", state="succeeded")
    content = signed_in_as(world.team.alice).get(f"/runs/{run.pk}/changes?after=0").content.decode()
    assert '<hx-partial id="live-state" hx-swap="innerHTML"><span class="muted">Ended' in content


def test_a_run_that_ended_before_ones_eyes_can_be_kept_as_a_test_case_at_once(world: World) -> None:
    run = a_run_of(world.pipeline, world.team, state="succeeded", finished_at=timezone.now())
    an_event(run, "run_finished", state="succeeded")
    client = signed_in_as(world.team.alice)
    frame = client.get(f"/runs/{run.pk}/changes?after=0").content.decode()
    assert "data-asks>The run has ended." in frame  # which has the page ask for its buttons anew
    buttons = client.get(f"/runs/{run.pk}/buttons/").content.decode()
    assert "Save as test case" in buttons
    assert "Stop run" not in buttons


def test_two_ways_to_one_step_have_one_label() -> None:
    """Lines between the same two steps end at one spot, where two labels would lie upon each other."""
    wait = {
        "kind": "wait",
        "event": [{"name": "paid", "topic": "t"}, {"name": "lost", "topic": "t"}],
        "timeout": "PT1H",
    }
    nodes = {"start": {"kind": "input"}, "hold": wait, "yes": {"kind": "output"}, "no": {"kind": "output"}}
    ways = [("start", "done", "hold"), *(("hold", port, "no") for port in ("event_lost", "timeout"))]
    edges = [{"from": a, "port": port, "to": b} for a, port, b in [*ways, ("hold", "event_paid", "yes")]]
    drawn = picture(parse(a_document(graph={"nodes": nodes, "edges": edges})))
    assert sorted(route.label for route in drawn.routes) == ["", "", "event lost or timeout", "event paid"]


def test_a_step_says_what_it_waits_for_and_until_when(world: World) -> None:
    alice = signed_in_as(world.team.alice)
    given = {"events": [{"name": "paid", "topic": "orders/17"}], "until": "2026-11-22T13:00:00+01:00"}
    a_step(world.run, "hold", "wait", state="waiting", wait_reason="event", input=given)
    shown = alice.get(f"/runs/{world.run.pk}/step/?path=hold").content.decode()
    assert "for an event at orders/17, at the latest until 22 November 2026, 12:00:00 UTC" in shown
    a_step(world.run, "print", "agent", state="waiting", wait_reason="lock", memo={"lock": {"name": "printer"}})
    shown = alice.get(f"/runs/{world.run.pk}/step/?path=print").content.decode()
    assert "for its turn at the lock printer" in shown

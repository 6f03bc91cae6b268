"""What is done while the server is away, while the page is hidden, or while it is loaded again, is there after it."""

import re

import pytest
from playwright.sync_api import Page, expect

from pipelines import drafts, publish
from pipelines.models import Draft, DraftEdit
from runs.models import Event, Run
from tests.browser.canvas import Canvas, OpenDesk, a_canvas_document, start_run, until
from tests.conftest import LiveStack, wait_for
from tests.people import Team, acting

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  const state = () => (hidden ? "hidden" : "visible");
  Object.defineProperty(document, "visibilityState", { configurable: true, get: state });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def edits() -> int:
    return DraftEdit.objects.exclude(revision=1).count()


def hide(page: Page) -> None:
    """Put the page behind another one: it knows that it is hidden, and nothing of it runs."""
    page.evaluate(HIDE, True)
    page.context.new_cdp_session(page).send("Page.setWebLifecycleState", {"state": "frozen"})


def show(page: Page) -> None:
    page.context.new_cdp_session(page).send("Page.setWebLifecycleState", {"state": "active"})
    page.evaluate(HIDE, False)


def shows_all_of(page: Page, run: Run) -> None:
    """Hold that a page shows what the log says: each event once, every step as it ended."""
    run.refresh_from_db()
    assert Event.objects.filter(run=run).count() == run.seq
    expect(page.locator("#log-count")).to_have_text(str(run.seq), timeout=20_000)
    expect(page.locator("#strip")).to_contain_text("Done")
    expect(page.locator("[id^='card-']").filter(has_text=re.compile("Running|Waiting"))).to_have_count(0)


def test_changes_made_while_the_server_was_away_are_all_kept(
    open_desk: OpenDesk, desk_team: Team, live_stack: LiveStack
) -> None:
    page = open_desk(desk_team.alice, "/pipelines/desk/?node=write")
    canvas = Canvas(page)
    title = page.locator("#step-title")
    expect(title).to_have_value("Write a draft")
    live_stack.web.stop(10)
    title.fill("Written meanwhile")
    waits = page.locator("#draft-waits")
    expect(waits).to_have_text("1 change waits for Baton")
    x, y = canvas.middle("check")
    canvas.drag((x, y), (x + 120, y))
    expect(waits).to_have_text("2 changes wait for Baton")
    canvas.box("result").focus()
    canvas.press("ArrowRight")
    expect(waits).to_have_text("3 changes wait for Baton")
    canvas.box("all.sum").focus()
    canvas.press("Delete")
    canvas.box("check").focus()
    canvas.press("e")
    canvas.press("Delete")
    expect(waits).to_have_text("5 changes wait for Baton")
    page.wait_for_timeout(22_000)  # longer than a restart takes
    expect(waits).to_have_text("5 changes wait for Baton")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.close(run_before_unload=True)
    until(lambda: page.wait_for_timeout(50) is None and asked == ["beforeunload"])
    assert edits() == 0
    live_stack.start()
    until(lambda: edits() == 5, 20)
    expect(waits).to_be_hidden()
    expect(page.locator("#toasts")).to_contain_text("Every change is saved")
    assert canvas.node("write")["title"] == "Written meanwhile"
    assert {"check", "result"} <= set(canvas.draft.document["ui"]["positions"])
    assert set(canvas.node("all")["graph"]["nodes"]) == {"dig"}
    assert {"from": "check", "to": "all"} not in canvas.draft.document["graph"]["edges"]
    expect(canvas.box("write")).to_contain_text("Written meanwhile")
    expect(page.locator('#inspector [data-step-form] [name="node"]')).to_have_value("check")


def test_a_hidden_page_shows_what_others_changed_and_its_own_next_change(open_desk: OpenDesk, desk_team: Team) -> None:
    alice = Canvas(open_desk(desk_team.alice, "/pipelines/desk/"))
    dana = Canvas(open_desk(desk_team.dana, "/pipelines/desk/"))
    expect(alice.page.locator("#presence")).to_contain_text("Dana is here")
    hide(alice.page)
    dana.choose("write")
    dana.page.locator("#step-title").fill("By Dana")
    dana.edits(1)
    dana.choose("check")
    dana.press("Delete")
    dana.edits(2)
    dana.choose("all")
    dana.press("Control+d")
    dana.edits(3)
    show(alice.page)
    expect(alice.box("write")).to_contain_text("By Dana")
    expect(alice.box("check")).to_have_count(0)
    expect(alice.box("all_2")).to_be_visible()
    expect(alice.page.locator("#presence")).to_contain_text("Dana is in", timeout=20_000)
    alice.choose("result")
    alice.press("ArrowDown")
    alice.edits(4)
    assert Draft.objects.get().revision == 5


def test_a_hidden_page_of_a_run_shows_every_event_of_it(
    open_desk: OpenDesk, desk_team: Team, live_stack: LiveStack
) -> None:
    page = open_desk(desk_team.alice, "/")
    run = start_run(page, live_stack)
    hide(page)
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 40, live_stack.logs)
    show(page)
    shows_all_of(page, run)


def test_a_run_is_seen_whole_by_who_loads_its_page_again_while_steps_run(
    open_desk: OpenDesk, desk_team: Team, live_stack: LiveStack
) -> None:
    document = a_canvas_document("long")
    document["graph"]["nodes"]["all"] |= {"over": list(range(10)), "max_parallel": 1}
    publish.publish(acting(desk_team.alice), drafts.create(acting(desk_team.alice), document))
    page = open_desk(desk_team.alice, "/")
    run = start_run(page, live_stack, "long")
    loaded: list[int] = []
    while Run.objects.get(pk=run.pk).state not in ("succeeded", "failed"):
        page.reload()
        loaded.append(int(page.locator("#log-count").inner_text()))
    assert loaded == sorted(loaded)
    assert len(set(loaded)) > 1
    shows_all_of(page, run)
    seen = page.locator("[id^='card-']").all_inner_texts()
    page.reload()
    shows_all_of(page, run)
    assert page.locator("[id^='card-']").all_inner_texts() == seen

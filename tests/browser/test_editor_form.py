"""The parts of a step's form in the browser: values to pick, conditions, rows of a schema, by pointer and by key."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Route, expect

from pipelines import drafts
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from tests.browser.canvas import Canvas, Open, a_canvas_document, until
from tests.browser.holding import hold, let_go
from tests.pages.builders import a_model_call
from tests.people import Team, acting
from tests.runs.builders import a_run

pytestmark = pytest.mark.browser


def a_canvas_with_rules(open_canvas: Open, team: Team) -> Canvas:
    document = a_canvas_document("ruled")
    document["graph"]["nodes"]["check"] = {
        "kind": "decide",
        "title": "Is it about tea",
        "mode": "rules",
        "routes": [{"port": "tea", "when": "input.topic == 'tea'"}],
        "otherwise": "other",
    }
    edges = document["graph"]["edges"]
    edges[2:3] = [{"from": "check", "to": "all", "port": "tea"}, {"from": "check", "to": "result", "port": "other"}]
    document["graph"]["nodes"]["result"]["value"] = "${steps.write.output}"
    drafts.create(acting(team.alice), document)
    return Canvas(open_canvas(path="/pipelines/ruled/").page, "ruled")


def test_a_value_is_picked_into_the_prompt_where_the_cursor_is(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    prompt, template = canvas.prompt, canvas.page.locator('#inspector [name="f.prompt"]')
    prompt.fill("About : go on.")
    prompt.evaluate("one => one.setSelectionRange(6, 6)")
    canvas.page.get_by_text("Pick a value").click()
    pick = canvas.page.locator("[data-pick] .value-list")
    pick.locator('[data-insert="${input.topic}"]').click()
    expect(template).to_have_value("About ${input.topic}: go on.")
    expect(prompt).to_be_focused()
    canvas.page.keyboard.press("End")
    pick.locator('[data-insert="${steps.write.output}"]').focus()
    canvas.press("Enter")
    expect(template).to_have_value("About ${input.topic}: go on.${steps.write.output}")
    canvas.press("Tab")
    expect(canvas.pills).to_contain_text(["Form · topic", "Write a draft"])
    assert canvas.node("check")["prompt"] == "About ${input.topic}: go on.${steps.write.output}"


def inputs(canvas: Canvas) -> dict[str, Any]:
    return dict(canvas.draft.document["inputs"])


def test_what_is_written_while_an_answer_is_on_its_way_is_kept(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    canvas.page.route("**/step/", hold_the_first)
    prompt, template = canvas.prompt, canvas.page.locator('#inspector [name="f.prompt"]')
    prompt.fill("First. ")
    until(lambda: canvas.page.wait_for_timeout(20) is None and len(held) == 1)
    canvas.page.get_by_text("Pick a value").click()
    canvas.page.locator('[data-insert="${input.topic}"]').click()
    canvas.page.locator("#step-title").focus()
    held[0].continue_()
    expect(canvas.pills).to_contain_text(["Form · topic"])
    expect(template).to_have_value("First. ${input.topic}")
    canvas.edits(2)
    assert canvas.node("check")["prompt"] == "First. ${input.topic}"


def test_what_is_typed_before_the_editor_listens_is_kept(open_canvas: Open) -> None:
    canvas = open_canvas(path="/pipelines/desk/?node=write")
    scripts = hold(canvas.page, "**/dist/**/*.js*")
    canvas.page.evaluate("setTimeout(() => location.reload())")
    until(lambda: canvas.page.wait_for_timeout(20) is None and bool(scripts))
    canvas.page.locator("#step-title").fill("Written early")
    canvas.page.unroute("**/dist/**/*.js*")
    for script in scripts:
        let_go(script)
    canvas.edits(1)
    assert canvas.node("write")["title"] == "Written early"


def gathered(canvas: Canvas, held: list[Route], count: int) -> Route:
    """Wait until so many requests are held; return the newest."""
    until(lambda: canvas.page.wait_for_timeout(20) is None and len(held) == count)
    return held[-1]


def test_a_late_answer_to_a_step_that_was_left_leaves_the_form_of_the_next_one(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    held = hold(canvas.page, "**/step/")
    title = canvas.page.locator("#step-title")
    title.fill("Comp")
    first = gathered(canvas, held, 1)
    title.fill("Compose")
    canvas.choose("check")
    let_go(first)
    let_go(gathered(canvas, held, 2))
    canvas.edits(2)
    expect(canvas.box("write")).to_contain_text("Compose")
    expect(canvas.page.locator('#inspector [name="node"]').first).to_have_value("check")
    expect(title).to_have_value("Check the draft")
    expect(canvas.page.locator("#inspector")).to_contain_text("Check the draft")


def test_a_refusal_of_a_step_that_was_left_stands_at_no_field_of_the_next_one(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    held = hold(canvas.page, "**/step/")
    canvas.page.locator("#inspector summary").get_by_text("Further rules as JSON", exact=True).click()
    canvas.page.locator("#schema-more").fill("{")
    first = gathered(canvas, held, 1)
    canvas.choose("check")
    let_go(first)
    expect(canvas.page.locator("#toasts .toast").last).to_contain_text("cannot be read")
    expect(canvas.page.locator("#inspector [data-complaint]")).to_have_count(0)


def test_a_late_answer_brings_nothing_that_can_be_done_with_a_step_that_was_left(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    held = hold(canvas.page, "**/change/")
    canvas.page.locator("#step-acts").get_by_role("button", name="Later").click()
    first = gathered(canvas, held, 1)
    canvas.choose("check")
    let_go(first)
    canvas.edits(1)
    delete = canvas.page.locator("#step-acts form:has(.danger) [name=with]")
    assert "check" in delete.input_value()


def test_what_the_start_form_asks_for_is_changed_row_by_row(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("start")
    form = canvas.page.locator("#inspector")
    form.get_by_role("button", name="Add a field").click()
    canvas.page.keyboard.type("words")
    canvas.press("Tab")
    canvas.page.keyboard.type("number")
    form.locator('[name="schema-0-required"]').check()
    until(lambda: set(inputs(canvas).get("required", [])) == {"topic", "words"})
    assert inputs(canvas)["properties"]["words"]["type"] == "number"
    before = inputs(canvas)["required"]
    form.get_by_role("button", name="Move this field up").nth(1).focus()
    canvas.press("Enter")
    until(lambda: inputs(canvas)["required"] == before[::-1])
    form.get_by_role("button", name="Remove this field").first.click()
    until(lambda: set(inputs(canvas)["properties"]) == {before[0]})


def renewed(canvas: Canvas, edits: int) -> None:
    """Wait until so many changes are kept and the form that was made of the newest is there."""
    canvas.edits(edits)
    expect(canvas.page.locator("#inspector [data-step-form]:not([hx-morph-skip]):not([data-own])")).to_have_count(1)


def test_an_added_row_of_a_table_waits_for_its_name_and_its_value(open_canvas: Open, team: Team) -> None:
    document = a_canvas_document("shaped")
    document["graph"]["nodes"]["check"] = {"kind": "transform", "set": {"one": "1"}}
    document["graph"]["nodes"]["result"]["value"] = "${steps.write.output}"
    drafts.create(acting(team.alice), document)
    canvas = Canvas(open_canvas(path="/pipelines/shaped/").page, "shaped")
    canvas.choose("check")
    table = canvas.page.locator('#inspector [data-field="/set"]')
    table.get_by_role("button", name="Add", exact=True).click()
    row = table.locator('[data-row="1"]')
    with canvas.page.expect_response("**/step/"):
        row.get_by_label("Name").press_sequentially("two")
    until(lambda: canvas.page.locator("[data-editor].saving").count() == 0)
    expect(row.get_by_label("Name")).to_have_value("two")
    row.get_by_label("Value").fill("2")
    renewed(canvas, 1)
    assert canvas.node("check")["set"] == {"one": "1", "two": "2"}
    with canvas.page.expect_response("**/step/"):
        row.get_by_label("Name").fill("")
    canvas.edits(2)
    row.get_by_label("Name").fill("three")
    renewed(canvas, 3)
    assert canvas.node("check")["set"] == {"one": "1", "three": "2"}


def test_an_added_row_of_a_schema_waits_for_its_name(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("start")
    form = canvas.page.locator("#inspector")
    form.get_by_role("button", name="Add a field").click()
    form.locator("#step-title").fill("Begin")
    canvas.edits(1)
    form.locator("#step-title").fill("Begin here")
    canvas.edits(2)
    form.locator('[name="schema-1-name"]').fill("wor")
    canvas.edits(3)  # it is required, so the draft has it first: it stays where it is while somebody types
    canvas.page.keyboard.insert_text("ds")
    canvas.edits(4)
    assert set(inputs(canvas)["properties"]) == {"topic", "words"}
    form.get_by_role("button", name="Add a field").click()
    form.locator("#step-title").fill("Start")
    canvas.edits(5)
    form.get_by_role("button", name="Remove this field").last.click()
    expect(form.locator(".frow")).to_have_count(2)
    form.locator("#step-title").fill("Start here")
    renewed(canvas, 6)
    assert form.get_by_label("Name of the field").evaluate_all("all => all.map(one => one.value)") == ["words", "topic"]


def test_a_rule_is_built_of_a_value_a_comparison_and_another_value(open_canvas: Open, team: Team) -> None:
    canvas = a_canvas_with_rules(open_canvas, team)
    canvas.choose("check")
    rules = canvas.page.locator("#inspector .conds").first
    rules.get_by_label("Comparison").first.select_option(label="is not")
    canvas.edits(1)
    assert canvas.node("check")["routes"][0]["when"] == "input.topic != 'tea'"
    value = canvas.page.locator("#inspector .conds").first.get_by_label("Compared with").first
    value.focus()
    canvas.press("Control+a")
    canvas.page.keyboard.insert_text("coffee")
    canvas.press("Tab")
    canvas.edits(2)
    assert canvas.node("check")["routes"][0]["when"] == "input.topic != 'coffee'"


def test_a_new_way_out_has_its_port_at_once(open_canvas: Open, team: Team) -> None:
    canvas = a_canvas_with_rules(open_canvas, team)
    canvas.choose("check")
    before = canvas.box("check").locator("[data-port]").evaluate_all("all => all.map(one => one.dataset.port)")
    routes = canvas.page.locator('#inspector [data-field="/routes"]')
    routes.get_by_role("button", name="Add", exact=True).click()
    routes.locator('[name="f.routes.1.port"]').fill("coffee")
    routes.locator('[name="f.routes.1.when~0.path"]').fill("input.topic")
    routes.locator('[name="f.routes.1.when~0.value"]').fill("coffee")
    expect(canvas.box("check").locator('[data-port="coffee"]')).to_be_visible()
    assert "coffee" not in before
    assert canvas.chosen() == ["check"]
    until(lambda: "coffee" in str(canvas.node("check")["routes"][1].get("when")))
    until(lambda: canvas.page.locator("[data-editor].saving").count() == 0)  # no box moves any more
    canvas.drag(canvas.port("check", "coffee"), canvas.middle("result"))
    until(lambda: "check:coffee:result" in canvas.edges())


def test_a_rule_is_written_as_an_expression_too(open_canvas: Open, team: Team) -> None:
    canvas = a_canvas_with_rules(open_canvas, team)
    canvas.choose("check")
    summary = canvas.page.locator("#inspector .as-text summary").first
    summary.focus()
    canvas.press("Enter")
    text = canvas.page.locator("#inspector .as-text input").first
    text.fill("input.topic.startsWith('t')")
    canvas.edits(1)
    assert canvas.node("check")["routes"][0]["when"] == "input.topic.startsWith('t')"
    text = canvas.page.locator('#inspector textarea[name="f.routes.0.when"]')
    expect(text).to_have_value("input.topic.startsWith('t')")
    text.fill("input.topic.")
    expect(canvas.page.locator("#inspector [role=alert]").first).to_be_visible()


def test_a_model_is_chosen_from_rows_with_price_and_speed(open_canvas: Open, team: Team) -> None:
    now = timezone.now()
    a_model_call(
        a_run(acting(team.alice).workspace), 10, model="demo/judge", start=now, end=now + dt.timedelta(seconds=3)
    )
    canvas = open_canvas()
    canvas.choose("check")
    canvas.page.get_by_text("Prices and speeds").click()
    rows = canvas.page.locator("#inspector .model-rows")
    measured = rows.locator('[data-model="demo/judge"]')
    expect(measured).to_contain_text("3.0 s")
    expect(measured).to_contain_text(" in · ")
    expect(rows.locator('[data-model="demo/writer"]')).to_contain_text("not measured yet")
    measured.click()
    canvas.edits(1)
    assert canvas.node("check")["model"] == "demo/judge"
    rows.locator('[data-model="demo/writer"]').focus()
    canvas.press("Enter")
    canvas.edits(2)
    assert canvas.node("check")["model"] == "demo/writer"
    expect(canvas.page.locator('#inspector [name="f.model"]')).to_have_value("demo/writer")


def test_an_agent_goes_by_its_name_and_leads_to_its_page(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    form = canvas.page.locator("#inspector [data-step-form]")
    expect(form.locator("#f\\.agent option:checked")).to_contain_text("Writer v1 · demo/writer")
    expect(form).not_to_contain_text("id@version")
    form.get_by_role("link", name="Open the agent").click()
    expect(canvas.page.get_by_role("heading", name="Writer", exact=True)).to_be_visible()


def test_values_are_picked_right_below_the_prompt_and_all_of_a_value_is_seen(open_canvas: Open, team: Team) -> None:
    value = {f"field_{number}": "${steps.check.output}" for number in range(6)}
    document = a_canvas_document("tall")
    document["graph"]["nodes"]["result"]["value"] = value
    drafts.create(acting(team.alice), document)
    canvas = Canvas(open_canvas(path="/pipelines/tall/").page, "tall")
    canvas.choose("check")
    places = [
        canvas.page.locator(f"#inspector {one}").first.bounding_box() for one in (".words", "[data-pick]", "#f\\.model")
    ]
    tops = [place["y"] for place in places if place]
    assert len(tops) == 3
    assert tops == sorted(tops)
    canvas.choose("result")
    text = canvas.page.locator("#f\\.value")
    assert text.evaluate("one => one.scrollHeight <= one.clientHeight + 1")


def test_words_of_the_failure_policy_lead_to_the_fields_they_speak_of(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    policy = canvas.page.locator("#inspector .policy")
    policy.get_by_role("link", name="the run stops").click()
    then = canvas.page.locator('#inspector [name="f.on_error.then"]')
    expect(then).to_be_focused()
    then.select_option(label="Ask a person")
    canvas.edits(1)
    expect(policy).to_contain_text("at last a person is asked.")
    expect(then).to_be_visible()
    policy.get_by_role("link").first.focus()
    canvas.press("Enter")
    expect(canvas.page.locator('#inspector [name="f.on_error.repair.max_attempts"]')).to_be_focused()


def a_canvas_with_a_team(open_canvas: Open, team: Team) -> Canvas:
    for slug in ("critic", "judge"):
        agents.create(acting(team.alice), slug, AgentFields(model="demo/writer", instructions="Speak."))
    document = a_canvas_document("talk")
    document["graph"]["nodes"]["check"] = {
        "kind": "team",
        "title": "Talk it over",
        "task": "Judge ${steps.write.output}.",
        "mode": "round_robin",
        "members": ["writer@1", "critic@1"],
        "stop": {"max_turns": 4},
    }
    drafts.create(acting(team.alice), document)
    return Canvas(open_canvas(path="/pipelines/talk/").page, "talk")


def test_who_takes_part_in_a_team_is_a_row_each(open_canvas: Open, team: Team) -> None:
    canvas = a_canvas_with_a_team(open_canvas, team)
    canvas.choose("check")
    form = canvas.page.locator("#inspector")
    form.get_by_label("Title").fill("Talk about it")
    canvas.edits(1)
    assert canvas.node("check")["members"] == ["writer@1", "critic@1"]
    rows = form.locator('[data-field="/members"]')
    rows.get_by_role("button", name="Add", exact=True).click()
    rows.locator("select").nth(2).select_option("judge@1")
    canvas.edits(2)
    assert canvas.node("check")["members"] == ["writer@1", "critic@1", "judge@1"]
    rows.get_by_role("button", name="Move up").nth(2).focus()
    canvas.press("Enter")
    canvas.edits(3)
    assert canvas.node("check")["members"] == ["writer@1", "judge@1", "critic@1"]
    rows.get_by_role("button", name="Remove").first.focus()
    canvas.press("Enter")
    canvas.edits(4)
    assert canvas.node("check")["members"] == ["judge@1", "critic@1"]
    canvas.page.goto(canvas.page.url.replace("/talk/", "/talk/outline/"))
    canvas.page.locator(".ol-members").get_by_role("link", name="Open the agent critic").click()
    canvas.page.wait_for_url("**/agents/critic/")

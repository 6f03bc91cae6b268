"""A prompt in words in the browser: its pills as they are typed, walked over, erased, copied and undone."""

import pytest
from playwright.sync_api import Locator, expect

from pipelines import drafts
from tests.browser.canvas import Canvas, Open, a_canvas_document, until
from tests.people import Team, acting

pytestmark = pytest.mark.browser

PROMPT = "Check ${steps.write.output} against ${input.topic | default('tea')}."


def a_prompt(open_canvas: Open, text: str = PROMPT) -> tuple[Canvas, Locator, Locator]:
    """Return the canvas with a prompt filled in, the prompt in words, and its template."""
    canvas = open_canvas()
    canvas.choose("check")
    canvas.prompt.fill(text)
    canvas.edits(1)
    assert canvas.node("check")["prompt"] == text
    return canvas, canvas.prompt, canvas.page.locator('#inspector [name="f.prompt"]')


def read(prompt: Locator) -> str:
    """Return the words as a person reads them."""
    return prompt.input_value().translate(dict.fromkeys([0x2061, 0x2063, 0x202F])).replace("\u00a0", " ")


def test_a_prompt_reads_as_words_with_pills(open_canvas: Open) -> None:
    canvas, prompt, _ = a_prompt(open_canvas)
    expect(canvas.pills).to_have_count(2)
    assert read(prompt) == "Check Write a draft against Form · topic or tea."
    expect(canvas.page.get_by_label("What should it do?", exact=True)).to_be_focused()


def test_the_cursor_walks_over_a_pill_and_a_key_erases_it_as_one(open_canvas: Open) -> None:
    canvas, prompt, template = a_prompt(open_canvas)
    canvas.press("Control+Home")
    for _ in "Check ":
        canvas.press("ArrowRight")
    canvas.press("ArrowRight")
    canvas.page.keyboard.type("!")
    expect(template).to_have_value(PROMPT.replace("output}", "output}!", 1))
    canvas.press("ArrowLeft")
    canvas.press("Backspace")
    expect(template).to_have_value("Check ! against ${input.topic | default('tea')}.")
    canvas.press("Control+z")
    expect(template).to_have_value(PROMPT.replace("output}", "output}!", 1))
    assert read(prompt).startswith("Check Write a draft!")
    canvas.press("Shift+ArrowLeft")
    canvas.press("Delete")
    expect(template).to_have_value("Check ! against ${input.topic | default('tea')}.")
    canvas.press("Tab")
    canvas.page.locator(".saving").wait_for(state="detached")
    assert canvas.node("check")["prompt"] == "Check ! against ${input.topic | default('tea')}."


def test_a_value_typed_by_hand_becomes_a_pill_and_an_undo_takes_it_back(open_canvas: Open) -> None:
    canvas, prompt, template = a_prompt(open_canvas, "About ")
    canvas.press("Control+End")
    canvas.page.keyboard.type("${steps.write.output} and $${this}")
    expect(canvas.pills).to_have_count(1)
    until(lambda: canvas.node("check")["prompt"] == "About ${steps.write.output} and $${this}")
    assert read(prompt) == "About Write a draft and $${this}"
    for _ in range(3):
        canvas.press("Control+z")
    for _ in range(3):
        canvas.press("Control+y")
    expect(template).to_have_value("About ${steps.write.output} and $${this}")


def test_what_is_copied_is_the_template_and_pastes_as_pills(open_canvas: Open) -> None:
    canvas = open_canvas(permissions=["clipboard-read", "clipboard-write"])
    canvas.choose("check")
    canvas.prompt.click()
    canvas.press("Control+a")
    canvas.press("Control+c")
    assert canvas.page.evaluate("navigator.clipboard.readText()") == "Check ${steps.write.output}."
    canvas.press("Control+End")
    canvas.press("Control+v")
    expect(canvas.pills).to_have_count(2)
    canvas.press("Tab")
    canvas.edits(1)
    assert canvas.node("check")["prompt"] == "Check ${steps.write.output}." * 2
    canvas.prompt.focus()
    canvas.press("Control+a")
    canvas.press("Control+x")
    expect(canvas.pills).to_have_count(0)
    canvas.press("Control+v")
    expect(canvas.pills).to_have_count(2)


def test_a_press_into_a_pill_puts_the_cursor_beside_it(open_canvas: Open) -> None:
    canvas, _, template = a_prompt(open_canvas)
    found = canvas.pills.first.bounding_box()
    assert found
    canvas.page.mouse.click(found["x"] + found["width"] * 0.8, found["y"] + found["height"] / 2)
    canvas.page.keyboard.type("?")
    expect(template).to_have_value(PROMPT.replace("output}", "output}?", 1))


def test_the_template_stays_at_hand(open_canvas: Open) -> None:
    canvas, prompt, template = a_prompt(open_canvas)
    expect(template).to_be_hidden()
    canvas.page.get_by_text("As a template").first.focus()
    canvas.press("Enter")
    template.fill("Only ${steps.nowhere.output}.")
    expect(canvas.pills).to_have_class(["bad"])
    canvas.edits(2)
    expect(template).to_be_visible()
    assert read(prompt) == "Only nowhere."


def test_a_text_that_cannot_be_told_from_words_is_shown_as_it_is(open_canvas: Open, team: Team) -> None:
    document = a_canvas_document("signs")
    odd = "f\u2061(x) of ${input.topic}"
    document["graph"]["nodes"]["check"]["prompt"] = odd
    drafts.create(acting(team.alice), document)
    canvas = Canvas(open_canvas(path="/pipelines/signs/?node=check").page, "signs")
    template = canvas.page.locator('#inspector [name="f.prompt"]')
    expect(template).to_be_visible()
    expect(canvas.prompt).to_be_hidden()
    template.press("Control+End")
    canvas.page.keyboard.type("!")
    canvas.edits(1)
    assert canvas.node("check")["prompt"] == f"{odd}!"

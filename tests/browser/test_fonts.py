"""The fonts as they are served: cut to what pages use, and to no less than that."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext
from pytest_django.live_server_helper import LiveServer

from orchestrator_site.build import DIST, build_assets

pytestmark = pytest.mark.browser

LETTERS = "aZ09 éßñÅøÆœŒıçÿ .,:;!?()[]{}<>@#&*/|~^`'\"–—…‘’“”«»·•§©®°±×÷ €£¥$¢ ↑↓−™ "
# A letter that a font lacks is drawn by the next one named, and then differs between a wide and a narrow next one.
LACKING = """async ([family, letters]) => {
  await Promise.all([400, 500, 600].map((weight) => document.fonts.load(`${weight} 40px "${family}"`)));
  const pen = document.createElement("canvas").getContext("2d");
  const width = (letter, weight, next) => {
    pen.font = `${weight} 40px "${family}", ${next}`;
    return pen.measureText(letter).width;
  };
  const lacks = (letter, weight) => width(letter, weight, "monospace") !== width(letter, weight, "serif");
  return [...letters].filter((letter) => [400, 500, 600].some((weight) => lacks(letter, weight)));
}"""
WIDTHS = """async () => {
  await document.fonts.load('400 40px "Inter"');
  const line = document.body.appendChild(document.createElement("span"));
  line.style.cssText = 'font: 400 40px Inter; font-feature-settings: normal; position: absolute';
  const width = (text, weight, figures) => {
    Object.assign(line.style, { fontWeight: weight, fontVariantNumeric: figures });
    line.textContent = text;
    return line.getBoundingClientRect().width;
  };
  return {
    ones: [width("1111", 400, "tabular-nums"), width("0000", 400, "tabular-nums"), width("1111", 400, "normal")],
    weights: [400, 500, 600].map((weight) => width("weight", weight, "normal")),
  };
}"""


@pytest.fixture(scope="module", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.mark.parametrize("family", ["Inter", "JetBrains Mono"])
def test_a_font_holds_the_letters_that_people_write_in_latin_languages(
    family: str, live_server: LiveServer, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(bypass_csp=True).new_page()
    page.goto(f"{live_server.url}/login/")

    assert page.evaluate(LACKING, [family, LETTERS]) == []
    assert page.evaluate(LACKING, [family, "Ж"]) == ["Ж"], "the test must be able to find one that is lacking"


def test_figures_stand_in_columns_and_each_weight_is_one_of_the_font(
    live_server: LiveServer, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context(bypass_csp=True).new_page()
    page.goto(f"{live_server.url}/login/")

    found = page.evaluate(WIDTHS)

    ones, zeros, narrow = found["ones"]
    assert ones == zeros > narrow
    assert found["weights"] == sorted(set(found["weights"])), "heavier is wider, so none stands in for another"


def test_the_first_page_s_font_stays_light() -> None:
    assert (DIST / "fonts" / "inter-latin.woff2").stat().st_size < 32_000

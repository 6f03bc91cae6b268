// Find a step of a pipeline: "/" opens a field, and what matches comes into sight while the words are typed.

import { begin } from "./escape.js";

/** `placeOf(bar)` says of each search field which steps there are, as [title, step], and how one is shown and chosen. */
export function startFind(root, placeOf) {
  const bars = [...root.querySelectorAll("[data-find]")].map((bar) => bind(placeOf(bar), bar));
  const open = () => bars.find(({ inSight }) => inSight())?.open();
  root.addEventListener("click", ({ target }) => target.closest("[data-find-open]") && open());
  root.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, textarea, select") || root.querySelector("dialog[open]")) return;
    if (!bars.some(({ inSight }) => inSight())) return;
    event.preventDefault();
    open();
  });
}

function bind(place, bar) {
  const field = bar.querySelector("input");
  const words = bar.querySelector("[data-found]");
  const state = { matches: [], at: 0 };
  let over = () => {};
  const show = () => {
    for (const [, step] of place.steps()) place.element(step).classList.remove("found");
    const step = state.matches[state.at];
    words.textContent = !field.value.trim() ? "" : step ? `${state.at + 1} of ${state.matches.length}` : "None";
    if (!step) return;
    place.element(step).classList.add("found");
    place.reveal(step);
  };
  const close = () => {
    over();
    const step = state.matches[state.at];
    bar.hidden = true;
    field.value = "";
    state.matches = [];
    show();
    if (step) place.choose(step);
    else place.back();
  };
  field.addEventListener("input", () => {
    Object.assign(state, { matches: matching(place.steps(), field.value), at: 0 });
    show();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    state.at = (state.at + (event.shiftKey ? -1 : 1) + state.matches.length) % (state.matches.length || 1);
    show();
    event.preventDefault();
  });
  bar.querySelector("button").addEventListener("click", close);
  const open = () => {
    if (bar.hidden) over = begin(close);
    bar.hidden = false;
    field.focus();
  };
  return { open, inSight: () => Boolean(bar.parentElement.offsetParent) };
}

/** Return the steps whose title holds every word; those that begin with the text come first. */
function matching(titled, text) {
  const sought = text.trim().toLowerCase();
  const words = sought.split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const found = titled.map(([title, step]) => [title.toLowerCase(), step]).filter(([title]) => words.every((word) => title.includes(word)));
  return found.sort(([a], [b]) => b.startsWith(sought) - a.startsWith(sought)).map(([, step]) => step);
}

// The palette: search it, press a step to add it after the chosen one, or drag it onto an arrow, a container or the ground.

import { start as startCarry } from "./carry.js";
import { begin } from "../canvas/escape.js";
import { ends } from "./graph.js";
import { JOINS } from "./mates.js";

export function start(editor) {
  const { root, graph, view, draft, mayEdit } = editor;
  const palette = root.getElementById("step-palette");
  if (!palette || !mayEdit) return;
  let where;
  let over = () => {};
  const find = palette.querySelector("[data-find-step]");
  find?.addEventListener("input", () => filter(palette, find.value));
  find?.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    palette.querySelector(".preset:not([hidden])")?.click();
  });
  const close = () => {
    over();
    palette.classList.remove("asked");
    const from = where?.from;
    where = undefined;
    return from;
  };
  const ask = (goal) => {
    where = goal;
    find.value = "";
    filter(palette, "");
    if (!palette.matches(".asked")) over = begin(() => back(graph, close()));
    palette.classList.add("asked");
    find?.focus();
  };
  root.addEventListener("steps:ask", ({ detail }) => ask(detail));
  root.querySelector("[data-steps-open]")?.addEventListener("click", () => ask());
  // A palette that was asked for goes when something else is pressed.
  palette.querySelector("[data-close-steps]")?.addEventListener("click", close);
  graph?.element.addEventListener("pointerdown", ({ target }) => target.closest("[data-steps-open]") || close());
  palette.addEventListener("click", async (event) => {
    const preset = event.target.closest(".preset")?.dataset.preset;
    if (!preset) return;
    const goal = where ?? afterChosen(graph);
    close();
    const { scope, after, at, on_edge, before, beside } = goal;
    chosen(editor, await draft.do("add", { preset, scope, after, at, on_edge, before, beside }));
  });
  if (!graph) return;
  startCarry(palette, graph, async (preset, edge, under, event) => {
    const crewed = JOINS.has(preset) && under.closest(".box.crewed");
    if (crewed) return editor.crew.add(crewed.dataset.place, crewed.querySelector("[data-list]"), preset);
    chosen(editor, await draft.do("add", { preset, ...spot(graph, view, edge, under, event) }));
  });
}

/** Put the focus where it was when the palette was asked for. */
function back(graph, from) {
  (from?.querySelector("select") ?? graph?.element.querySelector('.box[tabindex="0"]'))?.focus({ preventScroll: true });
}

function filter(palette, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const preset of palette.querySelectorAll(".preset")) {
    const all = `${preset.textContent} ${preset.dataset.words}`.toLowerCase();
    preset.closest("li").hidden = preset.hidden = !words.every((word) => all.includes(word));
  }
  for (const group of palette.querySelectorAll("[data-group]")) group.hidden = !group.querySelector(".preset:not([hidden])");
}

/** Return where a pressed step goes: onto the one arrow that leaves the chosen step, else behind it, else by itself. */
export function afterChosen(graph) {
  const edge = graph?.chosenEdges[0];
  if (edge) return between(edge);
  const box = graph?.boxes.get(graph.chosen.at(-1));
  if (!box) return { scope: "" };
  const port = box.ports.keys().next().value;
  const leaving = [...box.edges].filter(({ source }) => source === box.place);
  if (leaving.length === 1 && leaving[0].port === port) return between(leaving[0]);
  return { scope: box.scope, after: port && { node: box.place, port } };
}

function between(edge) {
  const { scope, from, port, to } = ends(edge);
  return { scope, on_edge: { from, port, to } };
}

function spot(graph, view, edge, under, event) {
  if (edge) return between(edge);
  const box = graph.boxes.get(under.closest(".box")?.dataset.place);
  const scope = box?.element.classList.contains("holds") ? box.place : (box?.scope ?? "");
  return { scope, at: view.point(event).map(Math.round) };
}

function chosen({ root, graph, view, draft }, news) {
  const place = Object.keys(news?.added ?? {})[0];
  if (!place) return;
  if (draft.listed) {
    root.querySelector(`#outline [data-step="${CSS.escape(place)}"]`)?.click();
    return;
  }
  graph.select([place]);
  view.reveal(graph.boxes.get(place));
  graph.boxes.get(place).element.focus({ preventScroll: true });
}

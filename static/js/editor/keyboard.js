// The picture without a pointer: every gesture has a key, listed in the help (?).

import { carried, sendMoves } from "./drag.js";
import { ends } from "./graph.js";
import { hold, release } from "./held.js";
import { Joining } from "./joining.js";
import { afterChosen } from "./steps.js";
import { press as pressMate } from "./mates.js";
import { goIn, goOut, stepArrows, toggle, walk } from "./walking.js";

const STEP = 10;
const FAR = 50;
const PAN = 60;
const NUDGED_MS = 400;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ZOOM = { 0: "fit", "+": "in", "=": "in", "-": "out" };

export function start(editor) {
  const { graph, root } = editor;
  const state = { ...editor, joining: new Joining(editor), waiting: undefined };
  graph.element.tabIndex = 0;
  graph.element.addEventListener("keydown", (event) => {
    if (!event.target.closest("input, summary, .pop-in") && press(state, event)) event.preventDefault();
  });
  // With nothing in focus, as after a reload, what was done last can be taken back all the same.
  root.addEventListener("keydown", (event) => event.target === root.body && stepBack(state, event) && event.preventDefault());
  for (const [goal, name] of [[root, "draft:leaving"], [window, "pagehide"], [root, "pointerdown"]]) goal.addEventListener(name, () => settle(state), true);
  graph.element.addEventListener("focusin", ({ target }) => {
    const place = target.closest(".box")?.dataset.place;
    if (place && !graph.going && !graph.selected.has(place) && target.matches(":focus-visible")) graph.select([place]);
  });
}

function press(state, event) {
  const box = state.graph.boxes.get(event.target.closest(".box")?.dataset.place);
  const mate = event.target.closest(".mate");
  if (mate && pressMate(state.crew, event, mate)) return true;
  if (ARROWS[event.key]) return arrow(state, box, event);
  if (event.ctrlKey || event.metaKey) return held(state, event);
  return look(state, box, event) || (state.mayEdit && change(state, box, event));
}

function arrow(state, box, event) {
  const by = ARROWS[event.key];
  if (event.altKey || event.ctrlKey || event.metaKey) walk(state, box, event);
  else if (box && state.mayEdit && state.graph.chosen.length) nudge(state, by, event.shiftKey ? FAR : STEP);
  else state.view.pan(-by[0] * PAN, -by[1] * PAN);
  return true;
}

function held(state, event) {
  if (event.key !== "a") return stepBack(state, event);
  state.graph.select(state.graph.boxes.keys());
  return true;
}

/** Keys that change nothing of the draft. Return whether this was one. */
function look({ graph, view, root, draft, joining }, box, { key, shiftKey }) {
  if (joining.digit(key)) return true;
  if (ZOOM[key]) view.press(ZOOM[key]);
  else if (key === "Enter" && box) root.querySelector("#inspector")?.querySelector("input:not([type=hidden]), textarea, select, button")?.focus();
  else if (key === "i" && box) goIn(graph, view, box);
  else if (key === "I" && box) goOut(graph, view, box);
  else if (key === " " && box) toggle(graph, box.place);
  else if (key.toLowerCase() === "e" && box) draft.say(stepArrows(graph, box, shiftKey ? -1 : 1));
  else return false;
  return true;
}

function change(state, box, { key }) {
  if (key === "Delete" || key === "Backspace") remove(state, box);
  else if (key === "c" && box) state.joining.press(box);
  else if (key === "a") ask(state);
  else if (key === "t") state.draft.do("tidy", {});
  else return false;
  return true;
}

function stepBack(state, event) {
  const { draft, mayEdit } = state;
  if (!mayEdit || !(event.ctrlKey || event.metaKey)) return false;
  const key = event.key.toLowerCase();
  if (key === "y" || key === "z") settle(state);
  if (key === "y" || (key === "z" && event.shiftKey)) draft.redo();
  else if (key === "z") draft.undo();
  else return false;
  return true;
}

/** Move the chosen boxes; several presses in a row are one move, which is sent when they pause or other boxes are chosen. */
function nudge(state, [dx, dy], step) {
  const { graph } = state;
  const chosen = graph.chosen.map((place) => graph.boxes.get(place));
  if (state.nudged?.join() !== graph.chosen.join()) settle(state);
  const moving = carried(graph, chosen);
  if (!state.waiting) begin(state, moving);
  for (const box of moving) {
    graph.put(box, box.x + dx * step, box.y + dy * step);
    graph.follow(box);
  }
  clearTimeout(state.waiting);
  state.waiting = setTimeout(() => settle(state), NUDGED_MS);
}

function begin(state, moving) {
  const { graph, draft } = state;
  const places = moving.map(({ place }) => place);
  state.nudged = graph.chosen;
  hold(graph, places);
  state.sends = () => {
    sendMoves(graph, draft, state.nudged.map((place) => graph.boxes.get(place)).filter(Boolean));
    release(graph, places);
  };
}

/** Send the moves by key that wait. */
function settle(state) {
  if (!state.waiting) return;
  clearTimeout(state.waiting);
  state.waiting = undefined;
  state.sends();
}

async function remove({ graph, draft }, box) {
  const [places, edges] = [graph.chosen, graph.chosenEdges.map(ends)];
  if (places.length) await draft.do("delete", { places });
  else if (edges.length) await draft.do("disconnect", { edges });
  else return;
  // The keys go on from where they were, or from where the picture begins.
  graph.select(box && graph.boxes.has(box.place) && !places.length ? [box.place] : []);
  if (places.length) graph.element.focus({ preventScroll: true });
}

/** Ask for a step that goes where a press on the palette would put it: onto the arrow that leaves, where it is one. */
function ask({ root, graph }) {
  root.dispatchEvent(new CustomEvent("steps:ask", { detail: afterChosen(graph) }));
}

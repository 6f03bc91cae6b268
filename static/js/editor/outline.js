// The pipeline as a list, with the keyboard alone: arrows walk, Enter opens, A adds, Delete removes, Alt and arrows move,
// Space and Shift with arrows choose several, O groups them. Who works in a Team or a Supervisor has a line of its own.

import { isInActs, listen } from "./clipboard.js";
import { press as pressMate } from "./mates.js";

const KEYS = { ArrowDown: 1, ArrowUp: -1 };
const WALKS = new Set(["ArrowDown", "ArrowUp", "Home", "End"]);
const LINES = "#outline :is([data-step], [data-member])";

export function start(editor) {
  const { root } = editor;
  if (!root.getElementById("outline")) return;
  const state = { ...editor, current: undefined, index: 0, stale: false };
  root.addEventListener("keydown", (event) => lineOf(event.target) && press(state, event));
  listen(editor, () => copied(state));
  root.addEventListener("focusin", ({ target }) => lineOf(target) && settle(state, target));
  root.addEventListener("click", (event) => {
    const line = event.target.closest(`${LINES}, #outline [data-again]`);
    if (!line || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    if (line.dataset.member) state.crew.choose(line);
    else if (line.dataset.step && (event.shiftKey || state.several.tapping)) state.several.toggle(line.dataset.step);
    else open(state, line.dataset.step ?? line.dataset.again);
  });
  root.addEventListener("graph:news", ({ detail }) => refresh(state, detail));
  const begin = () => settle(state, lines(root).find((line) => line.hasAttribute("aria-current")) ?? lines(root)[0]);
  root.addEventListener("outline:here", begin);
  begin();
}

function lineOf(target) {
  return target.closest(LINES);
}

function lines(root) {
  return [...root.querySelectorAll(LINES)];
}

/** Return what a line stands for: the place of its step, or who of which step. */
function nameOf({ dataset: { step, of, member } }) {
  return step ?? `${of}/${member}`;
}

/** Make one line the stop of the Tab key. */
function settle(state, line) {
  if (!line) return;
  for (const other of state.root.querySelectorAll("#outline a")) other.tabIndex = other === line ? 0 : -1;
  state.current = nameOf(line);
  state.index = lines(state.root).indexOf(line);
  state.several.at(line.dataset.step);
}

function open(state, place) {
  const line = state.root.querySelector(`#outline [data-step="${CSS.escape(place)}"]`);
  for (const other of state.root.querySelectorAll("#outline [aria-current]")) other.removeAttribute("aria-current");
  line?.setAttribute("aria-current", "step");
  line?.focus();
  line?.scrollIntoView({ block: "nearest" });
  state.choose([place]);
}

/** After a change the list is another one: the same step keeps the focus, else the one in its place. */
function refresh(state, news) {
  const { root } = state;
  const had = state.held;
  state.held = false;
  const all = lines(root);
  const added = Object.keys(news.added)[0];
  const same = all.find((line) => nameOf(line) === (state.expects && added ? added : state.current));
  const line = same ?? all[Math.min(state.index, all.length - 1)];
  settle(state, line);
  if (state.expects && added) open(state, added);
  else if (had) line?.focus();
  state.expects = false;
}

function press(state, event) {
  const line = lineOf(event.target);
  const mod = event.ctrlKey || event.metaKey;
  const act = line.dataset.member ? ofMember(state, event, line) : (mod ? held : plain)(state, event, line.dataset.step);
  if (act) event.preventDefault();
}

function ofMember(state, event, line) {
  if (pressMate(state.crew, event, line)) return true;
  const mod = event.ctrlKey || event.metaKey;
  if (mod) return "zy".includes(event.key.toLowerCase()) && held(state, event);
  return (WALKS.has(event.key) || event.key === "t") && plain(state, event, line.dataset.of);
}

function plain(state, { key, altKey, shiftKey }, place) {
  const { draft, mayEdit } = state;
  if (KEYS[key] && altKey) return mayEdit && change(state, "swap", { place, by: key === "ArrowUp" ? "up" : "down" });
  if (KEYS[key]) return walk(state, KEYS[key], shiftKey);
  if (key === "Home" || key === "End") return walk(state, key === "Home" ? -Infinity : Infinity);
  if (key === "Enter") return enter(state, place, "#step-title");
  if (key === " ") return state.several.toggle(place) ?? true;
  if (!mayEdit) return false;
  if (key === "Delete" || key === "Backspace") return change(state, "delete", { places: state.several.places });
  if (key === "a") return ask(state, place);
  if (key === "c") return enter(state, place, "#act-to");
  if (key === "t") return draft.do("tidy", {});
  return false;
}

function held(state, { key, shiftKey }) {
  const { draft, mayEdit, several: { places } } = state;
  const letter = key.toLowerCase();
  if (!mayEdit || !"zyd".includes(letter)) return false;
  state.held = true;
  if (letter === "z") return shiftKey ? draft.redo() : draft.undo();
  if (letter === "y") return draft.redo();
  state.expects = true;
  return draft.do("duplicate", { places });
}

/** Say what the browser's copy, cut and paste mean while a line has the focus. */
function copied(state) {
  const { root, graph, several: { places } } = state;
  const line = lineOf(root.activeElement) ?? (!graph && isInActs(root) ? root.querySelector("#outline [aria-current='step']") : null);
  const place = line?.dataset.step;
  if (!place) return undefined;
  const begin = (kind) => Object.assign(state, { held: true, expects: kind === "paste" });
  return { places, scope: place.slice(0, Math.max(place.lastIndexOf("."), 0)), begin };
}

function walk(state, by, more = false) {
  const all = lines(state.root);
  const from = state.current;
  const line = all[Math.min(Math.max(state.index + by, 0), all.length - 1)];
  line.focus();
  if (more && line.dataset.step) state.several.extend(from, line.dataset.step);
  return true;
}

function change(state, name, args) {
  state.held = true;
  return state.draft.do(name, args);
}

/** Open the form of a step and go to a field of it, once it is there. */
function enter(state, place, field) {
  open(state, place);
  into(state.root, place, field);
  return true;
}

function into(root, place, field, tries = 40) {
  const shown = root.querySelector("#inspector [data-step-form] input[name=node]")?.value === place;
  const found = shown && root.querySelector(`#inspector ${field}`);
  if (found) found.focus();
  else if (tries) setTimeout(() => into(root, place, field, tries - 1), 50);
}

/** Ask the palette for a step that goes after this one: between it and what follows, where that is one step. */
function ask(state, place) {
  open(state, place);
  const spot = (tries) => {
    const form = state.root.querySelector("#step-acts [data-asks]");
    const shown = form?.elements.node.value === place;
    if (shown) {
      form.elements.with.selectedIndex = 0;
      form.requestSubmit();
    } else if (tries) setTimeout(() => spot(tries - 1), 50);
  };
  spot(40);
  return true;
}

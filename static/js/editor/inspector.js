// The form beside the picture: follows what is chosen, saves a little after each change, keeps the address in step.

import { bring } from "../bring.js";
import { whileLoading } from "../skeleton.js";
import { heed } from "./complaints.js";
import { leadTo } from "./problems.js";

const PAUSE_MS = 300;

export function start(editor) {
  const { root, htmx, element, graph, draft } = editor;
  const aside = root.getElementById("inspector");
  let shown = new URL(location.href).searchParams.get("node") ?? "";
  let waiting;
  let anyway = false; // what is typed is given up for the form as it is now
  const open = (place) => {
    if (place === shown) return;
    shown = place;
    root.dispatchEvent(new CustomEvent("step:open", { detail: { place } }));
    load(place);
    const address = new URL(location.href);
    if (place) address.searchParams.set("node", place);
    else address.searchParams.delete("node");
    history.replaceState(history.state, "", address);
  };
  const load = (place, regardless = false) => {
    anyway = regardless;
    markStale(aside, place);
    const answer = bring(htmx, aside, `${element.dataset.step}?${asked(place)}`);
    const shown = () => root.dispatchEvent(new CustomEvent("step:shown"));
    return whileLoading(aside, answer).then(shown, () => undefined); // asked for again when the server is back
  };
  const isStale = () => formOf(aside) === shown && formIn(aside)?.matches("[data-stale]");
  const freshen = () => isStale() && !holdsMore(aside, draft) && load(shown);
  aside.addEventListener("htmx:before:swap", (event) => {
    if (event.target !== aside || !isStale()) return;
    if (!anyway && holdsMore(aside, draft)) event.preventDefault();
    else clearTimeout(Number(formIn(aside).dataset.timer));
  });
  const choose = (places) => {
    clearTimeout(waiting);
    flush(root, draft);
    waiting = setTimeout(() => open(places.length === 1 ? places[0] : ""), 80);
  };
  graph?.element.addEventListener("graph:selected", () => {
    // An arrow of the step whose form is there: the form stays beside it.
    if (!graph.chosen.length && graph.chosenEdges.some(({ source, target }) => [source, target].includes(shown))) return;
    choose(graph.chosen);
  });
  editor.choose = graph ? (places) => graph.select(places) : choose;
  root.addEventListener("graph:news", ({ detail }) => {
    heed(aside, formIn(aside), detail);
    if (detail.removed.includes(shown)) open("");
    else if (differs(detail, shown) && detail.inspected !== shown) {
      if (formOf(aside) === shown) markStale(aside, shown);
      else load(shown);
    }
    freshen();
  });
  // While somebody types, their form stays: it knows the revision it was made from, so nothing is overwritten.
  aside.addEventListener("focusout", () => setTimeout(freshen));
  root.addEventListener("draft:forms", freshen);
  aside.addEventListener("click", ({ target }) => {
    if (target.closest("[data-show-now]")) load(shown, true).then(() => aside.querySelector("[data-step-form] .in")?.focus());
  });
  // The form of a step that was chosen, or changed, while the server was away.
  root.addEventListener("draft:back", () => (formOf(aside) === shown ? freshen() : load(shown)));
  aside.addEventListener("click", (event) => {
    if (!event.target.closest("[data-deselect]")) return;
    event.preventDefault();
    editor.choose([]);
  });
  aside.addEventListener("click", (event) => {
    const words = event.target.closest("[data-leads-to]");
    if (!words) return;
    event.preventDefault();
    leadTo(words.closest("form"), words.dataset.leadsTo);
  });
  keepOpen(root, aside);
  picking(aside);
  models(aside);
  if (graph && graph.boxes.has(shown)) graph.select([shown]);
  saving(root, aside, draft);
}

/** Tell whether the news are of a step, or of the pipeline's own fields. */
function differs({ changed, settings }, place) {
  return place ? changed.includes(place) : settings;
}

/** Return the place of the step whose form is there, "" for the pipeline's own. */
function formOf(aside) {
  return formIn(aside)?.elements.node.value ?? "";
}

function formIn(aside) {
  return aside.querySelector("[data-step-form]");
}

/** Tell whether the form holds what would be lost with it, or somebody is in it. */
function holdsMore(aside, draft) {
  const form = formIn(aside);
  return aside.contains(aside.ownerDocument.activeElement) || "timer" in form.dataset || "refused" in form.dataset || draft.forms > 0;
}

/** Mark the form of a step that has changed since it was made. */
function markStale(aside, place) {
  if (formOf(aside) === place) formIn(aside)?.setAttribute("data-stale", "");
}

/** Return what the form of a step is asked with: the run that the reader came from stays, whatever step they choose. */
function asked(place) {
  const address = new URL(location.href).searchParams;
  const kept = ["run", "path"].filter((name) => address.has(name)).map((name) => [name, address.get(name)]);
  return new URLSearchParams([["node", place], ...kept]);
}

/** A change of a field is sent once the typing pauses, and at once when the field is left. */
function saving(root, aside, draft) {
  for (const [goal, name] of [[root, "draft:leaving"], [window, "pagehide"]]) goal.addEventListener(name, () => flush(root, draft));
  aside.addEventListener("input", ({ target }) => {
    const form = target.closest("[data-step-form]");
    if (!form) return;
    clearTimeout(Number(form.dataset.timer));
    form.dataset.timer = setTimeout(() => save(form, draft), PAUSE_MS);
  });
  aside.addEventListener("change", ({ target }) => {
    const form = target.closest("[data-step-form]");
    if (form && target.matches("[data-rows]")) save(form, draft); // nobody types when a row goes or moves
    else if (form) flush(root, draft);
  });
  aside.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-step-form]")) return;
    event.preventDefault();
    save(event.target, draft, event.submitter);
  });
  // What somebody is typing since before this listened counts too; what other fields hold may be the browser's doing.
  const field = aside.contains(root.activeElement) && root.activeElement;
  if (field && "defaultValue" in field && field.value !== field.defaultValue) field.dispatchEvent(new Event("input", { bubbles: true }));
}

function flush(root, draft) {
  for (const form of root.querySelectorAll("[data-step-form][data-timer]")) save(form, draft);
}

function save(form, draft, submitter) {
  clearTimeout(Number(form.dataset.timer));
  delete form.dataset.timer;
  const values = new FormData(form, submitter);
  for (const name of ["csrfmiddlewaretoken", "rev", "op_id"]) values.delete(name);
  return draft.send(form.getAttribute("action"), values, form);
}

/** What was opened stays open when the answer to a change brings the form anew. */
function keepOpen(root, aside) {
  const opened = new Set();
  // Not `toggle`, which also tells of the form that has just come, closed.
  aside.addEventListener("click", ({ target }) => {
    const details = target.closest("summary")?.parentElement;
    if (details?.dataset.keep) opened[details.open ? "delete" : "add"](details.dataset.keep);
  });
  aside.addEventListener("focusin", ({ target }) => {
    if (target.matches("summary")) return;
    for (let details = target.closest("details"); details; details = details.parentElement.closest("details")) opened.add(details.dataset.keep);
  });
  root.addEventListener("graph:news", () => {
    for (const details of aside.querySelectorAll("details[data-keep]")) details.open ||= opened.has(details.dataset.keep);
  });
}

/** A picked value goes to where the cursor was last in this form: as a template, or bare into an expression. */
function picking(aside) {
  let field;
  aside.addEventListener("focusin", ({ target }) => {
    if (target.matches("[data-takes-values]")) field = target;
  });
  aside.addEventListener("click", ({ target }) => {
    const insert = target.closest("[data-insert]")?.dataset.insert;
    if (!insert) return;
    const into = field?.isConnected ? field : aside.querySelector("[data-takes-values]");
    if (!into) return;
    const text = into.dataset.takesValues === "bare" ? insert.slice(2, -1) : insert;
    into.setRangeText(text, into.selectionStart, into.selectionEnd, "end");
    into.focus();
    into.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

/** A model is chosen from the rows with its price and speed: its name goes into the field above them. */
function models(aside) {
  aside.addEventListener("click", ({ target }) => {
    const row = target.closest("[data-model]");
    const field = row?.closest("[data-field]").querySelector("input");
    if (!field) return;
    field.value = row.dataset.model;
    for (const other of row.closest("ul").querySelectorAll("[data-model]")) other.setAttribute("aria-pressed", other === row);
    for (const name of ["input", "change"]) field.dispatchEvent(new Event(name, { bubbles: true }));
  });
}

// The question that is open: when somebody else answers it, or changes it, whoever reads it is told at once.

import { bring } from "./bring.js";

export function start(root, htmx) {
  root.addEventListener("workspace:changed", () => look(root, htmx));
}

/** Ask how the question stands. What somebody works on is never taken away: then only the news is shown above it. */
async function look(root, htmx) {
  const shown = root.querySelector("[data-stands]");
  if (!shown) return;
  const { standsAt, stands } = shown.dataset;
  const response = await fetch(standsAt, { headers: { Accept: "application/json" } });
  if (!response.ok) return;
  const now = await response.json();
  const pane = root.getElementById("pane");
  // Meanwhile the reader may have gone on to another question.
  if (!shown.isConnected || pane?.inert || now.stands === stands) return;
  if (!pane || !(await renew(root, htmx, pane, now.url))) tell(root, htmx, shown, now);
  const region = root.getElementById("announce");
  if (region) region.textContent = now.words;
}

/** Bring the question anew. Return false where somebody works on the one that is there, also when that began meanwhile. */
async function renew(root, htmx, pane, url) {
  let busy = isBusy(root, pane);
  if (busy) return false;
  const hinder = (event) => {
    if (event.target !== pane || pane.inert || !isBusy(root, pane)) return;
    event.preventDefault();
    busy = true;
  };
  pane.addEventListener("htmx:before:swap", hinder);
  try {
    await bring(htmx, pane, url);
  } finally {
    pane.removeEventListener("htmx:before:swap", hinder);
  }
  return !busy;
}

function isBusy(root, pane) {
  return root.querySelector("dialog[open]") !== null || isWriting(pane);
}

function isWriting(pane) {
  const fields = [...pane.querySelectorAll("textarea, input:not([type=hidden])")];
  return pane.querySelector("details.sheet[open]") !== null || fields.some((field) => field.value !== field.defaultValue);
}

function tell(root, htmx, shown, { stands, words, open, url }) {
  const note = shown.querySelector("[data-stands-news]");
  note.querySelector("b").textContent = words;
  note.querySelector("a").href = url;
  note.hidden = false;
  // A dialog asks about a form, which nobody could send any more if it were gone.
  const dialog = root.querySelector("dialog[open]");
  if (dialog) {
    dialog.addEventListener("close", () => look(root, htmx), { once: true });
    return;
  }
  shown.dataset.stands = stands;
  if (open) return;
  // What asks for an answer goes; what was read stays where it is.
  for (const asks of root.querySelectorAll("#acts, #pane [data-while-open], .apv [data-while-open]")) asks.remove();
}

// The question that is open: when somebody else answers it, or changes it, whoever reads it is told at once.

import { bring } from "./bring.js";

export function start(root, htmx) {
  root.addEventListener("workspace:changed", () => look(root, htmx));
}

/** Ask how the question stands. What is being written is never taken away: then only the news is shown above it. */
async function look(root, htmx) {
  const shown = root.querySelector("[data-stands]");
  if (!shown || root.querySelector("dialog[open]")) return;
  const { standsAt, stands } = shown.dataset;
  const response = await fetch(standsAt, { headers: { Accept: "application/json" } });
  if (!response.ok || !shown.isConnected) return;
  const now = await response.json();
  if (now.stands === stands) return;
  const pane = root.getElementById("pane");
  if (pane && !isWriting(pane)) {
    await bring(htmx, pane, now.url);
  } else {
    shown.dataset.stands = now.stands;
    tell(shown, now);
  }
  const region = root.getElementById("announce");
  if (region) region.textContent = now.words;
}

function isWriting(pane) {
  const fields = [...pane.querySelectorAll("textarea, input:not([type=hidden])")];
  return pane.querySelector("details.sheet[open]") !== null || fields.some((field) => field.value !== field.defaultValue);
}

function tell(shown, { words, open, url }) {
  const note = shown.querySelector("[data-stands-news]");
  note.querySelector("b").textContent = words;
  note.querySelector("a").href = url;
  note.hidden = false;
  if (open) return;
  // What asks for an answer goes; what was read stays where it is.
  for (const asks of document.querySelectorAll("#acts, #pane [data-while-open], .apv [data-while-open]")) asks.remove();
}

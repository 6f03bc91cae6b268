// The inbox: ticks for what is answered together, and a list that renews itself while people work in it.

import { bring } from "./bring.js";

const PAUSE_MS = 300;

export function start(root, htmx) {
  const inbox = root.querySelector("[data-desk]");
  if (!inbox) return;
  count(inbox);
  inbox.addEventListener("change", ({ target }) => {
    if (target.matches("[data-pick-all]")) {
      for (const box of parts(inbox, target.dataset.pickAll)) box.checked = target.checked;
    }
    count(inbox);
  });
  inbox.addEventListener("click", ({ target }) => {
    if (!target.closest("[data-bulk-clear]")) return;
    for (const box of inbox.querySelectorAll(".pick")) box.checked = false;
    count(inbox);
  });
  let waiting;
  root.addEventListener("workspace:changed", () => {
    waiting ??= setTimeout(() => {
      waiting = undefined;
      if (!isBusy(root, inbox)) bring(htmx, inbox, inbox.dataset.desk);
    }, PAUSE_MS);
  });
  keepWhatIsDone(root, inbox);
}

function parts(inbox, name) {
  return [...inbox.querySelectorAll("[data-pick]")].filter((box) => box.dataset.pick === name);
}

/** Show how many are chosen; a group is ticked when all of it is, and half when some of it is. */
function count(inbox) {
  const chosen = inbox.querySelectorAll("[data-pick]:checked").length;
  for (const all of inbox.querySelectorAll("[data-pick-all]")) {
    const boxes = parts(inbox, all.dataset.pickAll);
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  }
  for (const place of inbox.querySelectorAll("[data-bulk-count]")) place.textContent = String(chosen);
  const bar = inbox.querySelector("[data-bulk]");
  if (bar) bar.hidden = chosen === 0;
}

/** Tell whether somebody writes in the list or is asked whether they are sure: then it stays as it is. */
function isBusy(root, inbox) {
  const active = root.activeElement;
  const writes = inbox.contains(active) && active.matches("textarea, input[type=search], select");
  return writes || root.querySelector("dialog[open]") !== null;
}

/** A new list takes over ticks, focus, what is open and what is selected as they are when it comes, not when it was asked for. */
function keepWhatIsDone(root, inbox) {
  let keep;
  inbox.addEventListener("htmx:before:swap", (event) => {
    if (event.target !== inbox) return;
    if (isBusy(root, inbox)) event.preventDefault();
    else keep = whatIsDone(root, inbox);
  });
  inbox.addEventListener("htmx:after:swap", ({ target }) => {
    if (target !== inbox) return;
    restore(inbox, keep);
    root.dispatchEvent(new CustomEvent("desk:renewed"));
  });
}

function whatIsDone(root, inbox) {
  const active = root.activeElement;
  return {
    ticked: new Set([...inbox.querySelectorAll("[data-pick]:checked")].map((box) => box.value)),
    open: [...inbox.querySelectorAll("details[data-more][open]")].map((one) => one.id),
    href: inbox.contains(active) ? active.getAttribute("href") : null,
    top: inbox.querySelector(".scroll").scrollTop,
    shown: inbox.querySelector(".ap.on")?.dataset.question,
  };
}

function restore(inbox, { ticked, open, href, top, shown }) {
  for (const box of inbox.querySelectorAll("[data-pick]")) box.checked = ticked.has(box.value);
  for (const one of inbox.querySelectorAll("details[data-more]")) one.open = open.includes(one.id);
  inbox.querySelector(".scroll").scrollTop = top;
  if (href) inbox.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
  if (shown) inbox.querySelector(`[data-question="${CSS.escape(shown)}"]`)?.classList.add("on");
  count(inbox);
}

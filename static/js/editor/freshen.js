// Keeps a list of steps that is not in sight fresh for paper, a little after the last change; brings one that is yet to come.

import { bring } from "../bring.js";

const IDLE_MS = 1500;

export function start({ root, htmx, element, draft }) {
  let waiting;
  const renew = async () => {
    waiting = undefined;
    await bring(htmx, root.getElementById("outline"), element.dataset.outline, "outerHTML");
    root.dispatchEvent(new CustomEvent("outline:here"));
  };
  const later = () => {
    clearTimeout(waiting);
    waiting = setTimeout(renew, IDLE_MS);
  };
  // Not while somebody moves something: a long list takes a moment to come in.
  for (const name of ["pointermove", "wheel"]) root.addEventListener(name, () => waiting && later(), { passive: true });
  let marks = JSON.stringify(JSON.parse(root.getElementById("graph-marks")?.textContent ?? "{}"));
  root.addEventListener("graph:news", ({ detail }) => {
    const before = marks;
    marks = JSON.stringify(detail.marks);
    if (!draft.listed && (differs(detail) || marks !== before)) later();
  });
  if (!root.querySelector("[data-outline-later]")) return;
  if (draft.listed) renew();
  else later();
}

/** Whether a change is one that the list shows: boxes that only moved are none. */
function differs({ added, removed, changed, joined, removed_edges: parted }) {
  return [Object.keys(added), removed, changed, joined, parted].some(({ length }) => length);
}

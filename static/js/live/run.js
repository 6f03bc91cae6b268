// Follows one run: applies each frame once and in order, closes gaps over HTTP, and says whether the page is live.

import { follow } from "./socket.js";

const REFETCH_MS = 1500;
const ANNOUNCE_MS = 4000;

export function start(root, htmx) {
  const element = root.querySelector("[data-live]");
  if (!element || "ended" in element.dataset) return;
  const page = { root, htmx, element, seq: Number(element.dataset.seq), queue: Promise.resolve() };
  page.refetch = throttled(() => refetchParts(page), REFETCH_MS);
  page.announce = throttled(() => announce(root), ANNOUNCE_MS);
  follow({
    address: () => `${element.dataset.live}?after=${page.seq}`,
    onFrame: (frame) => (page.queue = page.queue.then(() => take(page, frame)).catch(() => catchUp(page))),
    onState: (state) => say(root, state, page.seq), // "live" comes with each frame: cheap, it only sets a text
  });
}

/** Frames may come twice after a reconnect, and never with a hole: a hole is filled before anything is shown. */
async function take(page, frame) {
  if (!(frame.seq > page.seq)) return;
  if (frame.from > page.seq + 1) {
    await catchUp(page);
    return;
  }
  await show(page, frame.content, frame.seq);
}

async function catchUp(page) {
  const response = await fetch(`${page.element.dataset.changes}?after=${page.seq}`, { headers: { "HX-Request": "true" } });
  if (response.ok) await show(page, await response.text(), Number(response.headers.get("X-Seq")));
}

async function show(page, content, seq) {
  await page.htmx.swap({ sourceElement: page.element, target: page.element, swap: "none", text: content, transition: false });
  page.seq = seq;
  lightEdges(page.root);
  page.root.dispatchEvent(new CustomEvent("run:changed"));
  if (page.root.querySelector("#edge-states[data-asks]")) page.htmx.trigger(page.root.getElementById("asks"), "look-again");
  page.refetch();
  page.announce();
  say(page.root, "live", seq);
}

function lightEdges(root) {
  for (const state of root.querySelectorAll("#edge-states i")) {
    const edge = root.querySelector(`[data-edge="${CSS.escape(state.dataset.for)}"]`);
    if (edge) edge.setAttribute("class", state.dataset.edgeState);
  }
}

function refetchParts({ root, htmx }) {
  for (const part of root.querySelectorAll("[data-refetch]")) {
    htmx.ajax("GET", part.dataset.refetch, { target: part, swap: "innerMorph" });
  }
}

function say(root, state, seq) {
  const words = root.querySelector("[data-live-words]");
  if (!words) return;
  words.textContent = { live: `Live · event ${seq}`, away: "Reconnecting…", refused: "Sign in again to follow this run" }[state];
  words.closest(".live").classList.toggle("off", state !== "live");
}

function announce(root) {
  const state = root.querySelector("#strip .rb .med");
  const region = root.getElementById("announce");
  const words = state?.innerText ?? ""; // as shown: what is hidden from this person is not said either
  if (words && region.textContent !== words) region.textContent = words;
}

/** Run at once, then at most every `pause` milliseconds, and once more after the last call. */
function throttled(work, pause) {
  let waiting;
  let last = 0;
  return () => {
    if (waiting) return;
    waiting = setTimeout(() => {
      waiting = undefined;
      last = Date.now();
      work();
    }, Math.max(0, last + pause - Date.now()));
  };
}

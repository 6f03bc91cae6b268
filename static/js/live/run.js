// Follows one run: applies each frame once and in order, closes gaps over HTTP, and says whether the page is live.

import { bring } from "../bring.js";
import { showParts } from "./parts.js";
import { follow } from "./socket.js";

const REFETCH_MS = 1500;
const ANNOUNCE_MS = 4000;
const HIDDEN_MS = 250;

export function start(root, htmx) {
  const element = root.querySelector("[data-live]");
  if (!element || "ended" in element.dataset) return;
  const page = { root, htmx, element, seq: Number(element.dataset.seq), came: [] };
  page.refetch = throttled(() => refetchParts(page), REFETCH_MS);
  page.announce = throttled(() => announce(root), ANNOUNCE_MS);
  const onFrame = (frame) => {
    page.came.push(frame);
    page.work ??= work(page).finally(() => (page.work = undefined));
  };
  root.addEventListener("run:now", ({ detail }) => {
    page.seq = detail.seq;
    if (page.further > page.seq) onFrame({ seq: page.further, from: Infinity }); // a hole, which is filled
  });
  follow({
    address: () => `${element.dataset.live}?after=${page.seq}`,
    onFrame,
    onState: (state) => say(root, state, page.seq), // "live" comes with each frame: cheap, it only sets a text
  });
}

/** Show what came, at once; what comes before that is painted is shown together, at the next picture. */
async function work(page) {
  while (page.came.length) {
    const frames = page.came.splice(0);
    await take(page, frames).catch(() => catchUp(page)).catch(() => {}); // away: the next frame shows a gap
    await picture();
  }
}

/** Frames may come twice after a reconnect, and never with a hole: a hole is filled before anything is shown. */
async function take(page, frames) {
  const last = frames.at(-1).seq;
  if (!(last > page.seq)) return;
  if (inThePast(page)) {
    // What happens meanwhile is fetched when the reader comes back to now.
    page.further = last;
    page.root.dispatchEvent(new CustomEvent("run:further", { detail: { seq: last } }));
    say(page.root, "live", last);
    return;
  }
  const contents = [];
  let seq = page.seq;
  for (const frame of frames.filter((one) => one.seq > page.seq)) {
    if (frame.from > seq + 1) return catchUp(page);
    contents.push(frame.content);
    seq = frame.seq;
  }
  await show(page, contents, seq);
}

async function catchUp(page) {
  const response = await fetch(`${page.element.dataset.changes}?after=${page.seq}`, { headers: { "HX-Request": "true" } });
  if (!response.ok) return;
  const text = await response.text();
  if (!inThePast(page)) await show(page, [text], Number(response.headers.get("X-Seq")));
}

async function show(page, contents, seq) {
  const asks = await showParts(page.root, page.htmx, page.element, contents);
  page.seq = seq;
  page.root.dispatchEvent(new CustomEvent("run:changed", { detail: { seq } }));
  if (asks) page.htmx.trigger(page.root.getElementById("asks"), "look-again");
  page.refetch();
  page.announce();
  say(page.root, "live", seq);
}

/** Wait until the page is painted; a page that nobody sees is not, and goes on after a while. */
function picture() {
  return new Promise((done) => {
    requestAnimationFrame(done);
    setTimeout(done, HIDDEN_MS);
  });
}

/** Tell whether the reader looks at an earlier moment of the run. */
function inThePast({ root }) {
  return Boolean(root.querySelector("[data-replay][data-past]"));
}

function refetchParts({ root, htmx }) {
  for (const part of root.querySelectorAll("[data-refetch]")) {
    bring(htmx, part, part.dataset.refetch, "innerMorph");
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

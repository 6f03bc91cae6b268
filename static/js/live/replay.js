// Goes back and forth in the events of a run: the server says what looks different there, the newest event is now.

import { showParts } from "./parts.js";

const PAUSE_MS = 90; // while a hand moves the slider
const STEP_MS = 500;
const SPEEDS = { 1: "two events a second", 4: "eight events a second" };

export function start(root, htmx) {
  const form = root.querySelector("[data-replay]");
  if (form) bind({ root, htmx, form, slider: form.querySelector("[data-moment]"), speed: 1 });
}

function bind(player) {
  const { root, form, slider } = player;
  player.shown = player.at = Number(slider.value); // `at` is what the reader was told last, `past` whether that is over
  player.past = "past" in form.dataset;
  root.addEventListener("run:changed", ({ detail }) => arrive(player, detail.seq));
  root.addEventListener("run:further", ({ detail }) => (slider.max = detail.seq));
  slider.addEventListener("input", () => {
    stop(player);
    go(player, Number(slider.value), PAUSE_MS);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", (event) => {
    const { go: where } = event.target.closest("[data-go]")?.dataset ?? {};
    if (where) {
      event.preventDefault();
      stop(player);
      go(player, { first: 1, before: wanted(player) - 1, after: wanted(player) + 1, last: last(player) }[where]);
    }
    if (event.target.closest("[data-play]")) player.playing ? stop(player) : play(player);
    if (event.target.closest("[data-speed]")) hurry(player);
  });
}

const last = ({ slider }) => Number(slider.max);
const wanted = ({ slider }) => Number(slider.value);

/** A frame was shown: the page is at its event, unless the reader has just left for the past. */
function arrive(player, seq) {
  player.slider.max = seq;
  if (!player.past) player.at = seq;
  if ("past" in player.form.dataset) {
    player.shown = 0; // what the page shows is mixed: the next answer has to bring everything
    return;
  }
  player.shown = seq;
  player.slider.value = seq;
  say(player);
}

function go(player, seq, pause = 0) {
  const { form, slider } = player;
  slider.value = Math.max(1, Math.min(seq, last(player)));
  form.toggleAttribute("data-past", true); // from now on no frame is shown
  clearTimeout(player.waiting);
  player.waiting = setTimeout(() => (player.work ??= travel(player).finally(() => (player.work = undefined))), pause);
}

/** Show what is wanted; where that has changed meanwhile, go on from there. */
async function travel(player) {
  const { root, form, htmx, slider } = player;
  do {
    const end = wanted(player) === last(player);
    const answer = await asked(`${form.dataset.replay}?seq=${end ? "" : wanted(player)}&from=${player.shown}`);
    if (!answer) return giveUp(player);
    const { seq, text } = answer;
    await showParts(root, htmx, form, [text]);
    player.shown = seq;
    if (end) {
      slider.max = seq;
      slider.value = seq;
    }
    tell(player, seq);
  } while (wanted(player) !== player.shown);
}

/** Return {seq, text}, or undefined where the server cannot be reached or does not answer. */
async function asked(address) {
  try {
    const response = await fetch(address, { headers: { "HX-Request": "true" } });
    return response.ok ? { seq: Number(response.headers.get("X-Seq")), text: await response.text() } : undefined;
  } catch {
    return undefined;
  }
}

/** Stay at what is shown. Where that is now, what happened meanwhile is still to be shown. */
function giveUp(player) {
  const { root, form, slider, at } = player;
  clearTimeout(player.waiting);
  stop(player);
  slider.value = at;
  root.dispatchEvent(new CustomEvent("toast", { detail: { words: "That moment of the run could not be brought. Try again." } }));
  if (player.past) return;
  player.shown = at;
  form.toggleAttribute("data-past", false);
  root.dispatchEvent(new CustomEvent("run:now", { detail: { seq: at } }));
}

function tell(player, seq) {
  const { root, form } = player;
  const now = seq >= last(player);
  Object.assign(player, { at: seq, past: !now });
  form.toggleAttribute("data-past", !now);
  say(player);
  const url = new URL(location.href);
  if (now) url.searchParams.delete("at");
  else url.searchParams.set("at", seq);
  history.replaceState(history.state, "", url);
  root.dispatchEvent(new CustomEvent("run:moment"));
  if (now) root.dispatchEvent(new CustomEvent("run:now", { detail: { seq } }));
}

function say({ form, slider }) {
  slider.setAttribute("aria-valuetext", form.querySelector("#moment").textContent);
}

function play(player) {
  if (wanted(player) >= last(player)) go(player, 1);
  mark(player, true);
  const step = async () => {
    await player.work;
    if (!player.playing) return;
    if (wanted(player) >= last(player)) return stop(player);
    go(player, wanted(player) + 1);
    player.playing = setTimeout(step, STEP_MS / player.speed);
  };
  player.playing = setTimeout(step, STEP_MS / player.speed);
}

function stop(player) {
  clearTimeout(player.playing);
  player.playing = undefined;
  mark(player, false);
}

function mark({ form }, playing) {
  const button = form.querySelector("[data-play]");
  button.classList.toggle("on", playing);
  for (const name of ["aria-label", "title"]) button.setAttribute(name, playing ? "Pause the replay" : "Play");
}

function hurry(player) {
  const button = player.form.querySelector("[data-speed]");
  player.speed = player.speed === 1 ? 4 : 1;
  button.textContent = `${player.speed}×`;
  button.setAttribute("aria-label", `${player.speed}×, speed: ${SPEEDS[player.speed]}`);
}

// Who else is on this page, and what others change: the draft's socket says so, the page asks for what is new by HTTP.

import { follow } from "../live/socket.js";

export function start(editor) {
  const { root, element, graph, draft } = editor;
  const spot = root.getElementById("presence");
  if (!spot || !element.dataset.socket) return;
  let people = [];
  let more = 0;
  let at;
  let live = false;
  const show = () => {
    spot.replaceChildren(...people.map((person) => face(person, titleOf(root, person.at))), ...(more ? [rest(more)] : []));
    ring(root, people);
  };
  const look = (rev) => draft.line.then(() => (rev === null || rev > draft.rev) && draft.catchUp());
  const socket = follow({
    address: () => element.dataset.socket,
    onFrame: (frame) => {
      if ("rev" in frame) look(frame.rev);
      if (!frame.people) return;
      people = frame.people;
      more = frame.more ?? 0;
      show();
    },
    onState: (state) => {
      if (state === "live" && !live) say();
      live = state === "live";
      if (live) return;
      people = [];
      more = 0;
      show();
    },
  });
  const say = (place = at) => {
    at = place;
    if (at !== undefined) socket?.send({ at });
  };
  root.addEventListener("step:open", ({ detail }) => say(detail.place));
  root.addEventListener("graph:news", show);
  document.addEventListener("visibilitychange", () => document.hidden || look(null));
  say(new URL(location.href).searchParams.get("node") ?? "");
  graph?.element.addEventListener("graph:changed", () => ring(root, people));
}

function titleOf(root, place) {
  if (!place) return "";
  const name = CSS.escape(place);
  return root.querySelector(`#outline [data-step="${name}"] b, #node-${name.replaceAll("\\.", "\\.")} b`)?.textContent ?? "";
}

function face({ name }, title) {
  const person = document.createElement("span");
  person.className = "here";
  const avatar = document.createElement("span");
  avatar.className = `ava ${tone(name)}`;
  avatar.setAttribute("aria-hidden", "true");
  avatar.textContent = name.replaceAll(/[@.]/g, " ").split(/\s+/).filter(Boolean).slice(0, 2).map((part) => part[0]).join("").toUpperCase();
  const words = document.createElement("span");
  words.className = "clip";
  words.textContent = title ? `${name} is in “${title}”` : `${name} is here`;
  person.append(avatar, words);
  return person;
}

/** Of many the server names some. */
function rest(more) {
  const others = document.createElement("span");
  others.className = "here num";
  others.textContent = `and ${more} more`;
  return others;
}

/** The colour of a person's avatar, as the server paints it. */
function tone(name) {
  return "abcde"[new TextEncoder().encode(name).reduce((sum, byte) => sum + byte, 0) % 5];
}

/** Ring the steps that others have open, on the picture and in the list. */
function ring(root, people) {
  for (const step of root.querySelectorAll("[data-held-by]")) {
    delete step.dataset.heldBy;
    delete step.dataset.tone;
  }
  for (const { name, at } of people) {
    if (!at) continue;
    const line = root.querySelector(`#outline [data-step="${CSS.escape(at)}"]`);
    for (const step of [root.getElementById(`node-${at}`), line]) {
      if (step) Object.assign(step.dataset, { heldBy: name, tone: tone(name) });
    }
  }
}

// Choosing: a click chooses, with Shift adds, Shift and a drag over the ground chooses what the frame touches.

import { track } from "../canvas/pointer.js";
import { toggle } from "./walking.js";

export function start(editor) {
  const { graph, view } = editor;
  const { element } = graph;
  element.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest(".cvbar, .cvfind, .minimap, .port")) return;
    const key = event.target.closest(".box")?.dataset.place ?? event.target.closest("[data-edge]")?.dataset.edge;
    if (key && event.shiftKey) toggle(graph, key);
    else if (key && !graph.selected.has(key)) graph.select([key]);
    else if (!key && event.shiftKey) frame(event, graph, view);
    else if (!key) onGround(event, graph);
  });
  element.addEventListener("graph:selected", () => roam(graph));
  roam(graph);
}

/** A click on the ground chooses nothing; a pan leaves the choice as it is. */
function onGround(event, graph) {
  const { clientX, clientY } = event;
  addEventListener("pointerup", (end) => {
    if (Math.hypot(end.clientX - clientX, end.clientY - clientY) < 4) graph.select([]);
  }, { once: true });
}

function frame(event, graph, view) {
  event.stopPropagation();
  const box = document.createElement("div");
  box.className = "marquee";
  graph.stage.append(box);
  const from = view.point(event);
  let found = [];
  track(event, graph.element, {
    move: (next) => {
      const to = view.point(next);
      const [left, top] = [Math.min(from[0], to[0]), Math.min(from[1], to[1])];
      const [right, bottom] = [Math.max(from[0], to[0]), Math.max(from[1], to[1])];
      Object.assign(box.style, { transform: `translate(${left}px, ${top}px)`, width: `${right - left}px`, height: `${bottom - top}px` });
      found = [...graph.boxes.values()].filter((one) => one.x < right && one.x + one.w > left && one.y < bottom && one.y + one.h > top);
    },
    end: (_, moved) => {
      box.remove();
      if (moved) graph.select(innermost(found));
    },
  });
}

/** A frame inside a container means what is in it, not the container around. */
function innermost(found) {
  const places = found.map(({ place }) => place);
  return places.filter((place) => !places.some((other) => other.startsWith(`${place}.`)));
}

/** One box of the picture is a stop of the Tab key: the chosen one, else the first. */
function roam(graph) {
  const stop = graph.chosen.at(-1) ?? graph.boxes.keys().next().value;
  for (const [place, { element }] of graph.boxes) {
    const index = place === stop ? 0 : -1;
    if (element.tabIndex !== index) element.tabIndex = index;
  }
}

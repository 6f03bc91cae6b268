// Drawing an arrow: from a port onto a box. Dropped on the ground, it asks which step comes next.

import { ends } from "./graph.js";
import { elbow, rounded } from "./lines.js";
import { track } from "../canvas/pointer.js";

const SVG = "http://www.w3.org/2000/svg";

export function start({ root, graph, view, draft, mayEdit }) {
  if (!mayEdit) return;
  graph.element.addEventListener("pointerdown", (event) => {
    const port = event.target.closest(".port[data-port]");
    if (!port || event.button) return;
    event.stopPropagation();
    draw(event, port, { root, graph, view, draft });
  }, true);
}

function draw(event, port, { root, graph, view, draft }) {
  const source = graph.boxes.get(port.closest(".box").dataset.place);
  const from = [source.x + source.ports.get(port.dataset.port), source.y + source.h];
  const ghost = document.createElementNS(SVG, "path");
  ghost.setAttribute("class", "edge ghost");
  graph.svg.append(ghost);
  for (const box of graph.boxes.values()) box.element.classList.toggle("may-take", fits(source, box));
  track(event, port, {
    move: (next) => ghost.setAttribute("d", rounded(elbow(from, view.point(next).map(Math.round), source.x + source.w))),
    end: (final, moved) => {
      ghost.remove();
      for (const { element } of graph.boxes.values()) element.classList.remove("may-take");
      if (moved) drop(final, source, port.dataset.port, { root, graph, view, draft });
    },
  });
}

function drop(event, source, port, { root, graph, view, draft }) {
  const element = document.elementFromPoint(event.clientX, event.clientY)?.closest(".box");
  const target = element && graph.boxes.get(element.dataset.place);
  if (target && target !== source && !source.place.startsWith(`${target.place}.`)) {
    connect(draft, source, port, target);
  } else {
    const detail = { scope: source.scope, after: { node: source.place, port }, at: view.point(event).map(Math.round) };
    root.dispatchEvent(new CustomEvent("steps:ask", { detail }));
  }
}

/** Draw an arrow between two boxes of one scope; say why not where it cannot be. */
export function connect(draft, source, port, target) {
  if (!fits(source, target)) {
    draft.say(target.kind === "input" ? "Nothing leads to the start." : "Arrows stay inside one container.", true);
    return undefined;
  }
  return draft.do("connect", ends({ source: source.place, port, target: target.place }));
}

function fits(source, target) {
  return source !== target && source.scope === target.scope && target.kind !== "input";
}

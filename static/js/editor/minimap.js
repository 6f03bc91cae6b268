// The map of a draft: a dot for each step that holds no others.

import { startMinimap } from "../canvas/minimap.js";

export function start({ graph, view }) {
  const flat = () => [...graph.boxes.values()].filter(({ element }) => !element.classList.contains("holds"));
  graph.element.addEventListener("graph:changed", startMinimap(view, flat));
}

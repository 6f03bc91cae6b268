// A step dragged from the palette onto an arrow, into a container or onto the ground, by mouse, pen or finger.

import { track } from "../canvas/pointer.js";
import { JOINS } from "./mates.js";

/** `drop(preset, edge, element, event)` is called where a preset was let go over the picture. */
export function start(palette, graph, drop) {
  let carried = false;
  palette.addEventListener("pointerdown", (event) => {
    carried = false;
    const preset = event.target.closest(".preset");
    if (preset && !event.button) carry(event, preset, graph, drop, (moved) => (carried = moved));
  });
  // What ends a drag is no press of the button that the drag began on. A press by key, which has no detail, ends none.
  palette.addEventListener("click", (event) => {
    if (!carried || !event.detail) return;
    carried = false;
    event.stopImmediatePropagation();
  }, true);
}

function carry(event, preset, graph, drop, tell) {
  let shown;
  track(event, preset, {
    move: (next) => {
      shown ??= document.body.appendChild(shape(preset));
      shown.style.transform = `translate(${next.clientX}px, ${next.clientY}px) translate(14px, 12px)`;
      mark(graph, under(graph, next), preset.dataset.preset);
    },
    end: (final, moved) => {
      shown?.remove();
      mark(graph);
      tell(moved);
      const element = moved && under(graph, final);
      if (element) drop(preset.dataset.preset, edgeOf(graph, element), element, final);
    },
  });
}

function shape(preset) {
  const shown = document.createElement("div");
  shown.className = "carried";
  shown.setAttribute("aria-hidden", "true");
  shown.append(...[...preset.children].map((child) => child.cloneNode(true)));
  return shown;
}

/** Return what the pointer is over, where that is the picture and none of its bars. */
function under(graph, { clientX, clientY }) {
  const element = document.elementFromPoint(clientX, clientY);
  return graph.element.contains(element) && !element.closest(".cvbar, .cvfind, .minimap") ? element : undefined;
}

function edgeOf(graph, element) {
  return graph.edges.get(element.closest("[data-edge]")?.dataset.edge);
}

/** Mark the arrow, the container or the crew that would take the step. */
function mark(graph, element, preset) {
  for (const one of graph.stage.querySelectorAll(".may-take")) one.classList.remove("may-take");
  const taker = element?.closest("[data-edge]") ?? element?.closest(JOINS.has(preset) ? ".box:is(.holds, .crewed)" : ".box.holds");
  taker?.classList.add("may-take");
}

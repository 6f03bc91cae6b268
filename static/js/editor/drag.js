// Moving boxes by hand: all that are chosen, with what they hold, in steps of the grid. Sent once, at the end.
// Where the pointer ends decides the container: a box dropped into another one, or beside its own, moves there.

import { track } from "../canvas/pointer.js";
import { hold, release } from "./held.js";

const SNAP = 10;

export function start({ graph, view, draft, mayEdit }) {
  if (!mayEdit) return;
  graph.element.addEventListener("pointerdown", (event) => {
    const element = event.target.closest(".box");
    if (!element || event.button || event.shiftKey || event.target.closest(".port")) return;
    drag(event, element, graph, view, draft);
  });
}

function drag(event, element, graph, view, draft) {
  const from = view.point(event);
  const chosen = graph.chosen.map((place) => graph.boxes.get(place));
  const moving = carried(graph, chosen);
  const places = moving.map(({ place }) => place);
  const origin = moving.map(({ x, y }) => [x, y]);
  const holders = [...graph.boxes.values()].filter((box) => box.element.classList.contains("holds") && !moving.includes(box));
  let [shown, by] = [undefined, [0, 0]];
  const put = (dx, dy) => {
    by = [dx, dy];
    moving.forEach((box, index) => graph.put(box, origin[index][0] + dx, origin[index][1] + dy));
    for (const box of moving) graph.follow(box);
  };
  const show = (goal) => {
    if (goal !== shown) mark(graph, (shown = goal), chosen);
  };
  hold(graph, places);
  graph.element.classList.remove("glide");
  graph.element.classList.add("moving");
  track(event, element, {
    move: (next) => {
      const to = view.point(next);
      const [dx, dy] = [snap(to[0] - from[0]), snap(to[1] - from[1])];
      show(holder(holders, to));
      if (dx !== by[0] || dy !== by[1]) put(dx, dy);
    },
    end: (final, moved) => {
      const goal = final && holder(holders, view.point(final));
      show();
      graph.element.classList.remove("moving");
      if (!moved) put(0, 0); // where an earlier move of theirs, which may have no answer yet, has put them
      const sent = moved && (leaves(chosen, goal) ? moveInto(graph, draft, chosen, goal) : sendMoves(graph, draft, chosen));
      Promise.resolve(sent).finally(() => release(graph, places));
    },
  });
}

/** Return the place of the innermost container at a point, by where it stood before this drag; "" for the ground. */
function holder(holders, [x, y]) {
  const around = holders.filter((box) => box.x <= x && x <= box.x + box.w && box.y <= y && y <= box.y + box.h);
  return around.map(({ place }) => place).sort((a, b) => b.split(".").length - a.split(".").length)[0] ?? "";
}

function leaves(chosen, goal) {
  return chosen.every(({ scope, kind }) => scope !== goal && kind !== "input");
}

/** Mark the container that would take the boxes. */
function mark(graph, goal, chosen) {
  for (const element of graph.stage.querySelectorAll(".may-take")) element.classList.remove("may-take");
  if (goal && leaves(chosen, goal)) graph.boxes.get(goal).element.classList.add("may-take");
}

/** Move boxes into a container, "" for the ground, and choose them there. Dropped ones stay where they are. */
export async function moveInto(graph, draft, chosen, scope, dropped = true) {
  const places = outermost(chosen).map(({ place }) => place);
  const positions = dropped ? Object.fromEntries(outermost(chosen).map(({ place, x, y }) => [place, [x, y]])) : {};
  graph.chooseAdded(await draft.do("move_into", { places, scope, positions }));
}

function outermost(chosen) {
  return chosen.filter((box) => !chosen.some((other) => box.place.startsWith(`${other.place}.`)));
}

/** Return the boxes with all that they hold. */
export function carried(graph, chosen) {
  return [...new Set(chosen.flatMap((box) => [box, ...graph.inside(box.place)]))];
}

/** Save where these boxes stand now; until that is answered they stay there. Those inside another of them moved with it. */
export async function sendMoves(graph, draft, chosen) {
  if (!chosen.length) return;
  const places = carried(graph, chosen).map(({ place }) => place);
  hold(graph, places);
  const positions = Object.fromEntries(outermost(chosen).map(({ place, x, y }) => [place, [x, y]]));
  await draft.do("move", { positions }).finally(() => release(graph, places));
}

function snap(length) {
  return Math.round(length / SNAP) * SNAP;
}

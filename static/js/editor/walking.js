// Going from step to step along the arrows, and choosing on the way: with Shift one more, with Ctrl only the focus goes.

/** Go down to what follows, up to what leads here, sideways to what stands beside. */
export function walk({ graph, view }, box, { key, shiftKey, altKey }) {
  const here = box ?? graph.boxes.values().next().value;
  const goal = here && graph.boxes.get(next(graph, here, key));
  if (!goal) return;
  const chosen = graph.chosen.length ? graph.chosen : [here.place];
  if (altKey) graph.select(shiftKey ? [...chosen.filter((place) => place !== goal.place), goal.place] : [goal.place]);
  view.reveal(goal);
  focus(graph, goal);
}

function next(graph, here, key) {
  if (key === "ArrowDown") return [...here.edges].find((edge) => edge.source === here.place)?.target;
  if (key === "ArrowUp") return [...here.edges].find((edge) => edge.target === here.place)?.source;
  return beside(graph, here, key === "ArrowRight" ? 1 : -1);
}

function beside(graph, here, side) {
  return [...graph.boxes.values()]
    .filter((box) => box.scope === here.scope && (box.x - here.x) * side > 0 && Math.abs(box.y - here.y) < here.h)
    .sort((a, b) => (a.x - b.x) * side)[0]?.place;
}

/** Go into a group: to the first who works in it, or to the first step in it. */
export function goIn(graph, view, box) {
  box.furnish();
  const mate = box.element.querySelector(".mate");
  if (mate) mate.focus({ preventScroll: true });
  else arrive(graph, view, graph.inside(box.place)[0]);
}

/** Go out of a group, to its box. */
export function goOut(graph, view, box) {
  arrive(graph, view, graph.boxes.get(box.scope));
}

function arrive(graph, view, box) {
  if (!box) return;
  graph.select([box.place]);
  view.reveal(box);
  focus(graph, box);
}

/** Put the focus on a box without choosing it. */
export function focus(graph, box) {
  graph.going = true;
  box.element.focus({ preventScroll: true });
  graph.going = false;
}

/** Choose the box in focus beside the others, or leave it out again. */
export function toggle(graph, key) {
  const chosen = new Set(graph.selected);
  if (!chosen.delete(key)) chosen.add(key);
  graph.select(chosen);
}

/** Choose the arrows of a box one after the other; `by` is 1 or -1. Return what the chosen one is, in words. */
export function stepArrows(graph, box, by) {
  const arrows = [...box.edges].sort((a, b) => (b.source === box.place) - (a.source === box.place));
  if (!arrows.length) return "This step has no arrow.";
  const at = arrows.findIndex(({ key }) => graph.selected.has(key));
  const arrow = arrows[at < 0 ? (by > 0 ? 0 : arrows.length - 1) : (at + by + arrows.length) % arrows.length];
  graph.select([arrow.key]);
  const [from, to] = [arrow.source, arrow.target].map((place) => graph.boxes.get(place).title);
  return `The arrow from “${from}” to “${to}” is chosen. Delete removes it, A adds a step on it.`;
}

// Boxes that are being moved, by place: until that is answered, what the server says of them does not move them. An answer
// to something earlier would put them back to where they were then, and the next move would go on from there.

/** Keep boxes where the hand or the key puts them. Each call needs its `release`. */
export function hold({ held }, places) {
  for (const place of places) held.set(place, (held.get(place) ?? 0) + 1);
}

/** Let go of them: those that nothing else moves go to where the server has them. */
export function release(graph, places) {
  const free = [];
  for (const place of places) {
    const left = graph.held.get(place) - 1;
    if (left) graph.held.set(place, left);
    else if (graph.held.delete(place) && graph.boxes.has(place)) free.push(graph.boxes.get(place));
  }
  if (free.length) graph.restore(free);
}

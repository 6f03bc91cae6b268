// Lights the edges of the picture as the server's last answer says.

const drawn = new WeakMap(); // of a picture: its edges by key

/** Set the state of edges, given by their keys; the others stay as they are. */
export function lightEdges(root, states) {
  const picture = root.querySelector("svg.edges");
  if (!picture || !states.size) return;
  if (!drawn.has(picture)) drawn.set(picture, new Map([...picture.querySelectorAll("[data-edge]")].map((edge) => [edge.dataset.edge, edge])));
  for (const [key, state] of states) {
    const edge = drawn.get(picture).get(key);
    if (edge && edge.getAttribute("class") !== state) edge.setAttribute("class", state);
  }
}

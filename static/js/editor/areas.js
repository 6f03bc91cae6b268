// What lies behind the boxes: frames of the safe zones, and each Repeat's way back. The server says where.

const SVG = "http://www.w3.org/2000/svg";
const WORDS = "Safe zone: a failure here is left out";

export function start({ root, graph }) {
  const behind = graph.stage.querySelector(".behind");
  const ways = graph.svg.querySelector("[data-ways]");
  const draw = ({ safe, again }) => {
    behind.replaceChildren(...safe.flatMap(({ box }) => [frame(box), words(box)]));
    for (const element of graph.stage.querySelectorAll(".in-area")) element.classList.remove("in-area");
    for (const { places } of safe) for (const place of places) graph.boxes.get(place)?.element.classList.add("in-area");
    const drawn = again.filter(({ line }) => line);
    ways.replaceChildren(...drawn.map(back));
    behind.append(...drawn.map(({ at }) => label(at)));
  };
  draw(JSON.parse(root.getElementById("graph-behind").textContent));
  root.addEventListener("graph:news", ({ detail }) => draw(detail.behind));
}

function frame([x, y, w, h]) {
  const element = document.createElement("div");
  element.className = "safe-area";
  Object.assign(element.style, { transform: `translate(${x}px, ${y}px)`, width: `${w}px`, height: `${h}px` });
  return element;
}

/** On the lower border, over the arrows: on the upper one stand the names of the ways that lead in. */
function words([x, y, , h]) {
  const element = Object.assign(document.createElement("span"), { className: "safe-words", textContent: WORDS });
  element.style.transform = `translate(${x + 16}px, ${y + h}px) translateY(-50%)`;
  return element;
}

function back({ line, tip }) {
  const group = document.createElementNS(SVG, "g");
  for (const [name, d] of [["edge again", line], ["tip", tip]]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    path.setAttribute("d", d);
    group.append(path);
  }
  return group;
}

function label([x, y]) {
  const element = Object.assign(document.createElement("span"), { className: "elab again", textContent: "again" });
  element.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
  return element;
}

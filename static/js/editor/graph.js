// The draft as a picture: boxes and arrows, where they stand, and which are chosen. Others move and choose through it.
//
// Dispatches on its element: `graph:selected`, `graph:changed` (boxes or arrows are new, gone or elsewhere).

import { Box } from "./box.js";
import { elbow, rounded, tip } from "./lines.js";

const SVG = "http://www.w3.org/2000/svg";
const TO_LABEL = 22;
const ARROW = document.createElementNS(SVG, "g");
for (const name of ["hit", "edge", "tip"]) ARROW.appendChild(document.createElementNS(SVG, "path")).setAttribute("class", name);

export class Graph {
  constructor(root, element) {
    Object.assign(this, { root, element, boxes: new Map(), edges: new Map(), selected: new Set(), held: new Map() });
    this.stage = element.querySelector("[data-stage]");
    this.svg = this.stage.querySelector("svg");
    for (const box of this.stage.querySelectorAll(".box")) this.adopt(box);
    for (const [key, edge] of Object.entries(read(root, "graph-edges"))) this.addEdge(key, edge);
    this.mark(read(root, "graph-marks"));
    root.addEventListener("draft:answer", () => this.furnish()); // it may change what stands in a box
    root.addEventListener("graph:news", ({ detail }) => this.apply(detail));
    root.addEventListener("graph:lost", () => this.restore());
  }

  adopt(element) {
    const box = new Box(element);
    this.boxes.set(box.place, box);
    this.put(box, ...box.stands);
  }

  furnish() {
    for (const box of this.boxes.values()) box.furnish();
  }

  /** Draw a box somewhere. `stands` keeps where the server says it is. Not by a transform: the browser keeps account of each,
   * for which a pan of a thousand boxes pays. */
  put(box, x, y, w = box.w, h = box.h) {
    const { style } = box.element;
    if (w !== box.w || h !== box.h) Object.assign(style, { width: `${w}px`, height: `${h}px` });
    if (x !== box.x) style.left = `${x}px`;
    if (y !== box.y) style.top = `${y}px`;
    Object.assign(box, { x, y, w, h });
  }

  addEdge(key, edge) {
    this.removeEdge(key);
    const group = ARROW.cloneNode(true);
    group.dataset.edge = key;
    const [hit, line, head] = group.children;
    this.svg.append(group);
    const drawn = { ...edge, key, group, hit, path: line, head, label: edge.label && this.label(edge) };
    this.edges.set(key, drawn);
    for (const end of [edge.source, edge.target]) this.boxes.get(end)?.edges.add(drawn);
    this.draw(drawn, edge.line, edge.tip, edge.at);
  }

  label({ label }) {
    const element = document.createElement("span");
    element.className = "elab";
    element.textContent = label;
    this.stage.append(element);
    return element;
  }

  draw(edge, line, head, at) {
    edge.hit.setAttribute("d", line);
    edge.path.setAttribute("d", line);
    edge.head.setAttribute("d", head);
    if (edge.label) edge.label.style.transform = `translate(${at[0]}px, ${at[1]}px) translate(-50%, -50%)`;
  }

  removeEdge(key) {
    const edge = this.edges.get(key);
    if (!edge) return;
    edge.group.remove();
    edge.label?.remove?.();
    for (const end of [edge.source, edge.target]) this.boxes.get(end)?.edges.delete(edge);
    this.edges.delete(key);
    this.selected.delete(key);
  }

  /** Draw the arrows of a box that is being moved. */
  follow(box) {
    for (const edge of box.edges) {
      const [from, to] = [this.boxes.get(edge.source), this.boxes.get(edge.target)];
      if (!from || !to) continue;
      const start = [from.x + (from.ports.get(edge.port) ?? from.w / 2), from.y + from.h];
      const end = [to.x + to.w / 2, to.y];
      const points = elbow(start, end, Math.max(from.x + from.w, to.x + to.w));
      this.draw(edge, rounded(points), tip(end), [end[0], end[1] - TO_LABEL]);
    }
  }

  /** Choose what a change has added, and put the focus there; boxes inside others of them come along. */
  chooseAdded(news) {
    const added = Object.keys(news?.added ?? {});
    const outer = added.filter((place) => !added.some((other) => place.startsWith(`${other}.`)));
    if (!outer.length) return;
    this.select(outer);
    this.boxes.get(outer.at(-1)).element.focus({ preventScroll: true });
  }

  /** Return the boxes inside a container, at any depth. */
  inside(place) {
    return [...this.boxes.values()].filter((box) => box.place.startsWith(`${place}.`));
  }

  apply(news) {
    if (news.refused) this.restore();
    for (const place of news.removed) this.drop(place);
    for (const html of Object.values(news.added)) this.stage.insertAdjacentHTML("beforeend", html);
    for (const place of Object.keys(news.added)) this.adopt(this.root.getElementById(`node-${place}`));
    for (const [place, html] of Object.entries(news.reshaped)) this.reshape(this.boxes.get(place), html);
    this.element.classList.toggle("glide", this.boxes.size < 300);
    for (const [place, stands] of Object.entries(news.boxes)) {
      const box = Object.assign(this.boxes.get(place), { stands });
      if (!this.held.has(place)) this.put(box, ...stands);
    }
    for (const key of news.removed_edges) this.removeEdge(key);
    for (const [key, edge] of Object.entries(news.edges)) this.addEdge(key, edge);
    for (const place of this.held.keys()) if (this.boxes.has(place)) this.follow(this.boxes.get(place));
    this.element.dataset.frame = news.frame.join(",");
    this.mark(news.marks);
    this.changed();
  }

  /** Put another box in the place of one, which has other ports: it stays chosen, in focus, and joined. */
  reshape(old, html) {
    const { element, edges, place } = old;
    const focused = element.contains(this.root.activeElement);
    element.insertAdjacentHTML("afterend", html);
    this.adopt(element.nextElementSibling);
    const box = Object.assign(this.boxes.get(place), { edges });
    if (this.held.has(place)) this.put(box, old.x, old.y);
    box.element.tabIndex = element.tabIndex;
    box.element.classList.toggle("on", this.selected.has(place));
    element.remove();
    if (focused) box.element.focus({ preventScroll: true });
  }

  drop(place) {
    this.boxes.get(place)?.element.remove();
    this.boxes.delete(place);
    this.selected.delete(place);
  }

  /** Put boxes with their arrows back where the server has them: all that are not being moved, unless named. */
  restore(boxes = [...this.boxes.values()].filter(({ place }) => !this.held.has(place))) {
    for (const box of boxes) this.put(box, ...box.stands);
    for (const edge of new Set(boxes.flatMap((box) => [...box.edges]))) this.draw(edge, edge.line, edge.tip, edge.at);
    this.changed();
  }

  /** Show how many errors and warnings each box has: {place: [errors, warnings]}. */
  mark(marks) {
    for (const flag of this.stage.querySelectorAll(".flag")) flag.remove();
    for (const box of this.boxes.values()) box.element.classList.toggle("wrong", Boolean(marks[box.place]?.[0]));
    for (const [place, [errors, warnings]] of Object.entries(marks)) {
      const flag = document.createElement("span");
      flag.className = `flag badge ${errors ? "b-failed" : "b-degraded"}`;
      flag.textContent = errors ? `${errors} error${errors > 1 ? "s" : ""}` : `${warnings} warning${warnings > 1 ? "s" : ""}`;
      this.boxes.get(place)?.element.append(flag);
    }
  }

  /** Choose boxes and arrows by place and key. */
  select(keys) {
    this.selected = new Set(keys);
    for (const [place, { element }] of this.boxes) element.classList.toggle("on", this.selected.has(place));
    for (const [key, { group }] of this.edges) group.classList.toggle("on", this.selected.has(key));
    this.element.dispatchEvent(new CustomEvent("graph:selected"));
  }

  get chosen() {
    return [...this.selected].filter((key) => this.boxes.has(key));
  }

  get chosenEdges() {
    return [...this.selected].filter((key) => this.edges.has(key)).map((key) => this.edges.get(key));
  }

  changed() {
    this.element.dispatchEvent(new CustomEvent("graph:changed"));
  }
}

/** Return an arrow as commands name it: its scope, and its ends within that scope. */
export function ends({ source, port, target }) {
  const cut = source.lastIndexOf(".") + 1;
  return { scope: source.slice(0, Math.max(cut - 1, 0)), from: source.slice(cut), port, to: target.slice(cut) };
}

function read(root, id) {
  return JSON.parse(root.getElementById(id)?.textContent ?? "{}");
}

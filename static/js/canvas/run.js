// The picture of a run or of a version to look at: places nodes where the server laid them out and, until somebody moves
// it by hand, keeps the work of the moment in sight.

import { Camera } from "./camera.js";
import { startCulling } from "./culling.js";
import { start as startEscape } from "./escape.js";
import { startFind } from "./find.js";
import { bindGestures } from "./gestures.js";
import { startMinimap } from "./minimap.js";

const MARGIN = 28;
const BUSY = ".node.wait, .node.running, .node.bad";
const KEYS = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
const ZOOMS = { "+": "in", "=": "in", "-": "out", 0: "fit" };

export function start(root) {
  const views = new Map([...root.querySelectorAll("[data-canvas]")].map((canvas) => [canvas, bind(root, canvas)]));
  if (!views.size) return;
  startFind(root, (bar) => onPicture(views.get(bar.closest("[data-canvas]"))));
  startEscape(root);
}

function bind(root, canvas) {
  const stage = canvas.querySelector("[data-stage]");
  for (const item of stage.querySelectorAll("[data-x]")) place(item);
  const view = new Sight(canvas);
  const slots = boxes(view, ".slot");
  view.open();
  startCulling(view, () => slots);
  stage.classList.add("placed");
  for (const name of ["run:changed", "run:moment"]) root.addEventListener(name, () => view.follow());
  bindGestures(view, ({ button, target }) => button < 2 && !target.closest("button"));
  canvas.addEventListener("keydown", (event) => key(view, event));
  canvas.addEventListener("focusin", ({ target }) => target.matches(":focus-visible") && reach(view, target));
  startMinimap(view, () => slots);
  return view;
}

function place(item) {
  item.style.left = `${item.dataset.x}px`;
  item.style.top = `${item.dataset.y}px`;
  if (item.dataset.w) item.style.width = `${item.dataset.w}px`;
  if (item.dataset.h) item.style.height = `${item.dataset.h}px`;
}

class Sight extends Camera {
  constructor(canvas) {
    super(canvas, { least: 0.1, most: 1.6, readable: 0.8 });
  }

  /** Open as wide as the room allows and readable; what does not fit in height opens at what is going on. */
  open() {
    const [width, height] = this.room;
    if (!width || !height) return;
    const [left, top, w, h] = this.frame;
    const wide = Math.max(Math.min((width - 2 * MARGIN) / w, 1), this.readable);
    const all = Math.min(wide, (height - 2 * MARGIN) / h);
    const zoom = all >= 0.9 * wide ? all : wide;
    const spot = this.busy();
    const x = along(width, w * zoom, spot && (spot.x - left) * zoom, "centre") - left * zoom;
    const y = along(height, h * zoom, spot && (spot.y - top) * zoom, "start") - top * zoom;
    if (x !== this.at.x || y !== this.at.y || zoom !== this.at.zoom) this.show(x, y, zoom);
  }

  /** Keep the work of the moment in sight while nobody has moved the picture by hand. */
  follow() {
    if (this.touched || !this.stage.isConnected) return;
    this.stage.classList.add("glide");
    this.open();
  }

  /** Return the middle of the work of the moment, or undefined when nothing goes on. */
  busy() {
    const slot = this.stage.querySelector(BUSY)?.closest("[data-y]");
    if (!slot) return undefined;
    const { x, y, w, h } = boxOf(slot);
    return { x: x + w / 2, y: y + h / 2 };
  }

  show(x, y, zoom) {
    if (this.touched) this.stage.classList.remove("glide");
    super.show(x, y, zoom);
  }
}

/** Return where to begin along one axis: centred if it fits, else with the spot in the middle and no empty margin. */
function along(room, length, spot, otherwise) {
  if (length <= room - 2 * MARGIN) return (room - length) / 2;
  const begin = spot === undefined ? (otherwise === "centre" ? (room - length) / 2 : MARGIN) : room / 2 - spot;
  return Math.max(Math.min(begin, MARGIN), room - MARGIN - length);
}

function boxOf({ dataset }) {
  const [x, y, w, h] = [dataset.x, dataset.y, dataset.w, dataset.h].map(Number);
  return { x, y, w, h };
}

function boxes({ stage }, selector) {
  return [...stage.querySelectorAll(selector)].map((element) => ({ element, ...boxOf(element) }));
}

function key(view, event) {
  if (event.target !== view.element || event.ctrlKey || event.metaKey || event.altKey) return;
  if (KEYS[event.key]) view.pan(...KEYS[event.key]);
  else if (ZOOMS[event.key]) view.press(ZOOMS[event.key]);
  else return;
  event.preventDefault();
}

/** Bring what the keyboard has come to into sight; the browser would scroll the canvas instead. */
function reach(view, target) {
  const box = target.closest("[data-y]");
  view.element.scrollTo(0, 0);
  if (box) view.reveal(boxOf(box));
}

function onPicture(view) {
  const words = (element) => element.querySelector("b, .node-a");
  return {
    steps: () => boxes(view, ".slot, .group").filter(({ element }) => words(element)).map((box) => [words(box.element).textContent, box]),
    element: ({ element }) => element,
    reveal: (box) => view.reveal(box),
    choose: ({ element }) => (element.querySelector("a") ?? view.element).focus({ preventScroll: true }),
    back: () => view.element.focus({ preventScroll: true }),
  };
}

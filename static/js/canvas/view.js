// The canvas to look at: places nodes where the server laid them out, pans, zooms, fits. Positions go through CSSOM,
// since the page's policy allows no inline style.

const LEAST = 0.4;
const MOST = 1.6;
const LEAST_OPEN = 0.8; // below this the small print of a card cannot be read
const MARGIN = 28;

export function start(root) {
  for (const canvas of root.querySelectorAll("[data-canvas]")) bind(canvas);
}

function bind(canvas) {
  const stage = canvas.querySelector("[data-stage]");
  const view = { canvas, stage, x: 0, y: 0, zoom: 1 };
  for (const item of stage.querySelectorAll("[data-x]")) place(item);
  fit(view);
  new ResizeObserver(() => view.touched || fit(view)).observe(canvas);
  document.addEventListener("run:changed", () => follow(view));
  canvas.addEventListener("wheel", (event) => wheel(view, event), { passive: false });
  canvas.addEventListener("pointerdown", (event) => drag(view, event));
  canvas.addEventListener("keydown", (event) => key(view, event));
  canvas.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (button) press(view, button.dataset.zoom);
  });
}

function place(item) {
  item.style.left = `${item.dataset.x}px`;
  item.style.top = `${item.dataset.y}px`;
  if (item.dataset.w) item.style.width = `${item.dataset.w}px`;
  if (item.dataset.h) item.style.height = `${item.dataset.h}px`;
}

function show(view) {
  view.stage.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
  view.canvas.querySelector("[data-zoom-words]").textContent = `${Math.round(view.zoom * 100)}%`;
}

/** Open as wide as the room allows and readable; what does not fit in height opens at what is going on. */
function fit(view) {
  const { clientWidth: width, clientHeight: height } = view.canvas;
  if (!width || !height) return;
  const [w, h] = size(view);
  const wide = Math.max(Math.min((width - 2 * MARGIN) / w, 1), LEAST_OPEN);
  const all = Math.min(wide, (height - 2 * MARGIN) / h);
  view.zoom = all >= 0.9 * wide ? all : wide;
  const spot = busy(view);
  view.x = along(width, w * view.zoom, spot && spot.x * view.zoom, "centre");
  view.y = along(height, h * view.zoom, spot && spot.y * view.zoom, "start");
  show(view);
}

/** Show all of it, however small that is. */
function fitAll(view) {
  const { clientWidth: width, clientHeight: height } = view.canvas;
  const [w, h] = size(view);
  view.zoom = Math.max(Math.min((width - 2 * MARGIN) / w, (height - 2 * MARGIN) / h, 1), LEAST);
  view.x = (width - w * view.zoom) / 2;
  view.y = Math.max((height - h * view.zoom) / 2, MARGIN);
  show(view);
}

/** Keep the work of the moment in sight while nobody has moved the picture by hand. */
function follow(view) {
  if (view.touched || !view.stage.isConnected) return;
  view.stage.classList.add("glide");
  fit(view);
}

function size({ canvas }) {
  return [Number(canvas.dataset.width), Number(canvas.dataset.height)];
}

/** Return where to begin along one axis: centred if it fits, else with the spot in the middle and no empty margin. */
function along(room, length, spot, otherwise) {
  if (length <= room - 2 * MARGIN) return (room - length) / 2;
  const begin = spot === undefined ? (otherwise === "centre" ? (room - length) / 2 : MARGIN) : room / 2 - spot;
  return Math.max(Math.min(begin, MARGIN), room - MARGIN - length);
}

/** Return the middle of the work of the moment, or undefined when nothing goes on. */
function busy({ stage }) {
  const slot = stage.querySelector(".node.wait, .node.running, .node.bad")?.closest("[data-y]");
  if (!slot) return undefined;
  const { x, y, w, h } = slot.dataset;
  return { x: Number(x) + Number(w) / 2, y: Number(y) + Number(h) / 2 };
}

function zoomTo(view, zoom, x, y) {
  const next = Math.min(Math.max(zoom, LEAST), MOST);
  view.x = x - ((x - view.x) * next) / view.zoom;
  view.y = y - ((y - view.y) * next) / view.zoom;
  view.zoom = next;
  view.touched = true;
  view.stage.classList.remove("glide");
  show(view);
}

function move(view, dx, dy) {
  view.stage.classList.remove("glide");
  view.x += dx;
  view.y += dy;
  view.touched = true;
  show(view);
}

function wheel(view, event) {
  event.preventDefault();
  const box = view.canvas.getBoundingClientRect();
  if (event.ctrlKey || event.metaKey) {
    zoomTo(view, view.zoom * Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  } else {
    move(view, -event.deltaX, -event.deltaY);
  }
}

function drag(view, event) {
  if (event.button || event.target.closest("a, button")) return;
  view.canvas.setPointerCapture(event.pointerId);
  const onMove = ({ movementX, movementY }) => move(view, movementX, movementY);
  view.canvas.addEventListener("pointermove", onMove);
  view.canvas.addEventListener("lostpointercapture", () => view.canvas.removeEventListener("pointermove", onMove), { once: true });
}

function key(view, event) {
  if (event.target !== view.canvas) return;
  const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  const zooms = { "+": "in", "=": "in", "-": "out", 0: "fit" };
  if (moves[event.key]) move(view, ...moves[event.key]);
  else if (zooms[event.key]) press(view, zooms[event.key]);
  else return;
  event.preventDefault();
}

function press(view, what) {
  if (what === "fit") {
    view.touched = true;
    fitAll(view);
    return;
  }
  const { clientWidth, clientHeight } = view.canvas;
  zoomTo(view, view.zoom * (what === "in" ? 1.2 : 1 / 1.2), clientWidth / 2, clientHeight / 2);
}

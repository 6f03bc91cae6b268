// What moves a camera by hand: a drag and the wheel pan, Ctrl with the wheel and two fingers zoom.

import { breakOff } from "./pointer.js";

const SLACK = 4; // pixels that a press may wander and stay a press
const LINE = 20; // pixels of a wheel that counts in lines
const MOST_TURN = 60;
const PER_ZOOM = 240;
const OWN = ".cvbar, .cvfind, .minimap"; // what floats over the picture has gestures of its own

/** `pans(event)` says whether the press of a mouse, or of a first finger, may take hold of the picture. */
export function bindGestures(camera, pans) {
  const { element } = camera;
  const hold = { camera, pans, fingers: new Map(), free: false, moved: 0 };
  element.addEventListener("wheel", (event) => wheel(camera, event), { passive: false });
  element.addEventListener("pointerdown", (event) => press(hold, event), true);
  element.addEventListener("pointermove", (event) => move(hold, event));
  for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, ({ pointerId }) => lift(hold, pointerId));
  // What a pan began on is not pressed by its end.
  element.addEventListener("click", (event) => {
    if (hold.moved <= SLACK) return;
    event.preventDefault();
    event.stopPropagation();
  }, true);
  element.addEventListener("dragstart", (event) => event.preventDefault());
}

function wheel(camera, event) {
  if (event.target.closest(".pop-in")) return;
  event.preventDefault();
  const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1;
  const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
  if (event.ctrlKey || event.metaKey) {
    const { left, top } = camera.element.getBoundingClientRect();
    const turn = Math.max(-MOST_TURN, Math.min(MOST_TURN, dy));
    camera.zoomAt(camera.at.zoom * Math.exp(-turn / PER_ZOOM), event.clientX - left, event.clientY - top);
  } else if (event.shiftKey && !dx) camera.pan(-dy, 0);
  else camera.pan(-dx, -dy);
}

function press(hold, event) {
  const { fingers } = hold;
  if (event.target.closest(OWN)) return;
  const touch = event.pointerType === "touch";
  if (event.isPrimary) fingers.clear(); // one that left unseen, with what it was on
  if (touch && fingers.size) {
    // A second finger: whatever the first one carried goes back, and both take the picture.
    event.stopImmediatePropagation();
    breakOff();
    hold.free = true;
  } else {
    hold.moved = 0;
    hold.free = hold.pans(event);
    if (!touch && !hold.free) return;
    if (event.button === 1) event.preventDefault(); // else the browser scrolls by itself
  }
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
}

function move(hold, { pointerId, clientX, clientY, buttons, pointerType }) {
  const { camera, fingers } = hold;
  const from = fingers.get(pointerId);
  if (!from || !hold.free) return;
  if (pointerType !== "touch" && !buttons) return lift(hold, pointerId); // let go of outside of the page
  const before = fingers.size > 1 && spread(fingers);
  const [dx, dy] = [clientX - from[0], clientY - from[1]];
  if (!before && hold.moved + Math.hypot(dx, dy) <= SLACK && hold.moved === 0) return; // from the press on, not yet a drag
  hold.moved += Math.hypot(dx, dy);
  fingers.set(pointerId, [clientX, clientY]);
  if (before) pinch(camera, before, spread(fingers));
  else {
    if (!camera.element.hasPointerCapture(pointerId)) camera.element.setPointerCapture(pointerId);
    camera.pan(dx, dy);
  }
}

function lift(hold, pointerId) {
  hold.fingers.delete(pointerId);
  setTimeout(() => (hold.moved = 0)); // after the click that this may end in
}

/** Return the middle of two fingers, and how far apart they are. */
function spread(fingers) {
  const [[x1, y1], [x2, y2]] = [...fingers.values()];
  return { x: (x1 + x2) / 2, y: (y1 + y2) / 2, far: Math.max(Math.hypot(x2 - x1, y2 - y1), 1) };
}

function pinch(camera, before, after) {
  const { left, top } = camera.element.getBoundingClientRect();
  camera.pan(after.x - before.x, after.y - before.y);
  camera.zoomAt((camera.at.zoom * after.far) / before.far, after.x - left, after.y - top);
}

// What of the draft is in sight: the ground pans, a middle button pans everywhere.

import { Camera } from "../canvas/camera.js";
import { startCulling } from "../canvas/culling.js";
import { bindGestures } from "../canvas/gestures.js";

const HELD = ".box, .hit"; // what is dragged by itself

export class View extends Camera {
  constructor(graph) {
    super(graph.element, { least: 0.1, most: 2, readable: 0.6 });
    bindGestures(this, ({ button, shiftKey, target }) => button === 1 || (button === 0 && !shiftKey && !target.closest(HELD)));
    // Whoever works here knows where things stand: the picture keeps its place when its room changes.
    this.element.addEventListener("pointerdown", () => (this.touched = true), true);
    this.open();
    this.element.addEventListener("graph:changed", startCulling(this, () => graph.boxes.values(), (box) => box.furnish()));
  }
}

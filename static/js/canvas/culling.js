// Which boxes are drawn: those in sight and a little around it have `data-near`; of the others the style sheet leaves
// the contents out, so that the browser need neither style nor lay them out. The elements stay, for keys and who listens.

const AROUND = 0.35; // of the room, on each side: what a flick of the wheel brings in is there already

/** `boxes()` returns [{element, x, y, w, h}], which `comes` is told of; call what is returned when there are others, or elsewhere. */
export function startCulling(camera, boxes, comes = () => {}) {
  const near = new WeakSet();
  const cull = () => {
    const { x, y, zoom } = camera.at;
    const [width, height] = camera.room.map((length) => length / zoom);
    const [left, top] = [-x / zoom - AROUND * width, -y / zoom - AROUND * height];
    const [right, bottom] = [left + (1 + 2 * AROUND) * width, top + (1 + 2 * AROUND) * height];
    for (const box of boxes()) {
      const isNear = box.x < right && box.x + box.w > left && box.y < bottom && box.y + box.h > top;
      if (isNear === near.has(box.element)) continue;
      if (isNear) comes(box);
      box.element.toggleAttribute("data-near", isNear);
      near[isNear ? "add" : "delete"](box.element);
    }
  };
  camera.element.addEventListener("view:moved", cull);
  cull();
  return cull;
}

// The whole picture in a corner; a press there brings that part into sight, a drag goes along. Shown when not everything is in sight.

import { track } from "./pointer.js";

const WIDTH = 150;
const HEIGHT = 94;
const SVG = "http://www.w3.org/2000/svg";

/** `boxes()` returns [{x, y, w, h}] of what is drawn as a dot; call what is returned when they have changed. */
export function startMinimap(camera, boxes) {
  const { element } = camera;
  const map = document.createElement("div");
  map.className = "minimap";
  map.setAttribute("aria-hidden", "true");
  const svg = document.createElementNS(SVG, "svg");
  const dots = document.createElementNS(SVG, "path");
  dots.setAttribute("class", "dots");
  svg.append(dots);
  const sight = Object.assign(document.createElement("div"), { className: "sight" });
  map.append(svg, sight);
  element.append(map);
  let scale = 1;
  const drawSight = later(() => {
    const [left, top, width, height] = camera.frame;
    const { x, y, zoom } = camera.at;
    const [w, h] = camera.room.map((length) => length / zoom);
    map.hidden = w >= width && h >= height;
    sight.style.transform = `translate(${(-x / zoom - left) * scale}px, ${(-y / zoom - top) * scale}px)`;
    for (const [side, length] of [["width", w], ["height", h]]) {
      const wanted = `${Math.round(length * scale)}px`;
      if (sight.style.getPropertyValue(side) !== wanted) sight.style.setProperty(side, wanted);
    }
  });
  const drawBoxes = later(() => {
    const [left, top, width, height] = camera.frame;
    scale = Math.min(WIDTH / width, HEIGHT / height);
    for (const [side, length] of [["width", width], ["height", height]]) svg.style.setProperty(side, `${Math.round(length * scale)}px`);
    svg.setAttribute("viewBox", `${left} ${top} ${width} ${height}`);
    dots.setAttribute("d", boxes().map(({ x, y, w, h }) => `M${x} ${y}h${w}v${h}h${-w}z`).join(""));
    drawSight();
  });
  element.addEventListener("view:moved", drawSight);
  map.addEventListener("pointerdown", (event) => grasp(camera, map, svg, event));
  drawBoxes();
  return drawBoxes;
}

function grasp(camera, map, svg, event) {
  event.stopPropagation();
  const at = svg.getScreenCTM()?.inverse(); // the map stays as it is while the sight is dragged over it
  if (!at || event.button) return;
  const go = ({ clientX, clientY }) => {
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(at);
    camera.centre(x, y, camera.at.zoom);
  };
  go(event);
  track(event, map, { move: go, end: () => {} });
}

/** Run at most once a frame. */
function later(work) {
  let frame = 0;
  return () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      work();
    });
  };
}

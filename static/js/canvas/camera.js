// What of a picture is in sight: where it begins and how large it is shown. Positions go through CSSOM, since the page's
// policy allows no inline style. Dispatches `view:moved` on its element.

const MARGIN = 48;
const STEP = 1.25;
const TINY = 0.32; // below this no word can be read: only frames and tiles are drawn

export class Camera {
  /** `least` and `most` bound the zoom; `readable` is what the words of a card can still be read at. */
  constructor(element, { least, most, readable }) {
    Object.assign(this, { element, least, most, readable, at: { x: 0, y: 0, zoom: 1 }, room: [element.clientWidth, element.clientHeight] });
    this.stage = element.querySelector("[data-stage]");
    this.words = element.querySelector("[data-zoom-words]");
    element.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-zoom]");
      if (button) this.press(button.dataset.zoom);
    });
    // Until somebody moves it, the picture keeps its place when its room changes.
    new ResizeObserver(() => {
      this.room = [element.clientWidth, element.clientHeight];
      if (!this.touched) this.open();
      else element.dispatchEvent(new CustomEvent("view:moved"));
    }).observe(element);
  }

  show(x, y, zoom) {
    const before = this.at.zoom;
    this.at = { x, y, zoom };
    this.stage.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`;
    if (zoom < TINY !== this.tiny) this.element.classList.toggle("tiny", (this.tiny = zoom < TINY));
    if (zoom !== before || !this.words.textContent) this.words.textContent = `${Math.round(zoom * 100)}%`;
    this.element.dispatchEvent(new CustomEvent("view:moved"));
  }

  /** Return left, top, width and height of the picture: boxes moved by hand may stand left of and above 0. */
  get frame() {
    return this.element.dataset.frame.split(",").map(Number);
  }

  bounded(zoom) {
    return Math.min(Math.max(zoom, this.least), this.most);
  }

  /** Open readable: all of it where it fits, else its beginning in the middle. */
  open() {
    const [left, top, width, height] = this.frame;
    const [w, h] = this.room;
    if (!w) return;
    const zoom = Math.max(Math.min((w - MARGIN) / width, (h - MARGIN) / height, 1), this.readable);
    const y = height * zoom > h ? MARGIN / 4 - top * zoom : (h - height * zoom) / 2 - top * zoom;
    this.show((w - width * zoom) / 2 - left * zoom, y, zoom);
  }

  /** Show all of it, however small that is. */
  fit() {
    const [left, top, width, height] = this.frame;
    const [w, h] = this.room;
    const zoom = Math.max(Math.min((w - MARGIN) / width, (h - MARGIN) / height, 1), this.least);
    this.show((w - width * zoom) / 2 - left * zoom, (h - height * zoom) / 2 - top * zoom, zoom);
  }

  pan(dx, dy) {
    this.touched = true;
    const { x, y, zoom } = this.at;
    this.show(x + dx, y + dy, zoom);
  }

  /** Zoom so that the point of the element at x, y stays where it is. */
  zoomAt(wanted, x, y) {
    this.touched = true;
    const zoom = this.bounded(wanted);
    const { at } = this;
    this.show(x - ((x - at.x) * zoom) / at.zoom, y - ((y - at.y) * zoom) / at.zoom, zoom);
  }

  press(what) {
    this.touched = true;
    const [w, h] = this.room;
    if (what === "fit") this.fit();
    else this.zoomAt(this.at.zoom * (what === "in" ? STEP : 1 / STEP), w / 2, h / 2);
  }

  /** Bring a box into sight if it is not. */
  reveal({ x, y, w, h }) {
    const [width, height] = this.room;
    const zoom = Math.max(this.at.zoom, this.readable);
    const [left, top] = [this.at.x + x * zoom, this.at.y + y * zoom];
    const seen = left >= 0 && top >= 0 && left + w * zoom <= width && top + h * zoom <= height;
    if (!seen || zoom !== this.at.zoom) this.centre(x + w / 2, y + h / 2, zoom);
  }

  /** Bring a point into the middle. */
  centre(x, y, zoom) {
    this.touched = true;
    const [w, h] = this.room;
    this.show(w / 2 - x * zoom, h / 2 - y * zoom, zoom);
  }

  /** Return the point of the picture under a pointer. */
  point({ clientX, clientY }) {
    const { left, top } = this.element.getBoundingClientRect();
    return [(clientX - left - this.at.x) / this.at.zoom, (clientY - top - this.at.y) / this.at.zoom];
  }
}

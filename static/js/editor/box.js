// A box of the canvas. Those of a large draft bring their contents as text (`boxes.py`), which the browser makes elements
// of when they come near, when somebody asks for them, or when it has nothing else to do: so a thousand are there at once.

const LEAST_IDLE_MS = 3;

export class Box {
  #ports;

  constructor(element) {
    const { place, kind, at } = element.dataset;
    const scope = place.slice(0, Math.max(place.lastIndexOf("."), 0));
    Object.assign(this, { place, scope, kind, element, edges: new Set(), stands: at.split(",").map(Number) });
    if (element.dataset.inner === undefined) this.seat();
  }

  /** Return how far from its left border arrows leave, by port. */
  get ports() {
    this.furnish();
    this.#ports ??= new Map([...this.spots].map(({ dataset }) => [dataset.port, Number(dataset.offset)]));
    return this.#ports;
  }

  /** Return the words on it. */
  get title() {
    this.furnish();
    return this.element.querySelector("b").textContent;
  }

  get spots() {
    return this.element.getElementsByClassName("port");
  }

  seat() {
    for (const spot of this.spots) spot.style.left = `${spot.dataset.offset}px`;
  }

  furnish() {
    const { inner } = this.element.dataset;
    if (inner === undefined) return;
    delete this.element.dataset.inner;
    this.element.insertAdjacentHTML("afterbegin", inner);
    this.seat();
  }
}

/** Furnish boxes bit by bit, whenever the browser is idle. */
export function furnishInTime(boxes) {
  const rest = [...boxes].filter(({ element }) => element.dataset.inner !== undefined);
  const some = (deadline) => {
    while (rest.length && deadline.timeRemaining() > LEAST_IDLE_MS) rest.pop().furnish();
    if (rest.length) requestIdleCallback(some);
  };
  if (rest.length) requestIdleCallback(some);
}

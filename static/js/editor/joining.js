// An arrow drawn by keys: C takes the step in focus, a digit another of its ports, C again joins the step then in focus.

import { connect } from "./connect.js";
import { begin } from "../canvas/escape.js";

export class Joining {
  constructor({ draft }) {
    Object.assign(this, { draft, from: undefined });
  }

  /** The first press takes a step, the next one joins it with another. */
  press(box) {
    if (this.from) this.end(box);
    else this.take(box);
  }

  take(box) {
    const ports = [...box.ports.keys()];
    if (!ports.length) {
      this.draft.say("Nothing comes after this step.", true);
      return;
    }
    const used = new Set([...box.edges].filter((edge) => edge.source === box.place).map((edge) => edge.port));
    Object.assign(this, { from: box, ports });
    this.over = begin(() => this.stop());
    box.element.classList.add("joining");
    this.choose(ports.find((name) => !used.has(name)) ?? ports[0]);
  }

  /** Take another port by its number; tell whether there is one. */
  digit(key) {
    const port = this.from && this.ports[Number(key) - 1];
    if (port) this.choose(port);
    return Boolean(port);
  }

  choose(port) {
    this.port = port;
    for (const spot of this.from.element.querySelectorAll("[data-port]")) spot.classList.toggle("on", spot.dataset.port === port);
    const others = this.ports.map((name, index) => [index + 1, this.word(name)]).filter((_, index) => this.ports[index] !== port);
    const choice = others.length ? ` Press ${others.map(([number, word]) => `${number} for “${word}”`).join(", ")}.` : "";
    this.draft.say(`An arrow begins here: “${this.word(port)}”.${choice} Go to the step it leads to and press C again.`, true);
  }

  word(port) {
    return this.from.element.querySelector(`[data-port="${CSS.escape(port)}"]`)?.title || port;
  }

  end(box) {
    const { from, port } = this;
    this.stop();
    connect(this.draft, from, port, box);
  }

  stop() {
    if (!this.from) return;
    this.from.element.classList.remove("joining");
    for (const spot of this.from.element.querySelectorAll("[data-port].on")) spot.classList.remove("on");
    this.from = undefined;
    this.over();
  }
}

// Several steps of the list at once: Space adds the line in focus, Shift with an arrow extends, with the mouse Shift adds;
// on a screen to touch a button lets every tap add.

export class Several {
  constructor({ root, draft }) {
    Object.assign(this, { root, draft, chosen: new Set(), current: undefined, listeners: [] });
    this.button = root.querySelector("[data-choose-several]");
    this.button?.addEventListener("click", () => {
      this.tapping = !this.tapping;
      this.button.setAttribute("aria-pressed", this.tapping);
      if (!this.tapping) this.clear();
      this.changed();
    });
    root.addEventListener("graph:news", () => {
      this.chosen = new Set([...this.chosen].filter((place) => this.line(place)));
      this.changed();
    });
  }

  /** What an act is about: all that are chosen, else the line in focus. */
  get places() {
    if (this.chosen.size) return [...this.chosen];
    return this.current && this.line(this.current) ? [this.current] : [];
  }

  /** The line in focus is another one. */
  at(place) {
    this.current = place;
    this.changed();
  }

  toggle(place) {
    if (!this.chosen.delete(place)) this.chosen.add(place);
    this.tell();
  }

  extend(from, to) {
    this.chosen.add(from).add(to);
    this.tell();
  }

  clear() {
    this.chosen.clear();
    this.changed();
  }

  tell() {
    this.changed();
    this.draft.say(this.chosen.size === 1 ? "1 step is chosen." : `${this.chosen.size} steps are chosen.`);
  }

  changed() {
    for (const line of this.root.querySelectorAll("#outline [data-step]")) {
      const chosen = this.chosen.has(line.dataset.step);
      line.classList.toggle("several", chosen);
      line.querySelector("[data-several-words]")?.remove();
      if (chosen) line.append(Object.assign(document.createElement("span"), { className: "sr", textContent: ", chosen" }));
      if (chosen) line.lastElementChild.dataset.severalWords = "";
    }
    for (const refresh of this.listeners) refresh();
  }

  onChange(refresh) {
    this.listeners.push(refresh);
  }

  line(place) {
    return this.root.querySelector(`#outline [data-step="${CSS.escape(place)}"]`);
  }
}

// A prompt in words: each `${…}` stands in it as the title of its step and its field, and is grasped and deleted as one.
//
// It is written in a textarea whose text has the words between two signs that nobody sees; a layer behind it paints them as
// pills. The template stands in its own field, which is sent. Of `words.js` the texts, here what happens to the textarea.

import { drawn, Words } from "./words.js";

export function start({ root }) {
  const aside = root.getElementById("inspector");
  const bound = new WeakMap();
  const freshen = () => {
    for (const field of aside.querySelectorAll("[data-template]")) {
      const place = field.closest("[data-field]")?.querySelector("[data-in-words]");
      if (!place) continue;
      if (!bound.has(place)) bound.set(place, new Prompt(place));
      bound.get(place).show(field);
    }
  };
  const elsewhere = ({ target }) => !target.parentElement?.closest("[data-in-words]");
  new MutationObserver((changes) => changes.some(elsewhere) && freshen()).observe(aside, { childList: true, subtree: true, attributeFilter: ["data-chips", "for"] });
  aside.addEventListener("input", ({ target }) => target.matches("[data-template]") && freshen());
  const current = () => bound.get(root.activeElement?.parentElement);
  root.addEventListener("selectionchange", () => current()?.snap());
  root.addEventListener("pointerup", () => current()?.release());
  freshen();
}

class Prompt {
  constructor(place) {
    const area = document.createElement("textarea");
    const behind = document.createElement("div");
    Object.assign(this, { place, area, behind, words: new Words(), at: [0, 0] });
    Object.assign(area, { id: `${place.id}-text`, rows: 1 });
    area.dataset.takesValues = "";
    behind.setAttribute("aria-hidden", "true");
    place.append(behind, area);
    area.addEventListener("input", (event) => this.typed(event));
    area.addEventListener("compositionend", () => this.typed({}));
    area.addEventListener("keydown", () => this.snap()); // a key may be faster than word of the last one's effect
    area.addEventListener("beforeinput", (event) => this.erase(event));
    for (const name of ["copy", "cut"]) area.addEventListener(name, (event) => this.copy(event));
    area.addEventListener("dragstart", (event) => event.preventDefault());
    area.addEventListener("pointerdown", () => (this.pressed = true));
  }

  /** Show what the template says now, if that is news. */
  show(field) {
    const { area, words } = this;
    const open = field.closest("details");
    if (!this.field) open.open = field === document.activeElement;
    this.field = field;
    const label = this.place.parentElement.querySelector("label");
    if (label && label.htmlFor !== area.id) label.htmlFor = area.id;
    this.place.hidden = !words.fits(field.value);
    open.open ||= this.place.hidden;
    const caret = this.caret();
    if (words.learn(field.dataset.chips)) this.drawn = undefined;
    area.disabled = field.matches(":disabled");
    const text = words.read(field.value);
    if (area.value !== text && !this.composing) this.replace(text, caret);
    this.draw();
  }

  /** Return how far the cursor stands in the template. */
  caret() {
    return this.words.write(this.area.value.slice(0, this.area.selectionEnd)).length;
  }

  typed({ inputType = "", isComposing = false }) {
    this.composing = isComposing;
    if (this.replacing) return;
    this.field.value = this.words.write(this.area.value);
    // An undo may bring back what was typed before it became a pill: it stays so until the next key.
    const text = this.words.read(this.field.value);
    if (!isComposing && !inputType.startsWith("history") && text !== this.area.value) this.replace(text, this.caret());
    this.draw();
  }

  /** Put another text in place, only where it differs, so that the cursor stays and the browser's undo goes on. */
  replace(text, caret) {
    const { area, words } = this;
    const before = area.value;
    if (document.activeElement !== area) {
      area.value = text;
      return;
    }
    const [from, end] = difference(before, text);
    this.replacing = true;
    area.setSelectionRange(from, before.length - end);
    document.execCommand("insertText", false, text.slice(from, text.length - end));
    if (area.value !== text) area.value = text;
    this.replacing = false;
    const at = words.read(this.field.value.slice(0, caret)).length;
    area.setSelectionRange(at, at);
  }

  draw() {
    if (this.drawn === this.area.value) return;
    this.drawn = this.area.value;
    this.behind.replaceChildren(...drawn(this.words, this.drawn));
  }

  /** A key that erases takes a pill as a whole. */
  erase(event) {
    const { area, words } = this;
    if (!event.inputType.startsWith("delete") || area.selectionStart !== area.selectionEnd) return;
    const at = area.selectionStart;
    const forward = event.inputType.endsWith("Forward");
    const pill = words.pills(area.value).find(([from, end]) => at === (forward ? from : end));
    if (!pill) return;
    event.preventDefault();
    area.setSelectionRange(...pill);
    document.execCommand("delete");
  }

  copy(event) {
    const { area, words } = this;
    const text = area.value.slice(area.selectionStart, area.selectionEnd);
    if (!text) return;
    event.clipboardData.setData("text/plain", words.write(text));
    event.preventDefault();
    if (event.type === "cut") document.execCommand("delete");
  }

  /** A press goes to the nearer side of a pill, wherever the cursor was before. */
  release() {
    if (this.pressed) this.at = [NaN, NaN];
    this.pressed = false;
    this.snap();
  }

  /** The cursor stands before or behind a pill, never in it; what is chosen holds pills as a whole. */
  snap() {
    const { area, words, at } = this;
    if (this.pressed || this.replacing || this.composing) return;
    const { selectionStart: from, selectionEnd: end, selectionDirection: way } = area;
    const pills = words.pills(area.value);
    const back = way === "backward";
    const fixed = outside(pills, back ? end : from, back);
    const moved = toward(pills, back ? from : end, back ? at[0] : at[1]);
    const next = from === end ? [moved, moved] : [Math.min(fixed, moved), Math.max(fixed, moved)];
    this.at = next;
    if (next[0] !== from || next[1] !== end) area.setSelectionRange(...next, way);
  }
}

/** Return how many characters two texts have in common at their beginning, and behind that at their end. */
function difference(a, b) {
  const most = Math.min(a.length, b.length);
  let from = 0;
  while (from < most && a[from] === b[from]) from += 1;
  let end = 0;
  while (end < most - from && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  return [from, end];
}

function outside(pills, spot, later) {
  const pill = pills.find(([from, end]) => from < spot && spot < end);
  return pill ? pill[later ? 1 : 0] : spot;
}

/** Return the side of the pill around a spot to which the cursor was on its way. */
function toward(pills, spot, before) {
  const pill = pills.find(([from, end]) => from < spot && spot < end);
  if (!pill) return spot;
  const [from, end] = pill;
  if (before <= from || before >= end) return before <= from ? end : from;
  return spot - from < end - spot ? from : end;
}

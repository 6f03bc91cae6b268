// The two ways in which a prompt is written: as a template with `${…}`, and with words in place of each of them. Pure.

const BEGIN = "\u2061"; // an invisible sign of formulas: nothing that people type
const END = "\u2063";
const PILL = new RegExp(`${BEGIN}([^${BEGIN}${END}]*)${END}`, "g");
const STRAY = new RegExp(`[${BEGIN}${END}]`, "g");
const EDGE = "\u202f"; // a narrow space that never breaks
const TWIN = "\u2060"; // joins words without being seen; tells pills of the same words apart
const HOLE = String.raw`\$\{[^{}\n]*\}`;

export class Words {
  #known = new Map(); // how it is written → [its words, what is wrong with it]
  #sources = new Map(); // its words → how it is written; former words too, since an undo may bring them back
  #said;

  /** Take the words that the server has for what a text reads; tell whether they are new. */
  learn(said) {
    if (said === this.#said) return false;
    this.#said = said;
    for (const [source, word, wrong] of JSON.parse(said || "[]")) this.#name(source, word, wrong);
    return true;
  }

  #name(source, word, wrong = "") {
    let spaced = word.replace(/\s/g, "\u00a0").replace(STRAY, "");
    while ((this.#sources.get(spaced) ?? source) !== source) spaced += TWIN;
    this.#sources.set(spaced, source);
    this.#known.set(source, [spaced, wrong]);
    return spaced;
  }

  /** Tell whether a template can be written in words and back. */
  fits(template) {
    return template.search(STRAY) < 0;
  }

  /** Return a template in words. */
  read(template) {
    const known = [...this.#known.keys()].sort((a, b) => b.length - a.length).map((source) => source.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    const holes = new RegExp(["\\$\\$\\{", ...known, HOLE].join("|"), "g"); // `$${` is not one
    return template.replace(holes, (hole) => {
      if (hole === "$${") return hole;
      const word = this.#known.get(hole)?.[0] ?? this.#name(hole, hole.slice(2, -1).trim() || "…");
      return `${BEGIN}${EDGE}${word}${EDGE}${END}`;
    });
  }

  /** Return the template of a text in words. */
  write(text) {
    return text.replace(PILL, (pill, inner) => this.source(inner) ?? this.#mended(inner)).replace(STRAY, "");
  }

  /** Return the template of a pill that something was written into: what it reads stays in it. */
  #mended(inner) {
    const words = [...this.#sources.keys()].filter((one) => inner.includes(one)).sort((a, b) => b.length - a.length);
    return (words.length ? inner.replace(words[0], () => this.#sources.get(words[0])) : inner).replaceAll(EDGE, "");
  }

  source(inner) {
    return this.#sources.get(inner.slice(EDGE.length, -EDGE.length));
  }

  /** Return what is wrong with a pill, "" if nothing is. */
  wrong(inner) {
    return this.#known.get(this.source(inner))?.[1] ?? "";
  }

  /** Return where the pills of a text begin and end. */
  pills(text) {
    return [...text.matchAll(PILL)].map(({ 0: pill, index }) => [index, index + pill.length]);
  }
}

/** Return what is painted behind a text: its pills, and the rest unseen. */
export function drawn(words, text) {
  const found = [];
  let at = 0;
  for (const [from, end] of words.pills(text)) {
    found.push(text.slice(at, from));
    const pill = document.createElement("mark");
    pill.textContent = text.slice(from, end);
    pill.classList.toggle("bad", Boolean(words.wrong(text.slice(from + 1, end - 1))));
    found.push(pill);
    at = end;
  }
  return [...found, `${text.slice(at)}\u200b`]; // so that an empty last line has its height
}

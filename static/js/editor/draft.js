// The draft's one line to the server: every gesture is a command, sent one at a time; the answer says what is new.
//
// `graph:news` is dispatched on the document with {rev, boxes, edges, removed, removed_edges, added, marks, refused?}.

import { SIGN_IN, isSignedOut, renewToken, token } from "./signin.js";

const AGAIN_MS = [250, 500, 1000, 2000, 4000]; // and so on every four seconds, or as soon as the browser is online
const AWAY = [502, 503, 504];
const NO_SERVER = "Baton cannot be reached. Your changes are kept and are sent again.";
const KEPT_ALIVE = 60_000; // a browser sends so many bytes although the page is being left
const OFFERS_UNDO = new Set(["delete", "disconnect", "paste", "tidy", "wrap", "move_into", "remove_member"]);

export class Draft {
  constructor(root, htmx, element) {
    Object.assign(this, { root, htmx, element, rev: Number(element.dataset.rev), line: Promise.resolve(), open: 0, forms: 0, away: false });
    addEventListener("beforeunload", (event) => {
      root.dispatchEvent(new CustomEvent("draft:leaving")); // what is typed or moved joins the line
      if (this.waits) event.preventDefault();
    });
    root.addEventListener("click", ({ target }) => {
      if (target.closest("[data-undo-button]")) this.undo();
      if (target.closest("[data-redo-button]")) this.redo();
    });
  }

  /** Whether a change would be lost with the page: the browser still sends the first one, unless no server hears it. */
  get waits() {
    return this.open > 1 || (this.open > 0 && (this.away || !navigator.onLine));
  }

  /** Carry out a command of the server's (`pipelines.editor.commands`); resolves to the news, or undefined. */
  do(name, args) {
    const answer = this.send(this.element.dataset.change, { do: name, with: JSON.stringify(args) });
    answer.then((news) => news?.said && OFFERS_UNDO.has(name) && this.toast(news.said, () => this.undo()));
    return answer;
  }

  undo() {
    return this.send(this.element.dataset.undo);
  }

  redo() {
    return this.send(this.element.dataset.redo);
  }

  /** Post one change, an object or a form's data, after all earlier ones have been answered. */
  send(url, values = {}, form = undefined) {
    const body = new URLSearchParams(values);
    body.set("op_id", crypto.randomUUID());
    this.count(1, form);
    const answer = this.line.then(() => this.post(url, body, form)).catch(() => this.lost()).finally(() => this.count(-1, form));
    this.line = answer;
    return answer;
  }

  /** Return what the answer must bring up to date beside the picture: the list, and what can be done with a step. */
  get seen() {
    const shown = this.root.querySelector("#inspector [data-step-form]")?.elements.node.value ?? "";
    return { shown, ...(this.listed ? { outline: 1 } : {}) };
  }

  /** Whether the list is in sight. */
  get listed() {
    return Boolean(this.root.getElementById("outline")?.offsetParent);
  }

  /** Ask for what others have changed. */
  catchUp() {
    const answer = this.line.then(() => {
      const query = new URLSearchParams({ rev: this.rev, ...this.seen });
      return this.fetched(`${this.element.dataset.news}?${query}`, {});
    });
    this.line = answer.catch(() => undefined); // the next bell asks again
    return this.line;
  }

  async post(url, body, form) {
    this.element.classList.add("saving");
    if (form) sayWhatWasSeen(form, body);
    for (const [name, value] of Object.entries({ ...this.seen, rev: this.rev })) body.set(name, value);
    try {
      const keepalive = `${body}`.length < KEPT_ALIVE;
      const news = await this.fetched(url, { method: "POST", body, keepalive, headers: { "X-CSRFToken": token(this.element) } });
      // What waits behind this, also of a form that has gone, was typed into what this has saved.
      if (form?.elements.node.value && news.saved > form.elements.rev.value) form.elements.rev.value = news.saved;
      return news;
    } finally {
      this.element.classList.remove("saving");
    }
  }

  async fetched(url, options) {
    const response = await this.reached(url, { ...options, headers: { ...options.headers, "HX-Request": "true" } });
    if (!(response.headers.get("Content-Type") ?? "").startsWith("text/html")) throw new Error(`${response.status}`);
    return this.take(await response.text());
  }

  /** Ask until the server answers, however long it takes: a change carries its op_id, so a second time changes nothing. */
  async reached(url, options) {
    for (let tries = 0, renewed = false; ; tries += 1) {
      const response = await fetch(url, options).catch(() => undefined);
      // Who signed in again in another tab is refused once, for the token of before.
      const asksWho = response && (isSignedOut(response) || (response.status === 403 && !renewed));
      renewed = asksWho && !renewed && (await renewToken(this.element));
      if (options.method) options.headers["X-CSRFToken"] = token(this.element);
      if (renewed) continue;
      if (response && !asksWho && !AWAY.includes(response.status)) {
        this.reach(true);
        return response;
      }
      this.reach(false, asksWho ? SIGN_IN : NO_SERVER);
      await pause(AGAIN_MS[Math.min(tries, AGAIN_MS.length - 1)]);
    }
  }

  /** Remember whether the server takes changes, else why not, and say so when that changes. */
  reach(there, why) {
    if (this.away !== there && this.why === why) return;
    Object.assign(this, { away: !there, why, unsaid: why });
    this.count(0);
    if (there) this.root.dispatchEvent(new CustomEvent("draft:back"));
  }

  /** Count the changes that wait; while the server is away the reader sees how many. */
  count(by, form) {
    this.open += by;
    if (form) this.forms += by;
    if (this.unsaid && this.open) {
      this.say(this.unsaid, true);
      this.unsaid = undefined;
    }
    if (form && !this.forms) this.root.dispatchEvent(new CustomEvent("draft:forms")); // every form has its answer
    const note = this.root.getElementById("draft-waits");
    if (!note) return;
    note.hidden = !(this.away && this.open);
    note.textContent = note.hidden ? "" : `${this.open} ${this.open > 1 ? "changes wait" : "change waits"} for Baton`;
    if (!note.hidden) this.late = true;
    else if (this.late && !this.open) {
      this.late = false;
      this.say("Baton is back. Every change is saved.", true);
    }
  }

  async take(text) {
    this.root.dispatchEvent(new CustomEvent("draft:answer")); // what stands in a box, and has the focus there, may be put in anew
    await this.htmx.swap({ sourceElement: this.element, target: this.element, swap: "none", text, transition: false });
    const element = this.root.getElementById("graph-news");
    if (!element?.dataset.news) throw new Error("no news");
    const news = JSON.parse(element.dataset.news);
    delete element.dataset.news;
    this.rev = news.rev;
    this.root.dispatchEvent(new CustomEvent("graph:news", { detail: news }));
    if (news.refused) this.say(news.refused.message, true);
    else if (news.said) this.say(news.said);
    return news;
  }

  lost() {
    this.say("Baton could not carry this change out, so it was not saved. Try again.", true);
    this.root.dispatchEvent(new CustomEvent("graph:lost"));
  }

  /** Tell the reader, aloud and, where it matters, in a toast. */
  say(words, toast = false) {
    const region = this.root.getElementById("announce");
    if (region) region.textContent = words;
    if (toast) this.toast(words);
  }

  toast(words, undo) {
    this.root.dispatchEvent(new CustomEvent("toast", { detail: { words, undo } }));
  }
}

/** Name the revision that a form was made from, however new the page is, and what it has saved since without being made anew. */
function sayWhatWasSeen(form, body) {
  const own = form.dataset.own ?? "";
  body.set("base", form.elements.rev.value);
  body.set("own", own);
  form.dataset.own = `${own} ${body.get("op_id")}`.trim(); // what is made anew, has none
}

/** Wait so long, or until the browser is online again. */
function pause(ms) {
  return new Promise((resolve) => {
    const done = () => (clearTimeout(timer), removeEventListener("online", done), resolve());
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
  });
}

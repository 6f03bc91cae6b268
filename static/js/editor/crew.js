// Who takes part in a Team or works for a Supervisor: one of them is chosen together with its step, marked in the step's
// form, moved, added and removed. `at` names it within its step: `members/0`.

import { fieldOf, leadTo } from "./problems.js";

export class Crew {
  constructor(editor) {
    Object.assign(this, editor, { editor, chosen: undefined, into: false, asked: 0 });
    const { root, graph } = editor;
    root.addEventListener("draft:answer", () => (this.had = whereIs(root.activeElement)));
    root.addEventListener("graph:news", ({ detail }) => this.refresh(detail));
    root.addEventListener("step:shown", () => this.show());
    graph?.element.addEventListener("graph:selected", () => this.keep(graph.chosen));
  }

  /** Return the inner card of a member on the picture, or its line in the list. */
  find({ place, at }, where = "picture") {
    const member = `[data-member="${CSS.escape(at)}"]`;
    if (where === "list") return this.root.querySelector(`#outline ${member}[data-of="${CSS.escape(place)}"]`);
    const box = this.graph?.boxes.get(place);
    box?.furnish();
    return box?.element.querySelector(member);
  }

  /** Choose a member with its step; `into` puts the focus into its field of the form. */
  choose(element, into = false) {
    if (this.asked) return; // until the answer is there, what is chosen is where it will be
    Object.assign(this, { chosen: named(element), into });
    this.editor.choose([this.chosen.place]);
    this.mark();
    this.show();
  }

  /** With anything but its step chosen, no member is. */
  keep(places) {
    if (!this.chosen || (places.length === 1 && places[0] === this.chosen.place)) return;
    this.chosen = undefined;
    this.mark();
    this.show();
  }

  mark() {
    for (const one of this.root.querySelectorAll("[data-member][aria-current]")) one.removeAttribute("aria-current");
    if (!this.chosen) return;
    for (const where of ["picture", "list"]) this.find(this.chosen, where)?.setAttribute("aria-current", "true");
  }

  /** Mark the field of the chosen member in the form of its step, once that is there. */
  show() {
    for (const one of this.root.querySelectorAll("#inspector .at-member")) one.classList.remove("at-member");
    const form = this.root.querySelector("#inspector [data-step-form]");
    if (!this.chosen?.field || form?.elements.node.value !== this.chosen.place || "stale" in form.dataset) return;
    const field = fieldOf(form, this.chosen.field);
    if (field?.dataset.field === `/${this.chosen.list}`) return; // the form of before, which does not have it yet
    const row = field?.closest("[data-row]") ?? field;
    row?.classList.add("at-member");
    row?.scrollIntoView({ block: "nearest" });
    if (this.into) leadTo(form, this.chosen.field);
    this.into = false;
  }

  /** Let a member go up or down in its list. */
  step(element, by) {
    if (!isListed(element)) return this.say("Only who stands in the list can change places.");
    this.settle(element);
    const to = this.chosen.index + by;
    if (to < 0 || to >= siblings(element).length) return this.say("It stands at the end of its list.");
    return this.move(to);
  }

  move(to) {
    const { place, at, list } = this.chosen;
    return this.ask("move_member", { place, at, to }, list, to);
  }

  remove(element) {
    if (!isListed(element)) return this.say("Whoever leads or judges is changed in the form.");
    this.settle(element);
    const { place, at, list, index } = this.chosen;
    return this.ask("remove_member", { place, at }, list, Math.max(Math.min(index, siblings(element).length - 2), 0));
  }

  /** Add one behind a member; behind who leads or judges, at the end of the list. */
  after(element) {
    this.settle(element);
    const { place, at, list, index } = this.chosen;
    if (isListed(element)) return this.ask("add_member", { place, list, after: at }, list, index + 1);
    return this.add(place, element.closest("[data-list]"));
  }

  /** Add one at the end of a list; `kind` is what a worker is. */
  add(place, element, kind = "agent") {
    const { list } = element.dataset;
    this.chosen = { place };
    this.editor.choose([place]);
    return this.ask("add_member", { place, list, kind }, list, inList(element, list).length);
  }

  /** Ask for a change, after which the chosen member stands on `index`; true, as of a key that was heard. */
  ask(name, args, list, index) {
    Object.assign(this.chosen, { list, index, at: `${list}/${index}` });
    this.asked += 1;
    this.draft.do(name, args).finally(() => (this.asked -= 1));
    return true;
  }

  /** Keys come faster than answers: with one on its way, the member is where that puts it. */
  settle(element) {
    if (!this.asked || !this.chosen) this.chosen = named(element);
  }

  say(words) {
    this.draft.say(words, true);
    return true;
  }

  /** After a change the inner cards are others: the same member stays chosen, and in focus. */
  refresh({ removed, refused }) {
    if (!this.chosen || removed.includes(this.chosen.place)) return;
    const focused = this.root.activeElement?.closest("[data-member]");
    if (refused && focused) Object.assign(this.chosen, named(focused));
    const there = this.find(this.chosen) ?? this.find(this.chosen, "list");
    if (there) this.chosen.field = there.dataset.field;
    this.mark();
    this.show();
    const box = this.graph?.boxes.get(this.chosen.place)?.element;
    if (this.had) (this.find(this.chosen, this.had) ?? box)?.focus({ preventScroll: true });
  }
}

/** Return what a card or a line stands for: the step, the pointer in it, its list and its place there. */
export function named(element) {
  const { member: at, field } = element.dataset;
  const cut = Math.max(at.lastIndexOf("/"), 0);
  return { place: element.dataset.of ?? element.closest(".box").dataset.place, at, list: at.slice(0, cut), index: Number(at.slice(cut + 1)), field };
}

export function isListed(element) {
  return "listed" in element.dataset;
}

/** Return those who stand in the same list. */
export function siblings(element) {
  return inList(element.closest("[data-list]"), named(element).list);
}

function inList(element, list) {
  return [...element.querySelectorAll("[data-listed]")].filter((one) => named(one).list === list);
}

/** Say where the focus is on a member, or on the button that adds one. */
function whereIs(element) {
  if (element?.closest(".mate, .crew-add")) return "picture";
  return element?.closest("#outline [data-member]") ? "list" : undefined;
}

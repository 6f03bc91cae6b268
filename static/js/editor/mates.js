// The inner cards of a Team or a Supervisor by pointer and keys: a press chooses one, a drag puts it elsewhere in its list,
// I goes in, arrows walk, Alt with arrows moves, A adds, Delete removes, Enter opens the form at it, Escape goes out.

import { begin } from "../canvas/escape.js";
import { track } from "../canvas/pointer.js";
import { isListed, named, siblings } from "./crew.js";

const BY = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 };
export const JOINS = new Set(["agent", "tool", "pipeline", "supervisor"]); // presets that a crew may take

export function start({ root, graph, view, crew, mayEdit }) {
  let over;
  graph.element.addEventListener("pointerdown", (event) => grasp(event, { root, view, crew, mayEdit }), true);
  graph.element.addEventListener("click", ({ target }) => {
    const mate = target.closest(".mate");
    if (mate) crew.choose(mate);
    const box = target.closest(".crew-add")?.closest(".box");
    if (box) crew.add(box.dataset.place, box.querySelector("[data-list]"));
  });
  root.addEventListener("focusin", ({ target }) => {
    const mate = target.closest(".mate");
    if (!mate) {
      over?.();
      over = undefined;
      return;
    }
    over ??= begin(() => {
      over = undefined;
      out(crew, mate);
    });
    if (named(mate).at !== crew.chosen?.at || named(mate).place !== crew.chosen.place) crew.choose(mate);
  });
}

/** The focus goes back to the box. */
function out(crew, mate) {
  mate.closest(".box").focus({ preventScroll: true });
  crew.keep([]);
  return true;
}

function grasp(event, editor) {
  const { crew, mayEdit } = editor;
  const { target, button, shiftKey } = event;
  const mate = target.closest(".mate");
  if (button || shiftKey) return;
  if (mate || target.closest(".crew-add")) event.stopPropagation();
  else if (target.closest(".box.crewed")) crew.keep([]);
  if (!mate) return;
  crew.choose(mate);
  if (mayEdit && isListed(mate)) carry(event, mate, editor);
}

function carry(event, mate, { root, view, crew }) {
  const from = view.point(event);
  const all = siblings(mate);
  let goal;
  const mark = (wanted) => {
    goal?.classList.remove("goes-here");
    goal = wanted;
    goal?.classList.add("goes-here");
  };
  track(event, mate, {
    move: (next) => {
      const [x, y] = view.point(next);
      mate.classList.add("carried-mate");
      mate.style.transform = `translate(${x - from[0]}px, ${y - from[1]}px)`;
      const under = root.elementFromPoint(next.clientX, next.clientY)?.closest(".mate");
      mark(all.includes(under) ? under : undefined);
    },
    end: (final, moved) => {
      const to = final && moved && goal ? named(goal).index : undefined;
      mark();
      mate.classList.remove("carried-mate");
      mate.style.transform = "";
      if (to !== undefined && crew.chosen) crew.move(to);
    },
  });
}

/** Take a key on an inner card, or on a line of the list. Return whether it was one of theirs. */
export function press(crew, event, element) {
  const { key, altKey, ctrlKey, metaKey } = event;
  const onPicture = element.matches(".mate");
  if (ctrlKey || metaKey) return false;
  if (BY[key] && altKey) return !crew.mayEdit || crew.step(element, BY[key]);
  if (BY[key] && onPicture) return walk(element, BY[key]);
  if (key === "I" && onPicture) return out(crew, element);
  if (key === "Enter" || key === " ") {
    crew.choose(element, key === "Enter");
    return true;
  }
  return crew.mayEdit && change(crew, key, element);
}

function change(crew, key, element) {
  if (key === "Delete" || key === "Backspace") return crew.remove(element);
  return key === "a" && crew.after(element);
}

function walk(element, by) {
  const all = [...element.closest("[data-list]").querySelectorAll(".mate")];
  all[all.indexOf(element) + by]?.focus();
  return true;
}

// What is chosen goes into a new For each or Repeat, into a container that is there, or out of its own: by a menu, opened
// with O. The picture and the list have one each.

import { begin } from "../canvas/escape.js";

export function start(editor) {
  if (!editor.mayEdit) return;
  for (const menu of editor.root.querySelectorAll("[data-group-menu]")) {
    bind(editor, menu, menu.closest("[data-graph]") ? onPicture(editor) : onList(editor));
  }
}

function bind({ root, draft }, menu, choice) {
  let over;
  const refresh = () => {
    menu.hidden = !choice.chosen().length;
    if (menu.hidden) menu.open = false;
  };
  // The browser tells of an opened menu a moment later; a key that opens it has it in force at once.
  const follow = () => {
    if (menu.open === Boolean(over)) return;
    over?.();
    over = undefined;
    if (!menu.open) return;
    fill(menu, choice);
    over = begin(() => {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  };
  menu.addEventListener("toggle", follow);
  menu.addEventListener("click", async ({ target }) => {
    const button = target.closest("button");
    const places = choice.chosen();
    if (!button || !places.length) return;
    menu.open = false;
    choice.after(await act(draft, places, button.dataset));
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "o" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (menu.hidden || !event.target.closest(choice.area) || event.target.matches("input")) return;
    event.preventDefault();
    menu.open = true;
    follow();
    menu.querySelector("[data-wrap]").focus();
  });
  choice.onChange(refresh);
  refresh();
}

/** Offer the containers that may take what is chosen, and the way out where they are all in one. */
function fill(menu, choice) {
  const places = choice.chosen();
  const takes = choice.containers().filter(({ place }) => places.every((one) => scopeOf(one) !== place && !`${place}.`.startsWith(`${one}.`)));
  menu.querySelector("[data-groups-into]").replaceChildren(...takes.map(({ place, title }) => {
    const button = Object.assign(document.createElement("button"), { className: "btn", type: "button", textContent: `Into “${title}”` });
    button.dataset.into = place;
    return button;
  }));
  menu.querySelector("[data-ungroup]").hidden = !places.every(scopeOf);
}

function act(draft, places, { wrap, into }) {
  if (wrap && new Set(places.map(scopeOf)).size > 1) {
    draft.say("Only steps of one container can be grouped.", true);
    return undefined;
  }
  if (wrap) return draft.do("wrap", { kind: wrap, places });
  return draft.do("move_into", { places, scope: into ?? scopeOf(scopeOf(places[0])), positions: {} });
}

/** Each of these says what is chosen, which containers there are, and chooses what a change has made. */
function onPicture({ graph }) {
  return {
    area: "[data-graph]",
    chosen: () => graph.chosen.filter((place) => graph.boxes.get(place).kind !== "input"),
    containers: () => [...graph.boxes.values()]
      .filter(({ element }) => element.classList.contains("holds"))
      .map(({ place, title }) => ({ place, title })),
    onChange: (refresh) => graph.element.addEventListener("graph:selected", refresh),
    after: (news) => graph.chooseAdded(news),
  };
}

function onList({ root, several }) {
  const line = (place) => root.querySelector(`#outline [data-step="${CSS.escape(place)}"]`);
  return {
    area: "#outline",
    chosen: () => several.places.filter((place) => line(place)?.dataset.kind !== "input"),
    containers: () => [...root.querySelectorAll("#outline [data-step][data-holds]")]
      .map((one) => ({ place: one.dataset.step, title: one.querySelector("b").textContent })),
    onChange: (refresh) => several.onChange(refresh),
    after: (news) => {
      const added = Object.keys(news?.added ?? {});
      const first = added.find((place) => !added.some((other) => place.startsWith(`${other}.`)));
      if (first) line(first)?.click();
    },
  };
}

function scopeOf(place) {
  return place.slice(0, Math.max(place.lastIndexOf("."), 0));
}

// Finding a step of the draft, on the picture and in the list.

import { startFind } from "../canvas/find.js";

export function start(editor) {
  startFind(editor.root, (bar) => (bar.closest("[data-graph]") ? onPicture(editor) : onList(editor)));
}

function onPicture({ graph, view }) {
  return {
    steps: () => [...graph.boxes.values()].map((box) => [box.title, box]),
    element: (box) => box.element,
    reveal: (box) => view.reveal(box),
    choose: (box) => {
      graph.select([box.place]);
      box.element.focus({ preventScroll: true });
    },
    back: () => graph.element.querySelector('.box[tabindex="0"]')?.focus({ preventScroll: true }),
  };
}

function onList({ root }) {
  const lines = () => [...root.querySelectorAll("#outline [data-step]")];
  return {
    steps: () => lines().map((line) => [line.querySelector("b").textContent, line]),
    element: (line) => line,
    reveal: (line) => line.scrollIntoView({ block: "nearest" }),
    choose: (line) => line.click(),
    back: () => lines().find((line) => line.tabIndex === 0)?.focus(),
  };
}

// What Ctrl+K offers on the page of a draft beside the places: its actions, and each step by its title.

export function start(editor) {
  const { root, draft, mayEdit } = editor;
  root.addEventListener("palette:ask", ({ detail: { add, typed } }) => {
    const link = (name, url) => url && add({ name, kind: "Action", url });
    if (mayEdit) {
      add({ name: "Add a step", kind: "Action", run: () => root.dispatchEvent(new CustomEvent("steps:ask")) });
      if (editor.graph) add({ name: "Tidy up the picture", kind: "Action", run: () => draft.do("tidy", {}) });
      add({ name: "Undo", kind: "Action", run: () => draft.undo() });
      add({ name: "Redo", kind: "Action", run: () => draft.redo() });
    }
    for (const one of root.querySelectorAll("[data-in-palette]")) link(one.dataset.inPalette, one.href);
    if (!typed) return;
    for (const [place, title] of steps(editor)) add({ name: title, kind: "Step", run: () => reveal(editor, place) });
  });
}

/** Return each step's place and title, in the order of the list where it is there. */
function steps({ root, graph }) {
  const lines = [...root.querySelectorAll("#outline [data-step]")];
  if (lines.length || !graph) return lines.map((line) => [line.dataset.step, line.querySelector("b").textContent]);
  return [...graph.boxes.values()].map((box) => [box.place, box.title]);
}

function reveal(editor, place) {
  const { root, graph, view, draft } = editor;
  const box = graph?.boxes.get(place);
  if (draft.listed || !box) {
    root.querySelector(`#outline [data-step="${CSS.escape(place)}"]`)?.click();
    return;
  }
  graph.select([place]);
  view.reveal(box);
  box.element.focus({ preventScroll: true });
}

// A problem leads to its step and field, and offers its fix.

export function start(editor) {
  const { root, graph, view, draft } = editor;
  root.addEventListener("click", (event) => {
    const fix = event.target.closest("[data-fix]");
    if (fix) draft.do("fix", { code: fix.dataset.fix, where: fix.dataset.where });
    const problem = event.target.closest("[data-goto]");
    const place = problem?.dataset.goto;
    const box = graph?.boxes.get(place);
    const line = place && root.querySelector(`#outline [data-step="${CSS.escape(place)}"]`);
    if (!box && !line) return;
    event.preventDefault();
    if (draft.listed) line.click();
    else if (box) {
      graph.select([place]);
      view.reveal(box);
      box.element.focus({ preventScroll: true });
    }
    if (problem.dataset.where) focusField(root, place, problem.dataset.where);
  });
}

/** The form of the step is on its way: its field is looked for until it is there. */
function focusField(root, place, where, tries = 40) {
  const form = root.querySelector(`#inspector [name="node"][value="${CSS.escape(place)}"]`)?.form;
  if (!form) {
    if (tries) setTimeout(() => focusField(root, place, where, tries - 1), 50);
    return;
  }
  const step = place.split(".").map((name) => `/graph/nodes/${name}`).join("");
  leadTo(form, where.startsWith(`${step}/`) ? where.slice(step.length) : "");
}

/** Return the field of a form that a pointer within its step speaks of, or the nearest one around it. */
export function fieldOf(form, pointer) {
  const within = `${pointer}/`;
  const all = [...form.querySelectorAll("[data-field]")];
  const around = all.filter(({ dataset }) => within.startsWith(`${dataset.field}/`)).sort((a, b) => b.dataset.field.length - a.dataset.field.length);
  const inside = all.find(({ dataset }) => dataset.field.startsWith(within));
  return around[0]?.dataset.field === pointer ? around[0] : (inside ?? around[0]);
}

/** Put the focus on the field that a pointer speaks of. */
export function leadTo(form, pointer) {
  const field = fieldOf(form, pointer);
  for (let details = field?.closest("details"); details; details = details.parentElement.closest("details")) details.open = true;
  field?.querySelector("input:not([type=hidden]), textarea, select")?.focus();
}

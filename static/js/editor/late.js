// What an answer brings for the form beside the picture, when it comes late: all else in the answer counts in any case.

import { hasMoreRows } from "../rows.js";

export function start({ root, element, draft }) {
  const aside = root.getElementById("inspector");
  element.addEventListener("htmx:before:swap", ({ target, detail }) => {
    if (target !== element) return;
    const { tasks } = detail;
    // The form of another step may be there by now.
    const fits = (task) => !task.target?.closest("#inspector") || placeOf(task.fragment) === placeOf(aside);
    tasks.splice(0, tasks.length, ...tasks.filter(fits));
    const answer = tasks.find((task) => task.target === aside);
    if (answer) keepTyped(formIn(aside), formIn(answer.fragment), draft);
  });
}

/** Leave the form as it is while it holds more than the answer knows: the answer to that brings it up to date. */
function keepTyped(form, known, { forms }) {
  form.toggleAttribute("hx-morph-skip", "timer" in form.dataset || forms > 1 || hasMoreRows(form, known) || isMoved(form, known));
}

/** Tell whether the row that has the focus stands elsewhere in the answer: what is typed would go into another one. */
function isMoved(form, known) {
  const field = form.querySelector("[data-row] :is(input, select, textarea):focus");
  if (!field) return false;
  const namesakes = (all) => [...all.elements].filter(({ name }) => name === field.name);
  const there = namesakes(known)[namesakes(form).indexOf(field)];
  return there !== undefined && there.value !== field.value;
}

function formIn(part) {
  return part.querySelector("[data-step-form]");
}

/** Return the place of the step that a form, or what can be done with a step, is of. */
function placeOf(part) {
  return part.querySelector("[data-of]")?.dataset.of;
}

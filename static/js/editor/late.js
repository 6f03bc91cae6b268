// An answer that comes when the form of another step is there already changes that form no more; all else in it counts.

export function start({ root, element }) {
  const aside = root.getElementById("inspector");
  element.addEventListener("htmx:before:swap", ({ target, detail }) => {
    if (target !== element) return;
    const { tasks } = detail;
    const fits = (task) => !task.target?.closest("#inspector") || placeOf(task.fragment) === placeOf(aside);
    tasks.splice(0, tasks.length, ...tasks.filter(fits));
  });
}

/** Return the place of the step that a form, or what can be done with a step, is of. */
function placeOf(part) {
  return part.querySelector("[data-of]")?.dataset.of;
}

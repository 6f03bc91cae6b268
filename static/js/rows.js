// Rows of a form, added, removed and moved in place. Without script the same buttons are sent and the server does it.

export function start(root) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-rows-do]");
    const rows = button?.closest("[data-rows]");
    if (!rows) return;
    event.preventDefault();
    const row = button.closest("[data-row]");
    const wish = button.dataset.rowsDo;
    const next = { add, remove, up, down }[wish]?.(rows, row);
    (next ?? button).focus();
    announce(root, button.dataset.rowsSay);
    // A form that saves itself hears of it as of any other change; a row without anything in it is none yet.
    if (wish !== "add") rows.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

/** Tell whether a form has a row that the same form as the server has it lacks: one that is not complete yet is none there. */
export function hasMoreRows(form, known) {
  const there = new Map(lists(known).map((list) => [nameOf(list), list.children.length]));
  return lists(form).some((list) => list.children.length > (there.get(nameOf(list)) ?? Infinity)); // a list that went is no row's
}

function lists(form) {
  return [...form.querySelectorAll("[data-rows-list]")];
}

function nameOf(list) {
  return list.closest("[data-field]")?.dataset.field;
}

function add(rows) {
  const list = rows.querySelector(":scope > [data-rows-list]");
  const numbers = [...list.querySelectorAll("[data-row]")].map((row) => Number(row.dataset.row));
  const row = rows.querySelector(":scope > template").content.firstElementChild.cloneNode(true);
  renumber([row], row.dataset.row, String(Math.max(-1, ...numbers) + 1));
  list.append(row);
  return row.querySelector("input:not([type=hidden]), select, textarea");
}

/** Put the number of a new row where its blank has a word for it, also into the blanks of rows within it. */
function renumber(elements, blank, number) {
  for (const element of elements) {
    for (const attribute of element.attributes) attribute.value = attribute.value.replaceAll(blank, number);
    renumber((element.content ?? element).children, blank, number);
  }
}

function remove(rows, row) {
  const beside = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  return (beside && lastOf(beside, "[data-rows-do=remove]")) ?? lastOf(rows, "[data-rows-do=add]");
}

/** Return the button that is its own: those of rows within it come before it. */
function lastOf(element, selector) {
  return [...element.querySelectorAll(selector)].at(-1);
}

function up(rows, row) {
  row.previousElementSibling?.before(row);
}

function down(rows, row) {
  row.nextElementSibling?.after(row);
}

function announce(root, words) {
  const region = root.getElementById("announce");
  if (region && words) region.textContent = words;
}

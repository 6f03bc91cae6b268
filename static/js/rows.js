// Rows of a form, added, removed and moved in place. Without script the same buttons are sent and the server does it.

const NUMBER = "__n__";

export function start(root) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-rows-do]");
    const rows = button?.closest("[data-rows]");
    if (!rows) return;
    event.preventDefault();
    const row = button.closest("[data-row]");
    const next = { add, remove, up, down }[button.dataset.rowsDo]?.(rows, row);
    (next ?? button).focus();
    announce(root, button.dataset.rowsSay);
    // A form that saves itself hears of it as of any other change.
    rows.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

function add(rows) {
  const list = rows.querySelector("[data-rows-list]");
  const numbers = [...list.querySelectorAll("[data-row]")].map((row) => Number(row.dataset.row));
  const row = rows.querySelector("template").content.firstElementChild.cloneNode(true);
  const number = String(Math.max(-1, ...numbers) + 1);
  for (const element of [row, ...row.querySelectorAll("*")]) {
    for (const attribute of element.attributes) attribute.value = attribute.value.replaceAll(NUMBER, number);
  }
  list.append(row);
  return row.querySelector("input:not([type=hidden]), select, textarea");
}

function remove(rows, row) {
  const beside = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  return beside?.querySelector("[data-rows-do=remove]") ?? rows.querySelector("[data-rows-do=add]");
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

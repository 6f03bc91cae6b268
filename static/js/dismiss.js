// Closes menus and sheets (<details>) with Escape and with a click outside.

const OPEN = "details[data-dismiss][open], details.sheet[open]";

export function start(root) {
  root.addEventListener("click", (event) => {
    for (const details of root.querySelectorAll(OPEN)) {
      if (!details.contains(event.target)) details.open = false;
    }
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const details of root.querySelectorAll(OPEN)) {
      details.open = false;
      details.querySelector("summary").focus();
    }
  });
}

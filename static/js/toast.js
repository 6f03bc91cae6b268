// Short notes at the edge of the page: they leave by themselves, wait while somebody looks, and may take a change back.

const SHOWN_MS = 8_000;
const MOST = 3;

export function start(root) {
  const stack = root.getElementById("toasts");
  if (!stack) return;
  root.addEventListener("toast", ({ detail }) => show(stack, detail));
  // What a note would take back is the newest change: after another one the note is about something else.
  root.addEventListener("graph:news", ({ detail }) => {
    if (!("said" in detail || "inspected" in detail)) return;
    for (const note of stack.querySelectorAll("[data-takes-back]")) note.remove();
  });
  stack.addEventListener("click", ({ target }) => target.closest("[data-toast-close]")?.closest(".note").remove());
  stack.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    event.target.closest(".note")?.remove();
  });
  for (const note of stack.querySelectorAll(".note")) if (!note.classList.contains("error")) leave(note);
}

/** Show words; `undo` is called when the reader wants it taken back. */
function show(stack, { words, undo }) {
  const note = stack.querySelector("template").content.firstElementChild.cloneNode(true);
  note.querySelector("[data-toast-words]").textContent = words;
  const button = note.querySelector("[data-toast-undo]");
  if (undo) {
    note.dataset.takesBack = "";
    button.addEventListener("click", () => (note.remove(), undo()));
  } else button.remove();
  stack.append(note);
  for (const old of [...stack.querySelectorAll(".note")].slice(0, -MOST)) old.remove();
  leave(note);
}

function leave(note) {
  const wait = setInterval(() => {
    if (note.matches(":hover, :focus-within")) return;
    clearInterval(wait);
    note.remove();
  }, SHOWN_MS);
}

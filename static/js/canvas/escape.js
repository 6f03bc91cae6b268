// Escape ends one thing at a time, the one begun last: a drag, an arrow, a menu, a search, then what is chosen.

const begun = [];

/** Something has begun that `stop` ends. Return what is to be called when it has ended by itself. */
export function begin(stop) {
  begun.push(stop);
  return () => begun.includes(stop) && begun.splice(begun.indexOf(stop), 1);
}

/** `rest` is called when nothing has begun, for a press of the key within what `within` selects. */
export function start(root, within, rest) {
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.target.closest("dialog[open], #toasts")) return;
    const stop = begun.pop();
    if (!stop && !(within && event.target.closest(within))) return;
    event.preventDefault();
    event.stopPropagation();
    (stop ?? rest)();
  }, true);
}

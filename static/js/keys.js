// The keyboard: J/K in lists, A/R/E on a decision, G then a letter to go somewhere, ? for help.

const GO = { h: "/", a: "/approvals/", r: "/runs/", p: "/pipelines/", c: "/costs/" };
const GO_MS = 1200;
let going = 0;

export function start(root) {
  if (!document.body.matches("[data-keys]")) return;
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (root.querySelector("dialog[open]")) return;
    if (press(root, event.key)) event.preventDefault();
  });
}

function isTyping(target) {
  return target.matches("input, textarea, select, [contenteditable]");
}

function press(root, pressed) {
  const key = pressed.toLowerCase();
  if (Date.now() - going < GO_MS && GO[key]) {
    location.assign(GO[key]);
    return true;
  }
  going = key === "g" ? Date.now() : 0;
  if (pressed === "?") {
    root.getElementById("help").showModal();
    return true;
  }
  return act(root, key) || ((key === "j" || key === "k") && step(root, key === "j" ? 1 : -1));
}

/** Press what carries this key; a form says first what it is about to do. */
function act(root, key) {
  const found = root.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!found) return false;
  if (found.matches("details")) {
    found.open = true;
    found.querySelector("textarea, input:not([type=hidden])")?.focus();
  } else {
    if (found.form) found.form.dataset.keyed = "yes";
    found.click();
  }
  return true;
}

function step(root, by) {
  const list = root.querySelector("[data-list]");
  if (!list) return false;
  const links = [...list.querySelectorAll("a.name, a.tx")].filter((link) => link.offsetParent);
  if (!links.length) return false;
  const current = links.findIndex((link) => link === document.activeElement || link.closest("li.on, tr.on"));
  const next = links[Math.min(Math.max(current + by, 0), links.length - 1)];
  next.focus();
  if (next.dataset.opens) next.click();
  return true;
}

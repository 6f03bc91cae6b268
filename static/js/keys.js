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
  return inRow(root, key) || act(root, key) || open(root, key) || ((key === "j" || key === "k") && step(root, key === "j" ? 1 : -1));
}

/** In the chosen row of a list: X ticks it, E shows what it holds. */
function inRow(root, key) {
  const row = root.activeElement?.closest("[data-list] li") ?? chosen(root);
  const wanted = { x: ".pick", e: "details[data-more] > summary" }[key];
  const found = wanted && [...(row?.querySelectorAll(wanted) ?? [])].find((one) => one.closest("li") === row);
  found?.click();
  return Boolean(found);
}

/** The row whose question is shown; where a closed group hides it, the group. */
function chosen(root) {
  const row = root.querySelector("[data-list] li.on");
  return row?.checkVisibility() ? row : row?.parentElement.closest("li");
}

/** Press what carries this key; a form says first what it is about to do. */
function act(root, key) {
  const carriers = [...root.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)];
  const found = carriers.find((one) => one.checkVisibility() && !one.closest("[inert]"));
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

/** E on a question with nothing to edit opens it as a page. */
function open(root, key) {
  const link = key === "e" && chosen(root)?.querySelector("a[data-opens]");
  if (link) location.assign(link.href);
  return Boolean(link);
}

function step(root, by) {
  const list = root.querySelector("[data-list]");
  if (!list) return false;
  const links = [...list.querySelectorAll("a.name, a.tx")].filter((link) => link.checkVisibility());
  if (!links.length) return false;
  const here = links.indexOf(document.activeElement);
  const current = here < 0 ? links.findIndex((link) => link.closest("li.on, tr.on")) : here;
  const next = links[Math.min(Math.max(current + by, 0), links.length - 1)];
  next.focus();
  if (next.dataset.opens) next.click();
  return true;
}

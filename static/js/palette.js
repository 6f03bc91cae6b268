// Ctrl+K: jump to a page, a pipeline or a run, or do what the page offers. The places are fetched once, when first wanted.
//
// `palette:ask` is dispatched on the document with {add, typed}: a page adds {name, kind, url} or {name, kind, run}.

import { whileLoading } from "./skeleton.js";

const SHOWN = 12;
let places;

export function start(root) {
  const dialog = root.getElementById("palette");
  if (!dialog) return;
  const input = dialog.querySelector("[data-palette-input]");
  const list = dialog.querySelector("[data-palette-list]");
  const open = async () => {
    if (dialog.open) return;
    dialog.showModal();
    input.value = "";
    places ??= await whileLoading(list, known(dialog.dataset.palette));
    fill(root, list, places, input.value); // somebody may have typed while the list was on its way
  };
  root.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette-open]")) open();
  });
  root.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  input.addEventListener("input", () => fill(root, list, places ?? [], input.value));
  input.addEventListener("keydown", (event) => move(event, list));
}

async function known(address) {
  return (await (await fetch(address, { headers: { Accept: "application/json" } })).json()).places;
}

function fill(root, list, known, typed) {
  const all = [];
  root.dispatchEvent(new CustomEvent("palette:ask", { detail: { add: (one) => all.push(one), typed: typed.trim() } }));
  all.push(...known);
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter(({ name, kind }) => words.every((word) => `${name} ${kind}`.toLowerCase().includes(word)));
  list.replaceChildren(...found.slice(0, SHOWN).map(line));
  list.querySelector("a")?.classList.add("on");
}

function line({ name, kind, url, run }) {
  const link = Object.assign(document.createElement("a"), { href: url ?? "#main" });
  if (run) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      link.closest("dialog").close();
      run();
    });
  }
  const what = Object.assign(document.createElement("span"), { textContent: name });
  const hint = Object.assign(document.createElement("span"), { className: "hint end", textContent: kind });
  link.append(what, hint);
  const item = document.createElement("li");
  item.append(link);
  return item;
}

function move(event, list) {
  const links = [...list.querySelectorAll("a")];
  const at = links.findIndex((link) => link.classList.contains("on"));
  if (event.key === "Enter") {
    event.preventDefault();
    links[at]?.click();
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !links.length) return;
  event.preventDefault();
  links[at]?.classList.remove("on");
  const next = links[(at + step + links.length) % links.length];
  next.classList.add("on");
  next.scrollIntoView({ block: "nearest" });
}

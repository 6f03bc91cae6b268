// Opens links beside the page instead of leaving it: steps in the drawer, approvals in the pane of the inbox.

import { bring } from "./bring.js";
import { whileLoading } from "./skeleton.js";

const WIDE = matchMedia("(min-width: 761px)");

export function start(root, htmx) {
  const drawer = root.getElementById("drawer");
  root.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    const step = event.target.closest("a[data-drawer]");
    if (step && drawer) open(event, htmx, step, drawer);
    const item = event.target.closest("a[data-opens]");
    if (item && WIDE.matches) show(event, htmx, item);
    if (event.target.closest("[data-drawer-close]")) close(drawer);
  });
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && drawer && !drawer.hidden && !root.querySelector("dialog[open]")) close(drawer);
  });
}

let opener;

async function open(event, htmx, link, drawer) {
  event.preventDefault();
  opener = link;
  const answer = bring(htmx, drawer, link.getAttribute("href"));
  await whileLoading(drawer, answer, () => (drawer.hidden = false));
  drawer.hidden = false;
  shine(drawer);
  if (link.dataset.drawerAt) drawer.querySelector(`#${link.dataset.drawerAt}`)?.scrollIntoView({ block: "nearest" });
  drawer.querySelector("[data-drawer-close]")?.focus();
}

function close(drawer) {
  drawer.hidden = true;
  drawer.replaceChildren();
  shine(drawer);
  const again = opener?.isConnected ? opener : document.querySelector(`a[data-drawer][href="${CSS.escape(opener?.getAttribute("href") ?? "")}"]`);
  again?.focus();
}

let asked = 0;

/** Choose an item at once; until it is there nothing can be pressed in the pane, which still shows the one before. */
async function show(event, htmx, link) {
  event.preventDefault();
  const mine = ++asked;
  const pane = document.querySelector(link.dataset.opens);
  for (const row of document.querySelectorAll(".ap.on")) row.classList.remove("on");
  link.closest("li").classList.add("on");
  pane.inert = true;
  await whileLoading(pane, bring(htmx, pane, link.getAttribute("href")));
  if (mine === asked) pane.inert = false;
}

/** Mark on the canvas what the opened step comes from, while its lineage is open. */
function shine(drawer) {
  const places = new Set([...drawer.querySelectorAll("[data-origin]")].map((one) => one.dataset.origin));
  for (const box of document.querySelectorAll(".stage > .slot, .stage > .group")) {
    box.classList.toggle("origin", places.has(box.firstElementChild?.id.slice("card-".length)));
  }
  for (const edge of document.querySelectorAll(".stage [data-edge]")) {
    const [source, , target] = edge.dataset.edge.split(":");
    edge.toggleAttribute("data-origin-edge", places.has(source) && places.has(target));
  }
}

// Opens links beside the page instead of leaving it: steps in the drawer, approvals in the pane of the inbox.

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
  await htmx.ajax("GET", link.getAttribute("href"), { target: drawer, swap: "innerHTML" });
  drawer.hidden = false;
  drawer.querySelector("[data-drawer-close]")?.focus();
}

function close(drawer) {
  drawer.hidden = true;
  drawer.replaceChildren();
  const again = opener?.isConnected ? opener : document.querySelector(`a[data-drawer][href="${CSS.escape(opener?.getAttribute("href") ?? "")}"]`);
  again?.focus();
}

async function show(event, htmx, link) {
  event.preventDefault();
  const pane = document.querySelector(link.dataset.opens);
  await htmx.ajax("GET", link.getAttribute("href"), { target: pane, swap: "innerHTML" });
  for (const row of document.querySelectorAll(".ap.on")) row.classList.remove("on");
  link.closest("li").classList.add("on");
}

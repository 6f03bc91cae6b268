// Puts the parts of a server's answer in their places. Nothing in them is bound by htmx, so it need not look at them.

import { localise } from "../clock.js";
import { lightEdges } from "./edges.js";

/** Show answers that came one after another as one change: of each part only its newest state is put in. */
export async function showParts(root, htmx, element, answers) {
  const parts = new Map();
  const edges = new Map();
  const lists = [];
  let asks = false;
  for (const text of answers) {
    const answer = document.createElement("template");
    answer.innerHTML = text;
    for (const part of answer.content.children) {
      if (part.localName === "hx-upsert") lists.push(part);
      else if (part.id !== "edge-states") parts.set(part.id, part);
    }
    for (const { dataset } of answer.content.querySelectorAll("[data-edge-state]")) edges.set(dataset.for, dataset.edgeState);
    asks ||= answer.content.querySelector("[data-asks]") !== null;
  }
  for (const part of parts.values()) put(root, part);
  lightEdges(root, edges);
  const wanted = lists.filter((list) => root.querySelector(list.getAttribute("hx-target")));
  if (wanted.length) await upsert(htmx, element, wanted);
  return asks;
}

function put(root, part) {
  const target = root.getElementById(part.id);
  if (!target) return;
  localise(part);
  const inside = part.getAttribute("hx-swap") === "innerHTML";
  if (inside) fill(target, part);
  else become(target, part.firstElementChild);
}

/** Make an element say what another says, and leave it in its place: around it nothing has to be styled anew. */
function become(target, wanted) {
  for (const { name } of [...target.attributes]) if (!wanted.hasAttribute(name)) target.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (target.getAttribute(name) !== value) target.setAttribute(name, value);
  fill(target, wanted);
}

function fill(target, wanted) {
  const before = [...target.childNodes];
  const after = [...wanted.childNodes];
  if (before.length !== after.length || before.some((node, at) => node.nodeName !== after[at].nodeName)) {
    target.replaceChildren(...after);
    return;
  }
  for (const [at, node] of before.entries()) {
    if (node.isEqualNode(after[at])) continue;
    if (node.nodeType === Node.TEXT_NODE) node.data = after[at].data;
    else if (node.nodeType === Node.ELEMENT_NODE && node.localName !== "svg") become(node, after[at]);
    else node.replaceWith(after[at]);
  }
}

function upsert(htmx, element, lists) {
  const text = lists.map((list) => list.outerHTML).join("");
  return htmx.swap({ sourceElement: element, target: element, swap: "none", text, transition: false });
}

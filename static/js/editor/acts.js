// The plain forms of the editor, sent as commands: what they ask for is done in place instead of on a new page.

import { copy, paste } from "./clipboard.js";

const CHOSEN = ["preset", "port", "to"];

export function start(editor) {
  const { root, draft } = editor;
  const choose = (place) => place && editor.choose([place]);
  root.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-step-back]")) event.preventDefault(); // its button is heard by the draft
    if (!form.matches("[data-command]")) return;
    event.preventDefault();
    const { name, args } = read(form);
    if ("asks" in form.dataset) root.dispatchEvent(new CustomEvent("steps:ask", { detail: { ...args, from: form } }));
    else if (name === "copy") copy(editor, args.places);
    else if (name === "paste") paste(editor, args.scope);
    else if (name === "wrap" || name === "move_into") draft.do(name, args).then((news) => choose(Object.keys(news?.added ?? {})[0]));
    else draft.do(name, args);
  });
}

function read(form) {
  const fields = "asks" in form.dataset ? [] : CHOSEN.filter((field) => form.elements[field]);
  const chosen = Object.fromEntries(fields.map((field) => [field, form.elements[field].value]));
  return { name: form.elements.do.value, args: { ...JSON.parse(form.elements.with.value), ...chosen } };
}

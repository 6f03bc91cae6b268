// Asks before a form is sent: always where data-confirm of the form or its button says so, and after a key press where data-keyed-confirm does.

export function start(root) {
  root.addEventListener("submit", (event) => {
    const form = event.target;
    const asks = event.submitter?.dataset.confirm ? event.submitter : form;
    const question = asks.dataset.confirm ?? (form.dataset.keyed ? form.dataset.keyedConfirm : undefined);
    if (!question || form.dataset.confirmed) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    ask(question, asks.dataset.confirmYes || "Yes").then((yes) => {
      delete form.dataset.keyed;
      if (!yes) return;
      form.dataset.confirmed = "yes";
      form.requestSubmit(event.submitter);
    });
  }, true);
}

export function ask(question, yes) {
  const dialog = document.createElement("dialog");
  dialog.className = "confirm";
  dialog.setAttribute("aria-label", "Please confirm");
  const form = Object.assign(document.createElement("form"), { method: "dialog" });
  const words = Object.assign(document.createElement("p"), { textContent: question });
  const row = Object.assign(document.createElement("div"), { className: "row" });
  const no = Object.assign(document.createElement("button"), { className: "btn", value: "", textContent: "Not now" });
  const go = Object.assign(document.createElement("button"), { className: "btn pri", value: "yes", textContent: yes });
  go.autofocus = true;
  row.append(go, no);
  form.append(words, row);
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

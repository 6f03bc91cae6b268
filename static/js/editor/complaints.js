// What the server had against the form beside the picture: said there, and remembered for as long as it stands.

/** Heed the news for the form: what is refused is complained of, and marks it; what somebody else changed is offered. */
export function heed(aside, form, { refused, of, inspected }) {
  const place = form?.elements.node.value;
  const isOurs = (of ?? place) === place; // that of another step may have come meanwhile
  complain(aside, isOurs ? refused : undefined);
  if (!form) return;
  if (inspected === place) delete form.dataset.refused;
  if (!refused || of !== place) return;
  form.dataset.refused = "";
  if (refused.code === "edited_meanwhile") offer(form);
}

/** Say at the field what the server had against it. */
function complain(aside, refused) {
  for (const note of aside.querySelectorAll("[data-complaint]")) note.remove();
  const where = refused?.where;
  if (!where) return;
  const fields = [...aside.querySelectorAll("[data-field]")].filter(({ dataset }) => `${where}/`.includes(`${dataset.field}/`));
  const field = fields.sort((a, b) => b.dataset.field.length - a.dataset.field.length)[0];
  if (!field) return;
  const note = Object.assign(document.createElement("span"), { className: "hint up", textContent: refused.message });
  note.dataset.complaint = "";
  note.setAttribute("role", "alert");
  field.append(note);
}

/** Offer the step as it is now in place of what was typed: nobody but the reader gives that up. */
function offer(form) {
  if (form.querySelector("[data-show-now]")) return;
  const note = Object.assign(document.createElement("div"), { className: "note bad" });
  const words = "Somebody else changed this meanwhile. What you typed is not saved.";
  const button = Object.assign(document.createElement("button"), { type: "button", className: "btn sm end", textContent: "Show it as it is now" });
  button.dataset.showNow = "";
  note.append(Object.assign(document.createElement("span"), { textContent: words }), button);
  form.prepend(note);
}

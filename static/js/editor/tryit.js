// A test tries the draft as it was saved: it waits until what was typed before has arrived. Values to pick from are
// fetched with what they were last when the list is opened.

export function start({ root, draft }) {
  const aside = root.getElementById("inspector");
  aside.addEventListener("toggle", ({ target }) => {
    if (target.matches("[data-pick]") && target.open) target.querySelector(".value-list").dispatchEvent(new CustomEvent("pick:opened"));
  }, true);
  const waiting = new WeakSet();
  aside.addEventListener("submit", async (event) => {
    const form = event.target.closest("[data-try-form]");
    if (!form) return;
    if (form.dataset.saved) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (waiting.has(form)) return; // pressed again
    waiting.add(form);
    await draft.line;
    // A form is not submitted while it still tells its listeners of a submission.
    setTimeout(() => {
      waiting.delete(form);
      form.dataset.saved = "yes";
      form.requestSubmit(event.submitter);
      delete form.dataset.saved; // it has told nobody where a field is not filled in as it must be
    });
  }, true);
}

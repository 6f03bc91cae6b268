// A form that starts something is sent once, however often its button is pressed. What htmx sends has hx-sync for that.

export function start(root) {
  root.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-once]") || event.defaultPrevented) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
  });
  // Back in the browser's history brings the page as it was left: the form may be sent again then.
  addEventListener("pageshow", () => {
    for (const form of root.querySelectorAll("[data-sent]")) delete form.dataset.sent;
  });
}

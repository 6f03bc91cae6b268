// The theme switch without a page load: data-theme on <html>, kept in a cookie that the server reads next time.

const YEAR = 31_536_000;

export function start(root) {
  root.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-theme-switch]")) return;
    event.preventDefault();
    choose(event.submitter?.value ?? "");
  });
}

export function choose(theme) {
  const html = document.documentElement;
  if (theme) html.dataset.theme = theme;
  else delete html.dataset.theme;
  const age = theme ? YEAR : 0;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  const name = document.querySelector("[data-theme-switch]").dataset.themeSwitch;
  document.cookie = `${name}=${theme}; Path=/; Max-Age=${age}; SameSite=Lax${secure}`;
  for (const button of document.querySelectorAll("[data-theme-switch] button")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
}

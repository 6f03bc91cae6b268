// Who was signed out while a draft is open signs in in another tab, and goes on here: nothing that waits is lost.

const LOGIN = "/login/";
export const SIGN_IN = "Sign in again in another tab. Your changes are kept and are sent again.";

/** The page to sign in is not opened in the place of a draft. */
export function start({ root, draft }) {
  root.addEventListener("htmx:before:response", (event) => {
    if (event.detail.ctx.response.headers.get("HX-Redirect") !== LOGIN) return;
    event.preventDefault();
    draft.say(SIGN_IN, true);
  });
}

/** Tell whether an answer asks to sign in instead of being what was asked for. */
export function isSignedOut(response) {
  return response.headers.get("HX-Redirect") === LOGIN || (response.redirected && new URL(response.url).pathname === LOGIN);
}

/** Return the token that changes are sent with. */
export function token(element) {
  return element.querySelector("[data-editor-token] input").value;
}

/** Put in the token of who is signed in now: an earlier one is not taken any more. Return false while nobody is. */
export async function renewToken(element) {
  const response = await fetch(location.pathname).catch(() => undefined);
  if (!response || isSignedOut(response)) return false;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("[data-editor-token] input");
  if (fresh) element.querySelector("[data-editor-token] input").value = fresh.value;
  return true;
}

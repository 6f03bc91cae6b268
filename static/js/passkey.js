// Passkeys: asks the browser for one (or to make one), puts its answer into the form and sends it.

const decode = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const listed = (credentials = []) => credentials.map((one) => ({ ...one, id: decode(one.id) }));

function creation({ publicKey }) {
  const selection = { ...publicKey.authenticatorSelection, residentKey: "required", requireResidentKey: true, userVerification: "required" };
  return {
    ...publicKey,
    authenticatorSelection: selection,
    challenge: decode(publicKey.challenge),
    user: { ...publicKey.user, id: decode(publicKey.user.id) },
    excludeCredentials: listed(publicKey.excludeCredentials),
  };
}

function request({ publicKey }) {
  return { ...publicKey, challenge: decode(publicKey.challenge), allowCredentials: listed(publicKey.allowCredentials) };
}

function answer(credential) {
  const { response } = credential;
  const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  const said = parts.filter((part) => response[part]).map((part) => [part, encode(response[part])]);
  return {
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    response: Object.fromEntries(said),
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

async function options(form) {
  if (form.dataset.passkey !== "login") return JSON.parse(document.getElementById("passkey-options").textContent);
  const asked = await fetch(form.action, { headers: { Accept: "application/json", "X-Requested-With": "XMLHttpRequest" } });
  return (await asked.json()).request_options;
}

async function ask(form) {
  const wanted = await options(form);
  if (form.dataset.passkey === "create") return navigator.credentials.create({ publicKey: creation(wanted) });
  return navigator.credentials.get({ publicKey: request(wanted) });
}

export function start(root) {
  for (const form of root.querySelectorAll("[data-passkey]")) {
    if (!window.PublicKeyCredential && form.dataset.passkey === "login") form.hidden = true;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const trouble = form.querySelector("[data-passkey-trouble]");
      trouble.hidden = true;
      try {
        form.querySelector("[data-passkey-answer]").value = JSON.stringify(answer(await ask(form)));
        form.submit();
      } catch {
        trouble.hidden = false;
      }
    });
  }
}

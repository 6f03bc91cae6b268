// Copy, paste and duplicate. On the system's clipboard stands a text that names a pipeline and steps of it: the server
// clones them, also into others. Nothing of it is kept by the page, and a text that is none of ours is left alone.

const KIND = "baton.steps";
const LONGEST = 500_000; // names of all the steps a draft may have
const ACTS = "#step-acts button";
const NONE = "What was copied are no steps.";
const ELSEWHERE = "These steps were copied in another workspace or installation. Copy them in this one.";
const NO_COPY = "The browser does not let Baton copy by a button here. Press Ctrl C instead.";
const NO_PASTE = "The browser does not let Baton read what was copied. Press Ctrl V instead.";

export function start(editor) {
  const { root, graph, draft, mayEdit } = editor;
  const isHere = () => {
    const { activeElement: at } = root;
    if (at === root.body) return getSelection().isCollapsed;
    return isInActs(root) || (graph.element.contains(at) && !at.closest("input, textarea, select"));
  };
  listen(editor, () => isHere() && { places: graph.chosen, scope: scopeOf(graph), pasted: (news) => graph.chooseAdded(news) });
  root.addEventListener("keydown", async (event) => {
    if (!isHere() || !mayEdit || !graph.chosen.length) return;
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "d") return;
    event.preventDefault();
    graph.chooseAdded(await draft.do("duplicate", { places: graph.chosen }));
  });
}

/** Whether a button of what can be done with a step has the focus: its keys mean the step. */
export function isInActs(root) {
  return Boolean(root.activeElement?.closest(ACTS));
}

/** Have the browser's copy, cut and paste mean steps where `here()` says which: `{places, scope, begin?(kind), pasted?(news)}`. */
export function listen(editor, here) {
  const { root, draft, mayEdit } = editor;
  const put = (event) => {
    const { places = [], begin } = here() || {};
    const cuts = event.type === "cut";
    if (!places.length || (cuts && !mayEdit)) return;
    event.preventDefault();
    event.clipboardData.setData("text/plain", textOf(editor, places));
    draft.say(`${places.length} copied.`);
    if (!cuts) return;
    begin?.("cut");
    draft.do("delete", { places });
  };
  root.addEventListener("copy", put);
  root.addEventListener("cut", put);
  root.addEventListener("paste", async (event) => {
    const spot = mayEdit && here();
    if (!spot) return;
    event.preventDefault();
    const copied = read(editor, event.clipboardData.getData("text/plain"));
    if (!copied) return;
    spot.begin?.("paste");
    const news = await draft.do("paste", { ...copied, scope: spot.scope });
    spot.pasted?.(news);
  });
}

/** Copy by a button. */
export async function copy(editor, places) {
  try {
    await navigator.clipboard.writeText(textOf(editor, places)); // there is none without HTTPS
  } catch {
    editor.draft.say(NO_COPY, true);
    return;
  }
  editor.draft.say(`${places.length} copied.`);
}

/** Paste by a button into a scope. */
export async function paste(editor, scope) {
  let text;
  try {
    text = await navigator.clipboard.readText();
  } catch {
    editor.draft.say(NO_PASTE, true);
    return;
  }
  const copied = read(editor, text);
  if (copied) editor.draft.do("paste", { ...copied, scope });
}

function textOf({ element, draft }, places) {
  return JSON.stringify({ is: KIND, of: homeOf(element), pipeline: element.dataset.slug, rev: draft.rev, places });
}

/** Return what the command `paste` is told of a text, or undefined, having said why. Who wrote the text is not known. */
function read({ element, draft }, text) {
  const found = text.length <= LONGEST ? parsed(text) : undefined;
  const { is, of, pipeline, rev, places } = found ?? {};
  const isOurs = is === KIND && typeof pipeline === "string" && Number.isSafeInteger(rev);
  if (isOurs && of === homeOf(element) && areNames(places)) return { pipeline, places, copied_rev: rev };
  draft.say(isOurs && of !== homeOf(element) ? ELSEWHERE : NONE, true);
  return undefined;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function areNames(places) {
  return Array.isArray(places) && places.length > 0 && places.every((place) => typeof place === "string");
}

/** Return the installation and the workspace whose draft this is: names of pipelines mean something only there. */
function homeOf({ dataset: { socket } }) {
  return `${location.origin} ${new URL(socket, location.href).searchParams.get("workspace")}`;
}

function scopeOf(graph) {
  const goal = graph.boxes.get(graph.chosen[0]);
  return goal?.element.classList.contains("holds") ? goal.place : (goal?.scope ?? "");
}

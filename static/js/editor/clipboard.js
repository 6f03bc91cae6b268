// Copy, paste and duplicate. What was copied is a pipeline and names of steps: the server clones them, also into others.

const KEY = "baton:copied";

export function start({ root, graph, draft, element, mayEdit }) {
  root.addEventListener("keydown", async (event) => {
    if (event.target !== root.body && !graph.element.contains(event.target)) return;
    if (!(event.ctrlKey || event.metaKey) || event.target.closest("input, textarea, select")) return;
    const key = event.key.toLowerCase();
    const { slug } = element.dataset;
    if (key === "c" && graph.chosen.length) copy(draft, slug, graph.chosen);
    else if (key === "x" && graph.chosen.length && mayEdit) cut(draft, slug, graph.chosen);
    else if (key === "v" && mayEdit) graph.chooseAdded(await paste(draft, scopeOf(graph)));
    else if (key === "d" && mayEdit && graph.chosen.length) graph.chooseAdded(await draft.do("duplicate", { places: graph.chosen }));
    else return;
    event.preventDefault();
  });
}

export function copy(draft, pipeline, places) {
  localStorage.setItem(KEY, JSON.stringify({ pipeline, places, copied_rev: draft.rev }));
  draft.say(`${places.length} copied.`);
  return true;
}

export function cut(draft, pipeline, places) {
  copy(draft, pipeline, places);
  return draft.do("delete", { places });
}

/** Paste what was copied here or in another pipeline into a scope; resolves to the news, or undefined. */
export async function paste(draft, scope) {
  const copied = JSON.parse(localStorage.getItem(KEY) ?? "null");
  if (copied) return draft.do("paste", { ...copied, scope });
  draft.say("Nothing was copied yet.", true);
  return undefined;
}

function scopeOf(graph) {
  const goal = graph.boxes.get(graph.chosen[0]);
  return goal?.element.classList.contains("holds") ? goal.place : (goal?.scope ?? "");
}

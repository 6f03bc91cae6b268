// The editor of a draft. Loaded only on its page; each module binds itself to the shared graph.

import { start as startActs } from "./acts.js";
import { start as startAreas } from "./areas.js";
import { furnishInTime } from "./box.js";
import { start as startClipboard } from "./clipboard.js";
import { start as startConnect } from "./connect.js";
import { start as startCosts } from "./costs.js";
import { Crew } from "./crew.js";
import { Draft } from "./draft.js";
import { start as startDrag } from "./drag.js";
import { start as startEscape } from "../canvas/escape.js";
import { start as startFind } from "./find.js";
import { start as startFreshen } from "./freshen.js";
import { drawGlyphs } from "./glyphs.js";
import { Graph } from "./graph.js";
import { start as startGroups } from "./groups.js";
import { start as startInspector } from "./inspector.js";
import { start as startKeyboard } from "./keyboard.js";
import { start as startLate } from "./late.js";
import { start as startMates } from "./mates.js";
import { start as startMinimap } from "./minimap.js";
import { start as startOutline } from "./outline.js";
import { start as startPalette } from "./palette.js";
import { start as startPresence } from "./presence.js";
import { start as startProblems } from "./problems.js";
import { start as startPrompts } from "./prompt.js";
import { start as startSelect } from "./select.js";
import { Several } from "./several.js";
import { start as startSignIn } from "./signin.js";
import { start as startSteps } from "./steps.js";
import { start as startTryit } from "./tryit.js";
import { View } from "./view.js";

export function start(root, htmx) {
  const element = root.querySelector("[data-editor]");
  const draft = new Draft(root, htmx, element);
  const picture = root.querySelector("[data-graph]");
  if (picture) drawGlyphs(root);
  const graph = picture && new Graph(root, picture);
  const editor = { root, htmx, element, draft, graph, mayEdit: "mayEdit" in element.dataset };
  if (graph) editor.view = new View(graph);
  editor.crew = new Crew(editor);
  if (graph) {
    for (const bind of [startAreas, startMates, startSelect, startDrag, startConnect, startKeyboard, startClipboard, startMinimap]) bind(editor);
  }
  editor.several = new Several(editor);
  root.addEventListener("click", ({ target }) => target.closest("[data-tidy]") && draft.do("tidy", {}));
  for (const bind of [startInspector, startLate, startPrompts, startSteps, startProblems, startActs, startOutline, startFind, startGroups, startFreshen, startPresence, startPalette, startTryit, startCosts, startSignIn]) bind(editor);
  startEscape(root, "[data-graph], #outline", () => (editor.several.clear(), editor.choose([])));
  graph?.stage.classList.add("placed"); // laid out once, when all of it stands
  if (graph) furnishInTime(graph.boxes.values());
}

// Keeps the counts of the shell fresh: the workspace's socket says "look again", the page fetches its own counts.
// `workspace:changed` is dispatched on the document for whatever else on the page shows the workspace.

import { bring } from "../bring.js";
import { follow } from "./socket.js";

const PAUSE_MS = 1500;

export function start(root, htmx) {
  const element = root.querySelector("[data-workspace-socket]");
  if (!element) return;
  let waiting;
  let first = true;
  const look = () => {
    waiting = undefined;
    bring(htmx, element, element.dataset.counts, "none");
    root.dispatchEvent(new CustomEvent("workspace:changed"));
  };
  follow({
    address: () => element.dataset.workspaceSocket,
    onFrame: () => {
      if (first) {
        first = false; // the page was rendered a moment ago
        return;
      }
      waiting ??= setTimeout(look, PAUSE_MS);
    },
    onState: () => {},
  });
}

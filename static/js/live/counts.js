// Keeps the counts of the shell fresh: the workspace's socket says "look again", the page fetches its own counts.

import { follow } from "./socket.js";

const PAUSE_MS = 1500;

export function start(root, htmx) {
  const element = root.querySelector("[data-workspace-socket]");
  if (!element) return;
  let waiting;
  let first = true;
  const look = () => {
    waiting = undefined;
    htmx.ajax("GET", element.dataset.counts, { target: element, swap: "none" });
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

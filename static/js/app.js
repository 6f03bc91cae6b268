// Everything a page may need; each module binds itself to its own data- attributes, on this page and on what htmx adds.

import "./frozen.js"; // the first, after what is only defined

import htmx from "htmx.org";
import "htmx.org/dist/ext/hx-upsert.js";

import { start as startClock } from "./clock.js";
import { start as startConfirm } from "./confirm.js";
import { start as startDesk } from "./desk.js";
import { start as startDismiss } from "./dismiss.js";
import { start as startDrawer } from "./drawer.js";
import { start as startFilter } from "./filter.js";
import { start as startKeys } from "./keys.js";
import { start as startAsks } from "./live/asks.js";
import { start as startCounts } from "./live/counts.js";
import { start as startReplay } from "./live/replay.js";
import { start as startRun } from "./live/run.js";
import { start as startOnce } from "./once.js";
import { start as startPasskey } from "./passkey.js";
import { start as startPalette } from "./palette.js";
import { start as startQuestion } from "./question.js";
import { start as startRows } from "./rows.js";
import { start as startTheme } from "./theme.js";
import { start as startToast } from "./toast.js";

document.documentElement.classList.add("js");
for (const start of [
  startTheme, startClock, startConfirm, startOnce, startDismiss, startFilter,
  startDrawer, startReplay, startRun, startAsks, startCounts, startPalette, startKeys, startRows, startToast, startDesk, startQuestion, startPasskey,
]) {
  start(document, htmx);
}

const later = [];
if (document.querySelector("[data-canvas]")) later.push(import("./canvas/run.js").then(({ start }) => start(document)));
if (document.querySelector("[data-editor]")) later.push(import("./editor/index.js").then(({ start }) => start(document, htmx)));
// Says to whoever drives the page that all of it listens: the browser's `load` waits for no import.
Promise.all(later).then(() => document.documentElement.setAttribute("data-bound", ""));

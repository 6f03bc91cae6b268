// Says moments in the reader's zone where the server spoke to everybody (live fragments), and lets running times run.

const TICK = 1000;

export function start(root) {
  localise(root);
  root.addEventListener("htmx:after:settle", () => localise(root));
  setInterval(() => tick(root), TICK);
}

/** Say the moments inside an element, or in the page, that nobody has said yet. */
export function localise(root) {
  const zone = document.body.dataset.zone || "UTC";
  for (const time of root.querySelectorAll("time[data-at]:not([data-said])")) {
    time.dataset.said = "";
    time.textContent = say(new Date(time.dateTime), time.dataset.at, zone, new Date());
  }
}

export function say(moment, style, zone, now) {
  const day = (date) => date.toLocaleDateString("en-CA", { timeZone: zone });
  const days = Math.abs(Math.round((Date.parse(day(moment)) - Date.parse(day(now))) / 86_400_000));
  const options = { timeZone: zone, hour: "2-digit", minute: "2-digit", hour12: false };
  if (style === "exact") options.second = "2-digit";
  const clock = moment.toLocaleTimeString("en-GB", options);
  const date = moment.toLocaleDateString("en-GB", { timeZone: zone, day: "numeric", month: "short" });
  if (style === "date") return date;
  if (days === 0) return clock;
  return `${days < 7 ? moment.toLocaleDateString("en-GB", { timeZone: zone, weekday: "short" }) : date} ${clock}`;
}

function tick(root) {
  for (const running of root.querySelectorAll("[data-since]")) {
    running.textContent = duration((Date.now() - Date.parse(running.dataset.since)) / 1000);
  }
  for (const waiting of root.querySelectorAll("[data-until]")) {
    const words = left((Date.parse(waiting.dataset.until) - Date.now()) / 1000);
    if (waiting.textContent !== words) waiting.textContent = words;
  }
}

export function left(seconds) {
  if (seconds <= 0) return "due now";
  for (const [size, name] of [[86_400, "d"], [3_600, "h"], [60, "m"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${name} left`;
  }
  return `${Math.floor(seconds)} s left`;
}

export function duration(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)} s`;
  const total = Math.floor(seconds);
  for (const [size, name, below, smaller] of [[86_400, "d", 3_600, "h"], [3_600, "h", 60, "m"], [60, "m", 1, "s"]]) {
    if (total < size) continue;
    return `${Math.floor(total / size)} ${name} ${String(Math.floor((total % size) / below)).padStart(2, "0")} ${smaller}`;
  }
  return `${total} s`;
}

// What each step is expected to cost, from the pipeline's own runs: asked for once the picture stands, drawn on cards and list.

const LATER_MS = 300;

export function start({ root, element, graph }) {
  let known = [];
  const draw = () => {
    for (const [place, cost] of known) {
      const box = graph?.boxes.get(place);
      box?.furnish();
      const line = root.querySelector(`#outline [data-step="${CSS.escape(place)}"] .min0`);
      put(box?.element.querySelector(".node-f, .group-h"), cost);
      put(line, cost);
    }
  };
  const ask = async () => {
    const response = await fetch(element.dataset.costs).catch(() => undefined);
    if (!response?.ok) return; // a figure beside the work: without it the page is as good
    const answer = document.createElement("template");
    answer.innerHTML = await response.text();
    const lines = [...answer.content.querySelectorAll("li")].map((line) => [line.dataset.place, { textContent: line.textContent, title: line.title }]);
    known = lines.filter(([place]) => place);
    draw();
    const [, run] = lines.find(([place]) => !place) ?? [];
    const whole = root.getElementById("run-cost");
    if (run && whole) Object.assign(whole, { ...run, hidden: false });
  };
  setTimeout(ask, LATER_MS);
  root.addEventListener("graph:news", draw);
}

function put(place, cost) {
  if (!place || place.querySelector(":scope > .expected")) return;
  place.append(Object.assign(document.createElement("span"), { className: "expected num", ...cost }));
}

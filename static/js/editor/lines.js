// How an arrow runs between two boxes, as the server draws it in a scope arranged by hand (pipelines.graph.byhand).

const GAP_X = 36;
const GAP_Y = 56;
const RADIUS = 9;

/** Return the corners of an orthogonal line that leaves downwards and arrives from above. */
export function elbow([x1, y1], [x2, y2], right) {
  if (y2 >= y1 + GAP_Y / 2) {
    const middle = Math.floor((y1 + y2) / 2);
    return x1 === x2 ? [[x1, y1], [x2, y2]] : [[x1, y1], [x1, middle], [x2, middle], [x2, y2]];
  }
  const aside = right + GAP_X / 2;
  const drop = y1 + Math.floor(GAP_Y / 3);
  const rise = y2 - Math.floor(GAP_Y / 3);
  return [[x1, y1], [x1, drop], [aside, drop], [aside, rise], [x2, rise], [x2, y2]];
}

/** Return the path of an orthogonal line with round corners. */
export function rounded(points) {
  const path = [`M${points[0].join(" ")}`];
  for (let index = 1; index < points.length - 1; index += 1) {
    const corner = points[index];
    path.push(`L${towards(corner, points[index - 1]).join(" ")}Q${corner.join(" ")} ${towards(corner, points[index + 1]).join(" ")}`);
  }
  path.push(`L${points.at(-1).join(" ")}`);
  return path.join("");
}

export function tip([x, y]) {
  return `M${x - 4} ${y - 7}L${x} ${y}L${x + 4} ${y - 7}z`;
}

function towards([x, y], [toX, toY]) {
  const length = Math.max(Math.abs(toX - x), Math.abs(toY - y), 1);
  const reach = Math.min(RADIUS, length / 2);
  return [x + ((toX - x) * reach) / length, y + ((toY - y) * reach) / length];
}

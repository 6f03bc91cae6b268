// The icons of boxes as pictures of a style sheet: `.g-bot`. A thousand boxes then share each of them, where every use of
// the sprite would be a tree of its own, and every use of a variable with a picture in it a picture of its own.

const STROKE = 'fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"';

export function drawGlyphs(root) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`@layer pages { ${[...root.querySelectorAll("symbol[id]")].map(rule).join("")} }`);
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
}

function rule({ id, innerHTML }) {
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" ${STROKE}>${innerHTML}</svg>`;
  const picture = `url("data:image/svg+xml,${encodeURIComponent(drawing)}")`;
  return `.tile.g-${id} { background-image: ${picture} } .g-${id}::before { mask-image: ${picture} }`;
}

// While something is on its way for longer than a blink, its place shows the shape of what comes.

const BLINK_MS = 300;

/** Wait for an answer; `place` is marked meanwhile, and `begin` called first, once it takes long. */
export async function whileLoading(place, answer, begin = () => {}) {
  const wait = setTimeout(() => {
    begin();
    mark(place, true);
  }, BLINK_MS);
  try {
    return await answer;
  } finally {
    clearTimeout(wait);
    mark(place, false);
  }
}

function mark(place, loading) {
  place.classList.toggle("loading", loading);
  if (loading) place.setAttribute("aria-busy", "true");
  else place.removeAttribute("aria-busy");
}

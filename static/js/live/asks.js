// Marks a run's page as asking its reader while one of the decisions that it lists is theirs.

export function start(root) {
  const asks = root.querySelector("#asks");
  if (!asks) return;
  const page = asks.closest(".main");
  const mark = () => page.toggleAttribute("data-mine", asks.querySelector("[data-mine]") !== null);
  new MutationObserver(mark).observe(asks, { childList: true, subtree: true });
  mark();
}

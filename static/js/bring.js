// Brings a part of the page from the server.

/**
 * Fetch an address into `place`; settle when it is there, or when a later call for the same place took over. What was
 * asked for last is what is shown: left to itself, htmx keeps one queue for the whole page and drops the third request.
 */
export function bring(htmx, place, address, swap = "innerHTML") {
  place.setAttribute("hx-sync", "this:replace");
  return htmx.ajax("GET", address, { source: place, target: place, swap });
}

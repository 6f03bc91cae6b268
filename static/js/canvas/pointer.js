// One drag of the pointer: moves are drawn once a frame; Escape, a second finger and a lost pointer end it without an effect.

import { begin } from "./escape.js";

let running;

/** End the drag of the moment, if there is one, without an effect. */
export function breakOff() {
  running?.();
}

/** Call `move(event)` per frame and `end(event, moved)` at the end; `end(undefined, false)` when it was broken off. */
export function track(event, element, { move, end }) {
  const from = [event.clientX, event.clientY];
  let last;
  let frame = 0;
  let moved = false;
  const onMove = (next) => {
    last = next;
    moved ||= Math.hypot(next.clientX - from[0], next.clientY - from[1]) > 3;
    if (moved && !frame) {
      frame = requestAnimationFrame(() => {
        frame = 0;
        move(last);
      });
    }
  };
  const stop = (final) => {
    cancelAnimationFrame(frame);
    for (const [name, listener] of listeners) element.removeEventListener(name, listener);
    running = undefined;
    over();
    if (final && moved) move(final);
    end(final, Boolean(final) && moved);
  };
  const cancel = () => stop(undefined);
  const over = begin(cancel);
  running = cancel;
  const listeners = [["pointermove", onMove], ["pointerup", stop], ["pointercancel", cancel]];
  element.setPointerCapture(event.pointerId);
  for (const [name, listener] of listeners) element.addEventListener(name, listener);
}

// Fingers, mouse, wheel and keys become three wishes: move, zoom, and look at a place.

const STEP = 60;
const STILL = 5;

/**
 * Listen on an element until `signal` says that it is over.
 *
 * @param {HTMLElement} element may take the focus
 * @param {Object} wishes `move(dx, dy)`, `zoom(factor, x, y)`, `point(x, y)`, `choose(x, y)`,
 *   `home()`; pixels from the element's corner; `zoom`, `point` and `choose` without a place mean
 *   the middle
 */
export function listen(element, wishes, signal) {
  const fingers = new Map();
  let travelled = 0;
  const at = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const on = (name, listener) =>
    element.addEventListener(name, listener, { signal, passive: false });

  on("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    travelled = fingers.size > 1 ? Infinity : 0;
  });
  on("pointermove", (event) => {
    const place = at(event);
    const before = fingers.get(event.pointerId);
    if (!before) return event.pointerType === "mouse" && wishes.point(...place);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, place);
    travelled += Math.hypot(place[0] - before[0], place[1] - before[1]);
    if (other) pinch(before, place, other);
    else if (travelled > STILL) wishes.move(place[0] - before[0], place[1] - before[1]);
  });
  on("pointerup", (event) => {
    if (fingers.delete(event.pointerId) && travelled <= STILL) wishes.choose(...at(event));
  });
  on("pointercancel", (event) => fingers.delete(event.pointerId));
  on("pointerleave", () => wishes.point(null));
  on("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode ? 20 : 1;
    wishes.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), ...at(event));
  });
  on("keydown", (event) => {
    const wish = keys[event.key];
    if (!wish || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    wish();
  });

  /** Two fingers: what lies beneath them stays beneath them. */
  function pinch(before, place, other) {
    const middle = (a) => [(a[0] + other[0]) / 2, (a[1] + other[1]) / 2];
    const apart = (a) => Math.max(1, Math.hypot(a[0] - other[0], a[1] - other[1]));
    const [from, to] = [middle(before), middle(place)];
    wishes.move(to[0] - from[0], to[1] - from[1]);
    wishes.zoom(apart(place) / apart(before), ...to);
  }

  const keys = {
    ArrowLeft: () => wishes.move(STEP, 0, true),
    ArrowRight: () => wishes.move(-STEP, 0, true),
    ArrowUp: () => wishes.move(0, STEP, true),
    ArrowDown: () => wishes.move(0, -STEP, true),
    "+": () => wishes.zoom(1.4),
    "=": () => wishes.zoom(1.4),
    "-": () => wishes.zoom(1 / 1.4),
    0: () => wishes.home(),
    Home: () => wishes.home(),
    Enter: () => wishes.choose(),
  };
}

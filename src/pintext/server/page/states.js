// What the page shows while there is no answer, and where there will be none.

import { announce, h, sentence } from "./dom.js";
import { Problem } from "./api.js";

const ATTEMPTS = 5;

/** Cards without content, for the first answer; later ones replace the answer before them. */
export function skeleton() {
  const card = () => h("li", { class: "card ghost" }, h("i"), h("i"), h("i"));
  return h("ol", { class: "cards", "aria-hidden": "true" }, [1, 2, 3, 4].map(card));
}

/** Nothing was found; says what to do instead. Stands below a heading. */
export function empty(title, detail, ...more) {
  announce(title);
  return h("section", { class: "state" }, h("h2", {}, title), h("p", {}, detail), more);
}

/** The same as an answer of its own. */
export function nothing(title, detail, ...more) {
  announce(title);
  return h("section", { class: "state" }, heading(title), h("p", {}, detail), more);
}

function heading(title) {
  return h("h1", { tabindex: "-1" }, title);
}

/**
 * An error.
 *
 * @param {Error} error a `Problem`, or a fault of the page itself
 * @param {function(): void} again asks once more
 * @param {number} attempt how often it has been asked for already
 * @param {AbortSignal} signal ends the waiting when the reader goes elsewhere
 */
export function problem(error, again, attempt, signal) {
  if (!(error instanceof Problem)) throw error;
  if (error.status === 503) return busy(error, again, attempt, signal);
  announce(`${error.title}. ${error.detail}`);
  return h(
    "section",
    { class: "state failed" },
    heading(error.title),
    error.detail && h("p", {}, sentence(error.detail)),
    error.requestId && h("p", { class: "aside" }, `Request ${error.requestId}`),
    error.status !== 404 &&
      h(
        "p",
        {},
        h("button", { type: "button", class: "button", on: { click: again } }, "Try again"),
      ),
  );
}

/** The service sheds load: wait as long as it says, a little more for each attempt, and go on. */
function busy(error, again, attempt, signal) {
  const left = h("b", {});
  let seconds = Math.ceil((error.retryAfter || 1) * (attempt + 1) + Math.random());
  const waits = attempt < ATTEMPTS;
  const tick = () => {
    left.textContent = `${seconds} s`;
    if (seconds-- <= 0) (stop(), again());
  };
  const timer = waits && setInterval(tick, 1000);
  const stop = () => clearInterval(timer);
  signal.addEventListener("abort", stop);
  if (waits) tick();
  announce("The service is busy.");
  return h(
    "section",
    { class: "state busy" },
    heading("Busy just now"),
    waits
      ? h(
          "p",
          {},
          "More people are searching than the service can answer. Trying again in ",
          left,
          ".",
        )
      : h("p", {}, "The service has been busy for a while. Try again later."),
    h(
      "p",
      {},
      h(
        "button",
        { type: "button", class: "button", on: { click: () => (stop(), again()) } },
        "Try now",
      ),
    ),
  );
}

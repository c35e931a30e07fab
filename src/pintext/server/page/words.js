// The dictionary by itself: a word, the words near to it, and on from there.

import { address } from "./address.js";
import { neighbors, wordMap } from "./api.js";
import { announce, digits, h, quoted } from "./dom.js";
import { normal } from "./match.js";
import { nothing } from "./states.js";
import { breadcrumb } from "./walk.js";

const K = 24;
const COMMON = 36;

/** The last word of `state.words`; without one, some to begin with. */
export async function words(state, signal) {
  const walked = state.words.filter(Boolean);
  const word = walked.at(-1);
  if (!word) return beginning(signal);
  const found = await neighbors(word, K, signal);
  if (!found.known) return [ask(word), unknown(word)];
  announce(`${found.neighbors.length} words near ${word}`);
  const steps = walked.slice(0, -1).map((step, place) => {
    return h("a", { href: address({ words: walked.slice(0, place + 1) }) }, step);
  });
  return [
    ask(""),
    steps.length > 0 && breadcrumb("The words so far", steps, word),
    h(
      "div",
      { class: "summary" },
      h("h1", { tabindex: "-1" }, h("small", {}, "Words near "), normal(found.word)),
      h(
        "p",
        { class: "links" },
        h("a", { class: "needs-index", href: address({ q: word }) }, "Search pins for it"),
        h("a", { href: address({ map: "", find: word }) }, "Show it on the map"),
      ),
    ),
    h(
      "ol",
      { class: "near" },
      found.neighbors.map((near) => neighbor(near, walked)),
    ),
  ];
}

function neighbor({ word, similarity }, walked) {
  const seen = walked.indexOf(word);
  const next = seen < 0 ? [...walked, word] : walked.slice(0, seen + 1);
  return h(
    "li",
    { vars: { share: Math.max(0, similarity) } },
    h("a", { href: address({ words: next }) }, word),
    h("span", { class: "number" }, digits(similarity)),
  );
}

function ask(word) {
  const id = "word";
  return h(
    "form",
    { class: "ask", method: "get", action: "?", autocomplete: "off" },
    h("label", { for: id }, "Look up a word"),
    h("input", {
      id,
      name: "word",
      value: word,
      maxlength: "100",
      autocapitalize: "none",
      spellcheck: "false",
    }),
    h("button", { class: "button" }, "Look up"),
  );
}

async function beginning(signal) {
  const { words: known } = await wordMap(signal);
  const common = [...known].sort((a, b) => b.count - a.count).slice(0, COMMON);
  announce("Look up a word");
  return [
    ask(""),
    h("h1", { tabindex: "-1" }, "The words of the dictionary"),
    h(
      "p",
      { class: "aside" },
      "A word's neighbours are the words that people meet in the same places. These are frequent:",
    ),
    h(
      "ul",
      { class: "common" },
      common.map(({ word }) => h("li", {}, h("a", { href: address({ words: [word] }) }, word))),
    ),
  ];
}

function unknown(word) {
  const detail = "The dictionary holds single words that were seen often enough in training.";
  const link = h("p", {}, h("a", { class: "button", href: "?word=" }, "Show frequent words"));
  return nothing(`${quoted(word)} is not in the dictionary`, detail, link);
}

// A search: one list, or hybrid, embedding and text beside each other.

import { address, K, MAX_K } from "./address.js";
import { search } from "./api.js";
import { Card, measure, tint } from "./card.js";
import { announce, count, h, quoted, rove, sentence } from "./dom.js";
import { pieces } from "./match.js";
import { empty } from "./states.js";

const KINDS = {
  hybrid: ["Hybrid", "both kinds of match, merged"],
  embedding: ["Embedding", "near in meaning"],
  text: ["Text", "the same words"],
};

/** The results of `state.q`. */
export async function results(state, signal) {
  if (state.mode === "compare") return sideBySide(state, signal);
  const found = await search(state.q, state.mode, state.k, signal);
  const strip = new Strip(state.q, found);
  const said = `${count(found.hits.length)} ${found.hits.length === 1 ? "pin" : "pins"}`;
  announce(`${said} for ${state.q}`);
  return [
    h(
      "div",
      { class: "summary" },
      h("h1", { tabindex: "-1" }, said, " for ", quoted(state.q)),
      h(
        "p",
        { class: "aside" },
        `${count(found.candidates)} looked at in ${milliseconds(found.took_ms)}`,
      ),
    ),
    strip.element,
    found.notice && h("p", { class: "notice" }, sentence(found.notice)),
    found.hits.length
      ? h(
          "ol",
          { class: "cards" },
          cards(found, state, strip, { heading: "h2" }).map((card) => card.element),
        )
      : noPin(state, found),
    found.hits.length === state.k && state.k < MAX_K && more(state),
  ];
}

async function sideBySide(state, signal) {
  const kinds = Object.keys(KINDS);
  const answers = await Promise.all(kinds.map((mode) => search(state.q, mode, state.k, signal)));
  const strip = new Strip(state.q, answers[0]);
  const places = answers.map(({ hits }) => new Map(hits.map(({ id }, place) => [id, place + 1])));
  announce(`Three lists of results for ${state.q}`);
  const columns = answers.map((found, own) => {
    const notes = found.hits.map(({ id }) => elsewhere(id, own, kinds, places));
    return { found, list: cards(found, state, strip, { heading: "h3", notes, words: 3 }) };
  });
  twins(columns.flatMap(({ list }) => list));
  const added = answers[1].hits.filter(({ id }) => !places[2].has(id)).length;
  return [
    h(
      "div",
      { class: "summary" },
      h("h1", { tabindex: "-1" }, "Three ways to find ", quoted(state.q)),
      h(
        "p",
        { class: "aside" },
        `${added} of the ${answers[1].hits.length} found by embedding are not found by text`,
      ),
    ),
    strip.element,
    h(
      "div",
      { class: "columns" },
      columns.map(({ found, list }, own) => {
        const [name, meaning] = KINDS[kinds[own]];
        const id = `kind-${kinds[own]}`;
        return h(
          "section",
          { "aria-labelledby": id },
          h("h2", { id }, name, h("small", {}, meaning)),
          found.notice && h("p", { class: "notice" }, sentence(found.notice)),
          list.length
            ? h(
                "ol",
                { class: "cards" },
                list.map((card) => card.element),
              )
            : h(
                "p",
                { class: "none" },
                kinds[own] === "text" ? "No pin has these words." : "Nothing near.",
              ),
        );
      }),
    ),
  ];
}

function cards({ hits, mode }, state, strip, { heading, notes = [], words }) {
  const best = Math.max(...hits.map(({ bm25 }) => bm25 ?? 0), 1e-9);
  const list = hits.map((hit, place) => {
    const byText = mode === "text" || typeof hit.similarity !== "number";
    const measured = byText
      ? measure("BM25", hit.bm25 ?? 0, (hit.bm25 ?? 0) / best)
      : measure("similarity", hit.similarity);
    const href = address({ q: state.q, mode: state.mode, pins: [hit.id] });
    return new Card(hit, href, { strip, measured, heading, words, note: notes[place] });
  });
  strip.cards.push(...list);
  return list;
}

/** Where else a pin was found: what one kind of search adds to the others. */
function elsewhere(id, own, kinds, places) {
  const others = kinds
    .map((kind, place) => [KINDS[kind][0], place !== own && places[place].get(id)])
    .filter(([, place]) => place);
  if (!others.length) return h("p", { class: "elsewhere" }, h("b", { class: "only" }, "only here"));
  return h(
    "p",
    { class: "elsewhere" },
    others.map(([name, place]) => h("span", {}, `${name} #${place}`)),
  );
}

/** Point at a pin in one list and see it in the others. */
function twins(list) {
  const show = (card, on) => {
    for (const other of list) other.element.classList.toggle("twin", on && other.id === card.id);
  };
  for (const card of list) {
    for (const event of ["pointerenter", "focusin"])
      card.element.addEventListener(event, () => show(card, true));
    for (const event of ["pointerleave", "focusout"])
      card.element.addEventListener(event, () => show(card, false));
  }
}

function more(state) {
  const k = Math.min(MAX_K, state.k + K);
  const href = address({ ...state, k });
  return h("p", { class: "more" }, h("a", { class: "button", href }, `Show ${k - state.k} more`));
}

function noPin(state, { unknown_words: unknown }) {
  const known = distinctWords(state.q).length > unknown.length;
  const other = state.mode === "text" ? "embedding" : "hybrid";
  const href = address({ q: state.q, mode: other });
  const link = h("p", {}, h("a", { class: "button", href }, `Search by ${other}`));
  let detail = "Try fewer or other words.";
  if (!known) detail = "None of its words is in the dictionary or in a pin. Try other words.";
  else if (state.mode === "text") detail = "No pin has these words.";
  return empty("No pin was found", detail, known && state.mode !== other && link);
}

function distinctWords(query) {
  const words = pieces(query).map(({ word }) => word);
  return [...new Set(words.filter(Boolean))];
}

/** The words of the query above the results: lit by a word of a pin, and lighting the pins. */
class Strip {
  constructor(query, { unknown_words: unknown, hits }) {
    this.cards = [];
    const missing = new Set(unknown);
    const words = distinctWords(query);
    this.buttons = words.map((word) => ({ word, button: this.button(word, missing.has(word)) }));
    const group = h(
      "div",
      { role: "toolbar", "aria-label": "Words of the query", class: "words" },
      this.buttons.map(({ button }) => button),
    );
    rove(group);
    const known = words.length - missing.size;
    this.element = h(
      "div",
      { class: "strip", hidden: !hits.length && !missing.size },
      group,
      missing.size > 0 &&
        h(
          "p",
          { class: "aside" },
          known > 0 ? "Dotted words are not in the dictionary." : "Not in the dictionary.",
        ),
    );
  }

  button(word, missing) {
    const choose = () => this.cards.forEach((card) => card.chooseQuery(word));
    const leave = () => this.cards.forEach((card) => card.chooseQuery(null));
    return h(
      "button",
      {
        type: "button",
        class: missing ? "word missing" : "word",
        disabled: missing,
        "aria-label": missing ? `${word}, not in the dictionary` : null,
        on: {
          pointerenter: choose,
          focus: choose,
          click: choose,
          pointerleave: leave,
          blur: leave,
        },
      },
      word,
    );
  }

  /** Light each word by what it gives, of `largest`; `null`: none is lit. */
  light(parts, largest) {
    for (const { word, button } of this.buttons) tint(button, (parts?.get(word) ?? 0) / largest);
  }
}

function milliseconds(took) {
  return took < 10 ? `${took.toFixed(1)} ms` : `${Math.round(took)} ms`;
}

// A found pin: its text, how near it is, and the words and tokens that made the match.

import { address } from "./address.js";
import { announce, digits, h, rove, signed, spoken } from "./dom.js";
import { Match, pieces } from "./match.js";

const WORDS = 5;
const NEGLIGIBLE = 0.05;

/** What a pin is called and what it says; the other fields are facts. */
export function described({ id, fields }) {
  const { title, text, ...others } = fields;
  const texts = Object.keys(others).filter((name) => typeof others[name] === "string");
  const name = title || text || others[texts[0]] || id;
  const body = [text, others.description].find((found) => found && found !== name) ?? "";
  const facts = Object.entries(others).filter(
    ([, value]) => value !== name && value !== body && value !== null && value !== "",
  );
  return { name, body, facts };
}

/** A bar with its number. */
export function measure(label, value, share = value) {
  return h(
    "div",
    { class: "measure" },
    h("span", {
      class: "bar",
      "aria-hidden": "true",
      vars: { share: Math.max(0, Math.min(1, share)) },
    }),
    h("span", { class: "number" }, spoken(`${label} `), digits(value)),
  );
}

/** Make cards of hits; those of one list share the words of the query above them. */
export class Card {
  /**
   * @param {Object} hit as the service gives it
   * @param {string} href where its title leads
   * @param {Object} settings `measured`: bar and number; `heading`: `h2` or `h3`; `strip`: the
   *   words of the query; `words`: how many of the pin's words become buttons; `note`: stands at
   *   the foot in place of the tokens
   */
  constructor(hit, href, { measured, heading, strip, words = WORDS, note }) {
    this.id = hit.id;
    this.match = new Match(hit.explanation);
    this.strip = strip;
    this.marks = [];
    const { name, body, facts } = described(hit);
    const title = h(heading, {}, h("a", { href }, this.marked(name)));
    const buttons = this.wordButtons(name, words);
    this.about = note ?? tokensOf(hit.matched_tokens ?? [], this.shared());
    this.readout = h("p", { class: "readout" });
    this.element = h(
      "li",
      {
        class: "card",
        on: { pointerleave: (event) => event.pointerType !== "touch" && this.choose(null) },
      },
      h("div", { class: "head" }, title, measured),
      body && h("p", { class: "body" }, this.marked(body)),
      facts.length > 0 && factsOf(facts),
      buttons,
      h("div", { class: "base" }, this.about, this.readout),
    );
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(event.relatedTarget)) this.choose(null);
    });
    this.choose(null);
  }

  /** A text in which each word that contributes can be pointed at. */
  marked(text) {
    return pieces(String(text)).map(({ text: piece, word }) => {
      if (!word || !this.match.ofPin.has(word)) return piece;
      const mark = h("mark", { on: { pointerenter: () => this.choose(word) } }, piece);
      this.marks.push({ mark, word });
      return mark;
    });
  }

  /** The weightiest words as buttons: to point at a word without a pointer. */
  wordButtons(name, most) {
    const words = this.match.words().filter(([word]) => {
      return Math.abs(this.match.strength(word)) >= NEGLIGIBLE;
    });
    if (!words.length) return null;
    this.buttons = words.slice(0, most).map(([word, contribution]) => {
      const choose = () => this.choose(word);
      const button = h(
        "button",
        {
          type: "button",
          class: "word",
          on: {
            pointerenter: choose,
            click: choose,
            focus: () => (choose(), announce(this.readout.textContent)),
          },
        },
        h("span", {}, word),
        h("span", { class: "number" }, signed(contribution)),
      );
      return { button, word };
    });
    const group = h(
      "div",
      { class: "words", role: "toolbar", "aria-label": `Words that made ${name} match` },
      this.buttons.map(({ button }) => button),
    );
    rove(group);
    return group;
  }

  /** Show what one word of the pin gives; `null`: what all of them give. */
  choose(word) {
    for (const other of this.strip?.cards ?? [])
      if (other !== this && other.chosen) other.choose(null);
    this.chosen = word;
    this.paint((other) => (word === null || word === other ? this.match.strength(other) : 0));
    for (const { button, word: other } of this.buttons ?? []) {
      button.classList.toggle("chosen", other === word);
    }
    const parts = this.match.partsOf(word);
    this.strip?.light(word === null ? null : new Map(parts), this.match.largest);
    this.about?.toggleAttribute("data-away", word !== null);
    if (word === null) return this.readout.replaceChildren();
    const given = parts.slice(0, 4).map(([query, part]) => `${query} ${signed(part)}`);
    const near = h(
      "a",
      { href: address({ words: [word] }), "aria-label": `Words near ${word}` },
      "near words",
    );
    this.readout.replaceChildren(h("b", {}, word), ` with ${given.join(", ")} `, near);
  }

  /** The words that query and pin have in common; `null` where nothing is known of them. */
  shared() {
    if (!this.match.ofPin.size) return null;
    return [...this.match.ofPin.keys()].filter((word) => this.match.ofQuery.has(word));
  }

  /** Show what one word of the query gives to every word of this pin; `null`: what all give. */
  chooseQuery(query) {
    this.paint((word) => {
      return query === null ? this.match.strength(word) : this.match.strengthWith(word, query);
    });
  }

  paint(strengthOf) {
    for (const { mark, word } of this.marks) tint(mark, strengthOf(word));
  }
}

/** Colour an element by a share from -1 to 1. */
export function tint(element, strength) {
  element.style.setProperty("--strength", Math.min(1, Math.abs(strength)).toFixed(3));
  element.classList.toggle("against", strength < 0);
}

function factsOf(facts) {
  return h(
    "dl",
    { class: "facts" },
    facts.slice(0, 4).map(([name, value]) => {
      const said = Array.isArray(value) ? value.join(", ") : String(value);
      return h("div", {}, h("dt", {}, name), h("dd", {}, said));
    }),
  );
}

function tokensOf(tokens, shared) {
  const matched = tokens.filter((token) => typeof token === "string");
  const numbers = tokens.filter((token) => typeof token === "number");
  const words = matched.length ? matched : (shared ?? []);
  if (!tokens.length && !shared) return null;
  return h(
    "p",
    { class: "tokens" },
    words.length > 0
      ? h("span", {}, "Same words ", h("b", {}, words.join(", ")))
      : shared && h("span", { class: "only" }, "No word in common"),
    numbers.length > 0 &&
      h(
        "span",
        { title: "Embedding tokens that query and pin share: regions of the space of meanings" },
        "Same tokens ",
        h(
          "b",
          {},
          numbers.slice(0, 6).join(", "),
          numbers.length > 6 && ` and ${numbers.length - 6} more`,
        ),
      ),
  );
}

// From pin to related pin, with the way back.

import { address } from "./address.js";
import { related } from "./api.js";
import { Card, described, measure } from "./card.js";
import { announce, h, quoted } from "./dom.js";
import { empty } from "./states.js";

const names = new Map();

/** The last pin of `state.pins` and those near to it. */
export async function walk(state, signal) {
  const id = state.pins.at(-1);
  const { pin, hits } = await related(id, state.k, signal);
  const { name, body, facts } = described(pin);
  names.set(id, name);
  for (const hit of hits) names.set(hit.id, described(hit).name);
  announce(`${hits.length} pins related to ${name}`);
  const list = hits.map((hit) => {
    const href = address({ ...state, pins: onwards(state.pins, hit.id) });
    return new Card(hit, href, { measured: measure("similarity", hit.similarity), heading: "h3" })
      .element;
  });
  return [
    await trail(state, signal),
    h(
      "article",
      { class: "subject" },
      h("h1", { tabindex: "-1" }, name),
      body && h("p", {}, body),
      facts.length > 0 &&
        h("p", { class: "aside" }, facts.map(([key, value]) => `${key} ${value}`).join(" · ")),
    ),
    list.length
      ? [h("h2", { class: "section" }, "Related pins"), h("ol", { class: "cards" }, list)]
      : empty("Nothing is near", "None of this pin's words is in the dictionary."),
  ];
}

/** A walk that comes back to a pin is as long as it was there. */
function onwards(pins, next) {
  const seen = pins.indexOf(next);
  return seen < 0 ? [...pins, next] : pins.slice(0, seen + 1);
}

async function trail(state, signal) {
  const before = state.pins.slice(0, -1);
  await Promise.all(before.map((id) => names.has(id) || learnName(id, signal)));
  const steps = before.map((id, place) => {
    return h(
      "a",
      { href: address({ ...state, pins: state.pins.slice(0, place + 1) }) },
      names.get(id),
    );
  });
  if (state.q)
    steps.unshift(h("a", { href: address({ q: state.q, mode: state.mode }) }, quoted(state.q)));
  return breadcrumb("The walk so far", steps, names.get(state.pins.at(-1)));
}

async function learnName(id, signal) {
  // A pin that is gone stays in the walk under its id.
  const name = await related(id, 1, signal).then(
    ({ pin }) => described(pin).name,
    () => id,
  );
  names.set(id, name);
}

/** Steps that lead to where one is. */
export function breadcrumb(label, steps, here) {
  return h(
    "nav",
    { class: "trail", "aria-label": label },
    h(
      "ol",
      {},
      steps.map((step) => h("li", {}, step)),
      h("li", { "aria-current": "page" }, here),
    ),
  );
}

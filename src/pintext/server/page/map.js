// The map of the vocabulary: words that people meet in the same places lie near to each other.

import { address } from "./address.js";
import { neighbors, wordMap } from "./api.js";
import { Chart } from "./chart.js";
import { announce, count, h, svg } from "./dom.js";
import { normal } from "./match.js";
import { nothing } from "./states.js";

const NEAR = 8;
const LISTED = 40;
// Both differ from task to task, so that nobody needs to tell colours apart.
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "ring"];
const main = document.getElementById("main");

/** The map where `state.place` left it, with the word `state.find` chosen. */
export async function wordMapView(state, signal) {
  const { words } = await wordMap(signal);
  if (!words.length) return nothing("There is no map", "The dictionary has no words.");
  const tasks = [...new Set(words.map(({ task }) => task))].sort().map((name, place) => ({
    name,
    label: name || "all tasks",
    shape: SHAPES[place % SHAPES.length],
    color: `task-${place % SHAPES.length}`,
    words: words.filter(({ task }) => task === name).sort((a, b) => b.count - a.count),
  }));
  const map = new WordMap(words, tasks, signal);
  main.addEventListener("shown", () => map.start(state), { once: true, signal });
  return h(
    "section",
    { class: "map" },
    h("h1", { class: "spoken", tabindex: "-1" }, "Map of the vocabulary"),
    h("div", { class: "mapbar" }, legend(tasks, map.chart), finder(map), buttons(map.chart)),
    h("div", { class: "chart" }, map.chart.canvas, map.panel),
    asList(tasks),
  );
}

/** The drawn map and the panel that tells of the chosen word. */
class WordMap {
  constructor(words, tasks, signal) {
    this.signal = signal;
    this.panel = h("div", { class: "panel" }, hint());
    this.chart = new Chart(words, tasks, {
      moved: () => this.remember(),
      passed: (word) => announce(`${word.word}, ${word.task}`),
      chose: (word) => this.choose(word),
    });
  }

  start({ place, find }) {
    this.chart.start(this.signal);
    if (place) this.chart.goTo(place);
    const word = find && this.chart.named(normal(find));
    if (word && !place) this.chart.show(word);
    if (word) this.choose(word);
  }

  async choose(word) {
    this.chart.choose(word, []);
    this.remember();
    this.panel.replaceChildren(...(word ? about(word) : [hint()]));
    if (!word) return;
    announce(`${word.word} chosen`);
    const none = () => ({ neighbors: [] });
    const found = await neighbors(word.word, NEAR, this.signal).catch(none);
    if (this.chart.chosen !== word) return;
    const near = found.neighbors.map((neighbor) => neighbor.word);
    this.chart.choose(word, near);
    this.panel.replaceChildren(
      ...about(
        word,
        near.map((name) => this.leadsTo(name)),
      ),
    );
  }

  /** Go to a word by its name; false where it is not on the map. */
  find(name) {
    const word = this.chart.named(normal(name.trim()));
    if (!word) return false;
    this.chart.show(word);
    this.choose(word);
    return true;
  }

  leadsTo(name) {
    if (!this.chart.named(name)) return h("span", { class: "word" }, name);
    return h(
      "button",
      { type: "button", class: "word", on: { click: () => this.find(name) } },
      name,
    );
  }

  /** The address follows the map without filling the history. */
  remember() {
    if (this.signal.aborted) return;
    const [x, y, zoom] = this.chart.place();
    const whole = zoom === 1 && !x && !y;
    const map = whole ? "" : [x.toFixed(3), y.toFixed(3), zoom.toFixed(2)].join(",");
    const href = address({ map, find: this.chart.chosen?.word });
    clearTimeout(this.later); // a browser lets an address change only so often
    this.later = setTimeout(() => {
      if (!this.signal.aborted) history.replaceState(history.state, "", href);
    }, 120);
  }
}

function hint() {
  return h(
    "p",
    { class: "aside" },
    "Choose a word to see what lies near. Drag, pinch or scroll, or use the arrow keys and + and −.",
  );
}

function about(word, near = []) {
  const parts = [
    h("h2", {}, word.word),
    h("p", { class: "aside" }, `${word.task && `${word.task}, `}seen ${count(word.count)} times`),
    near.length > 0 && h("div", { class: "words" }, near),
    h(
      "p",
      { class: "links" },
      h("a", { href: address({ words: [word.word] }) }, "All near words"),
      h("a", { class: "needs-index", href: address({ q: word.word }) }, "Search pins"),
    ),
  ];
  return parts.filter(Boolean);
}

function legend(tasks, chart) {
  const entry = (task) => {
    const toggle = () => {
      const hidden = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", !hidden);
      chart.hide(task.name, hidden);
    };
    const button = h(
      "button",
      { type: "button", "aria-pressed": "true", on: { click: toggle } },
      swatch(task),
      task.label,
      h("small", {}, count(task.words.length)),
    );
    return h("li", {}, button);
  };
  return h("ul", { class: "legend", "aria-label": "Tasks shown" }, tasks.map(entry));
}

const OUTLINES = {
  circle: "M3 8a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
  square: "M3.5 3.5h9v9h-9z",
  triangle: "M8 2l6 11H2z",
  diamond: "M8 1.5L14.5 8 8 14.5 1.5 8z",
  cross: "M6 2h4v4h4v4h-4v4H6v-4H2V6h4z",
  ring: "M3 8a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
};

function swatch({ shape, color }) {
  const path = svg("path", { d: OUTLINES[shape], class: shape === "ring" ? "ring" : null });
  return svg(
    "svg",
    {
      viewBox: "0 0 16 16",
      width: 14,
      height: 14,
      "aria-hidden": "true",
      class: `swatch ${color}`,
    },
    path,
  );
}

function finder(map) {
  const said = h("span", { class: "said", role: "status" });
  const input = h("input", {
    id: "find",
    type: "search",
    maxlength: "100",
    placeholder: "Find a word",
    autocapitalize: "none",
    spellcheck: "false",
  });
  const submit = (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (!input.value.trim()) return;
    said.textContent = map.find(input.value) ? "" : "not on the map";
  };
  return h(
    "form",
    { class: "finder", autocomplete: "off", on: { submit } },
    h("label", { for: "find", class: "spoken" }, "Find a word on the map"),
    input,
    said,
  );
}

function buttons(chart) {
  const button = (label, text, click) =>
    h("button", { type: "button", class: "icon", "aria-label": label, on: { click } }, text);
  return h(
    "div",
    { class: "zoom", role: "group", "aria-label": "Zoom" },
    button("Zoom out", "−", () => chart.zoom(1 / 1.6)),
    button("Zoom in", "+", () => chart.zoom(1.6)),
    button("Show everything", "⤢", () => chart.goTo([0, 0, 1])),
  );
}

/** The same for those who cannot see it: the frequent words of each task, leading to their neighbours. */
function asList(tasks) {
  const lists = tasks.map(({ label, words }) => {
    const shown = words
      .slice(0, LISTED)
      .map(({ word }) => h("li", {}, h("a", { href: address({ words: [word] }) }, word)));
    return h(
      "section",
      {},
      h("h2", {}, label),
      h("p", { class: "aside" }, `${count(words.length)} words, the most frequent first`),
      h("ul", { class: "common" }, shown),
    );
  });
  return h("details", { class: "aslist" }, h("summary", {}, "The map as lists of words"), lists);
}

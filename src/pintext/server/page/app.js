// Reads the address, shows what it asks for, and follows links without loading the page again.

import { address, read } from "./address.js";
import { info } from "./api.js";
import { count, h } from "./dom.js";
import { results } from "./results.js";
import { problem, skeleton } from "./states.js";
import { walk } from "./walk.js";
import { words } from "./words.js";

const TYPING = 220;
const SOON = 150;
const VIEWS = {
  home,
  search: results,
  pin: walk,
  word: words,
  map: async (...given) => (await import("./map.js")).wordMapView(...given),
};
const main = document.getElementById("main");
const seek = document.getElementById("seek");
const modes = document.getElementById("modes");
const query = document.getElementById("query");

let current = new AbortController();
const left = new Map(); // by entry of the history: where its reader was

/** Show the state of the address; `arrive` puts the reader where the answer begins. */
async function show(arrive, attempt = 0) {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const state = read(location.search);
  furnish(state);
  const waiting = setTimeout(() => wait(state), SOON);
  let content;
  try {
    content = await VIEWS[state.view](state, signal);
  } catch (error) {
    if (signal.aborted) return;
    content = problem(error, () => show(arrive, attempt + 1), attempt, signal);
  } finally {
    clearTimeout(waiting);
  }
  if (signal.aborted) return;
  main.replaceChildren(...[content].flat(3).filter(Boolean));
  main.removeAttribute("aria-busy");
  main.dispatchEvent(new CustomEvent("shown", { detail: { signal } }));
  arrive?.();
}

/** What stands around the answer. */
function furnish(state) {
  document.body.dataset.view = state.view;
  const subject = state.q || state.words.at(-1) || { map: "Map", word: "Words" }[state.view];
  document.title = subject ? `${subject} · PinText` : "PinText";
  if (document.activeElement !== query || state.q !== query.value.trim()) query.value = state.q;
  modes.elements.mode.value = state.mode;
  for (const link of document.querySelectorAll("[data-place]")) {
    if (link.dataset.place === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function wait(state) {
  main.setAttribute("aria-busy", "true");
  if (!main.querySelector(".cards, .near") && state.view !== "home")
    main.replaceChildren(skeleton());
}

// --- going somewhere

const here = () => history.state?.key ?? 0;

function leave(followed = null) {
  left.set(here(), { top: scrollY, followed });
}

function go(href, { typing = false, followed, arrive = atTheTop } = {}) {
  if (href === (location.search || "?")) return show(); // once more, after an error perhaps
  leave(followed);
  const state = { key: performance.now(), typing };
  if (typing && history.state?.typing) history.replaceState(state, "", href);
  else history.pushState(state, "", href);
  show(arrive);
}

/** A screen reader goes on at the heading of what is new. */
function atTheTop() {
  scrollTo(0, 0);
  (main.querySelector("h1, h2") ?? main).focus({ preventScroll: true });
}

function whereItWas() {
  const { top = 0, followed } = left.get(here()) ?? {};
  const link = [...main.querySelectorAll("a")].find((a) => a.getAttribute("href") === followed);
  link?.focus({ preventScroll: true });
  scrollTo(0, top);
}

history.scrollRestoration = "manual";
addEventListener("popstate", () => show(whereItWas));

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  const plain =
    !event.button && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  const href = link?.getAttribute("href");
  if (!plain || !href?.startsWith("?")) return;
  event.preventDefault();
  go(href, { followed: href });
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target !== seek) go(`?${new URLSearchParams(new FormData(event.target))}`);
});

// --- searching

const wanted = () => address({ q: query.value.trim(), mode: modes.elements.mode.value });
let typed;

query.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => go(wanted(), { typing: true, arrive: () => scrollTo(0, 0) }), TYPING);
});

seek.addEventListener("submit", () => {
  clearTimeout(typed);
  history.replaceState({ ...history.state, typing: false }, ""); // what is typed next is a new entry
  go(wanted(), { arrive: () => scrollTo(0, 0) });
});

modes.addEventListener("change", () => {
  leave();
  const state = read(location.search);
  history.pushState(
    { key: performance.now() },
    "",
    address({ ...state, mode: modes.elements.mode.value }),
  );
  show();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "k" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    query.select();
  }
});

// --- the start page, and the foot of every page

async function home(_state, signal) {
  const { index, examples } = await info(signal);
  if (!index) return onlyWords();
  if (!examples.length) return [];
  return h(
    "div",
    { class: "examples" },
    h("h2", {}, "For example"),
    h(
      "ul",
      {},
      examples.map((q) => h("li", {}, h("a", { href: address({ q }) }, q))),
    ),
  );
}

/** A service that was given a model and no index. */
function onlyWords() {
  return h(
    "div",
    { class: "state" },
    h("h2", {}, "There is a dictionary and no index to search"),
    h("p", {}, "Look at the words that it has learned."),
    h(
      "p",
      { class: "links" },
      h("a", { class: "button", href: "?word=" }, "Words"),
      h("a", { class: "button", href: "?map=" }, "Map"),
    ),
  );
}

async function foot() {
  const { version, model, index } = await info();
  if (!index) document.body.dataset.index = "none";
  const facts = [
    index && `${count(index.pins)} pins`,
    `${count(model.words)} words, dim ${model.dim}`,
    `model ${model.fingerprint.slice(0, 8)}`,
    `PinText ${version}`,
  ].filter(Boolean);
  document.getElementById("foot").replaceChildren(...facts.map((fact) => h("span", {}, fact)));
}

show();
foot().catch(() => {}); // it only decorates; the views say what is wrong

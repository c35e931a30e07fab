// The state of the page is its address: a link shows what its sender saw, and the back button works.
//
//   ?q=cat+toys&mode=compare&k=20     a search
//   ?q=cat+toys&pin=17&pin=42         a walk: from the search to pin 17 and on to pin 42
//   ?word=wood&word=oak               a walk from word to word
//   ?map=0.2,-0.1,4&find=oak          the map, where it was moved to, and a chosen word

export const MODES = ["hybrid", "embedding", "text", "compare"];
export const K = 10;
export const MAX_K = 100;

/**
 * Read a state from an address.
 *
 * @returns {{view: "home"|"search"|"pin"|"word"|"map", q: string, mode: string, k: number,
 *   pins: string[], words: string[], place: number[]|null, find: string}}
 */
export function read(search) {
  const given = new URLSearchParams(search);
  const q = (given.get("q") ?? "").trim();
  const mode = MODES.includes(given.get("mode")) ? given.get("mode") : "hybrid";
  const k = Math.min(MAX_K, Math.max(1, Number.parseInt(given.get("k"), 10) || K));
  const [pins, words] = [given.getAll("pin"), given.getAll("word")];
  const place = (given.get("map") ?? "").split(",").map(Number);
  return {
    view: given.has("map")
      ? "map"
      : words.length
        ? "word"
        : pins.length
          ? "pin"
          : q
            ? "search"
            : "home",
    q,
    mode,
    k,
    pins,
    words,
    place: place.length === 3 && place.every(Number.isFinite) ? place : null,
    find: given.get("find") ?? "",
  };
}

/** The address of a state, of which only what differs from the usual need be given. */
export function address({ q = "", mode = "hybrid", k = K, pins = [], words = [], map, find = "" }) {
  const said = new URLSearchParams();
  if (q) said.set("q", q);
  if (mode !== "hybrid") said.set("mode", mode);
  if (k !== K) said.set("k", k);
  for (const pin of pins) said.append("pin", pin);
  for (const word of words) said.append("word", word);
  if (map !== undefined) said.set("map", map);
  if (find) said.set("find", find);
  return `?${said}`;
}

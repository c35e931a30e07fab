// Which words made a match. The cosine of two texts is the sum of what every pair of their words
// gives to it, so the parts shown here add up to the similarity.

const WORD = /[\p{L}\p{M}\p{N}]+/gu;

/** A word as the dictionary writes it. */
export function normal(word) {
  return word.normalize("NFKC").toLowerCase().replaceAll("ς", "σ");
}

/**
 * Cut a text where words begin and end.
 *
 * @returns {{text: string, word: string|null}[]} together the whole text; `word` is null between
 */
export function pieces(text) {
  const found = [];
  let end = 0;
  for (const { 0: word, index } of text.matchAll(WORD)) {
    if (index > end) found.push({ text: text.slice(end, index), word: null });
    found.push({ text: word, word: normal(word) });
    end = index + word.length;
  }
  if (end < text.length) found.push({ text: text.slice(end), word: null });
  return found;
}

/** The contributions of one match, by the word of the pin and by the word of the query. */
export class Match {
  /** @param {{contributions: {query_word, pin_word, contribution}[]}|undefined} explanation */
  constructor(explanation) {
    this.ofPin = new Map();
    this.ofQuery = new Map();
    for (const { query_word: query, pin_word: pin, contribution } of explanation?.contributions ??
      []) {
      add(this.ofPin, pin, query, contribution);
      add(this.ofQuery, query, pin, contribution);
    }
    const sums = [...this.ofPin.values()].map((parts) => Math.abs(total(parts)));
    this.largest = Math.max(1e-9, ...sums);
  }

  /** What each word of the pin gives, as `[word, contribution]`, the largest first. */
  words() {
    const sums = [...this.ofPin].map(([word, parts]) => [word, total(parts)]);
    return sums.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  }

  /** What one word of the pin gives with each word of the query, the largest first. */
  partsOf(word) {
    const parts = [...(this.ofPin.get(word) ?? [])];
    return parts.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  }

  /** From -1 to 1: what a word gives, as a share of what the weightiest word of this pin gives. */
  strength(word) {
    const parts = this.ofPin.get(word);
    return parts ? total(parts) / this.largest : 0;
  }

  /** The same for one word of the query alone. */
  strengthWith(word, query) {
    return (this.ofPin.get(word)?.get(query) ?? 0) / this.largest;
  }
}

/** The sum of some contributions. */
export function total(parts) {
  let sum = 0;
  for (const part of parts.values()) sum += part;
  return sum;
}

function add(table, first, second, contribution) {
  if (!table.has(first)) table.set(first, new Map());
  const parts = table.get(first);
  parts.set(second, (parts.get(second) ?? 0) + contribution);
}

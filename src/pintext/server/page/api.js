// Questions to the service. What it answered in the last minute is kept, so going back is instant.

const PATIENCE = 20_000;
const KEPT = 50;
const FRESH = 60_000;
const kept = new Map();

/** Why there is no answer: a problem document (RFC 9457), or a service that cannot be reached. */
export class Problem extends Error {
  /**
   * @param {string} title what kind of problem
   * @param {string} detail what happened and what to do
   * @param {number} status of HTTP; 0: no answer at all
   * @param {number} retryAfter seconds after which to ask again; 0: not said
   * @param {string} requestId finds the request in the service's log
   */
  constructor(title, detail, status = 0, retryAfter = 0, requestId = "") {
    super(detail || title);
    Object.assign(this, { title, detail, status, retryAfter, requestId });
  }
}

/** Pins for a text; see POST /v1/search. */
export function search(query, mode, k, signal) {
  return ask("v1/search", signal, { query, mode, k, explain: true });
}

/** A pin and those near to it. */
export function related(pin, k, signal) {
  return ask(`v1/related/${encodeURIComponent(pin)}?k=${k}`, signal);
}

/** The words near to a word. */
export function neighbors(word, k, signal) {
  return ask(`v1/words/${encodeURIComponent(word)}?k=${k}`, signal);
}

/** Where words lie on the map, and whose they are. */
export function wordMap(signal) {
  return ask("v1/map", signal);
}

/** What is served. */
export function info(signal) {
  return ask("info", signal);
}

async function ask(path, signal, body) {
  const key = body ? path + JSON.stringify(body) : path;
  const known = kept.get(key);
  if (known && performance.now() - known.when < FRESH) return known.answer;
  const answer = await answerOf(path, signal, body);
  kept.delete(key);
  kept.set(key, { answer, when: performance.now() });
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return answer;
}

async function answerOf(path, signal, body) {
  const giveUp = new AbortController();
  const stop = () => giveUp.abort();
  const timer = setTimeout(stop, PATIENCE);
  signal?.addEventListener("abort", stop);
  try {
    const response = await fetch(new URL(path, document.baseURI), {
      method: body ? "POST" : "GET",
      headers: body ? { "content-type": "application/json" } : {},
      body: body && JSON.stringify(body),
      signal: giveUp.signal,
    });
    if (!response.ok) throw await problemOf(response);
    return await response.json();
  } catch (error) {
    if (error instanceof Problem || signal?.aborted) throw error;
    if (giveUp.signal.aborted) {
      throw new Problem(
        "No answer",
        `The service did not answer within ${PATIENCE / 1000} seconds.`,
      );
    }
    throw new Problem("The service cannot be reached", "It may be restarting, or you are offline.");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

async function problemOf(response) {
  const said = await response.json().catch(() => ({}));
  const wait = Number.parseFloat(response.headers.get("retry-after")) || 0;
  const title = said.title || `Status ${response.status}`;
  return new Problem(title, said.detail || "", response.status, wait, said.request_id || "");
}

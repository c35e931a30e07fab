"""Synthetic engagement pairs with planted topics, of any size, the same bytes every time.

The words of the vocabulary are made of syllables, the frequent ones shorter, and drawn by Zipf's
law. Every pin belongs to one topic. A word of a text is noise (any word) with probability
``noise``; else it comes from the topic's own list, half of which is spelled differently on the
query's and on the pin's side. So the words that a query and its pin share do not give the answer
away: which words belong together has to be learned from the pairs. Topics share their words, so
one word alone is ambiguous.

Every value is a hash of (seed, pair, position), so a pair does not depend on how many others are
made, nor by how many threads. Held-out pairs come from another stream of the same topics.

    python benchmarks/synthetic.py --pairs 200000 --out /tmp/synthetic
"""

import argparse
import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.compiled import compiled

CHUNK = 250_000
MAX_WORD_BYTES = 8
HELD_OUT_STREAM = 1 << 40  # pair numbers from here on are never trained on


@dataclass(frozen=True)
class Recipe:
    """What the pairs look like.

    Attributes:
        pairs: how many.
        vocabulary: distinct words that can occur.
        topics: planted topics.
        topic_words: words in a topic's list, drawn by Zipf's law.
        noise: share of words that have nothing to do with the topic.
        query_words: mean length of a query; lengths are uniform between half and one and a half.
        pin_words: mean length of a pin.
        pins: distinct pins, engaged with by Zipf's law; 0 gives every pair a pin of its own.
        seed: another seed, other pairs.
    """

    pairs: int = 200_000
    vocabulary: int = 96_000
    topics: int = 2_000
    topic_words: int = 150
    noise: float = 0.25
    query_words: int = 4
    pin_words: int = 9
    pins: int = 0
    seed: int = 1


@compiled
def _hash(a: Any, b: Any) -> Any:
    """Mix two numbers into 64 well-spread bits (the finaliser of splitmix64)."""
    z = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) * np.uint64(0xD1B54A32D192ED03)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled
def _unit(bits: Any) -> float:
    """A number in [0, 1) from 64 bits."""
    return float(np.uint64(bits) >> np.uint64(11)) / 9007199254740992.0


@compiled
def _zipf(u: float, n: int) -> int:
    """A rank in [0, n) that falls off like 1 / (rank + 1)."""
    return min(int(np.exp(u * np.log(n + 1.0))) - 1, n - 1)


@compiled
def _word(state: Any, topic: int, side: int, sizes: NDArray[np.int64], noise: float) -> int:
    """The word that the random bits ``state`` give in a topic, on one side (1 query, 2 pin)."""
    vocabulary, topic_words = sizes[0], sizes[2]
    u = _unit(_hash(state, 2))
    if _unit(_hash(state, 1)) < noise:
        return _zipf(u, vocabulary)
    place = _hash(topic, np.uint64(7_000_000_000) + np.uint64(_zipf(u, topic_words)))
    if place & np.uint64(1):
        place = _hash(place, side)
    share = _unit(place)
    return int(share * share * vocabulary)  # frequent words belong to more topics


@compiled
def _write_text(
    out: NDArray[np.uint8],
    end: int,
    state: Any,
    topic: int,
    side: int,
    mean: int,
    sizes: NDArray[np.int64],
    noise: float,
    letters: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> int:
    """Append one text to ``out`` at ``end``; the new end is returned."""
    low = (mean + 1) // 2
    count = low + int(_unit(_hash(state, 3)) * (2 * (mean - low) + 1))
    for i in range(count):
        if i:
            out[end] = 32
            end += 1
        word = _word(_hash(state, 16 + i), topic, side, sizes, noise)
        for at in range(ends[word], ends[word + 1]):
            out[end] = letters[at]
            end += 1
    return end


@compiled
def _write_pairs(
    out: NDArray[np.uint8],
    start: int,
    stop: int,
    seed: int,
    sizes: NDArray[np.int64],
    noise: float,
    letters: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> int:
    """Write pairs [start, stop) to ``out`` as ``query TAB pin NEWLINE``; the bytes written."""
    end = 0
    for pair in range(start, stop):
        state = _hash(seed, pair)
        pin = pair
        if sizes[5] and pair < 1099511627776:  # HELD_OUT_STREAM: held-out pins are always new
            pin = _zipf(_unit(_hash(state, 4)), sizes[5])
        pin_state = _hash(_hash(seed, 5), pin)
        topic = int(_unit(_hash(pin_state, 6)) * sizes[1])
        end = _write_text(out, end, state, topic, 1, sizes[3], sizes, noise, letters, ends)
        out[end] = 9
        end = _write_text(out, end + 1, pin_state, topic, 2, sizes[4], sizes, noise, letters, ends)
        out[end] = 10
        end += 1
    return end


def words(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Spell ``count`` distinct words: their letters, and where each begins (``count + 1``)."""
    syllables = [c + v for c in "bcdfghjklmnpqrstvwxz" for v in "aeiou"]
    spelled = list(syllables)
    last = spelled
    while len(spelled) < count:
        last = [head + tail for head in last for tail in syllables[: 1 + count // len(last)]]
        spelled += last
    text = "".join(spelled[:count]).encode()
    ends = np.zeros(count + 1, np.int64)
    np.cumsum([len(word) for word in spelled[:count]], out=ends[1:])
    return np.frombuffer(text, np.uint8), ends


def chunks(recipe: Recipe, *, threads: int = 2) -> Iterator[bytes]:
    """Yield the pairs as tab-separated lines, ``CHUNK`` pairs at a time, in order."""
    starts = range(0, recipe.pairs, CHUNK)
    yield from _run(recipe, [(s, min(s + CHUNK, recipe.pairs)) for s in starts], threads)


def frames(recipe: Recipe, *, threads: int = 2) -> Iterator[pl.DataFrame]:
    """Yield the pairs as frames with the columns ``query`` and ``pin``."""
    for chunk in chunks(recipe, threads=threads):
        yield _frame(chunk)


def held_out(recipe: Recipe, count: int = 5_000) -> pl.DataFrame:
    """Pairs that are never trained on: the answer to query ``i`` is pin ``i``; all pins differ."""
    spare = HELD_OUT_STREAM + count + count // 4
    (chunk,) = _run(recipe, [(HELD_OUT_STREAM, spare)], 1)
    frame = _frame(chunk).unique("pin", keep="first", maintain_order=True)
    return frame.unique("query", keep="first", maintain_order=True).head(count)


def _run(recipe: Recipe, spans: list[tuple[int, int]], threads: int) -> Iterator[bytes]:
    letters, ends = words(recipe.vocabulary)
    sizes = np.array(
        [
            recipe.vocabulary,
            recipe.topics,
            recipe.topic_words,
            recipe.query_words,
            recipe.pin_words,
            recipe.pins,
        ]
    )
    longest = 2 * (recipe.query_words + recipe.pin_words) * (MAX_WORD_BYTES + 1)

    def make(span: tuple[int, int]) -> bytes:
        start, stop = span
        out = np.empty((stop - start) * longest, np.uint8)
        size = _write_pairs(out, start, stop, recipe.seed, sizes, recipe.noise, letters, ends)
        return out[:size].tobytes()

    with ThreadPoolExecutor(threads) as pool:
        for at in range(0, len(spans), threads):
            yield from pool.map(make, spans[at : at + threads])


def _frame(chunk: bytes) -> pl.DataFrame:
    return pl.read_csv(
        io.BytesIO(chunk),
        separator="\t",
        quote_char=None,
        has_header=False,
        schema={"query": pl.String, "pin": pl.String},
    )


def write_dataset(recipe: Recipe, folder: Path, *, tasks: tuple[str, ...] = ("search",)) -> int:
    """Write PinText's dataset of pairs, ``task=NAME/part-N.parquet``, chunks dealt to the tasks.

    Returns:
        The bytes written.
    """
    size = 0
    for number, frame in enumerate(frames(recipe)):
        path = folder / f"task={tasks[number % len(tasks)]}" / f"part-{number:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path, statistics=False)
        size += path.stat().st_size
    return size


def write_tsv(recipe: Recipe, path: Path) -> int:
    """Write ``query TAB pin`` lines: StarSpace's labelDoc format. Returns the bytes written."""
    with path.open("wb") as file:
        for chunk in chunks(recipe):
            file.write(chunk)
        return file.tell()


def write_text(recipe: Recipe, path: Path, *, joined: bool = True) -> int:
    """Write plain text for fastText: a line for each pair, or for each of its two texts.

    With ``joined`` the context window can reach from a query into its pin, which is the only way in
    which an unsupervised model can learn that the two belong together.

    Returns:
        The bytes written.
    """
    with path.open("wb") as file:
        for chunk in chunks(recipe):
            file.write(chunk.replace(b"\t", b" " if joined else b"\n"))
        return file.tell()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--pairs", type=int, default=Recipe.pairs)
    parser.add_argument("--vocabulary", type=int, default=Recipe.vocabulary)
    parser.add_argument(
        "--pins", type=int, default=Recipe.pins, help="distinct pins; 0: all differ"
    )
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--format", choices=("parquet", "tsv", "text"), default="parquet")
    given = parser.parse_args()
    recipe = replace(
        Recipe(),
        pairs=given.pairs,
        vocabulary=given.vocabulary,
        pins=given.pins,
        seed=given.seed,
    )
    given.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if given.format == "parquet":
        size = write_dataset(recipe, given.out / "pairs")
    elif given.format == "tsv":
        size = write_tsv(recipe, given.out / "pairs.tsv")
    else:
        size = write_text(recipe, given.out / "pairs.txt")
    held_out(recipe).write_parquet(given.out / "held_out.parquet")
    seconds = time.perf_counter() - began
    print(f"{recipe.pairs:,} pairs, {size / 1e6:,.0f} MB in {seconds:.1f} s -> {given.out}")


if __name__ == "__main__":
    main()

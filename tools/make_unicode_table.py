"""Write ``src/pintext/unicode_table.py``: which code points make words, frozen for ever.

    python3.11 tools/make_unicode_table.py            # needs polars and tokenizers

The table is frozen at the Unicode version of the oldest Python that PinText supports (3.11 knows
Unicode 14.0), so the words of a text never change when a library is upgraded. Three engines have to
agree on it: CPython's ``unicodedata``, Polars and ``tokenizers``. Once a code point is assigned,
Unicode never changes its normalisation; the engines differ only on code points that one of them is
too old to know. Those are found here and *retired*: replaced by a space before anything else.

A code point is retired when it has no meaning in the frozen version (a newer engine may give it
one), or when the engines disagree on its normal form, its lower case, its place among combining
marks, or what it composes to. Code points that nothing can tell from a space (symbols, private use)
may be counted either way, which is used to keep the range lists short.
"""

import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import polars as pl
from tokenizers import normalizers

FROZEN = "14.0.0"
TARGET = Path(__file__).resolve().parent.parent / "src" / "pintext" / "unicode_table.py"
SURROGATES = range(0xD800, 0xE000)
VARIATION_SELECTORS = {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
PROLONGED_SOUND_MARK = 0x30FC  # shared by Hiragana and Katakana, so it belongs to neither script
CODE_POINTS = [point for point in range(0x110000) if point not in SURROGATES]

Form = Literal["NFKC", "NFKD", "lower"]
Engine = Callable[[list[str]], list[str]]


def engines(form: Form) -> list[Engine]:
    """A normal form, or lower case, of a list of texts: by Python, Polars and ``tokenizers``."""
    if form == "lower":
        lowercase = normalizers.Lowercase()
        return [
            lambda texts: [text.lower() for text in texts],
            lambda texts: pl.Series(texts).str.to_lowercase().to_list(),
            lambda texts: [lowercase.normalize_str(text) for text in texts],
        ]
    normalizer = normalizers.NFKC() if form == "NFKC" else normalizers.NFKD()
    return [
        lambda texts: [unicodedata.normalize(form, text) for text in texts],
        lambda texts: pl.Series(texts).str.normalize(form).to_list(),
        lambda texts: [normalizer.normalize_str(text) for text in texts],
    ]


def disagreements(form: Form, points: list[int], before: str = "", after: str = "") -> set[int]:
    """The points for which the engines do not all answer the same, between two strings."""
    texts = [before + chr(point) + after for point in points]
    answers = [engine(texts) for engine in engines(form)]
    return {point for point, *found in zip(points, *answers, strict=True) if len(set(found)) > 1}


def compositions() -> list[tuple[int, int]]:
    """The pairs of code points that some code point stands for."""
    pairs = []
    for point in CODE_POINTS:
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pairs.append((int(parts[0], 16), int(parts[1], 16)))
    return pairs


def disputed_bases() -> set[int]:
    """First parts of the pairs that not every engine composes."""
    pairs = compositions()
    texts = [chr(first) + chr(second) for first, second in pairs]
    answers = [engine(texts) for engine in engines("NFKC")]
    return {
        first for (first, _), *found in zip(pairs, *answers, strict=True) if len(set(found)) > 1
    }


def retired_points() -> set[int]:
    """Code points on which the engines disagree, or may come to disagree."""
    retired = {point for point in CODE_POINTS if unicodedata.category(chr(point)) == "Cn"}
    retired |= disagreements("NFKC", CODE_POINTS)
    retired |= disagreements("NFKD", CODE_POINTS)
    retired |= disagreements("lower", CODE_POINTS)
    # U+0345 has the highest combining class, U+0334 the lowest: beside them a mark shows its own.
    retired |= disagreements("NFKD", CODE_POINTS, before="a\u0345")
    retired |= disagreements("NFKD", CODE_POINTS, after="\u0334")
    return retired | disputed_bases()


def classes() -> dict[int, int]:
    """1 for the code points of words, 2 for those that are a word alone; others are left out."""
    column = pl.Series([chr(point) for point in CODE_POINTS])
    alone = column.str.contains(r"^[\p{Han}\p{Hiragana}\p{Katakana}]$").to_list()
    found = {}
    for point, is_alone in zip(CODE_POINTS, alone, strict=True):
        kind = unicodedata.category(chr(point))[0]
        if kind not in "LMN" or point in VARIATION_SELECTORS:
            continue
        is_alone = (is_alone or point == PROLONGED_SOUND_MARK) and kind != "M"
        found[point] = 2 if is_alone else 1
    return found


def inert_points(word_points: Iterable[int]) -> set[int]:
    """Code points that nothing can tell from a space."""
    partners = {point for pair in compositions() for point in pair}
    words = set(word_points)
    return {
        point
        for point in CODE_POINTS
        if point > 0x7F
        and point not in words
        and point not in partners
        and not unicodedata.combining(chr(point))
        and unicodedata.normalize("NFKD", chr(point)) == chr(point).lower() == chr(point)
    } | set(SURROGATES)


def folded(point: int) -> str:
    """What a code point becomes when it is alone."""
    return unicodedata.normalize("NFKC", chr(point)).lower().replace("ς", "σ")


def hard_points() -> set[int]:
    """Code points that may move, join the one before, or become more than one code point."""
    jamo = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}
    joined = {second for _, second in compositions()} | jamo

    def is_hard(point: int) -> bool:
        normal = unicodedata.normalize("NFKC", chr(point))
        if len(normal) > 1 or len(normal.lower()) > 1:
            return True
        return any(ord(one) in joined or unicodedata.combining(one) for one in (chr(point), normal))

    return {point for point in CODE_POINTS if is_hard(point)}


def ranges(required: set[int], allowed: set[int]) -> list[tuple[int, int]]:
    """The fewest inclusive ranges that cover ``required`` and else only touch ``allowed``."""
    found: list[tuple[int, int]] = []
    for point in sorted(required):
        if found and all(between in allowed for between in range(found[-1][1] + 1, point)):
            found[-1] = (found[-1][0], point)
        else:
            found.append((point, point))
    return found


def written(name: str, comment: str, found: list[tuple[int, int]]) -> str:
    """One range list as the source of a Python string."""
    words = [f"{low:x}" if low == high else f"{low:x}-{high:x}" for low, high in found]
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) + 1 > 96:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    body = "\n".join([*lines, line])
    return f'# {comment}\n{name} = """\n{body}\n"""\n'


def main() -> None:
    """Compare the engines and write the module."""
    if unicodedata.unidata_version != FROZEN:
        sys.exit(f"needs a Python with Unicode {FROZEN}, this has {unicodedata.unidata_version}")
    retired = retired_points()
    found = {point: kind for point, kind in classes().items() if point not in retired}
    retired_ranges = ranges(retired, inert_points(found))
    gone = {point for low, high in retired_ranges for point in range(low, high + 1)}
    hard = hard_points()
    changed = {point for point in CODE_POINTS if folded(point) != chr(point)} - gone - hard
    near = {point for other in changed for point in range(other, other + 64)}
    parts = [
        f'"""Classes of code points (Unicode {FROZEN}). Made by tools/make_unicode_table.py."""\n',
        '__all__ = ["ALONE", "CHANGED", "HARD", "RETIRED", "UNICODE_VERSION", "WORD"]\n',
        f'UNICODE_VERSION = "{FROZEN}"\n',
        written(
            "RETIRED",
            "Replaced by a space before anything else.",
            retired_ranges,
        ),
        written(
            "WORD",
            "Runs of these are words (retired code points may lie between).",
            ranges({point for point, kind in found.items() if kind == 1}, gone),
        ),
        written(
            "ALONE",
            "Each of these is a word of its own (retired code points may lie between).",
            ranges({point for point, kind in found.items() if kind == 2}, gone),
        ),
        written(
            "HARD",
            "What becomes of these depends on neighbours (retired code points may lie between).",
            ranges(hard - gone, gone),
        ),
        written(
            "CHANGED",
            "Each of these becomes one other code point (unchanged ones may lie between).",
            ranges(changed, near - hard),
        ),
    ]
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    sys.stderr.write(f"{TARGET}: {len(retired_ranges)} retired ranges, {len(found)} of words\n")


if __name__ == "__main__":
    main()

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pintext import text as text_module
from pintext.errors import DataError
from pintext.text import (
    CLASSES,
    TEXT_RULES,
    Words,
    as_column,
    buffers,
    normalize,
    normalize_column,
    pieces,
    split,
    split_column,
    tokenizer_definition,
    words_of,
    words_of_text,
)

LAST = 0x110000
SURROGATES = re.compile("[\ud800-\udfff]")


class TokenizersForm:
    """The words that the tokenizers library finds."""

    def __init__(self) -> None:
        definition = tokenizer_definition(["[UNK]"], "[UNK]", 512)
        self.tokenizer = Tokenizer.from_str(json.dumps(definition))

    def __call__(self, text: str) -> list[str]:
        text = SURROGATES.sub(" ", text)  # its strings are UTF-8
        normal = self.tokenizer.normalizer.normalize_str(text)
        return [word for word, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(normal)]


tokenizers_form = TokenizersForm()


def listed(words: Words) -> list[list[str]]:
    """The words that kernels point at."""
    data = words.data.tobytes()
    starts, stops = words.bounds[0::2].tolist(), words.bounds[1::2].tolist()
    found = [data[start:stop].decode() for start, stop in zip(starts, stops, strict=True)]
    return [found[a:b] for a, b in zip(words.offsets[:-1], words.offsets[1:], strict=True)]


def assert_forms_agree(texts: Sequence[str]) -> None:
    expected = [split(text) for text in texts]
    forms = {
        "split_column": split_column(texts).to_list(),
        "words_of": listed(words_of(texts)),
        "tokenizers": [tokenizers_form(text) for text in texts],
    }
    for name, found in forms.items():
        for text, words, other in zip(texts, expected, found, strict=True):
            assert words == other, f"{name} differs for {text!a}"


def retired(point: int) -> bool:
    return 0xD800 <= point < 0xE000 or CLASSES[point] == 3


def segments(points: Sequence[int]) -> str:
    """Each code point between two letters, alone and doubled; spaces keep them apart."""
    return " ".join(f"a{chr(point)}B {chr(point)} {chr(point) * 2}" for point in points)


# ------------------------------------------------------------------------------- agreement


def test_the_forms_agree_on_every_code_point() -> None:
    texts = [segments(range(start, start + 64)) for start in range(0, LAST, 64)]
    assert_forms_agree(texts)


def test_the_forms_agree_on_every_mark_beside_marks_of_every_combining_class() -> None:
    marks = [chr(point) for point in range(LAST) if unicodedata.combining(chr(point))]
    probes = list({unicodedata.combining(mark): mark for mark in marks}.values())
    assert len(marks) > 900
    assert len(probes) > 50
    assert_forms_agree(
        [" ".join(f"e{mark}{probe} e{probe}{mark}" for probe in probes) for mark in marks]
    )


def test_the_forms_agree_on_every_canonical_pair() -> None:
    pairs = []
    for point in range(LAST):
        parts = unicodedata.decomposition(chr(point)).split()
        if parts and not parts[0].startswith("<"):
            pairs.append("".join(chr(int(part, 16)) for part in parts))
    assert len(pairs) > 2000
    assert_forms_agree([f"{pair} x{pair}x {pair}\u0323 {pair.upper()}" for pair in pairs])


def test_the_forms_agree_on_hangul_jamo() -> None:
    leading, vowels, trailing = "\u1100\u1112", "\u1161\u1175", ["", "\u11a7", "\u11a8", "\u11c2"]
    jamo = [a + b + c for a in leading for b in vowels for c in trailing]
    syllables = [f"{syllable}{c}" for syllable in "가각힣" for c in trailing]
    assert_forms_agree([" ".join(jamo + syllables), "".join(jamo), "".join(syllables)])


TRICKY = (
    "aAzZ09 \t\x00\x7f'-_.\u00a0\u00ad"
    "İIıßẞſﬁﬃǅΣσςΐΰǰẖŉKÅΩϴℵ½²①…™℀㍿ﷺ"
    "\u0300\u0301\u0307\u0308\u0323\u0327\u0334\u0345\u035c\u05b0\u064b\u094d\u0e38\u302a\u3099"
    "\u1100\u1161\u11a8가각あア゛ーｱﾞ々〇漢豈𠀀𪛖𛀀"
    "\u200b\u200c\u200d\u200e\u202e\u2060\ufe0f\ufeff\U000e0100\U000e0020"
    "🚂👩🏽🇪🇺שׁשלוםمُหมู๋हिन्दीதமி"
    "\u32ff\u0898\ua7f2\U00010781\U00011935\U00011930\U0001133b\u1abf\u0378\ufdd0\uffff\U0010ffff"
    "\ud800\udbff\udc00\udfff"
)
any_text = st.text(st.characters(exclude_categories=()), max_size=40)
tricky_text = st.text(st.sampled_from(TRICKY), max_size=40)
anything = any_text | tricky_text


@given(st.lists(anything, max_size=6))
@settings(max_examples=300, deadline=None)
def test_the_forms_agree_on_any_text(texts: list[str]) -> None:
    assert_forms_agree(texts)


@given(st.lists(anything | st.none(), max_size=6))
@settings(max_examples=300, deadline=None)
def test_columns_are_normalised_as_single_texts_are(texts: list[str | None]) -> None:
    expected = [normalize(text or "") for text in texts]
    assert normalize_column(texts).to_list() == expected
    data, offsets = buffers(texts)
    assert data.tobytes().decode() == "".join(expected)
    assert offsets.tolist() == np.cumsum([0, *(len(text.encode()) for text in expected)]).tolist()


# ------------------------------------------------------------------------- the rules themselves


def words_by_definition(text: str) -> list[str]:
    """The rules as they are written down, from Unicode's categories and names."""
    text = "".join(" " if retired(ord(one)) else one for one in text)
    text = unicodedata.normalize("NFKC", text).lower().replace("ς", "σ")
    words, run = [], ""
    for one in text:
        kind = unicodedata.category(one)[0]
        selector = "\ufe00" <= one <= "\ufe0f" or "\U000e0100" <= one <= "\U000e01ef"
        in_word = kind in "LMN" and not selector
        alone = in_word and kind != "M" and stands_alone(unicodedata.name(one, ""))
        if in_word and not alone:
            run += one
            continue
        words += [run] if run else []
        words += [one] if alone else []
        run = ""
    return [*words, run] if run else words


def stands_alone(name: str) -> bool:
    return name.startswith(
        (
            *("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA", "HENTAIGANA"),
            *("IDEOGRAPHIC ITERATION", "IDEOGRAPHIC NUMBER ZERO", "HANGZHOU NUMERAL"),
            *("VERTICAL IDEOGRAPHIC ITERATION", "OLD CHINESE ITERATION MARK"),
        )
    )


@pytest.mark.skipif(
    unicodedata.unidata_version != "14.0.0",
    reason="the table is frozen at Unicode 14, whose categories Python 3.11 knows",
)
def test_every_code_point_follows_the_rules() -> None:
    for start in [*range(0, 0x32000, 64), *range(0xE0000, 0xE0200, 64)]:
        text = segments(range(start, start + 64))
        assert split(text) == words_by_definition(text), f"from U+{start:04X} on"


def test_hardly_a_letter_is_retired() -> None:
    lost = [p for p in range(LAST) if CLASSES[p] == 3 and chr(p).isalpha()]
    frozen_lost = [
        p for p in lost if p in {*range(0xA7F2, 0xA7F5), 0xAB69, *range(0x10781, 0x107BB)}
    ]
    assert len(frozen_lost) == 60  # modifier letters of phoneticians
    if unicodedata.unidata_version == "14.0.0":
        assert lost == frozen_lost


def test_the_rules_are_frozen() -> None:
    """Models name the version of their rules: a change here needs TEXT_RULES = 2."""
    table = hashlib.sha256(CLASSES.tobytes()).hexdigest()
    regexes = hashlib.sha256(
        (text_module._RETIRED_REGEX + text_module._WORD_REGEX).encode()
    ).hexdigest()
    folding = hashlib.sha256(text_module._folding_table().astype("<u4").tobytes()).hexdigest()
    assert TEXT_RULES == 1
    assert table[:16] == "d39bb8917306dc88"
    assert regexes[:16] == "4d2e30de516099b6"
    assert folding[:16] == "ab12b6aac176ae83"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n\x00", []),
        ("Wood cabinets, KITCHEN!", ["wood", "cabinets", "kitchen"]),
        ("a\x00b", ["a", "b"]),
        ("it's 4x4 e-mail snake_case", ["it", "s", "4x4", "e", "mail", "snake", "case"]),
        ("Crème BRÛLÉE cre\u0300me", ["crème", "brûlée", "crème"]),
        ("ﬁne ½ x² ™", ["fine", "1", "2", "x2", "tm"]),
        ("Straße STRASSE ẞ", ["straße", "strasse", "ß"]),
        ("İstanbul", ["i\u0307stanbul"]),
        ("ΟΔΟΣ οδος ΣΑΣ", ["οδοσ", "οδοσ", "σασ"]),
        ("東京ラーメンbest", ["東", "京", "ラ", "ー", "メ", "ン", "best"]),
        ("ｱﾞﾊﾟｰﾄ ＡＢＣ", ["ア", "\u3099", "パ", "ー", "ト", "abc"]),
        ("김치 \u1100\u1161", ["김치", "가"]),
        ("हिन्दी ภาษาไทย", ["हिन्दी", "ภาษาไทย"]),
        ("שָׁלוֹם مَرْحَبًا", ["ש\u05b8\u05c1לו\u05b9ם", "مَرْحَبًا"]),
        ("train🚂ride 👩🏽‍🚀 ❤️", ["train", "ride"]),
        ("soft\u00adhyphen zero\u200bwidth", ["soft", "hyphen", "zero", "width"]),
        ("\ufe0fa\ufe0fb", ["a", "b"]),
        ("\u32ffa\u0378b\ud800c", ["a", "b", "c"]),
        ("[UNK] [PAD]", ["unk", "pad"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split(text) == words
    assert_forms_agree([text])


def test_a_text_of_a_hundred_thousand_words() -> None:
    words = [f"w{index}" for index in range(100_000)]
    long = ", ".join(words)
    assert split(long.upper()) == words
    assert listed(words_of(["x", long, "é" + long])) == [["x"], words, ["éw0", *words[1:]]]


@given(st.lists(anything, max_size=5), st.integers(-1, 8))
@settings(max_examples=100, deadline=None)
def test_a_limit_keeps_the_first_words(texts: list[str], limit: int) -> None:
    expected = [split(text)[: max(limit, 0)] for text in texts]
    assert listed(words_of(texts, limit)) == expected
    assert [listed(words_of_text(text, limit))[0] for text in texts] == expected


# ------------------------------------------------------------------------------- columns


def test_nulls_and_all_kinds_of_text_columns() -> None:
    columns: list[Any] = [
        pl.Series(["Ab c", None]),
        pl.Series(["Ab c", None], dtype=pl.Categorical),
        pl.Series(["Ab c", None], dtype=pl.Enum(["Ab c"])),
        ["Ab c", None],
        ("Ab c", ""),
        np.array(["Ab c", ""]),
        pl.Series(["x", "Ab c", None])[1:],
    ]
    for column in columns:
        assert split_column(column).to_list() == [["ab", "c"], []]
        assert listed(words_of(column)) == [["ab", "c"], []]
    columns = [pl.Series([None, None]), pl.Series([None], dtype=pl.String), [], [None]]
    for column in columns:
        assert split_column(column).to_list() == [[]] * len(column)
        assert listed(words_of(column)) == [[]] * len(column)


def test_a_column_is_not_changed() -> None:
    column = pl.Series("name", ["Crème", "A\u030a", None])
    normalize_column(column)
    buffers(column)
    assert column.to_list() == ["Crème", "A\u030a", None]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (pl.Series([1, 2]), "Int64"),
        (pl.Series([b"a"]), "Binary"),
        ("abc", "one str"),
        (b"abc", "one bytes"),
        (["a", 1], "item 1 is 1"),
        (["a", b"b"], "item 1 is b'b'"),
        (["\ud800", None, 2.5], "item 2 is 2.5"),
        ([["a"]], "item 0"),
    ],
)
def test_what_is_not_text_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        as_column(texts)


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(1, 60))
def test_pieces_cut_a_column_without_loss(texts: list[str], n_bytes: int) -> None:
    column = as_column(texts)
    found = list(pieces(column, n_bytes))
    assert [text for piece in found for text in piece] == texts
    sizes = [piece.str.len_bytes().sum() for piece in found]
    assert all(len(piece) for piece in found)
    assert all(size <= n_bytes or len(p) == 1 for size, p in zip(sizes, found, strict=True))

"""A model folder, unchanged, in the libraries that people have already."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pintext.model import PinTextModel
from some_models import WORDS, some_model

pytestmark = pytest.mark.filterwarnings("default")  # other people's deprecations

TEXTS = [
    "wood",
    "Wood cabinets, KITCHEN!",
    "wood wood oak",
    "",
    " ",
    "nothing known",
    "oak unknown train",
    "ＣＲÈＭＥ bru\u0302le\u0301e",
    "木の台所 ΣΟΦΟΣ МОСКВА कमरा",
    "2024x2 x2 7 ７",
    "a\x00b a\u200dwood",
    "wood " * 700 + "glacier",
    "word " * 600 + "glacier",
    "x" * 5000 + " oak",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "model"
    some_model(dim=16).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> PinTextModel:
    return PinTextModel.from_pretrained(folder)


@pytest.fixture(scope="module")
def static(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from model2vec import StaticModel

        return StaticModel.from_pretrained(folder)


@pytest.fixture(scope="module")
def transformer(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(folder), device="cpu")


def test_model2vec_gives_the_same_vectors(model: PinTextModel, static: Any) -> None:
    found = static.encode(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.encode(TEXTS), atol=1e-6)
    assert np.linalg.norm(found[0]) > 0.1
    np.testing.assert_allclose(static.encode("wood oak"), model.encode("wood oak"), atol=1e-6)
    assert static.tokens[:-1] == WORDS
    assert static.dim == 16


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(WORDS), st.text(max_size=8), st.sampled_from(" ,-\n\t")),
        max_size=9,
    ).map("".join)
)
def test_model2vec_agrees_on_any_text(model: PinTextModel, static: Any, text: str) -> None:
    np.testing.assert_allclose(static.encode([text])[0], model.encode(text), atol=1e-6)


def test_sentence_transformers_gives_the_same_directions(
    model: PinTextModel, transformer: Any
) -> None:
    found = transformer.encode(TEXTS)
    own = model.encode(TEXTS)
    assert found.shape == own.shape
    for text, theirs, ours in zip(TEXTS, found, own, strict=True):
        lengths = np.linalg.norm(theirs), np.linalg.norm(ours)
        assert (lengths[0] == 0) == (lengths[1] == 0), text
        if lengths[0]:
            np.testing.assert_allclose(theirs / lengths[0], ours / lengths[1], atol=1e-6)
    known = ["wood", "oak train", "küche wood 木の"]
    np.testing.assert_allclose(transformer.encode(known), model.encode(known), atol=1e-6)
    similarities = transformer.similarity(found[:2], found[:2]).numpy()
    assert similarities[0, 1] == pytest.approx(model.similarity(TEXTS[0], TEXTS[1]), abs=1e-6)


def test_a_round_trip_through_model2vec_keeps_the_rows(
    model: PinTextModel, static: Any, tmp_path: Path
) -> None:
    """model2vec writes the folder anew; its own reader finds the same vectors."""
    static.save_pretrained(tmp_path / "again")
    again = type(static).from_pretrained(tmp_path / "again")
    np.testing.assert_allclose(again.encode(TEXTS), model.encode(TEXTS), atol=1e-6)


def test_tokenizers_numbers_words_as_rows(folder: Path, model: PinTextModel) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    unknown = tokenizer.token_to_id("[UNK]")
    assert unknown == len(WORDS)
    for text in TEXTS:
        found = [number for number in tokenizer.encode(text).ids if number != unknown]
        assert found == model.vocabulary.rows_of(text).tolist()

"""A folder of format 1, kept as it was first written, loads forever and means the same."""

import json
from pathlib import Path

import numpy as np

from pintext import PinTextModel
from pintext.model_folder import verify

GOLDEN = Path(__file__).parent / "golden"


def test_a_model_of_format_1_still_loads_and_gives_the_same_vectors() -> None:
    model = PinTextModel.from_pretrained(GOLDEN / "model-v1")
    known = json.loads((GOLDEN / "model-v1-vectors.json").read_text("utf-8"))
    assert model.fingerprint == known["fingerprint"]
    assert len(model) == known["words"]
    for text, vector in known["vectors"].items():
        np.testing.assert_allclose(model.encode(text), vector, rtol=0, atol=1e-7)
    assert model.config is not None
    assert model.config.dim == model.dim == 8
    assert model.card["tasks"].keys() == {"related_pins", "search"}


def test_the_content_of_a_model_of_format_1_is_whole() -> None:
    assert verify(GOLDEN / "model-v1").fingerprint == (
        PinTextModel.from_pretrained(GOLDEN / "model-v1").fingerprint
    )

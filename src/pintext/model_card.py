"""The model card: what a person who finds a model folder should know. No dates, no timings."""

from collections.abc import Sequence
from typing import Any

import msgspec

from pintext.config import TrainConfig, settings
from pintext.vocabulary import Vocabulary

__all__ = ["model_card"]

_TEXT = """\
---
library_name: pintext
tags:
- embeddings
- static-embeddings
- sentence-transformers
- model2vec
---

# PinText model

A dictionary of {words:,} words: one row of {dim} numbers for each. A text is the mean of the rows
of its known words; two texts are compared by the cosine. Fingerprint `{fingerprint}`.

```python
from pintext import PinTextModel

model = PinTextModel.from_pretrained(".")
model.encode(["a text", "another"])
```

The folder also loads unchanged as `model2vec.StaticModel.from_pretrained(".")` and as
`sentence_transformers.SentenceTransformer(".")`.
"""


def model_card(
    vocabulary: Vocabulary,
    dim: int,
    fingerprint: str,
    config: TrainConfig | None,
    card: dict[str, Any],
) -> str:
    """The ``README.md`` of a model folder; the same model gives the same text."""
    parts = [_TEXT.format(words=len(vocabulary), dim=dim, fingerprint=fingerprint)]
    if vocabulary.tasks:
        known = vocabulary.words_by_task()
        rows = [
            (f"`{task}`", f"{int(known[task].sum()):,}", f"{int(counts.sum()):,}")
            for task, counts in zip(vocabulary.tasks, vocabulary.counts, strict=True)
        ]
        parts += ["## Tasks\n", _table(("task", "words it uses", "running words"), rows)]
    if config is not None:
        values = config.to_dict()
        parts += [
            "## Settings\n",
            _table(
                ("setting", "value", "meaning"),
                [
                    (f"`{setting.name}`", _short(values[setting.name]), setting.description)
                    for setting in settings(TrainConfig)
                ],
            ),
        ]
    if card:
        figures = msgspec.json.format(msgspec.json.encode(card), indent=2).decode()
        parts += ["## Figures\n", f"```json\n{figures}\n```\n"]
    return "\n".join(parts)


def _table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [names, tuple("---" for _ in names), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _short(value: Any) -> str:
    written = msgspec.json.encode(value).decode()
    return written if len(written) <= 60 else f"{len(value)} entries"

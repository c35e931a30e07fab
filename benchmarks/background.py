"""Which background entities to learn against, on real held-out engagement.

``uniform`` draws them uniformly over a task's distinct pins, as the PinText article says;
``engagement`` as often as they were engaged with. PinText never takes a known positive pin of the
query for a background entity; here that is also switched off, to see what it is worth.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import pintext.training.trainer as trainer
from harness import table
from pintext.training.corpus import Corpus
from real_data import add_options, load
from sweep import MAX_QUERIES, NOTE, baselines, quality, row


@contextmanager
def known_positives_unmasked() -> Iterator[None]:
    """Let the trainer forget which pins are known positives of a query.

    It has no setting for that, and should have none: so its preparation is replaced from outside.
    """
    names = vars(trainer)
    prepare = names["prepare_corpus"]

    def forgetful(*arguments: Any) -> Corpus:
        corpus: Corpus = prepare(*arguments)
        arrays = corpus.arrays._replace(
            known_starts=np.zeros_like(corpus.arrays.known_starts),
            known_pins=np.zeros(0, np.int32),
        )
        return replace(corpus, arrays=arrays)

    names["prepare_corpus"] = forgetful
    try:
        yield
    finally:
        names["prepare_corpus"] = prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    for data in load(given.datasets, given.data):
        asked = data.questions("test", MAX_QUERIES)
        rows = [row(label, recalls) for label, recalls in baselines(asked)]
        with tempfile.TemporaryDirectory() as folder:
            pairs = Path(folder, "pairs")
            data.write(pairs)
            for masked in (True, False):
                for background in ("uniform", "engagement"):
                    for seed in range(given.seeds):
                        settings = {"validation": 0.0, "background": background, "seed": seed}
                        if masked:
                            (recalls,), seconds = quality(pairs, settings, asked)
                        else:
                            with known_positives_unmasked():
                                (recalls,), seconds = quality(pairs, settings, asked)
                        label = f"{background}{'' if masked else ', unmasked'}, seed {seed}"
                        rows.append(row(label, recalls, f"{seconds:.0f}"))
                        print("  ".join(rows[-1]), flush=True)
        table(str(data), ";".join(["background", "mean", *asked, "seconds"]), rows, NOTE)


if __name__ == "__main__":
    main()

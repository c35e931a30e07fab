"""The recall planner: from a promise to the settings that keep it at the least cost.

Whether a query finds a pin depends only on the tokens of the two, so recall is measured exactly on
a sample of queries without building an index, and for every number of probes at once
(:mod:`pintext.tokens.curve`). One half of the queries chooses; the other half checks the choice.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from pintext.arrays import F32, I64
from pintext.errors import ConfigError
from pintext.tokens.curve import Curve, Sample, draw_sample, measure
from pintext.tokens.hyperplane import HyperplaneTokens
from pintext.tokens.learned import LearnedTokens
from pintext.tokens.scheme import TokenScheme

__all__ = ["TokenPlan", "plan_tokens"]

Kind = Literal["learned", "hyperplane"]
QUERIES = 1000
"""Queries that are measured, at most; half of them choose."""
MOST_PER_PIN = 4
TABLES = (16, 32)
PROBE_COST = 8
"""Asking for one more token takes as long as scoring so many pins more (measured: some 0.5 us
against 0.06 us)."""
MARGINS = (1.645, 2.5, 4.0)
"""Standard errors that the choosing half must lie above the promise; the next one is taken when the
checking half falls short."""


class TokenPlan(NamedTuple):
    """Tokens that should keep a promise of recall, and what was seen of them.

    Recall is the share of the exact ``k`` nearest pins that a query's tokens bring in.

    Attributes:
        scheme: turns pins and queries into tokens.
        probes: tokens that a query asks for, at most.
        candidates: pins that one query in a hundred exceeds; where a limit is needed, this one
            costs next to no recall.
        target: the recall that was asked for.
        expected_recall: of the half of the queries that chose.
        expected_share: of all pins that a query scores, there.
        measured_recall: of the other half.
        measured_share: of all pins that a query scores, there.
        bytes: of the tokens of all pins and of the scheme, uncompressed.
        queries: that were measured, both halves.
        from_pins: no queries were given, and pins stood for them, which are easier to find.
    """

    scheme: TokenScheme
    probes: int
    candidates: int
    target: float
    expected_recall: float
    expected_share: float
    measured_recall: float
    measured_share: float
    bytes: int
    queries: int
    from_pins: bool

    @property
    def kept(self) -> bool:
        """Whether the checking half of the queries found as much as was promised."""
        return self.measured_recall >= self.target

    @property
    def notice(self) -> str | None:
        """What a person should know about the promise, if anything."""
        if not self.kept:
            return (
                f"recall {self.target:g} was asked for, {self.measured_recall:.3f} was measured; "
                "learned tokens, or more pins to learn from, find more"
            )
        if self.from_pins and self.queries:
            return (
                "recall was measured with pins for queries; typed queries are farther from pins, "
                "so give some of yours to be sure"
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        shape: dict[str, Any] = {"kind": self.scheme.kind, "tokens": self.scheme.n_tokens}
        if isinstance(self.scheme, HyperplaneTokens):
            shape |= {"tables": self.scheme.tables, "bits": self.scheme.bits}
        elif isinstance(self.scheme, LearnedTokens):
            shape |= {"per_pin": self.scheme.per_pin, "reach": self.scheme.reach}
        figures = self._asdict()
        del figures["scheme"]
        return shape | figures


class _Option(NamedTuple):
    """A scheme with its probes, and what each query of a sample found and scored with it.

    ``asked`` is the mean number of tokens that a query asks for, ``probes`` the most.
    """

    scheme: TokenScheme
    probes: int
    asked: float
    recall: F32
    share: F32

    def surely(self, errors: float) -> float:
        """Recall less so many standard errors."""
        spread = float(self.recall.std()) / math.sqrt(len(self.recall))
        return float(self.recall.mean()) - errors * spread

    def cost(self, pins: int) -> float:
        """Pins that could be scored in the time that a query takes."""
        return float(self.share.mean()) * pins + PROBE_COST * self.asked


def plan_tokens(
    vectors: F32,
    recall: float = 0.95,
    *,
    queries: F32 | None = None,
    k: int = 10,
    most_probes: int = 512,
    kind: Kind = "learned",
    seed: int = 0,
    fingerprint: str = "",
    threads: int = 0,
) -> TokenPlan:
    """Choose the tokens that find the asked share of the nearest pins at the least cost of a query.

    Args:
        vectors: of all pins, contiguous float32 ``(n, dim)``, may be memory-mapped.
        recall: share of the exact ``k`` nearest pins that must be found, in (0, 1).
        queries: of real queries that are not pins, ``(q, dim)``; a thousand are enough. Without
            them pins stand for queries, each looking for others than itself; but typed queries are
            short and lie farther from pins, and may find less.
        k: nearest pins that are looked for.
        most_probes: tokens that a query may ask for; engines limit the terms of a query.
        kind: of tokens.
        seed: of the scheme and of the samples.
        fingerprint: of the model that the vectors are from.
        threads: 0 means all cores; the plan does not depend on it.

    Returns:
        The plan. If nothing keeps the promise it is the one that finds most, and says so
        (``kept``, ``notice``). For pins without a single usable vector it finds all: nothing.

    Raises:
        ConfigError: ``recall``, ``k`` or ``most_probes`` is out of range, or no such kind.
        DataError: a vector is not finite, or queries have another length than pins.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"kind = {kind!r}: expected {' or '.join(get_args(Kind))}")
    if not 0 < recall < 1 or min(k, most_probes) < 1:
        raise ConfigError(
            f"recall = {recall}, k = {k}, most_probes = {most_probes}: expected recall in (0, 1), "
            "the others from 1 on"
        )
    asked, own = _queries(vectors, queries, seed)
    if not (len(asked) and vectors.any()):
        scheme = next(_schemes(vectors, kind, seed, fingerprint, threads))
        probes = min(scheme.n_tokens, most_probes)
        return _plan(scheme, probes, vectors, recall, None, None, from_pins=queries is None)
    halves = []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        mine = asked[half] if len(asked) > 1 else asked
        rows = own[half] if len(asked) > 1 else own
        halves.append(draw_sample(vectors, mine, k, seed, own=rows, threads=threads))
    choosing, checking = halves
    options = [
        option
        for scheme in _schemes(vectors, kind, seed, fingerprint, threads)
        for option in _options(scheme, vectors, choosing, most_probes, threads)
    ]
    for errors in MARGINS:
        chosen = _cheapest(options, recall, errors, len(vectors))
        checked = _check(chosen, vectors, checking, threads)
        if checked.recall.mean() >= recall:
            break
    return _plan(
        chosen.scheme, chosen.probes, vectors, recall, chosen, checked, from_pins=queries is None
    )


def _queries(vectors: F32, queries: F32 | None, seed: int) -> tuple[F32, I64]:
    """The queries to measure, in random order, and the rows of ``vectors`` that they are, or -1."""
    source = vectors if queries is None else queries
    draw = np.random.default_rng(seed + 1)
    rows = draw.choice(len(source), min(QUERIES, len(source)), replace=False)
    asked = np.array(source[rows], np.float32)
    usable = asked.any(axis=1)
    own = rows if queries is None else np.full(len(rows), -1)
    return asked[usable], own[usable].astype(np.int64)


def _schemes(
    vectors: F32, kind: str, seed: int, fingerprint: str, threads: int
) -> Iterator[TokenScheme]:
    """What is worth measuring for so many pins."""
    if kind == "learned":
        yield LearnedTokens.train(
            vectors,
            per_pin=MOST_PER_PIN,
            reach=0,
            seed=seed,
            fingerprint=fingerprint,
            threads=threads,
        )
        return
    # Buckets of about 2 to 32 pins, were the pins spread evenly; they are not.
    most = max(6, min(20, round(math.log2(max(len(vectors), 2))) - 1))
    for tables in TABLES:
        for bits in range(most - 4, most + 1, 2):
            yield HyperplaneTokens(
                vectors.shape[1], tables=tables, bits=bits, seed=seed, fingerprint=fingerprint
            )


def _options(
    scheme: TokenScheme, vectors: F32, sample: Sample, most_probes: int, threads: int
) -> Iterator[_Option]:
    """Every way to use a scheme, with what it finds in a sample."""
    probes = min(scheme.n_tokens, most_probes)
    curves = measure(scheme, vectors, sample, probes, threads=threads)
    every = np.arange(len(sample.queries))
    if not isinstance(scheme, LearnedTokens):
        for last in range(min(scheme.per_pin, probes) - 1, probes):
            curve = curves[-1]
            yield _Option(scheme, last + 1, last + 1, curve.recall[:, last], curve.share[:, last])
        return
    weights = scheme.probe(sample.queries, probes, threads=threads).weights
    for step in range(0, 100, 2):
        reach = 1 - step / 100
        reached = np.maximum((weights >= reach * weights[:, :1]).sum(axis=1), 1)
        for most in _limits(int(reached.max())):
            counts = np.minimum(reached, most)
            for per_pin, curve in enumerate(curves, 1):
                used = scheme.with_use(per_pin=per_pin, reach=reach)
                found = curve.recall[every, counts - 1]
                scored = curve.share[every, counts - 1]
                yield _Option(used, most, float(counts.mean()), found, scored)


def _limits(most: int) -> list[int]:
    """Numbers of probes to try: each half as much again as the one before, and the most."""
    steps = range(math.ceil(2 * math.log2(most)))
    return sorted({round(2 ** (step / 2)) for step in steps} | {most})


def _cheapest(options: list[_Option], recall: float, errors: float, pins: int) -> _Option:
    """Of those that keep the promise the one that costs least, else the one that finds most.

    Of two that cost nearly as little, the one with fewer tokens a pin is taken.
    """
    keeping = [option for option in options if option.surely(errors) >= recall]
    if not keeping:
        return max(options, key=lambda option: (option.recall.mean(), -option.share.mean()))
    least = min(option.cost(pins) for option in keeping)
    near = [option for option in keeping if option.cost(pins) <= 1.05 * least]
    return min(near, key=lambda option: (option.scheme.per_pin, option.cost(pins)))


def _check(option: _Option, vectors: F32, sample: Sample, threads: int) -> _Option:
    """What another sample finds with the very scheme and probes that were chosen."""
    curve: Curve = measure(option.scheme, vectors, sample, option.probes, threads=threads)[-1]
    return option._replace(recall=curve.recall[:, -1], share=curve.share[:, -1])


def _plan(
    scheme: TokenScheme,
    probes: int,
    vectors: F32,
    target: float,
    chosen: _Option | None,
    checked: _Option | None,
    *,
    from_pins: bool,
) -> TokenPlan:
    pins = len(vectors)
    both = [option for option in (chosen, checked) if option is not None]
    share = np.quantile(np.concatenate([option.share for option in both]), 0.99) if both else 1.0
    return TokenPlan(
        scheme=scheme,
        probes=probes,
        candidates=max(math.ceil(float(share) * pins), min(pins, 100)),
        target=target,
        expected_recall=float(chosen.recall.mean()) if chosen else 1.0,
        expected_share=float(chosen.share.mean()) if chosen else 0.0,
        measured_recall=float(checked.recall.mean()) if checked else 1.0,
        measured_share=float(checked.share.mean()) if checked else 0.0,
        bytes=4 * pins * scheme.per_pin + scheme.n_bytes,
        queries=sum(len(option.recall) for option in both),
        from_pins=from_pins,
    )

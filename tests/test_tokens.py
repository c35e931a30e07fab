"""Embedding tokens: one suite for every scheme, then what each of them promises besides."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from pintext.arrays import F32
from pintext.errors import ConfigError, DataError, ModelFormatError
from pintext.tensors import map_tensors, write_tensors
from pintext.tokens import (
    HyperplaneTokens,
    LearnedTokens,
    TokenScheme,
    TokensConfig,
    default_centroids,
    make_tokens,
)
from pintext.tokens.clustering import cluster
from pintext.tokens.kernels import normalized

DIM = 24
Maker = Callable[[F32], TokenScheme]


def some_vectors(rows: int, seed: int = 0, *, topics: int = 40) -> F32:
    """Vectors around random topics, of different lengths."""
    draw = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((topics, DIM))
    vectors = centers[draw.integers(topics, size=rows)] + 0.4 * draw.standard_normal((rows, DIM))
    return (vectors * draw.uniform(0.1, 10, (rows, 1))).astype(np.float32)


PINS = some_vectors(3000)
QUERIES = some_vectors(200, seed=1)


@pytest.fixture(
    scope="module",
    params=[
        TokensConfig(kind="learned", centroids=60, seed=3),
        TokensConfig(kind="learned", centroids=700, per_pin=3, reach=0, seed=3),
        TokensConfig(kind="hyperplane", tables=8, bits=7, seed=3),
        TokensConfig(kind="hyperplane", tables=1, bits=1, seed=3),
    ],
    ids=["learned", "learned-grouped", "hyperplane", "hyperplane-smallest"],
)
def scheme(request: pytest.FixtureRequest) -> TokenScheme:
    return make_tokens(PINS, request.param, fingerprint="abc")


# --- every scheme ---------------------------------------------------------------------------------


def test_a_pin_carries_different_tokens_in_range(scheme: TokenScheme) -> None:
    tokens = scheme.assign(PINS)
    assert tokens.dtype == np.int32
    assert tokens.shape == (len(PINS), scheme.per_pin)
    assert tokens.min() >= 0
    assert tokens.max() < scheme.n_tokens
    ordered = np.sort(tokens, axis=1)
    assert (ordered[:, 1:] != ordered[:, :-1]).all()


def test_a_query_asks_for_the_most_promising_first(scheme: TokenScheme) -> None:
    tokens, weights = scheme.probe(QUERIES, 20)
    assert tokens.shape == weights.shape == (len(QUERIES), min(20, scheme.n_tokens))
    assert weights.max() <= 1 + 1e-6
    assert weights.min() >= -1
    for row, weight in zip(tokens, weights, strict=True):
        asked = row[row >= 0]
        assert 0 < len(asked) == len(set(asked.tolist()))
        assert (row[len(asked) :] == -1).all()
        assert (weight[len(asked) :] == 0).all()
        assert (np.diff(weight[: len(asked)]) <= 0).all()


def test_fewer_probes_are_the_first_of_more(scheme: TokenScheme) -> None:
    """Up to which groups of centroids are searched, which small numbers here do not change."""
    more, fewer = scheme.probe(QUERIES, 12), scheme.probe(QUERIES, 11)
    kept = fewer.tokens.shape[1]
    same = (more.tokens[:, :kept] == fewer.tokens).all(axis=1)
    assert same.mean() > 0.97


def test_a_pin_is_found_by_its_own_vector(scheme: TokenScheme) -> None:
    carried = scheme.assign(PINS)
    asked = scheme.probe(PINS, scheme.per_pin).tokens
    shared = (carried[:, :, None] == asked[:, None, :]).any(axis=(1, 2))
    assert shared.all()
    assert (carried[:, 0] == asked[:, 0]).mean() > 0.99


def test_near_vectors_share_more_tokens_than_far_ones(scheme: TokenScheme) -> None:
    near = scheme.assign(PINS + 0.1 * np.abs(PINS).mean() * np.sign(PINS))
    far = scheme.assign(np.roll(PINS, 1, axis=0))
    carried = scheme.assign(PINS)
    assert (carried == near).mean() > 1.5 * (carried == far).mean()


def test_the_reach_leaves_out_far_centroids_and_nothing_else() -> None:
    learned = LearnedTokens.train(PINS, centroids=60)
    cosines = normalized(QUERIES) @ learned.centroids.vectors.T
    for reach in (1.0, 0.7, 0.2, 0.0):
        asked = learned.with_use(per_pin=2, reach=reach).probe(QUERIES, 60).tokens
        got = (asked[:, :, None] == np.arange(60)).any(axis=1)
        least = reach * cosines.max(axis=1, keepdims=True)
        edge = np.abs(cosines - least) < 1e-6
        assert ((got == (cosines >= least)) | edge).all()
        assert got.any(axis=1).all()
    with pytest.raises(ConfigError, match=r"reach = 1.5: expected 0 to 1"):
        LearnedTokens.train(PINS, reach=1.5)


def test_the_rest_of_the_call_does_not_matter(scheme: TokenScheme) -> None:
    many, found = scheme.assign(PINS), scheme.probe(PINS, 9)
    for row in (0, 1, 1717, 2999):
        assert np.array_equal(scheme.assign(PINS[row : row + 1])[0], many[row])
        alone = scheme.probe(PINS[row : row + 1], 9)
        assert np.array_equal(alone.tokens[0], found.tokens[row])
        assert np.array_equal(alone.weights[0], found.weights[row])


@limits(max_examples=25, deadline=None)
@given(exponent=st.integers(-60, 60), row=st.integers(0, len(PINS) - 1))
def test_only_the_direction_counts(scheme: TokenScheme, exponent: int, row: int) -> None:
    """Powers of two leave every product's sign and order as it is, to the bit."""
    vector = PINS[row : row + 1]
    scaled = vector * np.float32(2.0**exponent)
    assert np.array_equal(scheme.assign(vector), scheme.assign(scaled))
    plain, other = scheme.probe(vector, 6), scheme.probe(scaled, 6)
    assert np.array_equal(plain.tokens, other.tokens)
    assert np.allclose(plain.weights, other.weights, atol=1e-6)


def test_any_number_of_threads_gives_the_same(scheme: TokenScheme) -> None:
    many = np.concatenate([PINS, PINS[::-1], PINS])
    assert np.array_equal(scheme.assign(many, threads=1), scheme.assign(many, threads=5))
    one, five = scheme.probe(many, 9, threads=1), scheme.probe(many, 9, threads=5)
    assert np.array_equal(one.tokens, five.tokens)
    assert np.array_equal(one.weights, five.weights)


def test_a_zero_vector_has_no_tokens(scheme: TokenScheme) -> None:
    vectors = PINS[:3].copy()
    vectors[1] = 0
    carried, asked = scheme.assign(vectors), scheme.probe(vectors, 4)
    assert (carried[1] == -1).all()
    assert (asked.tokens[1] == -1).all()
    assert (asked.weights[1] == 0).all()
    assert (carried[[0, 2]] >= 0).all()


def test_no_vectors_no_tokens(scheme: TokenScheme) -> None:
    assert scheme.assign(PINS[:0]).shape == (0, scheme.per_pin)
    assert scheme.probe(PINS[:0], 2).tokens.shape == (0, 2)


def test_half_precision_and_strided_vectors_are_read(scheme: TokenScheme) -> None:
    half = PINS[:100].astype(np.float16)
    expected = scheme.assign(half.astype(np.float32))
    assert np.array_equal(scheme.assign(half), expected)  # type: ignore[arg-type]
    assert np.array_equal(scheme.assign(PINS[::7]), scheme.assign(PINS)[::7])


def test_vectors_that_cannot_be_used_are_refused(scheme: TokenScheme) -> None:
    with pytest.raises(DataError, match=r"shape \(3000, 5\); expected \(n, 24\)"):
        scheme.assign(PINS[:, :5])
    bad = np.concatenate([PINS, PINS])
    bad[4321, 2] = np.nan
    with pytest.raises(DataError, match="vector 4321 has a number that is not finite"):
        scheme.assign(bad)
    with pytest.raises(DataError, match="vector 4321 has a number that is not finite"):
        scheme.probe(bad, 2)
    with pytest.raises(ConfigError, match="probes = 0: expected 1 or more"):
        scheme.probe(PINS, 0)


def test_saved_and_loaded_it_gives_the_same_and_the_same_bytes(
    scheme: TokenScheme, tmp_path: Path
) -> None:
    scheme.save(tmp_path / "a")
    loaded = TokenScheme.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    assert type(loaded) is type(scheme)
    for name in ("kind", "dim", "n_tokens", "per_pin", "seed", "fingerprint"):
        assert getattr(loaded, name) == getattr(scheme, name)
    assert loaded.fingerprint == "abc"
    assert np.array_equal(loaded.assign(PINS), scheme.assign(PINS))
    one, other = loaded.probe(QUERIES, 9), scheme.probe(QUERIES, 9)
    assert np.array_equal(one.tokens, other.tokens)
    assert np.array_equal(one.weights, other.weights)
    file = "tokens.safetensors"
    assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with pytest.raises(DataError, match="exists already"):
        scheme.save(tmp_path / "a")


@pytest.mark.parametrize("changed", ["format", "format_version", "kind", "seed", "missing"])
def test_a_foreign_or_newer_file_is_refused(
    scheme: TokenScheme, changed: str, tmp_path: Path
) -> None:
    scheme.save(tmp_path)
    path = tmp_path / "tokens.safetensors"
    tensors, marks = map_tensors(path)
    tensors = {name: array.copy() for name, array in tensors.items()}
    messages = {
        "format": "not a file of PinText tokens",
        "format_version": r"format version 99, this one reads up to 1.*update PinText",
        "kind": "damaged",
        "seed": "damaged",
        "missing": "damaged",
    }
    if changed == "missing":
        tensors["other"] = tensors.pop(min(tensors))
    else:
        marks[changed] = "99" if changed == "format_version" else "x"
    write_tensors(path, tensors, marks)
    with pytest.raises(ModelFormatError, match=messages[changed]) as refused:
        TokenScheme.load(tmp_path)
    assert str(path) in str(refused.value)


@limits(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_only_gives_other_numbers(
    scheme: TokenScheme, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    scheme.save(folder)
    path = folder / "tokens.safetensors"
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, min(len(content), 600) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        loaded = TokenScheme.load(folder)
        tokens = loaded.assign(np.ones((1, loaded.dim), np.float32))
    except (ModelFormatError, ConfigError):
        return
    assert (tokens < loaded.n_tokens).all()


# --- settings -------------------------------------------------------------------------------------


def test_settings_that_make_too_many_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"tables = 1024 and bits = 28 make 274,877,906,944"):
        TokensConfig(tables=1024, bits=28)
    with pytest.raises(ConfigError, match=r"at most 2,147,483,647"):
        HyperplaneTokens(8, tables=8, bits=28)


def test_settings_reach_the_scheme() -> None:
    learned = make_tokens(PINS, TokensConfig(centroids=11, per_pin=4, seed=8), fingerprint="f")
    assert (learned.kind, learned.n_tokens, learned.per_pin) == ("learned", 11, 4)
    planes = make_tokens(PINS, TokensConfig(kind="hyperplane", tables=3, bits=5, seed=8))
    assert (planes.kind, planes.n_tokens, planes.per_pin) == ("hyperplane", 96, 3)
    assert (learned.seed, planes.seed) == (8, 8)
    assert (learned.fingerprint, planes.fingerprint) == ("f", "")


# --- hyperplanes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [15, 45, 80, 120])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_the_rate_of_collisions_is_that_of_the_theory(degrees: int, bits: int) -> None:
    """(1 - theta/pi)^bits, within 4.5 standard errors of so many independent tables."""
    tables, dim, theta = 20_000 // bits, 48, np.radians(degrees)
    draw = np.random.default_rng(degrees * 31 + bits)
    a, b = np.linalg.qr(draw.standard_normal((dim, 2)))[0].T
    pair = np.array([a, np.cos(theta) * a + np.sin(theta) * b], np.float32)
    tokens = HyperplaneTokens(dim, tables=tables, bits=bits, seed=5).assign(pair)
    expected = (1 - theta / np.pi) ** bits
    error = np.sqrt(expected * (1 - expected) / tables)
    assert abs((tokens[0] == tokens[1]).mean() - expected) < 4.5 * error


def test_probes_are_the_cheapest_flips_of_all() -> None:
    """Against every set of flips of every table, one by one."""
    tables, bits = 3, 6
    scheme = HyperplaneTokens(DIM, tables=tables, bits=bits, seed=1)
    found = scheme.probe(QUERIES[:20], scheme.n_tokens)
    for row, query in enumerate(QUERIES[:20].astype(np.float64)):
        margins = (scheme.planes @ (query / np.linalg.norm(query))).reshape(tables, bits)
        costs = {}
        for table, flips in product(range(tables), product([0, 1], repeat=bits)):
            signs = (margins[table] > 0) ^ np.array(flips, bool)
            token = table * 2**bits + int(signs @ (1 << np.arange(bits)))
            costs[token] = float(margins[table] ** 2 @ np.array(flips))
        asked = [costs.pop(token) for token in found.tokens[row].tolist()]
        assert not costs  # each token once, none left out
        assert np.allclose(asked, sorted(asked), atol=1e-5)
        assert np.allclose(found.weights[row], np.exp(-np.array(asked) / 2), atol=1e-5)


def test_multi_probe_finds_neighbours_that_the_own_token_misses() -> None:
    """Neighbours that are not in the query's own bucket are mostly a cheap flip away."""
    scheme = HyperplaneTokens(DIM, tables=2, bits=12, seed=2)
    noise = np.random.default_rng(4).standard_normal(QUERIES.shape)
    length = np.linalg.norm(QUERIES, axis=1, keepdims=True) / np.sqrt(DIM)
    carried = scheme.assign((QUERIES + 0.5 * length * noise).astype(np.float32))

    def found(probes: int) -> float:
        asked = scheme.probe(QUERIES, probes).tokens
        return float((carried[:, :, None] == asked[:, None, :]).any(axis=(1, 2)).mean())

    assert found(2) < 0.5
    assert found(2) + 0.2 < found(32)
    assert found(32) + 0.1 < found(256)


# --- learned tokens -------------------------------------------------------------------------------


def test_planted_topics_are_found() -> None:
    topics = np.eye(6, DIM, dtype=np.float32)
    labels = np.arange(600) % 6
    noise = 0.05 * np.random.default_rng(0).standard_normal((600, DIM))
    vectors = (topics[labels] + noise).astype(np.float32)
    # One k-means can settle with two centroids in one topic; twice as many reach every topic.
    tokens = LearnedTokens.train(vectors, centroids=12, per_pin=1).assign(vectors)[:, 0]
    for token in range(12):
        assert len(set(labels[tokens == token].tolist())) <= 1


@pytest.mark.parametrize("centroids", [50, 700])
def test_the_same_bytes_on_any_number_of_threads(centroids: int, tmp_path: Path) -> None:
    for threads in (1, 2, 5):
        learned = LearnedTokens.train(PINS, centroids=centroids, seed=4, threads=threads)
        learned.save(tmp_path / str(threads))
    files = [(tmp_path / str(n) / "tokens.safetensors").read_bytes() for n in (1, 2, 5)]
    assert files[0] == files[1] == files[2]
    other = LearnedTokens.train(PINS, centroids=centroids, seed=5)
    assert not np.array_equal(other.centroids.vectors, learned.centroids.vectors)


def test_grouped_centroids_are_nearly_always_the_nearest_of_all() -> None:
    """Two levels look at a part of the centroids; the oracle looks at all of them."""
    pins = some_vectors(40_000, topics=400)
    learned = LearnedTokens.train(pins, centroids=1600)
    groups = len(learned.centroids.starts) - 1
    assert 20 < groups < 80
    assert learned.visits(2, 8) < groups / 3
    cosines = normalized(pins[:4000]) @ learned.centroids.vectors.T
    best = np.argsort(-cosines, axis=1)
    carried = learned.assign(pins[:4000])
    assert (carried[:, 0] == best[:, 0]).mean() > 0.97
    assert (carried[:, 1:2] == best[:, :2]).any(axis=1).mean() > 0.95
    asked = learned.with_use(per_pin=2, reach=0).probe(pins[:500], 16)
    hits = (asked.tokens[:, :, None] == best[:500, None, :16]).any(axis=2)
    assert hits[:, :8].mean() > 0.99  # what is missed are the last of those asked for
    assert hits.mean() > 0.92
    expected = np.take_along_axis(cosines[:500], asked.tokens, axis=1)
    assert np.allclose(asked.weights, expected, atol=1e-5)


def test_clustering_in_groups_is_as_tight_as_clustering_at_once() -> None:
    """Mean cosine of a point with its centroid, beside the k-means of faiss on all points."""
    faiss = pytest.importorskip("faiss")
    points = normalized(some_vectors(12_000, topics=400))
    ours = cluster(points, 600, seed=0).vectors
    oracle = faiss.Kmeans(DIM, 600, niter=10, spherical=True, seed=1, max_points_per_centroid=100)
    oracle.train(points)
    tight = float((points @ ours.T).max(axis=1).mean())
    assert tight > float((points @ oracle.centroids.T).max(axis=1).mean()) - 0.005


def test_centroids_grow_with_the_root_of_the_corpus() -> None:
    assert default_centroids(1_000_000) == 16_000
    assert default_centroids(10_000) == 1600
    assert default_centroids(10**9) == 65_536
    assert [default_centroids(n) for n in (0, 1, 4, 40)] == [1, 1, 1, 10]


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_tiny_corpora(rows: int) -> None:
    learned = LearnedTokens.train(PINS[:rows], centroids=5, per_pin=3)
    assert learned.n_tokens == max(1, min(rows, 5))
    tokens = learned.assign(PINS[:10])
    assert ((tokens >= 0).sum(axis=1) == min(3, learned.n_tokens)).all()


def test_pins_without_words_and_pins_that_are_equal() -> None:
    zero = LearnedTokens.train(np.zeros((50, DIM), np.float32))
    assert zero.assign(PINS[:5])[:, 0].tolist() == [0] * 5
    equal = np.repeat(PINS[:3], 400, axis=0)
    learned = LearnedTokens.train(equal, centroids=600)
    assert np.isfinite(learned.centroids.vectors).all()
    tokens = learned.assign(equal)
    assert (tokens.reshape(3, 400, 2) == tokens.reshape(3, 400, 2)[:, :1]).all()


def test_a_sample_that_cannot_be_used_is_refused() -> None:
    bad = PINS.copy()
    bad[17] = np.inf
    with pytest.raises(DataError, match="vector 17 has a number that is not finite"):
        LearnedTokens.train(bad)
    with pytest.raises(ConfigError, match="per_pin = 0: expected 1 to 16"):
        LearnedTokens.train(PINS, per_pin=0)

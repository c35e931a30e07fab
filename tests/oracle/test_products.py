"""The innermost loops of training against NumPy."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pintext.compiled import compiled_fast
from pintext.training.losses import Loss, softmax
from pintext.training.products import TILE_COLUMNS, TILE_ROWS, multiply_tile, whole_tiles

Matrix = NDArray[Any]


@compiled_fast
def times(a: Matrix, b: Matrix, c: Matrix) -> None:
    """c = a @ b, for shapes in whole tiles."""
    width, count = c.shape[1], a.shape[1]
    for i in range(0, c.shape[0], TILE_ROWS):
        for k in range(0, width, TILE_COLUMNS):
            multiply_tile(a, i * count, count, 1, count, b, k, width, c, i * width + k, width)


@compiled_fast
def times_turned(a: Matrix, b: Matrix, c: Matrix) -> None:
    """c = a.T @ b, for shapes in whole tiles."""
    width, columns = c.shape[1], a.shape[1]
    for i in range(0, c.shape[0], TILE_ROWS):
        for k in range(0, width, TILE_COLUMNS):
            multiply_tile(a, i, 1, columns, a.shape[0], b, k, width, c, i * width + k, width)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 7, 128])
def test_tiles_make_a_matrix_product(dtype: type, count: int) -> None:
    random = np.random.default_rng(count)
    a: Matrix = random.normal(size=(3 * TILE_ROWS, count)).astype(dtype)
    b: Matrix = random.normal(size=(count, 2 * TILE_COLUMNS)).astype(dtype)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    atol = 4 * count * float(np.finfo(dtype).eps)
    for product, factor in ((times, a), (times_turned, np.ascontiguousarray(a.T))):
        c: Matrix = np.full(expected.shape, np.nan, dtype)
        product(factor, b, c)
        np.testing.assert_allclose(c, expected, rtol=0, atol=atol)


def test_whole_tiles_round_up() -> None:
    assert [whole_tiles(n) for n in (1, 15, 16, 17, 128)] == [16, 16, 16, 32, 128]


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_shares_of_softmax_are_exponentials(dtype: type, rtol: float) -> None:
    """One background entity at a time, p+ being the closer: its slope is exp(x) / (1 + exp(x))."""
    temperature = 0.01
    behind = np.linspace(0, 0.86, 5000)  # over tau: to exp(-86), just above what float32 can hold
    slopes: Matrix = -behind[:, None].astype(dtype)
    x = slopes.astype(np.float64)[:, 0] / float(dtype(temperature))
    loss = Loss(True, dtype(0), dtype(temperature))
    masked = np.zeros(slopes.shape, np.uint8)
    for i in range(len(behind)):
        softmax(i, dtype(0), loss.temperature, slopes, masked)
    found = slopes[:, 0].astype(np.float64) * float(dtype(temperature))
    np.testing.assert_allclose(found, np.exp(x) / (1 + np.exp(x)), rtol=rtol)

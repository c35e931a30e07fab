"""The other ways to find near vectors, asked alike: one query at a time, on one thread.

Needs ``pip install faiss-cpu hnswlib usearch``.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from harness import Vectors
from pintext.cores import available_cores

NEIGHBOURS = 32  # of a node in each graph; twice as many in its lowest layer
BUILDING = 100  # nodes that are looked at for the neighbours of a new one


class Contender(NamedTuple):
    """A way to search.

    Attributes:
        name: in tables.
        ask: the rows found for a query of shape ``(1, dim)``, as ``(1, k)``.
        share: of the pins whose similarity is computed, None where nobody counts.
        build_seconds: processor time of all threads.
    """

    name: str
    ask: Callable[[Vectors], Any]
    share: float | None
    build_seconds: float


def timed(build: Callable[[], Any]) -> tuple[Any, float]:
    """What is built, and the processor seconds that it took."""
    began = time.process_time()
    return build(), time.process_time() - began


def libraries(
    pins: Vectors, queries: Vectors, k: int, *, widths: Sequence[int], probes: Sequence[int]
) -> Iterator[Contender]:
    """FAISS by brute force and IVF, and graphs of FAISS, hnswlib and usearch, of one shape.

    They are built on all cores and hold the vectors as they are (usearch would round them to 16
    bits by itself).

    Args:
        pins: unit vectors.
        queries: that will be asked, to count what IVF compares.
        k: how many are asked for.
        widths: nodes that a search of a graph keeps in mind.
        probes: lists that IVF looks at.
    """
    yield flat(pins, k)
    yield from ivf(pins, queries, k, probes)
    for graph in (faiss_graph, hnswlib_graph, usearch_graph):
        yield from graph(pins, k, widths)


def flat(pins: Vectors, k: int) -> Contender:
    """Every pin is compared."""
    import faiss

    index = faiss.IndexFlatIP(pins.shape[1])
    index.add(pins)
    faiss.omp_set_num_threads(1)
    return Contender("brute force, FAISS flat", lambda query: index.search(query, k)[1], 1.0, 0.0)


def ivf(pins: Vectors, queries: Vectors, k: int, probes: Sequence[int]) -> Iterator[Contender]:
    """Inverted lists of k-means, as many as FAISS advises."""
    import faiss

    faiss.omp_set_num_threads(available_cores())
    dim, lists = pins.shape[1], round(4 * len(pins) ** 0.5)
    index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = 64  # to learn from
    _, seconds = timed(lambda: (index.train(pins), index.add(pins)))
    sizes = np.array([index.invlists.list_size(number) for number in range(lists)])
    for some in probes:
        looked_at = index.quantizer.search(queries, some)[1]
        share = float(sizes[looked_at].sum(axis=1).mean()) / len(pins)
        faiss.omp_set_num_threads(1)

        def ask(query: Vectors, some: int = some) -> Any:
            index.nprobe = some
            return index.search(query, k)[1]

        yield Contender(f"FAISS IVF{lists}, nprobe {some}", ask, share, seconds)


def faiss_graph(pins: Vectors, k: int, widths: Sequence[int]) -> Iterator[Contender]:
    """HNSW of FAISS."""
    import faiss

    faiss.omp_set_num_threads(available_cores())
    graph = faiss.IndexHNSWFlat(pins.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = BUILDING
    _, seconds = timed(lambda: graph.add(pins))
    for width in widths:
        faiss.omp_set_num_threads(1)

        def ask(query: Vectors, width: int = width) -> Any:
            graph.hnsw.efSearch = width
            return graph.search(query, k)[1]

        yield Contender(f"FAISS HNSW, efSearch {width}", ask, None, seconds)


def hnswlib_graph(pins: Vectors, k: int, widths: Sequence[int]) -> Iterator[Contender]:
    """HNSW of its authors."""
    import hnswlib

    graph = hnswlib.Index("ip", pins.shape[1])
    graph.init_index(len(pins), ef_construction=BUILDING, M=NEIGHBOURS)
    _, seconds = timed(lambda: graph.add_items(pins))
    for width in widths:

        def ask(query: Vectors, width: int = width) -> Any:
            graph.set_ef(width)
            return graph.knn_query(query, k, num_threads=1)[0]

        yield Contender(f"hnswlib, ef {width}", ask, None, seconds)


def usearch_graph(pins: Vectors, k: int, widths: Sequence[int]) -> Iterator[Contender]:
    """HNSW of usearch."""
    from usearch.index import Index

    graph = Index(
        ndim=pins.shape[1],
        metric="ip",
        dtype="f32",
        connectivity=NEIGHBOURS,
        expansion_add=BUILDING,
    )
    _, seconds = timed(lambda: graph.add(np.arange(len(pins)), pins))
    for width in widths:

        def ask(query: Vectors, width: int = width) -> Any:
            graph.expansion_search = width
            return np.atleast_2d(graph.search(query[0], k, threads=1).keys)

        yield Contender(f"usearch, expansion {width}", ask, None, seconds)

"""The batch stages on a Spark cluster: the same settings, the same answer as on one machine."""

from pintext.spark.embed import embed_dataframe, embed_files
from pintext.spark.knn import NeighborsMade, find_neighbors
from pintext.spark.pairs import make_pairs
from pintext.spark.session import spark_session

__all__ = [
    "NeighborsMade",
    "embed_dataframe",
    "embed_files",
    "find_neighbors",
    "make_pairs",
    "spark_session",
]

"""Positive pairs of any number of tasks: reading a dataset and writing one."""

from pintext.pairs.folder import write_pairs
from pintext.pairs.rows import SPLITS
from pintext.pairs.source import PairBatch, PairReport, PairSource

__all__ = ["SPLITS", "PairBatch", "PairReport", "PairSource", "write_pairs"]

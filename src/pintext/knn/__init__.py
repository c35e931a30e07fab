"""Neighbours in bulk: every pin's related pins, every query's pins, every pin's keywords."""

from pintext.knn.keywords import expand_keywords
from pintext.knn.lists import TokenLists
from pintext.knn.run import Progress, Texts, find_neighbors

__all__ = ["Progress", "Texts", "TokenLists", "expand_keywords", "find_neighbors"]

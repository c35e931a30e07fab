"""Learn a dictionary from positive pairs."""

from pintext.training.progress import Progress
from pintext.training.trainer import train

__all__ = ["Progress", "train"]

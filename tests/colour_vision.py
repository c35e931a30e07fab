"""How different two colours look, also to eyes without one kind of cone."""

import re

import numpy as np
from numpy.typing import NDArray

_F64 = NDArray[np.float64]

VISIONS: dict[str, _F64] = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
"""Machado, Oliveira and Fernandes 2009, severity 1: matrices on linear RGB."""

# OKLab (Ottosson 2020).
_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _linear(color: str) -> _F64:
    """Linear light of ``rgb(r, g, b)``, as a browser writes it."""
    values = np.array([float(part) for part in re.findall(r"[\d.]+", color)[:3]]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast of WCAG 2, from 1 to 21."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    dark, light = sorted(float(_linear(color) @ weights) + 0.05 for color in (one, other))
    return light / dark


def difference(one: str, other: str, vision: str) -> float:
    """The distance in OKLab, in which black and white are 1 apart."""
    seen = [np.clip(VISIONS[vision] @ _linear(color), 0, 1) for color in (one, other)]
    first, second = (_LAB @ np.cbrt(_LMS @ light) for light in seen)
    return float(np.linalg.norm(first - second))

"""Charts as SVG text: no script, no network, readable in light and dark and without colours.

Every function returns one ``<svg>`` whose title says in words what is seen. Classes give colours:
``kind-…`` for sorts of rankers and ``task-N`` for tasks, both declared in ``report.css``.
"""

import math
from collections.abc import Sequence
from html import escape

from pintext.evaluation.coverage import Combination
from pintext.evaluation.report import Result, Row
from pintext.evaluation.vectors import MapPoint, Similarities

__all__ = ["histogram", "intervals", "recall_curves", "upset", "word_map"]

_WIDTH = 760
_LABELLED_WORDS = 90
_COMBINATIONS = 15


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{1.3 * width:g}px" role="img" '
        f'aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def _ticks(highest: float) -> list[float]:
    """About five round numbers from 0 to ``highest``."""
    if highest <= 0:
        return [0.0]
    size = 10 ** math.floor(math.log10(highest / 4))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if highest / (size * m) <= 5)
    return [round(step * i, 10) for i in range(int(highest / step + 1e-9) + 1)]


def intervals(result: Result, metric: str) -> str:
    """A point for each ranker, with its interval where there are enough queries for one."""
    left, right, step, top = 290, 70, 25, 8
    found = [(row, row.metrics[metric]) for row in result.rows]
    highest = max(*(one.high if result.enough else one.mean for _, one in found), 1e-9)
    scale = (_WIDTH - left - right) / highest
    bottom = top + step * len(found)
    parts = []
    for tick in _ticks(highest):
        x = left + tick * scale
        parts += [_line(x, top, x, bottom, "grid"), _text(x, bottom + 16, f"{tick:g}", "middle")]
    for i, (row, one) in enumerate(found):
        y = top + step * (i + 0.5)
        strong = ' class="strong"' if i == len(found) - 1 else ""
        shown = row.ranker if len(row.ranker) <= 34 else row.ranker[:33] + "…"
        told, whisker = f"{row.ranker}: {one.mean:.4f}", ""
        if result.enough:
            told += f", interval {one.low:.4f} to {one.high:.4f}"
            whisker = _line(left + one.low * scale, y, left + one.high * scale, y, "whisker")
        parts.append(
            f'<g class="kind-{row.kind}"><title>{escape(told)}</title>{whisker}'
            f'<circle cx="{left + one.mean * scale:.1f}" cy="{y:.1f}" r="5.5" class="dot"/></g>'
            + _text(left - 12, y + 4, shown, "end", strong)
            + _text(_WIDTH - right + 14, y + 4, f"{one.mean:.3f}", "start", strong)
        )
    best = max(found, key=lambda pair: pair[1].mean)[0].ranker
    return _svg(_WIDTH, bottom + 24, f"{metric} of each ranker; {best} is highest", parts)


def recall_curves(result: Result, ks: Sequence[int]) -> str:
    """Recall by the number of results, of the model and of the best ranker of every other kind."""
    left, right, top, height = 46, 290, 12, 300
    rows = result.rows
    ks, curves = _to_the_end(result, ks)
    metric = next(iter(rows[-1].metrics))
    chosen: dict[str, Row] = {}
    for row in rows[:-1]:
        held = chosen.get(row.kind)
        if held is None or row.metrics[metric].mean > held.metrics[metric].mean:
            chosen[row.kind] = row
    shown = [*chosen.values(), rows[-1]]
    highest = max(max(curves[row.ranker]) for row in shown) or 1.0
    longest = math.log(ks[-1] / ks[0]) or 1.0

    def place(k: int, value: float) -> tuple[float, float]:
        x = left + (_WIDTH - left - right) * math.log(k / ks[0]) / longest
        return x, top + height * (1 - value / highest)

    parts = []
    for tick in _ticks(highest):
        y = place(ks[0], tick)[1]
        parts += [
            _line(left, y, _WIDTH - right, y, "grid"),
            _text(left - 8, y + 4, f"{tick:g}", "end"),
        ]
    end = _WIDTH - right
    for k in ks:
        x = place(k, 0)[0]
        if k == ks[-1] or end - x >= 32:  # nearer, the last figure would stand on top of it
            parts.append(_text(x, top + height + 18, f"{k:,}", "middle"))
    parts.append(_text((left + _WIDTH - right) / 2, top + height + 38, "results (k)", "middle"))
    ends = sorted(shown, key=lambda row: -curves[row.ranker][-1])
    labels = _apart([place(ks[-1], curves[row.ranker][-1])[1] for row in ends], 17)
    for row, y in zip(ends, labels, strict=True):
        points = [place(k, v) for k, v in zip(ks, curves[row.ranker], strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        strong = ' class="strong"' if row is rows[-1] else ""
        name = row.ranker if len(row.ranker) <= 32 else row.ranker[:31] + "…"
        parts.append(
            f'<g class="kind-{row.kind}"><title>{escape(row.ranker)}</title>'
            f'<polyline points="{path}" class="curve{" thick" if strong else ""}"/>'
            + _line(points[-1][0] + 2, points[-1][1], _WIDTH - right + 14, y, "lead")
            + f'<circle cx="{_WIDTH - right + 18}" cy="{y:.1f}" r="4" class="dot"/></g>'
            + _text(_WIDTH - right + 27, y + 4, name, "start", strong)
        )
    return _svg(_WIDTH, top + height + 46, "Recall by the number of results", parts)


def _to_the_end(result: Result, ks: Sequence[int]) -> tuple[list[int], dict[str, list[float]]]:
    """The curves up to the number of candidates, beyond which no more can be found."""
    ends = [i for i, k in enumerate(ks) if k >= result.candidates]
    if not ends:
        return list(ks), result.curves
    kept = [i for i, k in enumerate(ks) if k < result.candidates]
    curves = {
        name: [*(values[i] for i in kept), values[ends[0]]]
        for name, values in result.curves.items()
    }
    return [*(ks[i] for i in kept), result.candidates], curves


def _apart(wanted: Sequence[float], least: float) -> list[float]:
    """Ascending places near the wanted ones, no two closer than ``least``."""
    placed: list[float] = []
    for y in wanted:
        placed.append(max(y, placed[-1] + least) if placed else y)
    return placed


def histogram(found: Similarities) -> str:
    """Cosines of held-out pairs against those of random pairs."""
    width, left, top, height = 370, 10, 8, 130
    highest = max(*found.positive, *found.background, 1e-9)
    low, high = found.edges[0], found.edges[-1]

    def x(value: float) -> float:
        return left + (width - 2 * left) * (value - low) / (high - low)

    parts = []
    for shares, css in ((found.background, "background"), (found.positive, "positive")):
        points = [f"{x(low):.1f},{top + height}"]
        for share, start, end in zip(shares, found.edges[:-1], found.edges[1:], strict=True):
            y = top + height * (1 - share / highest)
            points += [f"{x(start):.1f},{y:.1f}", f"{x(end):.1f},{y:.1f}"]
        points.append(f"{x(high):.1f},{top + height}")
        parts.append(f'<polygon points="{" ".join(points)}" class="area-{css}"/>')
    parts += [_text(x(v), top + height + 16, f"{v:g}", "middle") for v in (-1, -0.5, 0, 0.5, 1)]
    title = f"Similarities of {found.task}: area under the curve {found.auc:.3f}"
    return _svg(width, top + height + 22, title, parts)


def upset(overlaps: Sequence[Combination], tasks: Sequence[str]) -> str:
    """How many words come from exactly which tasks (UpSet: Lex et al., 2014)."""
    shown = list(overlaps[:_COMBINATIONS])
    step, row, left, top, height = 46, 24, 190, 26, 150
    highest = max(one.words for one in shown)
    width = max(left + step * len(shown) + 20, 380)
    parts = []
    for j, task in enumerate(tasks):
        y = top + height + 26 + row * j
        parts.append(
            f'<rect x="0" y="{y - row / 2}" width="{width}" height="{row}" class="band{j % 2}"/>'
        )
        name = task if len(task) <= 24 else task[:23] + "…"
        parts.append(_text(left - 14, y + 4, name, "end"))
    for i, one in enumerate(shown):
        x = left + step * (i + 0.5)
        size = height * one.words / highest
        told = f"{one.words:,} words in exactly: {', '.join(one.tasks)}"
        inside = [top + height + 26 + row * j for j, task in enumerate(tasks) if task in one.tasks]
        parts.append(
            f"<g><title>{escape(told)}</title>"
            f'<rect x="{x - 15}" y="{top + height - size:.1f}" width="30" '
            f'height="{size:.1f}" class="bar"/>'
            + _text(x, top + height - size - 6, f"{one.words:,}", "middle")
            + "".join(
                f'<circle cx="{x}" cy="{top + height + 26 + row * j}" r="6" '
                f'class="{"member" if task in one.tasks else "absent"}"/>'
                for j, task in enumerate(tasks)
            )
            + _line(x, min(inside), x, max(inside), "join")
            + "</g>"
        )
    title = "Words of the dictionary by the tasks that they come from"
    return _svg(width, top + height + 26 + row * len(tasks), title, parts)


def word_map(points: Sequence[MapPoint], tasks: Sequence[str]) -> str:
    """The most frequent words in the plane; the most frequent of them with their names."""
    width, height, margin = 1000, 700, 30
    number = {task: i % 6 for i, task in enumerate(tasks)}
    dots, names = [], []
    taken: list[tuple[float, float, float]] = []
    for point in points:
        x = margin + (width - 2 * margin) * point.x
        y = margin + (height - 2 * margin) * point.y
        told = f"{point.word} ({point.task}; {point.tokens:,} times)"
        dots.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" class="task-{number.get(point.task, 0)}">'
            f"<title>{escape(told)}</title></circle>"
        )
        half = 3.6 * len(point.word) + 4
        middle = min(max(x, half), width - half)
        free = all(abs(middle - a) > half + w or abs(y - b) > 15 for a, b, w in taken)
        if free and len(taken) < _LABELLED_WORDS and len(point.word) <= 18:
            taken.append((middle, y, half))
            names.append(_text(middle, y - 6, point.word, "middle", ' class="halo"'))
    return _svg(width, height, f"Map of the {len(points)} most frequent words", dots + names)

"""What an evaluation found, as values; and the same as JSON and as Markdown."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from pintext.evaluation.bootstrap import LEAST_QUERIES, Comparison, Estimate
from pintext.evaluation.coverage import Combination, Contribution, Covered
from pintext.evaluation.rankers import Kind
from pintext.evaluation.vectors import MapPoint, Similarities

__all__ = ["Report", "Result", "Row", "counted", "heading", "mark", "markdown", "table_rows"]

Protocol = Literal["retrieval", "interests"]

SIGNIFICANT = 0.05
"""A difference counts if its p-value, adjusted for the rows of its table, is below this."""


class Row(msgspec.Struct, frozen=True):
    """What one ranker reached.

    Attributes:
        ranker: its name.
        kind: what sort of thing it is.
        metrics: each metric's mean over queries, with its interval.
        compared: each metric of the evaluated model less that of this ranker, with interval and
            p-value (adjusted by Holm over the rows); none for the model itself, nor where there are
            fewer than ten queries.
    """

    ranker: str
    kind: Kind
    metrics: dict[str, Estimate]
    compared: dict[str, Comparison] = {}


class Result(msgspec.Struct, frozen=True):
    """The rankers on one slice of one question.

    Attributes:
        protocol: ``retrieval`` of held-out pairs, or classification of ``interests``.
        task: the task, or what the labelled texts are (``query``, ``pin``, ``text``).
        slice: ``all``, or the name of a part.
        queries, answers, candidates: how many there are.
        rows: in the order in which the rankers were given; the model last.
        curves: recall at each k of the report's ``curve_ks``, by ranker; for the slice ``all``.
    """

    protocol: Protocol
    task: str
    slice: str
    queries: int
    answers: int
    candidates: int
    rows: list[Row]
    curves: dict[str, list[float]] = {}

    @property
    def enough(self) -> bool:
        """Whether there are enough queries to compare rankers and to give intervals."""
        return self.queries >= LEAST_QUERIES

    @property
    def size(self) -> str:
        """How many queries, answers and candidates there are, in words."""
        parts = [
            counted(self.queries, "query", "queries"),
            counted(self.answers, "answer", "answers"),
            counted(self.candidates, "candidate", "candidates"),
        ]
        few = "" if self.enough else "; too few queries to compare"
        return ", ".join(parts) + few


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one evaluation found; ``report.json`` is this.

    Attributes:
        format, format_version: what the file is.
        model: name of the evaluated model, the row that all others are compared with.
        fingerprint, words, dim: of that model.
        settings: those of :class:`~pintext.evaluation.settings.EvaluateConfig`.
        curve_ks: where the recall curves are measured.
        results: every slice of every question.
        coverage: of each text column by each dictionary.
        contributions: what each task brought to the model's words, and what is lost without it.
        overlaps: how many words come from exactly which tasks.
        similarities: of held-out pairs against random ones, for each task and each embedding.
        map: the most frequent words in the plane.
        notes: what a reader has to know, one sentence each.
    """

    format: str = "pintext-report"
    format_version: int = 1
    model: str
    fingerprint: str
    words: int
    dim: int
    settings: dict[str, Any]
    curve_ks: list[int]
    results: list[Result]
    coverage: list[Covered]
    contributions: list[Contribution]
    overlaps: list[Combination]
    similarities: list[Similarities]
    map: list[MapPoint]
    notes: list[str]

    def result(self, protocol: Protocol, task: str, part: str = "all") -> Result:
        """One result.

        Raises:
            KeyError: there is none of this name.
        """
        for result in self.results:
            if (result.protocol, result.task, result.slice) == (protocol, task, part):
                return result
        raise KeyError((protocol, task, part))


def mark(comparison: Comparison | None) -> str:
    """``+`` where the evaluated model is better for certain, ``-`` where worse, else nothing."""
    if comparison is None or comparison.p >= SIGNIFICANT:
        return ""
    return "+" if comparison.difference > 0 else "-"


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many}"


def heading(result: Result) -> str:
    """What a table shows, in words."""
    protocol = {"retrieval": "Held-out retrieval", "interests": "Interest classification"}
    part = "" if result.slice == "all" else f", {result.slice}"
    return f"{protocol[result.protocol]}: {result.task}{part}"


def table_rows(result: Result) -> Iterator[dict[str, Any]]:
    """Rows for a terminal: means, and how the model compares by the first metric."""
    for row in result.rows:
        first = next(iter(row.metrics))
        means = {name: estimate.mean for name, estimate in row.metrics.items()}
        few = "" if result.enough or row is result.rows[-1] else "too few queries to say"
        yield {"": row.ranker, **means, "model is": few or _verdict(row, first)}


def _verdict(row: Row, metric: str) -> str:
    found = row.compared.get(metric)
    words = {"+": "better", "-": "worse", "": "not surely different"}
    return words[mark(found)] if found is not None else ""


def markdown(report: Report) -> str:
    """The report as Markdown: a table for each question and slice."""
    lines = [
        f"# Evaluation of {_plain(report.model)}",
        "",
        f"{report.words:,} words, dim {report.dim}, fingerprint `{report.fingerprint}`.",
        "",
        "Means over queries. `+` behind a figure: the model is better than this row, `-`: worse, "
        f"with p < {SIGNIFICANT} (paired bootstrap over queries, Holm over the rows).",
        "",
    ]
    for result in report.results:
        metrics = list(result.rows[0].metrics)
        lines += [
            f"## {_plain(heading(result))}",
            "",
            f"{result.size}.",
            "",
            f"| | {' | '.join(metrics)} |",
            f"|---|{'---|' * len(metrics)}",
        ]
        for row in result.rows:
            cells = [
                f"{row.metrics[name].mean:.4f} {mark(row.compared.get(name))}".strip()
                for name in metrics
            ]
            lines.append(f"| {_plain(row.ranker)} | {' | '.join(cells)} |")
        lines.append("")
    lines += _coverage_tables(report)
    lines += [f"- {_plain(note)}" for note in report.notes]
    return "\n".join(lines).rstrip() + "\n"


def _coverage_tables(report: Report) -> list[str]:
    lines = [
        "## Coverage",
        "",
        "| texts | dictionary | word coverage | token coverage |",
        "|---|---|---|---|",
        *(
            f"| {_plain(one.texts)} | {_plain(one.dictionary)} | "
            f"{one.word_coverage:.1%} | {one.token_coverage:.1%} |"
            for one in report.coverage
        ),
        "",
    ]
    if report.contributions:
        lines += [
            "## What each task brought",
            "",
            "| task | words | only from this task | running words lost without it, at most |",
            "|---|---|---|---|",
            *(
                f"| {_plain(one.task)} | {one.words:,} | {one.own_words:,} | "
                f"{max(one.lost.values(), default=0):.1%} |"
                for one in report.contributions
            ),
            "",
        ]
    return lines


def _plain(text: str) -> str:
    """Text that Markdown takes as it is: on one line, nothing in it means anything."""
    one_line = " ".join(text.split())
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>#|!" else c for c in one_line)

"""The report as one page of HTML that needs nothing else: no network, no other file.

Every text that comes from data is escaped; the page's own policy (CSP) forbids any script but the
one inside and any request, so a name in the data can do no harm.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files

from pintext.evaluation import charts
from pintext.evaluation.bootstrap import LEAST_QUERIES
from pintext.evaluation.report import Report, Result, Row, counted, heading, mark

__all__ = ["html_page"]

_KINDS = {
    "floor": "floors: guessing, popularity",
    "lexical": "lexical: shared words",
    "pretrained": "pretrained elsewhere",
    "unsupervised": "learned from the same texts, without engagement",
    "fused": "embedding and BM25 fused",
    "pintext": "learned from engagement",
}


def html_page(report: Report) -> str:
    """The page."""
    css, script = (
        files("pintext.evaluation").joinpath(name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    name = escape(report.model)
    sections = [
        *_questions(report),
        *_tasks(report),
        *_similarities(report),
        *_words(report),
        *_map(report),
    ]
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in sections)
    bodies = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{escape(title)}</h2>{body}</section>'
        for key, title, body in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{name}: evaluation</title><link rel="icon" href="data:,">'
        f"<style>{css}</style></head><body>"
        f'<header><h1>How good is {name}?</h1><p class="soft">{report.words:,} words, dim '
        f"{report.dim}, fingerprint <code>{escape(report.fingerprint)}</code></p>"
        f'<ul class="cards">{"".join(_cards(report))}</ul>'
        f'<nav aria-label="Sections">{links}</nav></header><main>{bodies}</main>'
        f"<footer>{_reading(report)}</footer><script>{script}</script></body></html>\n"
    )


def _cards(report: Report) -> Iterator[str]:
    """For each question the figure that matters most, and what it means."""
    for result in report.results:
        if result.slice != "all":
            continue
        model, metric = result.rows[-1], next(iter(result.rows[-1].metrics))
        rivals = [row for row in result.rows[:-1] if row.kind not in ("pintext", "fused")]
        best = max(rivals, key=lambda row: row.metrics[metric].mean)
        mine, theirs = model.metrics[metric].mean, best.metrics[metric].mean
        surely = {"+": "better", "-": "worse", "": "no certain difference"}
        verdict, change = "too few queries to compare", ""
        if result.enough:
            verdict = surely[mark(best.compared[metric])]
            change = f", {mine / theirs - 1:+.0%}" if theirs > 0 else ""
        yield (
            f'<li class="card"><strong>{escape(heading(result))}</strong>'
            f'<div class="figure">{mine:.3f}</div><p class="soft">{escape(metric)} of '
            f"{escape(model.ranker)}</p><p>Best without engagement: {escape(best.ranker)}, "
            f"{theirs:.3f}{change}: <strong>{verdict}</strong></p></li>"
        )


def _questions(report: Report) -> Iterator[tuple[str, str, str]]:
    """A section for each question: chart, curves, a table for each slice."""
    for number, result in enumerate(report.results):
        if result.slice != "all":
            continue
        same = [
            (i, other)
            for i, other in enumerate(report.results)
            if (other.protocol, other.task) == (result.protocol, result.task)
        ]
        metric = next(iter(result.rows[-1].metrics))
        percent = f", with {report.settings['confidence']:.0%} intervals" if result.enough else ""
        body = (
            f'<p class="soft">{result.size}.</p><h3>{escape(metric)}{percent}</h3>'
            f"<figure>{charts.intervals(result, metric)}</figure>{_kinds(result.rows)}"
        )
        if result.protocol == "retrieval":
            body += (
                "<h3>Recall by the number of results</h3><figure>"
                f"{charts.recall_curves(result, report.curve_ks)}"
                "<figcaption>The model, and the best row of every other kind.</figcaption></figure>"
            )
        options = "".join(
            f'<option value="slice-{i}">{escape(other.slice)} '
            f"({counted(other.queries, 'query', 'queries')})</option>"
            for i, other in same
        )
        tables = "".join(
            f'<div class="slice" id="slice-{i}">{_table(other)}</div>' for i, other in same
        )
        body += (
            f'<h3>Every figure</h3><label>Slice <select data-slices aria-label="Slice of '
            f'{escape(heading(result))}">{options}</select></label>{tables}'
        )
        yield f"question-{number}", heading(result), body


def _kinds(rows: Iterable[Row]) -> str:
    present = dict.fromkeys(row.kind for row in rows)
    items = "".join(f'<li><span class="kind-{kind}"></span>{_KINDS[kind]}</li>' for kind in present)
    return f'<ul class="legend">{items}</ul>'


def _scrolling(label: str, table: str) -> str:
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table>{table}</table></div>"
    )


def _head(names: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in names)
    return f"<thead><tr>{cells}</tr></thead>"


def _cell(value: float, shown: str) -> str:
    return f'<td data-value="{value:.9g}">{shown}</td>'


def _table(result: Result) -> str:
    metrics = list(result.rows[-1].metrics)
    body = []
    for row in result.rows:
        cells = "".join(
            _cell(row.metrics[name].mean, _estimate(result, row, name)) for name in metrics
        )
        css = ' class="model"' if row is result.rows[-1] else ""
        body.append(f'<tr{css}><th scope="row">{escape(row.ranker)}</th>{cells}</tr>')
    return _scrolling(
        f"Figures, {heading(result)}, {result.slice}",
        f"{_head(['row', *metrics])}<tbody>{''.join(body)}</tbody>",
    )


def _estimate(result: Result, row: Row, metric: str) -> str:
    one = row.metrics[metric]
    if not result.enough:
        return f"{one.mean:.4f}"
    marks = {
        "+": '<span class="better" title="the model is better than this">▲</span>',
        "-": '<span class="worse" title="the model is worse than this">▼</span>',
        "": "",
    }
    return (
        f'{one.mean:.4f} <span class="interval">{one.low:.3f}–{one.high:.3f}</span> '
        f"{marks[mark(row.compared.get(metric))]}"
    )


def _tasks(report: Report) -> Iterator[tuple[str, str, str]]:
    """Which tasks help or hurt each other: one, all but one, all."""
    results = [r for r in report.results if (r.protocol, r.slice) == ("retrieval", "all")]
    parts = [row.ranker for row in results[0].rows if row.kind == "pintext"] if results else []
    if len(parts) < 2:
        return
    metric = next(iter(results[0].rows[-1].metrics))
    body = []
    for ranker in parts:
        cells = ""
        for result in results:
            row = next(row for row in result.rows if row.ranker == ranker)
            cells += _cell(row.metrics[metric].mean, _estimate(result, row, metric))
        css = ' class="model"' if ranker == parts[-1] else ""
        body.append(f'<tr{css}><th scope="row">{escape(ranker)}</th>{cells}</tr>')
    head = _head(["trained on", *(result.task for result in results)])
    yield (
        "tasks",
        "Which tasks help each other",
        f"<p>{escape(metric)} on each task (columns) of dictionaries that learned from one task, "
        "from all but one, or from all.</p>"
        + _scrolling("Tasks", f"{head}<tbody>{''.join(body)}</tbody>"),
    )


def _similarities(report: Report) -> Iterator[tuple[str, str, str]]:
    mine = [one for one in report.similarities if one.ranker == report.model]
    if not mine:
        return
    figures = "".join(
        f"<figure><h3>{escape(one.task)}</h3>{charts.histogram(one)}<figcaption>A held-out pair is "
        f"more similar than a random one {one.auc:.1%} of the time.</figcaption></figure>"
        for one in mine
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(one.task)}</th><td>{escape(one.ranker)}</td>'
        f"{_cell(one.auc, f'{one.auc:.4f}')}</tr>"
        for one in report.similarities
    )
    head = _head(["task", "vectors", "area under the curve"])
    yield (
        "similarities",
        "Similarity of pairs",
        "<p>Cosines of held-out pairs (outlined) against a query with a random pin (grey). The "
        "further apart, the better a threshold can tell them.</p>"
        f'<div class="small-charts">{figures}</div>'
        + _scrolling("Area under the curve", f"{head}<tbody>{rows}</tbody>"),
    )


def _words(report: Report) -> Iterator[tuple[str, str, str]]:
    rows = "".join(
        f'<tr><th scope="row">{escape(one.texts)}</th><td>{escape(one.dictionary)}</td>'
        f"{_cell(one.words, f'{one.words:,}')}{_share(one.word_coverage)}"
        f"{_cell(one.tokens, f'{one.tokens:,}')}{_share(one.token_coverage)}</tr>"
        for one in report.coverage
    )
    names = ["texts", "dictionary", "distinct words", "with a row"]
    head = _head([*names, "running words", "with a row"])
    body = (
        "<p>Which share of the distinct words and of the running words has a row.</p>"
        + _scrolling("Coverage", f"{head}<tbody>{rows}</tbody>")
    )
    if report.overlaps:
        tasks = [one.task for one in report.contributions]
        body += (
            "<h3>What each task brought to the dictionary</h3><figure>"
            f"{charts.upset(report.overlaps, tasks)}<figcaption>Bars: words that occur in exactly "
            "the tasks with a joined dot below.</figcaption></figure>"
        )
        columns = list(report.contributions[0].lost)
        lines = "".join(
            f'<tr><th scope="row">{escape(one.task)}</th>{_cell(one.words, f"{one.words:,}")}'
            f"{_cell(one.own_words, f'{one.own_words:,}')}"
            + "".join(_cell(one.lost[name], f"{one.lost[name]:.2%}") for name in columns)
            + "</tr>"
            for one in report.contributions
        )
        head = _head(
            ["without the task", "words", "only there", *(f"lost in {c}" for c in columns)]
        )
        body += (
            "<p>If a task is dropped, its own words go; the last columns say which share of the "
            "running words of each text loses its row.</p>"
            + _scrolling("Contributions", f"{head}<tbody>{lines}</tbody>")
        )
    yield "words", "Words and coverage", body


def _share(share: float) -> str:
    meter = f'<span class="meter"><i style="width:{100 * share:.1f}%"></i></span>'
    return _cell(share, f"{meter}{share:.1%}")


def _map(report: Report) -> Iterator[tuple[str, str, str]]:
    if not report.map:
        return
    tasks = [one.task for one in report.contributions] or sorted({p.task for p in report.map})
    legend = "".join(
        f'<li><span class="task-{i % 6}"></span>{escape(task)}</li>' for i, task in enumerate(tasks)
    )
    yield (
        "map",
        "Map of the vocabulary",
        "<p>The most frequent words, near where their rows are near (t-SNE); the colour is the "
        "task that uses the word most for its size. Point at a word to read it.</p>"
        f'<ul class="legend">{legend}</ul><figure>{charts.word_map(report.map, tasks)}</figure>',
    )


def _reading(report: Report) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return (
        '<h2 id="reading">How to read this</h2><p>▲ the model is better than this row, ▼ it is '
        "worse, with p &lt; 0.05: paired bootstrap over queries, Holm's correction over the rows "
        "of a table. No mark: chance may explain the difference, or there are fewer than "
        f"{LEAST_QUERIES} queries, too few to compare. All pins of a task compete, less the query "
        "itself and the pins that training has shown it. Metrics are expectations over the orders "
        f"of equal scores.</p><ul>{notes}</ul>"
    )

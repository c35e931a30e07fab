"""The folder of a report: the same findings for programs and for people."""

from pathlib import Path

import msgspec

from pintext.errors import DataError
from pintext.evaluation.page import html_page
from pintext.evaluation.report import Report, markdown
from pintext.files import new_folder

__all__ = ["FILES", "write_report"]

FILES = frozenset({"report.html", "report.json", "report.md"})
"""The files of a report."""


def write_report(report: Report, out: str | Path, *, overwrite: bool = False) -> None:
    """Write the report as a page, as JSON and as Markdown into a folder, which appears whole.

    Raises:
        DataError: the folder exists or cannot be written.
    """
    with new_folder(out, DataError, FILES, overwrite=overwrite) as made:
        (made / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
        (made / "report.html").write_text(html_page(report), encoding="utf-8")
        (made / "report.md").write_text(markdown(report), encoding="utf-8")

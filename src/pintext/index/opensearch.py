"""The same documents and the same query for a cluster of OpenSearch or Elasticsearch.

====================  ==========================================================================
``mapping.json``      for ``PUT /pins``: the fields and how they are analysed
``documents.ndjson``  for ``POST /pins/_bulk``: a line that says the id, a line with the pin
``query.json``        for ``POST /pins/_search``: an example, the candidates for one text
====================  ==========================================================================

The cluster gives the candidates that the embedded index would compare exactly. Their cosines need
the vectors, which ``pintext embed`` writes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from pintext.errors import PinIndexError
from pintext.files import new_folder
from pintext.index.fields import Filters, Kind
from pintext.index.pin_index import PinIndex
from pintext.index.pins import BATCH_ROWS
from pintext.index.searching import unit
from pintext.index.stored import text_of
from pintext.text import split_column

__all__ = ["cluster_documents", "cluster_mapping", "cluster_query", "export_opensearch"]

_FILES = frozenset({"mapping.json", "documents.ndjson", "query.json"})
_MOST_ANSWERED = 10_000  # what a cluster gives for one query, unless it is told otherwise
_TYPES: dict[Kind, str] = {
    "keyword": "keyword",
    "number": "double",
    "date": "date",
    "boolean": "boolean",
}


def export_opensearch(
    index: PinIndex, folder: str | Path, *, query: str | None = None, overwrite: bool = False
) -> int:
    """Write mapping, documents and an example query; how many documents.

    Args:
        index: to export.
        folder: where to; it appears complete or not at all.
        query: text of the example; that of the first pin if there is none.
        overwrite: replace such a folder.

    Raises:
        PinIndexError: the folder exists or cannot be written.
    """
    count, example = 0, query
    with new_folder(folder, PinIndexError, _FILES, overwrite=overwrite) as made:
        with (made / "documents.ndjson").open("wb") as file:
            for name, document in cluster_documents(index):
                file.write(msgspec.json.encode({"index": {"_id": name}}) + b"\n")
                file.write(msgspec.json.encode(document) + b"\n")
                example = document["words"] if example is None else example
                count += 1
        for name, value in (
            ("mapping.json", cluster_mapping(index)),
            ("query.json", cluster_query(index, example or "")),
        ):
            (made / name).write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
    return count


def cluster_mapping(index: PinIndex) -> dict[str, Any]:
    """Settings and mapping of the cluster's index."""
    fields = {field.name: {"type": _TYPES[field.kind]} for field in index.columns.fields}
    return {
        "mappings": {
            "dynamic": False,
            "_meta": {"pintext_fingerprint": index.fingerprint},
            "properties": {
                "words": {"type": "text", "analyzer": "whitespace", "index_options": "freqs"},
                "tokens": {"type": "keyword"},
                "fields": {"properties": fields},
            },
        }
    }


def cluster_documents(index: PinIndex) -> Iterator[tuple[str, dict[str, Any]]]:
    """Id and document of every pin: words, tokens, filter fields, and all that is stored."""
    columns = index.columns
    for documents, tokens in index.stored(BATCH_ROWS):
        texts = pl.Series([text_of(columns, found) for found in documents], dtype=pl.String)
        words = split_column(texts).list.join(" ")
        for found, line, own in zip(documents, words, tokens.tolist(), strict=True):
            yield (
                found[columns.id],
                {
                    "words": line,
                    "tokens": [str(token) for token in own if token >= 0],
                    "fields": {field.name: found[field.name] for field in columns.fields},
                    "document": found,
                },
            )


def cluster_query(index: PinIndex, text: str, *, filters: Filters | None = None) -> dict[str, Any]:
    """The body of a search for the candidates of a text.

    Args:
        index: whose model and tokens are asked.
        text: the query.
        filters: as for :meth:`PinIndex.search`; times as texts in ISO 8601.

    Returns:
        Pins that share tokens, those first that share the most promising ones; behind a filter of
        whose pins the index compares all, the others follow. None for a text without a known word.

    Raises:
        DataError: a filter does not fit the index.
    """
    retrieval = index.retrieval
    filtered = index.snapshot.filtered(filters)
    every = filtered is not None and filtered.rows is not None
    pins = filtered.pins if filtered is not None and every else 0
    found = index.tokens.probe(unit(index.model.encode(text))[None, :], retrieval.probes)
    asked = [
        {"constant_score": {"filter": {"term": {"tokens": str(token)}}, "boost": max(weight, 0.0)}}
        for token, weight in zip(found.tokens[0].tolist(), found.weights[0].tolist(), strict=True)
        if token >= 0
    ]
    within = [_clause(f"fields.{name}", wanted) for name, wanted in (filters or {}).items()]
    query: dict[str, Any] = {"match_none": {}}
    if asked:
        least = 0 if every else 1
        query = {"bool": {"should": asked, "minimum_should_match": least, "filter": within}}
    size = min(max(retrieval.candidates, pins), _MOST_ANSWERED)
    return {"size": size, "_source": False, "query": query}


def _clause(name: str, wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, dict):
        return {"range": {name: wanted}}
    if isinstance(wanted, list | tuple | set | frozenset):
        return {"terms": {name: list(wanted)}}
    return {"term": {name: wanted}}

"""Commands that look into a model."""

from pathlib import Path
from typing import Any

import click

from pintext.cli.indexing import index_facts, is_index, open_index
from pintext.cli.ingesting import store_facts
from pintext.cli.options import (
    k_option,
    model_argument,
    overwrite_option,
    standard_input,
    texts_from,
)
from pintext.cli.output import (
    as_table,
    json_option,
    note,
    readable,
    show_facts,
    write_facts,
    write_json,
    write_table,
)
from pintext.cli.report import show_model
from pintext.kinds import is_store

__all__ = ["explain", "export", "info", "nn"]


@click.command()
@model_argument
@click.argument("word_or_text")
@k_option
@json_option
def nn(model: Path, word_or_text: str, k: int, force_json: bool) -> None:
    """List the words nearest to WORD_OR_TEXT; - reads one query a line from standard input.

    \b
    Example:
      pintext nn model/ wood -k 5
      pintext nn model/ "wood cabinets kitchen"
      cat queries.txt | pintext nn model/ -
    """
    from pintext.model import PinTextModel

    loaded = PinTextModel.from_pretrained(model)
    queries = standard_input() if word_or_text == "-" else iter([word_or_text])
    table = as_table(force_json)
    for query in readable(queries):
        neighbors = [
            {"word": near.word, "similarity": round(near.similarity, 6)}
            for near in loaded.most_similar(query, k=k)
        ]
        if not neighbors:
            note(f"{query!r}: no known word")
        elif table:
            write_table(neighbors, title=query)
        else:
            for neighbor in neighbors:
                write_json({"query": query, **neighbor})


@click.command()
@model_argument
@click.argument("query")
@click.argument("pin")
@json_option
def explain(model: Path, query: str, pin: str, force_json: bool) -> None:
    """Show which words make QUERY and PIN similar: contributions that add up to the similarity.

    Words of either that the model does not know are named; they give nothing.

    PIN is a text. With the folder of an index in place of MODEL, it is the id of a pin.

    \b
    Example:
      pintext explain model/ "wood cabinets" "kitchen with oak cupboards"
      pintext explain index/ "wood cabinets" 17
    """
    from pintext.model import Explanation, PinTextModel

    query, pin = readable([query, pin])
    more: dict[str, Any] = {}
    text = pin
    if is_index(model):
        opened = open_index(model)
        loaded, match = opened.model, opened.explain(query, pin)
        found, text = Explanation(match.similarity, match.contributions), match.text
        more = {
            "text": match.text,
            "bm25": round(match.bm25, 6),
            "matched_tokens": match.matched_tokens,
        }
    else:
        loaded = PinTextModel.from_pretrained(model)
        found = loaded.explain(query, pin)
    texts = {"query": query, "pin": text}
    unknown = {name: loaded.vocabulary.unknown_words(text) for name, text in texts.items()}
    contributions = [
        {
            "query_word": part.query_word,
            "pin_word": part.pin_word,
            "contribution": round(part.contribution, 6),
        }
        for part in found.contributions
    ]
    similarity = round(found.similarity, 6)
    if not as_table(force_json):
        facts = {"query": query, "pin": pin, **more, "similarity": similarity}
        names = {f"unknown_{name}_words": words for name, words in unknown.items()}
        write_json({**facts, "contributions": contributions, **names})
        return
    if more:
        write_facts({"pin": pin, **more})
    if contributions:
        write_table(contributions, title=f"similarity {similarity:.4f}")
    else:
        without = [name for name, text in texts.items() if not loaded.encode(text).any()]
        click.echo(f"similarity 0: no known word in the {' and the '.join(without)}")
    for name, words in unknown.items():
        if words:
            click.echo(f"words of the {name} that the model does not know: {', '.join(words)}")


@click.command()
@model_argument
@click.option("--verify", is_flag=True, help="Read every byte and compare it with the fingerprint.")
@click.option(
    "--coverage",
    "source",
    type=click.Path(allow_dash=True, path_type=Path),
    help="How many of the words of this file's texts have a row; - is plain text from a pipe.",
)
@click.option(
    "--text-column", default="text", show_default=True, help="Column that holds the texts."
)
@json_option
def info(
    model: Path, verify: bool, source: Path | None, text_column: str, force_json: bool
) -> None:
    """Describe a model: size, settings, how the training went.

    With the folder of an index in place of MODEL: pins, tokens, recall, fields. With that of a
    store of events: events and dates of each task.

    \b
    Example:
      pintext info model/
      pintext info index/ --verify
      pintext info model/ --verify
      pintext info model/ --coverage pins.parquet --text-column title
    """
    import polars as pl

    from pintext.embed import text_batches
    from pintext.model import PinTextModel
    from pintext.model_folder import verify as verify_folder

    if is_store(model):
        show_facts(store_facts(model), force_json)
        return
    if is_index(model):
        if source:
            raise click.UsageError("--coverage: name a model; that of an index is in INDEX/model")
        opened = open_index(model)
        if verify:
            opened.verify()
        show_facts(index_facts(opened) | ({"verified": True} if verify else {}), force_json)
        return
    loaded = PinTextModel.from_pretrained(model)
    more: dict[str, Any] = {}
    if verify:
        verify_folder(model)
        more["verified"] = True
    if source:
        parts = [batch.texts for batch in text_batches(texts_from(source), text_column)]
        found = loaded.coverage(pl.concat(parts) if parts else [])
        more["coverage"] = {
            **found._asdict(),
            "word_coverage": round(found.word_coverage, 6),
            "token_coverage": round(found.token_coverage, 6),
        }
    show_model(loaded, model, more, table=as_table(force_json))


@click.command()
@model_argument
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["word2vec", "projector", "opensearch"]),
    default="word2vec",
    show_default=True,
    help="word2vec: one text file; projector: a folder for the Embedding Projector; opensearch: a "
    "folder with mapping, documents and an example query, of an index.",
)
@click.option("--query", help="Text of the example query.  [default: that of the first pin]")
@overwrite_option
def export(model: Path, out: Path, form: Any, query: str | None, overwrite: bool) -> None:
    """Write the dictionary to OUT for other programs.

    With the folder of an index in place of MODEL: its pins, words and tokens, for a cluster of
    OpenSearch or Elasticsearch.

    \b
    Example:
      pintext export model/ dictionary.vec
      pintext export model/ projector/ --format projector
      pintext export index/ cluster/ --format opensearch
    """
    from pintext.model import PinTextModel

    if (form == "opensearch") != is_index(model):
        raise click.UsageError("--format opensearch wants an index, the others want a model")
    if form == "opensearch":
        from pintext.index.opensearch import export_opensearch

        export_opensearch(open_index(model), out, query=query, overwrite=overwrite)
    else:
        PinTextModel.from_pretrained(model).export(out, form, overwrite=overwrite)
    note(f"written to {out}")

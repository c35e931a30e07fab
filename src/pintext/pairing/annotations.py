"""The annotations of a catalogue's entries: those that are sure enough and in a wanted language.

They come as a list of texts, with lists as long beside it for how sure each is and its language; as
a list of objects that say both; or, in CSV, as texts with a separator between.
"""

import polars as pl

from pintext.pairing.settings import CatalogueConfig

__all__ = ["annotation_text", "uneven"]


def annotation_text(schema: pl.Schema, config: CatalogueConfig) -> pl.Expr:
    """The annotations that pass the thresholds, in their order, with blanks between.

    One that does not say how sure it is, or its language, passes.
    """
    kind = schema[config.annotations]
    if isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct):
        fields = [field.name for field in kind.inner.fields]
        fails = [
            _fails(name, pl.element().struct.field(name), config)
            for name in _thresholds(config)
            if name in fields
        ]
        passing = pl.element().filter(~pl.any_horizontal(fails)) if fails else pl.element()
        kept = pl.col(config.annotations).list.eval(passing.struct.field("text"))
    else:
        kept = _as_list(config.annotations, schema, config)
        places = kept.list.eval(pl.int_range(pl.len(), dtype=pl.UInt32))
        beside = [name for name in _thresholds(config) if name in schema]
        for name in beside:
            failing = _fails(name, pl.element(), config).arg_true()
            out = _as_list(name, schema, config).list.eval(failing)
            places = places.list.set_difference(out.fill_null(pl.lit([], pl.List(pl.UInt32))))
        if beside:
            kept = kept.list.gather(places.list.sort())
    if config.max_annotations:
        kept = kept.list.head(config.max_annotations)
    return kept.list.join(" ", ignore_nulls=True)


def uneven(schema: pl.Schema, config: CatalogueConfig) -> pl.Expr:
    """Whether a list beside the annotations is not as long as they are."""
    kind = schema.get(config.annotations, pl.Null())
    if isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct):
        return pl.lit(False)
    lengths = [
        _as_list(name, schema, config).list.len() for name in _thresholds(config) if name in schema
    ]
    if not lengths or config.annotations not in schema:
        return pl.lit(False)
    whole = _as_list(config.annotations, schema, config).list.len()
    return pl.any_horizontal(length != whole for length in lengths).fill_null(False)


def _thresholds(config: CatalogueConfig) -> list[str]:
    """The columns, or fields, that a threshold is set for."""
    names = [config.confidence] if config.min_confidence else []
    return names + ([config.language] if config.languages else [])


def _fails(name: str, value: pl.Expr, config: CatalogueConfig) -> pl.Expr:
    """Whether a value is there and does not pass."""
    if name == config.confidence:
        return (value.cast(pl.Float64) < config.min_confidence).fill_null(False)
    return (~value.cast(pl.String).is_in(list(config.languages))).fill_null(False)


def _as_list(name: str, schema: pl.Schema, config: CatalogueConfig) -> pl.Expr:
    """A column as lists; a text is divided at the separator."""
    if isinstance(schema[name], pl.List):
        return pl.col(name)
    return pl.col(name).cast(pl.String).str.split(config.list_separator)

"""The index: pins found by what they mean, by their words, or by both.

===============  =====================================================================
``pin_index``    :class:`PinIndex`: build, open, search, change
``settings``     the settings, declared once
``pins``         pins from files and frames, in batches
``fields``       filter fields: kinds, columns, queries
``rows``         vectors, tokens and ids, mapped into memory
``row_writer``   appending them
``live``         which rows count, written beside every commit
``token_lists``  which rows carry a token
``terms``        the inverted index: schema, documents, checksums
``terms_view``   the inverted index as a process sees it
``building``     from pins to a generation
``making``       from a generation to one that counts
``manifest``     the index folder
``opening``      opening, and following commits
``lock``         one writer at a time
``snapshot``     one committed state, and what can be asked of it
``searching``    candidates, exact cosines, fusion
``asking``       the searches of one index and of several shards, in one form
``shards``       what one shard gives to a search over several
``sharded``      :class:`ShardedIndex`: shards searched like one index
``hits``         what a search gives back
``writing``      upsert and delete
``stored``       pins as they are given back
``calibration``  what a cut-off by similarity gives
``opensearch``   the same documents and query for a cluster
===============  =====================================================================

The names below are imported when they are first used: settings must not cost the rest.
"""

from typing import TYPE_CHECKING

from pintext.lazy import names_of

if TYPE_CHECKING:
    from pintext.index.building import Progress
    from pintext.index.hits import Explanation, Hit, Hits
    from pintext.index.pin_index import PinIndex
    from pintext.index.settings import IndexConfig
    from pintext.index.sharded import ShardedIndex

__all__ = ["Explanation", "Hit", "Hits", "IndexConfig", "PinIndex", "Progress", "ShardedIndex"]

__getattr__, __dir__ = names_of(
    __name__,
    {
        "Explanation": "hits",
        "Hit": "hits",
        "Hits": "hits",
        "IndexConfig": "settings",
        "PinIndex": "pin_index",
        "Progress": "building",
        "ShardedIndex": "sharded",
    },
)

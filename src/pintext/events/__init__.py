"""Engagement events: their form, where they are stored, and how they get there.

The names below are imported when they are first used: settings must not cost the Kafka client.
"""

from typing import TYPE_CHECKING

from pintext.lazy import names_of

if TYPE_CHECKING:
    from pintext.events.folder import FileIngester
    from pintext.events.form import EVENT_SCHEMA
    from pintext.events.kafka import KafkaIngester
    from pintext.events.replay import replay_letters
    from pintext.events.settings import ACTIONS, EventMapping, IngestConfig
    from pintext.events.store import EventStore, StoredFile
    from pintext.events.writer import Batch, StoreWriter

__all__ = [
    "ACTIONS",
    "EVENT_SCHEMA",
    "Batch",
    "EventMapping",
    "EventStore",
    "FileIngester",
    "IngestConfig",
    "KafkaIngester",
    "StoreWriter",
    "StoredFile",
    "replay_letters",
]

__getattr__, __dir__ = names_of(
    __name__,
    {
        "ACTIONS": "settings",
        "EVENT_SCHEMA": "form",
        "Batch": "writer",
        "EventMapping": "settings",
        "EventStore": "store",
        "FileIngester": "folder",
        "IngestConfig": "settings",
        "KafkaIngester": "kafka",
        "StoreWriter": "writer",
        "StoredFile": "store",
        "replay_letters": "replay",
    },
)

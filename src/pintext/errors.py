"""What can go wrong, as one tree.

    PinTextError
    ├── ConfigError          a setting is unknown, of the wrong type, or out of range
    ├── DataError            an input file or row cannot be used
    │   └── NoPairsError     nothing is left to train on
    ├── ModelError           a model folder cannot be used
    │   ├── ModelFormatError     foreign, damaged or from a newer version
    │   └── ModelMismatchError   vectors of two different models were mixed
    ├── IngestError          events cannot be fetched or stored
    │   └── BadEventsError       too many of them are bad
    ├── TrainingError        training cannot start or go on
    │   └── DivergedError        the loss is no longer a number
    ├── PinIndexError        an index cannot be made, written or searched
    │   ├── IndexFormatError     foreign, damaged or from a newer version
    │   └── ShardDownError       a shard of it does not answer
    ├── ServeError           the service cannot start or go on
    ├── LockedError          another process writes to the same folder
    └── MissingExtraError    an optional package is not installed

Every message says what was found, what was expected and what to do. The command line prints it
without a traceback and exits with 1.
"""

__all__ = [
    "BadEventsError",
    "ConfigError",
    "DataError",
    "DivergedError",
    "IndexFormatError",
    "IngestError",
    "LockedError",
    "MissingExtraError",
    "ModelError",
    "ModelFormatError",
    "ModelMismatchError",
    "NoPairsError",
    "PinIndexError",
    "PinTextError",
    "ServeError",
    "ShardDownError",
    "TrainingError",
]


class PinTextError(Exception):
    """Base of every error that PinText raises on purpose."""


class ConfigError(PinTextError, ValueError):
    """A setting is unknown, of the wrong type, or out of its range."""


class DataError(PinTextError, ValueError):
    """An input file, column or row cannot be used."""


class NoPairsError(DataError):
    """No usable positive pair is left to train on."""


class ModelError(PinTextError):
    """A model cannot be used."""


class ModelFormatError(ModelError, ValueError):
    """A model folder is foreign, damaged, hostile, or from a newer version of PinText."""


class ModelMismatchError(ModelError, ValueError):
    """Two artifacts that were made by different models were mixed."""


class IngestError(PinTextError, RuntimeError):
    """Events cannot be fetched or stored; what is stored already is whole."""


class BadEventsError(IngestError):
    """More of the latest events are bad than the settings allow.

    Attributes:
        found: which events, and why, without what to do.
    """

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found, advice)
        self.found = found

    def __str__(self) -> str:
        return ". ".join(self.args)


class TrainingError(PinTextError, RuntimeError):
    """Training cannot start or cannot go on."""


class DivergedError(TrainingError):
    """The loss or the dictionary stopped being finite."""


class PinIndexError(PinTextError, RuntimeError):
    """An index cannot be made, written or searched; what was committed is whole."""


class IndexFormatError(PinIndexError, ValueError):
    """An index folder is foreign, damaged, or from a newer version of PinText."""


class LockedError(PinTextError, RuntimeError):
    """Another process writes to the same folder."""


class ShardDownError(PinIndexError):
    """A shard of an index does not answer."""


class ServeError(PinTextError, RuntimeError):
    """The HTTP service cannot start, or its workers keep dying."""


class MissingExtraError(PinTextError, ImportError):
    """An optional package is needed; the message names the ``pip install`` command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}, which is not installed: "
            f"run  pip install '.[{extra}]'  in PinText's folder"
        )

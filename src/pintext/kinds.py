"""Which of PinText's folders a folder is, for messages where another was expected."""

from pathlib import Path

import msgspec

__all__ = ["is_store", "other_kind"]


def is_store(folder: Path) -> bool:
    """Whether a folder holds a store of events."""
    try:
        found = msgspec.json.decode((folder / "manifest.json").read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return isinstance(found, dict) and found.get("format") == "pintext-events"


def other_kind(folder: Path) -> str:
    """What a folder that is not the expected one holds, in words; "" where it is none of ours."""
    if (folder / "model.safetensors").is_file():
        return "a model"
    if is_store(folder):
        return "a store of events"
    inner = folder / "model"
    if (folder / "manifest.json").is_file() and (inner / "config.json").is_file():
        return f"an index, whose model is {inner}"
    if (folder / "_manifest.json").is_file() or any(folder.glob("task=*/")):
        return "pairs, of which pintext train makes a model"
    return ""

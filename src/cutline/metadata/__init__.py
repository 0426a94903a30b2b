"""Captions in text files, XMP sidecars and pictures, and undo."""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.metadata.existing import find_text as find_text
    from cutline.metadata.provenance import Mark as Mark
    from cutline.metadata.undo_journal import undo as undo
    from cutline.metadata.writer import write as write

__all__ = ["Mark", "find_text", "undo", "write"]
_HOMES = {"Mark": "provenance", "find_text": "existing", "undo": "undo_journal", "write": "writer"}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)

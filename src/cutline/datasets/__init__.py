"""Sources: where pairs of pictures and captions come from.

Each file is one alternative. A source promises: iterating yields `Example`s, each picture once; the
image files exist (they are listed, not opened); captions are not empty, except that pictures
published without captions may stand in the split `test` with none; the order is fixed; the splits
are disjoint. What breaks a promise is told by file and line: iterating raises `DataError` with the
first problem and the count of the others, `validation.check` lists them all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cutline.errors import RecipeError
from cutline.recipe import complete, find

__all__ = ["SOURCES", "detect_source", "open_dataset"]

SOURCES = {
    "coco": "cutline.datasets.coco:Coco",
    "flickr8k": "cutline.datasets.flickr8k:Flickr8k",
    "folder": "cutline.datasets.folder:Folder",
    "shapes": "cutline.datasets.shapes:Shapes",
}

MIXTURE_ONLY = {
    "sentences": "cutline.datasets.sentences:Sentences",
    "labels": "cutline.datasets.labels:Labels",
}
"""What only a mixture can take, `[[source]]`: captions without pictures, pictures with labels."""


def open_dataset(options: Mapping[str, Any], folder: Path) -> Any:
    """The data in a folder, read as `options` say: `open_dataset({"kind": "coco"}, folder)`."""
    if not isinstance(options, Mapping) or not isinstance(options.get("kind"), str):
        raise RecipeError("the source has no `kind`: name it with --kind")
    if ":" in options["kind"]:
        raise RecipeError(
            f"the source {options['kind']!r} is code of somebody's own; it is not run"
        )
    chosen = {name: v for name, v in complete("source", options).items() if name != "kind"}
    return find("source", options)(folder, **chosen)


def detect_source(options: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """What reads a folder: `options`, unless its captions are one's own (`captions.csv`)."""
    own = any((folder / name).is_file() for name in ("captions.csv", "captions.jsonl"))
    kind = options.get("kind") if isinstance(options, Mapping) else None
    return {"kind": "folder"} if own and kind in ("flickr8k", "coco") else options

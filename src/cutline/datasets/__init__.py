"""Data sets: sources of image-caption pairs.

Each file is one source. A source promises: iterating yields `Example`s, each image once; the image
files exist (they are listed, not opened); captions are not empty, except that images published
without captions may be in the split `test` with none; the order is fixed; the splits are disjoint.
Violations are reported by file and line: iterating raises `DataError` with the first problem and
the number of others, and `validation.check` lists all of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cutline.errors import RecipeError
from cutline.recipe import complete, find
from cutline.text.words import ENGLISH

__all__ = ["SOURCES", "detect_source", "open_dataset", "open_in_language"]

SOURCES = {
    "coco": "cutline.datasets.coco:Coco",
    "flickr8k": "cutline.datasets.flickr8k:Flickr8k",
    "folder": "cutline.datasets.folder:Folder",
    "hf": "cutline.datasets.hub:HubDataset",
    "shapes": "cutline.datasets.shapes:Shapes",
    "shards": "cutline.datasets.shards:Shards",
}

HUB = "hf:"
"""How the name of a data set begins that the library datasets opens."""

MIXTURE_ONLY = {
    "sentences": "cutline.datasets.sentences:Sentences",
    "labels": "cutline.datasets.labels:Labels",
}
"""Sources for mixtures (`[[source]]`) only: captions without images, images with labels."""


def open_dataset(options: Mapping[str, Any], folder: Path) -> Any:
    """Open a data set in a folder: `open_dataset({"kind": "coco"}, folder)`.

    Raises `RecipeError` for an unknown kind or option.
    """
    if not isinstance(options, Mapping) or not isinstance(options.get("kind"), str):
        raise RecipeError("the source has no `kind`: name it with --kind")
    if ":" in options["kind"]:
        raise RecipeError(f"the source {options['kind']!r} is custom code, which is not run")
    chosen = {name: v for name, v in complete("source", options).items() if name != "kind"}
    return find("source", options)(folder, **chosen)


def open_in_language(kind: str, folder: Path, language: str) -> Any:
    """Open a data set of this kind, with the captions in that language if it has several."""
    options = {"kind": kind}
    if language != ENGLISH and "language" in complete("source", options):
        options["language"] = language
    return open_dataset(options, folder)


def detect_source(options: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """The source options for a folder: `options`, or `folder` if it has a `captions.csv`.

    A file is one of `cutline caption --out`, which the kind `folder` reads, too. For a name such as
    `hf:owner/name`, the options are those of a data set of the library datasets.
    """
    if str(folder).startswith(HUB):
        return {"kind": "hf"}
    names = ("captions.csv", "captions.jsonl", "metadata.csv", "metadata.jsonl")
    own = folder.is_file() or any((folder / name).is_file() for name in names)
    kind = options.get("kind") if isinstance(options, Mapping) else None
    return {"kind": "folder"} if own and kind in ("flickr8k", "coco") else options

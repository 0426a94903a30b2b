"""A cache of image features on disk: each image is encoded once for all captions and epochs.

A store belongs to one encoder (its options and the hash of its weights) and one view, and holds the
images either as they are or all flipped. Regions are stored in half precision and memory-mapped.

It consists of two files that are only appended to: `regions.f16`, one image after another, and
`index.jsonl`, a line for each image with its file's size and modification time, written after its
regions. So a killed run loses at most a batch, a changed image is encoded again, and several runs
may share a store: each batch is written under a lock.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from cutline.errors import DataError, ImageError
from cutline.images.load import View
from cutline.images.prefetch import Decoded, decode_ahead
from cutline.images.shards import find_shard
from cutline.io.atomic import append, lock, open_to_append, require_regular_file
from cutline.io.jsonl import format_jsonl, parse_jsonl, remove_torn_line
from cutline.models.weights import encode, fingerprint
from cutline.training import distributed
from cutline.training.augmentation import mirror


class Pooled(nn.Module):
    """An encoder with a single region, the mean of all: 4 KB an image instead of 200."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.described = encoder, _describe(encoder)

    def forward(self, pixels: Tensor) -> Float[Tensor, "rows 1 width"]:
        """The mean of each image's regions."""
        return self.encoder(pixels).mean(dim=1, keepdim=True)


PICTURES_A_BATCH = 8  # with more, ResNets are slower per image on a CPU, whose cache is full


@dataclass(frozen=True)
class Encoded:
    """Another batch of images is encoded."""

    done: int
    total: int
    damaged: tuple[str, ...]
    """A sentence for every unreadable image, of this batch or, in the first event, known before."""


class FeatureStore:
    """The regions of images by one encoder and one view."""

    def __init__(
        self,
        folder: Path,
        encoder: nn.Module,
        view: View,
        *,
        mirrored: bool = False,
        precision: str = "no",
    ) -> None:
        self.encoder, self.view = encoder.eval(), view
        self.mirrored, self.precision = mirrored, precision
        folder = folder / _key(encoder, view, mirrored=mirrored, precision=precision)
        folder.mkdir(parents=True, exist_ok=True)
        self._regions, self._journal = folder / "regions.f16", folder / "index.jsonl"
        self._lock = folder / "lock"
        open_to_append(self._regions).close()
        with _alone(self._lock):
            self._index = _read_index(self._journal)

    def missing(self, images: Sequence[Path]) -> list[Path]:
        """The images that are not stored yet, or have changed since."""
        return [i for i in images if self._index.get(_name(i), {}).get("state") != _state(i)]

    def encode(self, images: Sequence[Path]) -> Iterator[Encoded]:
        """Encode those images that are missing, a batch at a time."""
        images = list(dict.fromkeys(images))
        missing = set(self.missing(images)) if distributed.is_first() else set(images)
        known = self._known_damaged(set(images) - missing)
        numbers = [number for number, image in enumerate(images) if image in missing]
        [(numbers, known), *_] = distributed.gather((numbers, known))
        todo = [images[number] for number in numbers]
        starts = range(0, len(todo), PICTURES_A_BATCH)
        own = [todo[at : at + PICTURES_A_BATCH] for at in starts[distributed.block(len(starts))]]
        done = len(images) - len(todo)
        if known:
            yield Encoded(done, len(images), tuple(known))
        decoded = decode_ahead(chain.from_iterable(own), self.view, batch=PICTURES_A_BATCH)
        for both in distributed.rounds(zip(own, decoded, strict=True), len(starts)):
            batch, pictures = both or ([], [])
            if batch:
                self._append(batch, pictures)
            damaged = [str(picture) for picture in pictures if isinstance(picture, ImageError)]
            answers = distributed.gather([len(batch), damaged], patient=False)
            done += sum(count for count, _ in answers)
            yield Encoded(done, len(images), tuple(chain(*(each for _, each in answers))))
        if distributed.size() > 1:
            self._read_others(todo)

    def _read_others(self, images: list[Path]) -> None:
        """Read the index anew, with what the other processes have stored of these images."""
        with _alone(self._lock):
            self._index = _read_index(self._journal)
        if lost := [image for image in images if _name(image) not in self._index]:
            raise DataError(
                f"the features of {lost[0]} and others are not in {self._regions.parent}: all "
                "processes of a training need the same --cache folder"
            )

    def load(self, images: Sequence[Path]) -> list[Tensor | None]:
        """The regions of each image, (regions, width) in half precision; None for a damaged one."""
        entries = [self._index[_name(image)] for image in images]
        shape = next((entry["shape"] for entry in entries if "shape" in entry), None)
        if shape is None:
            return [None] * len(images)
        rows = self._regions.stat().st_size // (2 * shape[0] * shape[1])
        stored = torch.from_numpy(np.memmap(self._regions, np.float16, "c", shape=(rows, *shape)))
        return [stored[entry["row"]] if "row" in entry else None for entry in entries]

    def _known_damaged(self, images: set[Path]) -> tuple[str, ...]:
        entries = (self._index[_name(image)] for image in sorted(images))
        return tuple(entry["error"] for entry in entries if "error" in entry)

    def _append(self, images: list[Path], pictures: list[Decoded]) -> None:
        """Write regions before the index, so that everything in the index is complete."""
        entries: dict[str, dict[str, Any]] = {_name(i): {"state": _state(i)} for i in images}
        readable = {}
        for image, picture in zip(entries, pictures, strict=True):
            if isinstance(picture, ImageError):
                entries[image] |= {"error": str(picture)}
            else:
                readable[image] = mirror(picture) if self.mirrored else picture
        pixels = np.stack([*readable.values()]) if readable else None
        seen = None if pixels is None else encode(self.encoder, pixels, self.precision).half()
        with _alone(self._lock):
            if seen is not None:
                row, shape = self._append_rows(seen), list(seen.shape[1:])
                for offset, image in enumerate(readable):
                    entries[image] |= {"row": row + offset, "shape": shape}
            lines = format_jsonl({"image": image, **entry} for image, entry in entries.items())
            _append_bytes(self._journal, "".join(lines).encode())
        self._index |= entries

    def _append_rows(self, regions: Tensor) -> int:
        """Append rows and return the index of the first; an incomplete last row is overwritten."""
        row_bytes = regions[0].numel() * regions.element_size()
        row = self._regions.stat().st_size // row_bytes
        _cut_off(self._regions, row * row_bytes)
        _append_bytes(self._regions, regions.numpy().tobytes())
        return row


def _describe(encoder: nn.Module) -> str:
    """The encoder's options that are visible in neither its weights nor its layers."""
    options = {
        name: value
        for name, value in vars(encoder).items()
        if isinstance(value, bool | int | float | str) and not name.startswith("_")
    }
    return json.dumps(options)


def _key(encoder: nn.Module, view: View, **more: bool | str) -> str:
    options = json.loads(_describe(encoder))
    described = json.dumps([fingerprint(encoder), repr(encoder), options, view.as_dict(), more])
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _name(image: Path) -> str:
    """An image's name in the index: its absolute path."""
    return os.path.abspath(image)  # noqa: PTH100  resolve() would follow links


def _state(image: Path) -> list[int]:
    """Size in bytes and modification time in nanoseconds, which change with the file or shard."""
    try:
        status = (find_shard(image) or image).stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _read_index(journal: Path) -> dict[str, dict[str, Any]]:
    """The index; later lines replace earlier ones, and an incomplete last line is removed."""
    if require_regular_file(journal) is None:
        return {}
    with open_to_append(journal) as file:
        lines = remove_torn_line(file).splitlines(keepends=True)
    return {entry.pop("image"): entry for _, entry in parse_jsonl(lines, journal)}


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Allow one writer at a time, if locks are supported; a killed process releases its lock."""
    with open_to_append(path) as file:
        lock(file.fileno(), wait=True)
        yield


def _append_bytes(path: Path, content: bytes) -> None:
    with open_to_append(path) as file:
        append(file, content)


def _cut_off(path: Path, size: int) -> None:
    with open_to_append(path) as file:
        file.truncate(size)

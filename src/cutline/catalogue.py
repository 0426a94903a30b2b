"""Data sets that can be fetched: what they consist of, and into which folders it belongs.

Sizes and checksums are facts about the files that the owners serve. COCO's own host has a
certificate of another name; Amazon serves the same objects with a valid one. Flickr8k's photographs
are given by their authors on request only.
"""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from shutil import disk_usage
from threading import Event

from cutline.errors import DataError, FetchError, nearest
from cutline.fetching import Fetched, Parcel, digest, fetch
from cutline.unpacking import unpack

DONE = ".fetched"
"""The folder that remembers which parcels are unpacked."""


@dataclass(frozen=True)
class Offer:
    """A data set, in parcels, each an archive."""

    base: str
    parcels: dict[str, Parcel]
    """By what is in them: annotations, train, val, test."""
    note: str = ""


def _coco(name: str, size: int, md5: str | None = None) -> Parcel:
    folder = "annotations" if name.startswith(("annotations", "image_info")) else "zips"
    return Parcel(name, f"{folder}/{name}", size, md5)


_FLICKR8K = """\
2f234ec9b9694ef7c0c7265d8b80b2b25e3823c6013c6911feddaaa3b36744e1  Flickr8k.token.txt
e330ddd5156a4c2d2e2b67bc587e70e588f2d132bd8a10dc54dcb71e58115d8e  Flickr_8k.trainImages.txt
18ba829f47f6df1cb830bf7f0506e2ddf333818925299babbd1bbcaf50fdc504  Flickr_8k.devImages.txt
c0924146c131458ceba45da59670fe9520eadce1e5cafffa16a817672a9b1f17  Flickr_8k.testImages.txt
"""
_COCO = "https://s3.amazonaws.com/images.cocodataset.org/"
OFFERS = {
    "coco2014": Offer(
        _COCO,
        {
            "annotations": _coco(
                "annotations_trainval2014.zip", 252_872_794, "0a379cfc70b0e71301e0f377548639bd"
            ),
            "test-annotations": _coco(
                "image_info_test2014.zip", 763_464, "25304cbbafb2117fb801c0f7218fdbba"
            ),
            "train": _coco("train2014.zip", 13_510_573_713, "0da8c0bd3d6becc4dcb32757491aca88"),
            "val": _coco("val2014.zip", 6_645_013_297, "a3d79f5ed8d289b7a7554ce06a5782b3"),
            "test": _coco("test2014.zip", 6_660_437_059, "04127eef689ceac55e3a572c2c92f264"),
        },
        "Old copies of train2014 hold one damaged picture, COCO_train2014_000000262993.jpg.",
    ),
    "coco2017": Offer(
        _COCO,
        {
            "annotations": _coco(
                "annotations_trainval2017.zip", 252_907_541, "f4bbac642086de4f52a3fdda2de5fa2c"
            ),
            "train": _coco("train2017.zip", 19_336_861_798, "cced6f7f71b7629ddf16f17bbcfab6b2"),
            "val": _coco("val2017.zip", 815_585_330, "442b8da7639aecaf257c1dceb8ba8c80"),
        },
    ),
    "flickr8k-text": Offer(
        "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/",
        {"text": Parcel("Flickr8k_text.zip", "Flickr8k_text.zip", 2_340_801, contents=_FLICKR8K)},
        "Flickr8k's photographs are given on request by its authors (Hodosh, Young and "
        "Hockenmaier); put their folder Flicker8k_Dataset beside these files.",
    ),
}


@dataclass(frozen=True)
class Plan:
    """What is to be fetched into a folder, and what that costs."""

    folder: Path
    parcels: tuple[Parcel, ...]
    missing: tuple[Parcel, ...]
    note: str

    @property
    def bytes_to_fetch(self) -> int:
        """Without what has come already."""
        return sum(max(0, p.size - self.present(p)) for p in self.missing)

    @property
    def bytes_needed(self) -> int:
        """On the disk at most: the archives and, before they go, what is in them."""
        return 2 * sum(parcel.size for parcel in self.missing)

    @property
    def bytes_free(self) -> int:
        """On the disk."""
        existing = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
        return disk_usage(existing).free

    def present(self, parcel: Parcel) -> int:
        """Bytes of a parcel that have come."""
        names = (parcel.name, f"{parcel.name}.part")
        return max(p.stat().st_size if p.exists() else 0 for p in map(self._beside, names))

    def _beside(self, name: str) -> Path:
        return self.folder / DONE / name


def plan(name: str, folder: Path, *, only: Sequence[str] = (), mirror: str | None = None) -> Plan:
    """What fetching a data set, or only some of its parts, would bring; asks nobody."""
    if name not in OFFERS:
        raise DataError(f"there is no data set {name!r} to fetch{nearest(name, OFFERS)}")
    offer = OFFERS[name]
    for part in only:
        if part not in offer.parcels:
            raise DataError(f"{name} has no part {part!r}{nearest(part, offer.parcels)}")
    base = (mirror or offer.base).rstrip("/") + "/"
    parcels = tuple(
        replace(parcel, address=base + parcel.address)
        for part, parcel in offer.parcels.items()
        if not only or part in only
    )
    missing = tuple(p for p in parcels if not (folder / DONE / f"{p.name}.done").exists())
    return Plan(folder, parcels, missing, offer.note)


def get(parcel: Parcel, folder: Path, *, patience: float = 30.0) -> Iterator[Fetched]:
    """Fetch a parcel, unpack it, forget the archive. Goes on where it was stopped."""
    beside = folder / DONE
    yield from fetch(parcel, beside, patience=patience)
    archive = beside / parcel.name
    inside = beside / f"{parcel.name}.unpacked"
    for event in unpack(archive, inside):
        yield replace(event, name=f"unpacking {event.name}")
    for expected, name in map(str.split, parcel.contents.splitlines()):
        if not (inside / name).is_file() or digest(inside / name, "sha256") != expected:
            archive.unlink()
            raise FetchError(f"{parcel.address} is not what it should be: {name} in it differs")
    _move(inside, folder)
    (beside / f"{parcel.name}.done").touch()
    archive.unlink()


def get_all(
    parcels: Sequence[Parcel], folder: Path, *, at_once: int = 3, patience: float = 30.0
) -> Generator[Fetched | FetchError]:
    """Get some parcels at a time; one that does not come does not keep the others."""
    events = SimpleQueue[Fetched | FetchError | None]()
    stopped = Event()

    def bring(parcel: Parcel) -> None:
        try:
            for event in get(parcel, folder, patience=patience):
                if stopped.is_set():
                    break
                events.put(event)
        except FetchError as error:
            events.put(error)
        finally:
            events.put(None)

    pool = ThreadPoolExecutor(at_once)
    under_way = [pool.submit(bring, parcel) for parcel in parcels]
    try:
        while under_way:
            event = events.get()
            if event is None:
                under_way.pop()
            else:
                yield event
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _move(source: Path, target: Path) -> None:
    """Everything to its final place: whole folders where there is none yet, else file by file."""
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _move(path, place)
        else:
            path.replace(place)
    source.rmdir()

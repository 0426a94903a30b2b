"""Data sets that can be fetched: what they consist of, and into which folders it belongs.

Sizes and checksums are facts about the files that the owners serve. COCO's own host has a
certificate of another name; Amazon serves the same objects with a valid one. Flickr8k's photographs
are given by their authors on request only.
"""

import filecmp
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from errno import EEXIST
from pathlib import Path
from queue import SimpleQueue
from shutil import disk_usage, rmtree
from threading import Event, Semaphore, Thread
from urllib.parse import urlsplit

from cutline.datasets.download import DownloadProgress, RemoteFile, digest, fetch
from cutline.datasets.unzip import unpack
from cutline.errors import DataError, FetchError, nearest

DONE = ".fetched"
"""The folder that remembers which files are unpacked."""
_Events = SimpleQueue[DownloadProgress | Exception | None]
"""Of files that come at the same time; one has ended where there is `None`."""


@dataclass(frozen=True)
class DownloadableDataset:
    """A data set, in files, each an archive."""

    base: str
    files: dict[str, RemoteFile]
    """By what is in them: annotations, train, val, test."""
    note: str = ""


def _coco(name: str, size: int, md5: str | None = None) -> RemoteFile:
    folder = "annotations" if name.startswith(("annotations", "image_info")) else "zips"
    return RemoteFile(name, f"{folder}/{name}", size, md5)


_FLICKR8K = """\
2f234ec9b9694ef7c0c7265d8b80b2b25e3823c6013c6911feddaaa3b36744e1  Flickr8k.token.txt
e330ddd5156a4c2d2e2b67bc587e70e588f2d132bd8a10dc54dcb71e58115d8e  Flickr_8k.trainImages.txt
18ba829f47f6df1cb830bf7f0506e2ddf333818925299babbd1bbcaf50fdc504  Flickr_8k.devImages.txt
c0924146c131458ceba45da59670fe9520eadce1e5cafffa16a817672a9b1f17  Flickr_8k.testImages.txt
"""
_COCO = "https://s3.amazonaws.com/images.cocodataset.org/"
DOWNLOADABLE = {
    "coco2014": DownloadableDataset(
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
    "coco2017": DownloadableDataset(
        _COCO,
        {
            "annotations": _coco(
                "annotations_trainval2017.zip", 252_907_541, "f4bbac642086de4f52a3fdda2de5fa2c"
            ),
            "train": _coco("train2017.zip", 19_336_861_798, "cced6f7f71b7629ddf16f17bbcfab6b2"),
            "val": _coco("val2017.zip", 815_585_330, "442b8da7639aecaf257c1dceb8ba8c80"),
        },
    ),
    "flickr8k-text": DownloadableDataset(
        "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/",
        {
            "text": RemoteFile(
                "Flickr8k_text.zip", "Flickr8k_text.zip", 2_340_801, contents=_FLICKR8K
            )
        },
        "Flickr8k's photographs are given on request by its authors (Hodosh, Young and "
        "Hockenmaier); put their folder Flicker8k_Dataset beside these files.",
    ),
}


@dataclass(frozen=True)
class Plan:
    """What is to be fetched into a folder, and what that costs."""

    folder: Path
    files: tuple[RemoteFile, ...]
    missing: tuple[RemoteFile, ...]
    note: str

    @property
    def bytes_to_fetch(self) -> int:
        """Without what has come already."""
        return sum(max(0, p.size - self.present(p)) for p in self.missing)

    @property
    def bytes_needed(self) -> int:
        """On the disk at most: what is still to come, and what is still to be unpacked."""
        return self.bytes_to_fetch + sum(max(0, p.size - self._unpacked(p)) for p in self.missing)

    @property
    def bytes_free(self) -> int:
        """On the disk."""
        return disk_usage(_find_existing(self.folder)).free

    def present(self, remote: RemoteFile) -> int:
        """Bytes of a file that have arrived."""
        names = (remote.name, f"{remote.name}.part")
        return max(p.stat().st_size if p.exists() else 0 for p in map(self._beside, names))

    def _unpacked(self, remote: RemoteFile) -> int:
        inside = self._beside(f"{remote.name}.unpacked")
        return sum(path.stat().st_size for path in inside.rglob("*") if path.is_file())

    def _beside(self, name: str) -> Path:
        return self.folder / DONE / name


def plan(name: str, folder: Path, *, only: Sequence[str] = (), mirror: str | None = None) -> Plan:
    """What fetching a data set, or only some of its parts, would bring; asks nobody."""
    if name not in DOWNLOADABLE:
        raise DataError(f"there is no data set {name!r} to fetch{nearest(name, DOWNLOADABLE)}")
    dataset = DOWNLOADABLE[name]
    for part in only:
        if part not in dataset.files:
            raise DataError(f"{name} has no part {part!r}{nearest(part, dataset.files)}")
    if mirror and not _is_address(mirror):
        raise DataError(
            f"the mirror {mirror!r} is no address such as https://example.org/coco "
            "(http:// and file:// will do)"
        )
    if not (existing := _find_existing(folder)).is_dir():
        raise DataError(f"nothing can be put into {folder}: {existing} is a file")
    base = (mirror or dataset.base).rstrip("/") + "/"
    files = tuple(
        replace(remote, address=base + remote.address)
        for part, remote in dataset.files.items()
        if not only or part in only
    )
    missing = tuple(p for p in files if not (folder / DONE / f"{p.name}.done").exists())
    return Plan(folder, files, missing, dataset.note)


def _is_address(mirror: str) -> bool:
    try:
        parts = urlsplit(mirror)
        is_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, say
        return False
    return parts.scheme == "file" or (parts.scheme in ("https", "http") and is_host)


def _find_existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def get(remote: RemoteFile, folder: Path, *, patience: float = 30.0) -> Iterator[DownloadProgress]:
    """Download an archive, unpack and delete it; resumes where it was stopped.

    Raises `FetchError` whenever that fails, whatever the reason.
    """
    beside = folder / DONE
    archive, inside = beside / remote.name, beside / f"{remote.name}.unpacked"
    try:
        yield from fetch(remote, beside, patience=patience)
        yield from _unpack(remote, archive, inside)
        _move(inside, folder)
        (beside / f"{remote.name}.done").touch()
        archive.unlink()
    except OSError as error:  # no room, no right to write
        place, reason = error.filename2 or error.filename or folder, error.strerror or error
        raise FetchError(f"{remote.name} cannot be brought into {place}: {reason}") from None
    except ValueError as error:  # no address
        raise FetchError(f"{remote.address} does not come: {error}") from None


def get_all(
    files: Sequence[RemoteFile], folder: Path, *, at_once: int = 3, patience: float = 30.0
) -> Generator[DownloadProgress | FetchError]:
    """Get some files at a time; one that does not come does not keep the others."""
    events: _Events = SimpleQueue()
    stopped, free = Event(), Semaphore(at_once)
    # daemons: whoever stops the program does not wait for a server that says nothing
    threads = [
        Thread(target=_bring, args=(coming, events, stopped, free), daemon=True)
        for coming in (get(remote, folder, patience=patience) for remote in files)
    ]
    try:
        for thread in threads:
            thread.start()
        under_way = len(threads)
        while under_way:
            event = events.get()
            if event is None:
                under_way -= 1
            elif isinstance(event, DownloadProgress | FetchError):
                yield event
            else:
                raise event  # a mistake of our own
    finally:
        stopped.set()
        for thread in threads:
            thread.join(1 / len(threads))  # those that have something in hand lay it down


def _bring(
    coming: Iterator[DownloadProgress], events: _Events, stopped: Event, free: Semaphore
) -> None:
    """When it is its turn, pass on a file's events, whatever it fails with, and that it ends."""
    try:
        with free:
            if stopped.is_set():
                return
            for event in coming:
                if stopped.is_set():
                    return
                events.put(event)
    except Exception as error:  # none may be lost in a thread that nobody looks at
        events.put(error)
    finally:
        events.put(None)


def _unpack(remote: RemoteFile, archive: Path, inside: Path) -> Iterator[DownloadProgress]:
    """Unpack and check; an archive that is not what it should be is not kept."""
    try:
        for event in unpack(archive, inside):
            yield replace(event, name=f"unpacking {event.name}")
        for expected, name in map(str.split, remote.contents.splitlines()):
            if not (inside / name).is_file() or digest(inside / name, "sha256") != expected:
                raise FetchError(f"{remote.address} is not what it should be: {name} in it differs")
    except FetchError as error:
        if inside.exists():
            rmtree(inside)  # before the archive: nothing of it may outlive it
        archive.unlink()
        raise FetchError(f"{error}; the same command fetches it again") from None


def _move(source: Path, target: Path) -> None:
    """Everything to its final place: whole folders where there is none yet, else file by file."""
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_file() and place.is_file() and not filecmp.cmp(path, place, shallow=False):
            raise FileExistsError(EEXIST, "another file of this name is there", str(place))
        try:
            path.replace(place)  # tried, not asked before: another archive may add this folder now
        except OSError:
            if not (path.is_dir() and place.is_dir()):
                raise
            _move(path, place)
    source.rmdir()

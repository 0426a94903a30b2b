"""Data sets that can be downloaded: their archives, and where the contents belong.

Sizes and checksums are those of the files on the owners' servers. COCO's own host has a certificate
for another name; Amazon serves the same objects with a valid one. Flickr8k's photographs are
available from their authors on request only.
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

STATE_FOLDER = ".fetched"
"""The folder for archives, and for markers of those that are unpacked."""
_Events = SimpleQueue[DownloadProgress | Exception | None]
"""Events of concurrent downloads; `None` marks the end of one."""


@dataclass(frozen=True)
class DownloadableDataset:
    """A data set as a set of archives."""

    base: str
    files: dict[str, RemoteFile]
    """Files by content: annotations, train, val, test."""
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
        "Old copies of train2014 contain one damaged picture, COCO_train2014_000000262993.jpg.",
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
        "Flickr8k's photographs are available from its authors on request (Hodosh, Young and "
        "Hockenmaier); put their folder Flicker8k_Dataset beside these files.",
    ),
}


@dataclass(frozen=True)
class Plan:
    """What to download into a folder, and its size."""

    folder: Path
    files: tuple[RemoteFile, ...]
    missing: tuple[RemoteFile, ...]
    note: str

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes to download, without those that are present already."""
        return sum(max(0, p.size - self.present(p)) for p in self.missing)

    @property
    def bytes_needed(self) -> int:
        """Maximum additional disk space: bytes to download, and bytes to unpack."""
        return self.bytes_to_fetch + sum(max(0, p.size - self._unpacked(p)) for p in self.missing)

    @property
    def bytes_free(self) -> int:
        """Free disk space in bytes."""
        return disk_usage(_find_existing(self.folder)).free

    def present(self, remote: RemoteFile) -> int:
        """Bytes of a file that are present."""
        names = (remote.name, f"{remote.name}.part")
        return max(p.stat().st_size if p.exists() else 0 for p in map(self._beside, names))

    def _unpacked(self, remote: RemoteFile) -> int:
        inside = self._beside(f"{remote.name}.unpacked")
        return sum(path.stat().st_size for path in inside.rglob("*") if path.is_file())

    def _beside(self, name: str) -> Path:
        return self.folder / STATE_FOLDER / name


def plan(name: str, folder: Path, *, only: Sequence[str] = (), mirror: str | None = None) -> Plan:
    """Plan the download of a data set, or of the parts in `only`, without network access."""
    if name not in DOWNLOADABLE:
        raise DataError(f"there is no data set {name!r} to download{nearest(name, DOWNLOADABLE)}")
    dataset = DOWNLOADABLE[name]
    for part in only:
        if part not in dataset.files:
            raise DataError(f"{name} has no part {part!r}{nearest(part, dataset.files)}")
    if mirror and not _is_address(mirror):
        raise DataError(
            f"the mirror {mirror!r} is not a URL such as https://example.org/coco "
            "(http:// and file:// work, too)"
        )
    if not (existing := _find_existing(folder)).is_dir():
        raise DataError(f"cannot write into {folder}: {existing} is a file")
    base = (mirror or dataset.base).rstrip("/") + "/"
    files = tuple(
        replace(remote, address=base + remote.address)
        for part, remote in dataset.files.items()
        if not only or part in only
    )
    missing = tuple(p for p in files if not (folder / STATE_FOLDER / f"{p.name}.done").exists())
    return Plan(folder, files, missing, dataset.note)


def _is_address(mirror: str) -> bool:
    try:
        parts = urlsplit(mirror)
        is_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # for example, a port that is not a number
        return False
    return parts.scheme == "file" or (parts.scheme in ("https", "http") and is_host)


def _find_existing(folder: Path) -> Path:
    """The folder, or its nearest existing parent."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def get(remote: RemoteFile, folder: Path, *, timeout: float = 30.0) -> Iterator[DownloadProgress]:
    """Download an archive, unpack and delete it; resumes where it was stopped.

    Raises `FetchError` whenever that fails, whatever the reason.
    """
    beside = folder / STATE_FOLDER
    archive, inside = beside / remote.name, beside / f"{remote.name}.unpacked"
    try:
        yield from fetch(remote, beside, timeout=timeout)
        yield from _unpack(remote, archive, inside)
        _move(inside, folder)
        (beside / f"{remote.name}.done").touch()
        archive.unlink()
    except OSError as error:  # disk full, no permission
        place, reason = error.filename2 or error.filename or folder, error.strerror or error
        raise FetchError(f"{remote.name} cannot be saved in {place}: {reason}") from None
    except ValueError as error:  # not a URL
        raise FetchError(f"{remote.address} cannot be downloaded: {error}") from None


def get_all(
    files: Sequence[RemoteFile], folder: Path, *, at_once: int = 3, timeout: float = 30.0
) -> Generator[DownloadProgress | FetchError]:
    """Download `at_once` files at a time; yields the error of one and continues with the others."""
    events: _Events = SimpleQueue()
    stopped, free = Event(), Semaphore(at_once)
    # daemons, so that the program can exit without waiting for a silent server
    threads = [
        Thread(target=_run, args=(coming, events, stopped, free), daemon=True)
        for coming in (get(remote, folder, timeout=timeout) for remote in files)
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
                raise event  # a bug
    finally:
        stopped.set()
        for thread in threads:
            thread.join(1 / len(threads))  # time to finish the current chunk


def _run(
    coming: Iterator[DownloadProgress], events: _Events, stopped: Event, free: Semaphore
) -> None:
    """Wait for a free slot, then forward a download's events, its error and its end."""
    try:
        with free:
            if stopped.is_set():
                return
            for event in coming:
                if stopped.is_set():
                    return
                events.put(event)
    except Exception as error:  # re-raised by the consumer
        events.put(error)
    finally:
        events.put(None)


def _unpack(remote: RemoteFile, archive: Path, inside: Path) -> Iterator[DownloadProgress]:
    """Unpack and verify; a wrong archive is deleted."""
    try:
        for event in unpack(archive, inside):
            yield replace(event, name=f"unpacking {event.name}")
        for expected, name in map(str.split, remote.contents.splitlines()):
            if not (inside / name).is_file() or digest(inside / name, "sha256") != expected:
                raise FetchError(f"{remote.address} is not the expected file: {name} in it differs")
    except FetchError as error:
        if inside.exists():
            rmtree(inside)  # before the archive, so that nothing of it is left
        archive.unlink()
        raise FetchError(f"{error}; run the command again to download it again") from None


def _move(source: Path, target: Path) -> None:
    """Move everything to its place: whole folders if they do not exist, otherwise file by file."""
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_file() and place.is_file() and not filecmp.cmp(path, place, shallow=False):
            raise FileExistsError(EEXIST, "a different file of this name exists", str(place))
        try:
            path.replace(place)  # without a check before: another thread may create the folder now
        except OSError:
            if not (path.is_dir() and place.is_dir()):
                raise
            _move(path, place)
    source.rmdir()

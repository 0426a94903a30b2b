"""Captions go where other software reads them: text files, XMP sidecars, the pictures themselves.

Enters: rows of a `captions.jsonl`, or the same from Python. Leaves: what happened to each picture,
an event each. Nothing is written without `apply`, nothing ever over a human's text, and every
change stands in a journal from which `cutline undo` takes it back.

A sidecar is `photo.jpg.xmp` (darktable, digiKam, Immich, PhotoPrism); `photo.xmp` (Adobe) where it
is asked for or there already. A text file is `photo.txt`; it has no place for a mark, so only what
the journal knows of is cutline's own.
"""

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

from cutline.errors import DataError, WritingError, nearest
from cutline.inference.corrections import BY, HUMAN, mark_persons
from cutline.inference.journal import insist_on_own, journal_of, renewing
from cutline.io.atomic import read_file
from cutline.io.tables import read_rows
from cutline.metadata.exiftool import ExifTool, find_exiftool, kind_of
from cutline.metadata.name_clashes import Neighbours
from cutline.metadata.provenance import Found, Mark, clean_text, hash_text
from cutline.metadata.undo_journal import Journal, insist_on_target, tell_failure
from cutline.metadata.xmp import look_inside, put_text, read_packet

FORMS = ("txt", "xmp", "embed")
SIDECARS = ("full", "stem")
"""`full`: `photo.jpg.xmp`; `stem`: `photo.xmp`."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*|x-default")


@dataclass(frozen=True, slots=True)
class Captioned:
    """One picture and the caption that it is to get; or why it has none."""

    picture: Path
    text: str = ""
    confidence: float | None = None
    model: str = ""
    fingerprint: str = ""
    version: str = ""
    threshold: float = 0.0
    """The confidence below which the model's captions are left out unless somebody says."""
    date: str = ""
    lacking: str = ""
    """Why there is no caption."""
    human: bool = False
    """Whether a person wrote it: then it gets no mark, and is never written over."""

    @classmethod
    def from_line(cls, line: Mapping[str, Any], folder: Path | None = None) -> "Captioned":
        """From a row of captions, which needs only `path` and `caption` or `error`.

        A path that leads nowhere from here is looked for in `folder`. Raises `DataError`.
        """
        path, text = line.get("path"), line.get("caption")
        if not isinstance(path, str) or not path or "\0" in path:
            raise DataError("a line needs a path")
        if not isinstance(text, str | None) or not {"caption", "error"} & line.keys():
            raise DataError(f"{path} needs a caption or an error")
        human, model = line.get(BY) == HUMAN, line.get("model")
        model = model if isinstance(model, Mapping) else {"name": model}
        return cls(
            picture=_find(Path(path), folder),
            text=text or "",
            confidence=_as_share(line.get("confidence"), path),
            model=str(model.get("name") or ""),
            fingerprint=str(model.get("fingerprint") or ""),
            version=str(model.get("cutline") or ""),
            threshold=_as_share(model.get("threshold"), path) or 0.0,
            date=str(line.get("date") or ""),
            lacking="" if text or (text == "" and not human) else _why_lacking(path, line),
            human=human,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to one picture, or would."""

    picture: Path
    target: Path
    """The file that holds the caption."""
    action: str
    """`written`, `would write`, `unchanged`, `kept` (a human's text), `left out` or `failed`."""
    text: str = ""
    """The caption."""
    sentence: str = ""
    """Why, where nothing was written."""

    def as_json(self) -> dict[str, str]:
        """Ready for `json.dumps`."""
        told = {"path": str(self.picture), "target": str(self.target), "action": self.action}
        more = {"caption": self.text, "sentence": self.sentence}
        return told | {name: value for name, value in more.items() if value}


def read_captions(path: str | Path) -> list[Captioned]:
    """The rows of a `captions.jsonl`, `.csv` or `.parquet`, the last of each picture.

    Paths are as seen from here, or else from the file. Raises `DataError` that names the line.
    """
    path, found = Path(path), dict[Path, Captioned]()
    rows = [(where, dict(told)) for where, told in read_rows(path)]
    insist_on_own(path)
    mark_persons((told for _, told in rows), journal_of(path))
    for where, told in rows:
        try:
            captioned = Captioned.from_line(told, path.parent)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        found.pop(captioned.picture, None)
        found[captioned.picture] = captioned
    return list(found.values())


def write(
    captions: Iterable[Captioned | Mapping[str, Any]],
    *,
    form: str,
    journal: str | Path,
    apply: bool = False,
    language: str = "en",
    min_confidence: float | None = None,
    sidecars: str = "full",
    known_to: str | Path | None = None,
    within: Iterable[Path] = (),
) -> Generator[Event]:
    """Write each caption as `txt`, `xmp` or `embed`; without `apply` only say what would be done.

    Captions below `min_confidence` are left out; by default, those below what the model that wrote
    them advises. `known_to` is the file that `cutline caption --out` made: it is told of the
    pictures that `embed` changes, so that they are not captioned again. Links are followed to what
    lies in the folder of their picture or in one of `within`, and not elsewhere.
    One picture that cannot be written to gets an event that says why, and the rest go on. Raises
    `WritingError` for options that do not exist, where ExifTool is needed and missing, and where
    another process writes in the journal.
    """
    if form not in FORMS:
        raise WritingError(f"captions cannot be written as {form!r}{nearest(form, FORMS)}")
    if sidecars not in SIDECARS:
        raise WritingError(f"sidecars cannot be named {sidecars!r}{nearest(sidecars, SIDECARS)}")
    if not _LANGUAGE.fullmatch(language):
        raise WritingError(f"{language!r} is no language; name one as en, de or pt-BR")
    with ExitStack() as stack:
        opened = Journal(Path(journal))
        stack.callback(opened.close)
        if apply:
            opened.claim()
        writer: _Form
        match form:
            case "txt":
                writer = _Texts(opened)
            case "xmp":
                writer = _Sidecars(sidecars, language)
            case _:
                exiftool = stack.enter_context(ExifTool(find_exiftool()))
                writer = _Embedded(exiftool, language)
        folders = [folder.resolve() for folder in within]
        renew = stack.enter_context(renewing(Path(known_to) if known_to else None))
        for each in captions:
            captioned = each if isinstance(each, Captioned) else Captioned.from_line(each)
            if why := _why_left_out(captioned, min_confidence):
                yield Event(captioned.picture, captioned.picture, "left out", "", why)
            else:
                yield _write_one(writer, captioned, opened, renew, folders, apply=apply)


def _why_left_out(captioned: Captioned, min_confidence: float | None) -> str:
    if captioned.lacking:
        return captioned.lacking
    least = captioned.threshold if min_confidence is None else min_confidence
    if least > 0 and not captioned.human and (captioned.confidence or 0.0) < least:
        told = "unknown" if captioned.confidence is None else f"{captioned.confidence:.2f}"
        return f"{captioned.picture}: the confidence is {told}, less than {least:.2f}"
    return ""


def _write_one(
    writer: "_Form",
    captioned: Captioned,
    journal: Journal,
    renew: Callable[[bytes, bytes], None],
    folders: Sequence[Path],
    *,
    apply: bool,
) -> Event:
    picture = target = captioned.picture
    try:
        if not picture.is_file():
            raise FileNotFoundError
        target = writer.find_target(picture)
        if not any(
            target.resolve().is_relative_to(f) for f in (picture.parent.resolve(), *folders)
        ):
            why = f"{picture}: a link leads out of its folder, to {target}, which stays as it is"
            return Event(picture, target, "left out", captioned.text, why)
        text = clean_text(captioned.text)
        held = read_file(target)
        seen = writer.look(target, held, captioned, text)
        if seen.human and not (captioned.human and seen.same):
            return Event(picture, target, "kept", text, seen.human)
        if seen.same:
            return Event(picture, target, "unchanged", text)
        if apply:
            mark = None if captioned.human else _mark(captioned, text)
            content = writer.make(target, held, text, mark)
            human = captioned.human
            journal.replace(target, content, seen=held, picture=picture, human=human)
            renew(held or b"", content)
        else:
            insist_on_target(target)  # which writing would do, too
        return Event(picture, target, "written" if apply else "would write", text)
    except (OSError, WritingError) as error:
        return Event(picture, target, "failed", captioned.text, tell_failure(target, error))


def _mark(captioned: Captioned, text: str) -> Mark:
    from cutline.version import __version__

    return Mark(
        text_hash=hash_text(text),
        model=captioned.model,
        fingerprint=captioned.fingerprint,
        version=captioned.version or __version__,
        confidence=captioned.confidence,
        date=captioned.date or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


# --------------------------------------------------------------------------------- the forms


@dataclass(frozen=True, slots=True)
class _Seen:
    """What stands where a caption is to go."""

    human: str = ""
    """A sentence about a human's text; empty where there is none."""
    same: bool = False
    """Whether the caption is there already."""


class _Form(Protocol):
    """A place where captions are kept. `held` is the target's content; None where it is none."""

    def find_target(self, picture: Path) -> Path:
        """The file that is to hold a picture's caption."""

    def look(self, target: Path, held: bytes | None, captioned: Captioned, text: str) -> _Seen:
        """What is there already."""

    def make(self, target: Path, held: bytes | None, text: str, mark: Mark | None) -> bytes:
        """The target's new content."""


class _Texts:
    """`photo.txt` beside `photo.jpg`."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._neighbours = journal, Neighbours()

    def find_target(self, picture: Path) -> Path:
        return _follow(self._neighbours.insist_alone(picture, picture.with_suffix(".txt")))

    def look(self, target: Path, held: bytes | None, captioned: Captioned, text: str) -> _Seen:
        if held is None or not held.strip():
            return _Seen()
        change = self._journal.latest(target)
        human = ""
        if change is None or change.human or change.after != sha256(held).hexdigest():
            human = f"{target}: its text is not known to be cutline's"
        return _Seen(human, held == _as_text_file(text))

    def make(self, target: Path, held: bytes | None, text: str, mark: Mark | None) -> bytes:
        return _as_text_file(text)


class _Sidecars:
    """An XMP sidecar; what other programs keep in it stays."""

    def __init__(self, naming: str, language: str) -> None:
        self._naming, self._language, self._neighbours = naming, language, Neighbours()

    def find_target(self, picture: Path) -> Path:
        full, stem = sidecars_of(picture)
        wanted, other = (full, stem) if self._naming == "full" else (stem, full)
        alone = self._neighbours.are_none(picture)
        if other.exists() and not wanted.exists() and (other == full or alone):
            return _follow(other)
        return _follow(wanted if wanted == full else self._neighbours.insist_alone(picture, stem))

    def look(self, target: Path, held: bytes | None, captioned: Captioned, text: str) -> _Seen:
        picture, found = captioned.picture, Found() if held is None else read_packet(held)
        human = _about(target, found) or _find_human_beside(picture)
        human = human or _about(picture, look_inside(picture))
        return _Seen(human, found.holds(text, self._language, human=captioned.human))

    def make(self, target: Path, held: bytes | None, text: str, mark: Mark | None) -> bytes:
        return put_text(held, text, mark, self._language)


class _Embedded:
    """The picture itself; its sidecars, where there are any, are asked for human texts too."""

    def __init__(self, exiftool: ExifTool, language: str) -> None:
        self._exiftool, self._language = exiftool, language

    def find_target(self, picture: Path) -> Path:
        return _follow(picture)

    def look(self, target: Path, held: bytes | None, captioned: Captioned, text: str) -> _Seen:
        picture, content = captioned.picture, held or b""
        found = self._exiftool.read(content, kind_of(content, target.suffix))
        human = _about(picture, found) or _find_human_beside(picture)
        return _Seen(human, found.holds(text, self._language, human=captioned.human))

    def make(self, target: Path, held: bytes | None, text: str, mark: Mark | None) -> bytes:
        content = held or b""
        kind = kind_of(content, target.suffix)
        return self._exiftool.write(content, kind, text, mark, self._language)


def sidecars_of(picture: Path) -> tuple[Path, Path]:
    """`photo.jpg.xmp` and `photo.xmp`, the names that sidecars of a picture have."""
    return picture.with_name(f"{picture.name}.xmp"), picture.with_suffix(".xmp")


def _find_human_beside(picture: Path) -> str:
    for sidecar in sidecars_of(picture):
        packet = read_file(sidecar)
        if packet is None:
            continue
        try:
            found = read_packet(packet)
        except WritingError as error:
            raise WritingError(f"stays as it is, because {sidecar} {error}") from None
        if human := _about(sidecar, found):
            return human
    return ""


def _about(path: Path, found: Found) -> str:
    return f"{path}: {found.human}" if found.human else ""


def _follow(path: Path) -> Path:
    """Through a link: the file is replaced, and the link stays one."""
    return path.resolve() if path.is_symlink() else path


def _as_text_file(text: str) -> bytes:
    return f"{text}\n".encode()


def _why_lacking(path: str, line: Mapping[str, Any]) -> str:
    if error := line.get("error"):
        return str(error)
    why = line.get("left_out")
    return f"{path} has no caption{f': {why}' if why else ''}"


def _as_share(value: Any, path: str) -> float | None:
    """A table's numbers may be text; what is no number in it, Parquet calls NaN."""
    try:
        share = None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"the confidence of {path} is no number: {value!r:.40}") from None
    return share if share is not None and isfinite(share) else None


def _find(path: Path, folder: Path | None) -> Path:
    with suppress(OSError):  # a name too long to be one
        if folder is not None and not path.is_absolute() and not path.exists():
            return beside if (beside := folder / path).exists() else path
    return path

"""Write captions into text files, XMP sidecars and pictures, for other software to read.

Takes rows of a file of captions, or the same from Python; yields an event for each picture. Without
`apply` nothing is written. A text that a person wrote is never overwritten, and every change is in
a journal, from which `cutline undo` restores it.

A sidecar is `photo.jpg.xmp` (darktable, digiKam, Immich, PhotoPrism), or `photo.xmp` (Adobe) if the
user asks for it or it exists. A text file is `photo.txt`: it cannot carry a mark, so that only the
texts in the journal count as cutline's.
"""

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from cutline.errors import WritingError, nearest
from cutline.inference.corrections import mark_human_rows
from cutline.inference.journal import journal_path, require_own_journal, reuse_answers
from cutline.io.atomic import read_file
from cutline.io.predictions import Prediction
from cutline.io.tables import read_rows
from cutline.metadata.exiftool import ExifTool, find_exiftool, kind_of
from cutline.metadata.keywords import IN_XMP, Keywords, add_keywords, keywords_of, require_english
from cutline.metadata.name_clashes import Neighbours
from cutline.metadata.provenance import Found, Mark, clean_text, hash_text
from cutline.metadata.undo_journal import UndoJournal, explain_failure, require_target
from cutline.metadata.xmp import put_text, read_embedded, read_packet
from cutline.version import __version__

FORMS = ("txt", "xmp", "embed")
SIDECARS = ("full", "stem")
"""`full`: `photo.jpg.xmp`; `stem`: `photo.xmp`."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*|x-default")


@dataclass(frozen=True, slots=True)
class Event:
    """What was done, or would be done, for one picture."""

    picture: Path
    target: Path
    """The file that holds the caption."""
    action: str
    """`written`, `would write`, `unchanged`, `kept` (a person's text), `left out` or `failed`."""
    text: str = ""
    """The caption."""
    sentence: str = ""
    """Why nothing was written."""
    keywords: tuple[str, ...] = ()
    """The keywords that cutline adds."""
    unsure: bool = False
    """Whether there is a caption, left out because its confidence is too low."""

    def as_json(self) -> dict[str, Any]:
        """Ready for `json.dumps`."""
        event = {"path": str(self.picture), "target": str(self.target), "action": self.action}
        keywords = list(self.keywords)
        optional = {"caption": self.text, "keywords": keywords, "sentence": self.sentence}
        return event | {name: value for name, value in optional.items() if value}


def read_captions(path: str | Path) -> list[Prediction]:
    """The rows of a `captions.jsonl`, `.csv` or `.parquet`; the last row of a picture counts.

    Rows that a person changed are marked as such. Relative paths are looked up from the working
    directory, then from the file's folder. Raises `DataError` that names the row.
    """
    path, found = Path(path), dict[str, Prediction]()
    rows = [(where, dict(row)) for where, row in read_rows(path)]
    require_own_journal(path)
    mark_human_rows((row for _, row in rows), journal_path(path))
    for where, row in rows:
        prediction = Prediction.from_row(row, where)
        picture = _locate(Path(prediction.path), path.parent)
        found.pop(str(picture), None)
        found[str(picture)] = replace(prediction, path=str(picture))
    return list(found.values())


def write(
    captions: Iterable[Prediction | Mapping[str, Any]],
    *,
    form: str,
    journal: str | Path,
    apply: bool = False,
    language: str = "en",
    min_confidence: float | None = None,
    sidecars: str = "full",
    keywords: bool = False,
    known_to: str | Path | None = None,
    within: Iterable[Path] = (),
) -> Generator[Event]:
    """Write each caption as `txt`, `xmp` or `embed`; without `apply` only say what would happen.

    Captions below `min_confidence` are left out; the default is the threshold of the model that
    wrote them. With `keywords`, the nouns of each caption are added to the keywords of its picture.
    `known_to` is the file that `cutline caption --out` made: its journal learns of the pictures
    that `embed` changes, so that they are not captioned again. Symbolic links are followed
    into the folder of their picture and into the folders `within`, and nowhere else.

    A picture that cannot be written gets an event with the reason, and the rest go on. Raises
    `WritingError` for unknown options, if ExifTool is needed and missing, and if another process
    uses the journal; `DataError` for a row that is not one.
    """
    _require_options(form, sidecars, language, keywords=keywords)
    with ExitStack() as stack:
        opened = UndoJournal(Path(journal))
        stack.callback(opened.close)
        if apply:
            opened.claim()
        writer: _Form
        match form:
            case "txt":
                writer = _TextFiles(opened)
            case "xmp":
                writer = _Sidecars(sidecars, language, with_keywords=keywords)
            case _:
                exiftool = stack.enter_context(ExifTool(find_exiftool()))
                writer = _Embedded(exiftool, language, with_keywords=keywords)
        folders = [folder.resolve() for folder in within]
        renew = stack.enter_context(reuse_answers(Path(known_to) if known_to else None))
        for each in captions:
            prediction = each if isinstance(each, Prediction) else Prediction.from_row(each)
            picture = Path(prediction.path)
            if why := _why_left_out(prediction, min_confidence):
                is_unsure = prediction.caption is not None
                yield Event(picture, picture, "left out", "", why, unsure=is_unsure)
            else:
                yield _write_one(writer, prediction, opened, renew, folders, apply=apply)


def _require_options(form: str, sidecars: str, language: str, *, keywords: bool) -> None:
    if form not in FORMS:
        raise WritingError(f"captions cannot be written as {form!r}{nearest(form, FORMS)}")
    if sidecars not in SIDECARS:
        raise WritingError(f"sidecars cannot be named {sidecars!r}{nearest(sidecars, SIDECARS)}")
    if not _LANGUAGE.fullmatch(language):
        raise WritingError(f"{language!r} is not a language tag such as en, de or pt-BR")
    if keywords:
        require_english(language)
        if form == "txt":
            raise WritingError("text files hold no keywords: write them as xmp or embed")


def _why_left_out(prediction: Prediction, min_confidence: float | None) -> str:
    if prediction.caption is None:
        return prediction.error or f"{prediction.path} has no caption: {prediction.left_out}"
    least = prediction.model.threshold if min_confidence is None else min_confidence
    confidence = prediction.confidence
    if least > 0 and not prediction.human and (confidence or 0.0) < least:
        value = "unknown" if confidence is None else f"{confidence:.2f}"
        return f"{prediction.path}: the confidence is {value}, less than {least:.2f}"
    return ""


def _write_one(
    writer: "_Form",
    prediction: Prediction,
    journal: UndoJournal,
    renew: Callable[[bytes, bytes], None],
    folders: Sequence[Path],
    *,
    apply: bool,
) -> Event:
    picture = target = Path(prediction.path)
    try:
        if not picture.is_file():
            raise FileNotFoundError
        target = writer.find_target(picture)
        allowed = (picture.parent.resolve(), *folders)
        if not any(target.resolve().is_relative_to(folder) for folder in allowed):
            why = f"{picture}: a link leads out of its folder, to {target}, which stays as it is"
            return Event(picture, target, "left out", prediction.text, why)
        text, human = clean_text(prediction.text), prediction.human
        content = read_file(target)
        state = writer.inspect(target, content, picture, text, human=human)
        if state.human and not (human and state.same):
            return Event(picture, target, "kept", text, state.human)
        if state.same:
            return Event(picture, target, "unchanged", text)
        if apply:
            mark = None if human else _mark(prediction, text)
            new = writer.make(target, content, text, mark, state.keywords)
            journal.replace(target, new, seen=content, picture=picture, human=human)
            renew(content or b"", new)
        else:
            require_target(target)  # as writing does
        action = "written" if apply else "would write"
        return Event(picture, target, action, text, keywords=state.new_keywords)
    except (OSError, WritingError) as error:
        return Event(picture, target, "failed", prediction.text, explain_failure(target, error))


def _mark(prediction: Prediction, text: str) -> Mark:
    model = prediction.model
    return Mark(
        text_hash=hash_text(text),
        model=model.name,
        fingerprint=model.fingerprint,
        version=model.version or __version__,
        confidence=prediction.confidence,
        date=prediction.date or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


# --------------------------------------------------------------------------------- the forms


@dataclass(frozen=True, slots=True)
class _State:
    """What a target holds before it is written."""

    human: str = ""
    """A sentence about a person's text; empty if there is none."""
    same: bool = False
    """Whether the caption is there already."""
    keywords: Keywords | None = None
    """The keywords that it should hold; None to leave those that it has."""

    @property
    def new_keywords(self) -> tuple[str, ...]:
        """The keywords that are cutline's and that the target will have."""
        if self.keywords is None:
            return ()
        present = {each for some in self.keywords.fields.values() for each in some}
        return tuple(each for each in self.keywords.added if each in present)


class _Form(Protocol):
    """A place for captions. `content` is that of the target, None if it does not exist."""

    def find_target(self, picture: Path) -> Path:
        """The file that holds the caption of a picture."""

    def inspect(
        self, target: Path, content: bytes | None, picture: Path, text: str, *, human: bool
    ) -> _State:
        """What the target holds; `human` says whether a person wrote the text to be written."""

    def make(
        self,
        target: Path,
        content: bytes | None,
        text: str,
        mark: Mark | None,
        keywords: Keywords | None,
    ) -> bytes:
        """The new content of the target."""


class _TextFiles:
    """`photo.txt` beside `photo.jpg`."""

    def __init__(self, journal: UndoJournal) -> None:
        self._journal, self._neighbours = journal, Neighbours()

    def find_target(self, picture: Path) -> Path:
        return _follow(self._neighbours.require_unique_stem(picture, picture.with_suffix(".txt")))

    def inspect(
        self, target: Path, content: bytes | None, picture: Path, text: str, *, human: bool
    ) -> _State:
        if content is None or not content.strip():
            return _State()
        change = self._journal.latest(target)
        why = ""
        if change is None or change.human or change.after != sha256(content).hexdigest():
            why = f"{target}: its text is not known to be cutline's"
        return _State(why, content == _as_text_file(text))

    def make(
        self, target: Path, content: bytes | None, text: str, mark: Mark | None, _: Keywords | None
    ) -> bytes:
        return _as_text_file(text)


class _Sidecars:
    """An XMP sidecar; what other programs wrote into it stays."""

    def __init__(self, naming: str, language: str, *, with_keywords: bool) -> None:
        self._naming, self._language, self._neighbours = naming, language, Neighbours()
        self._with_keywords = with_keywords

    def find_target(self, picture: Path) -> Path:
        full, stem = sidecars_of(picture)
        wanted, other = (full, stem) if self._naming == "full" else (stem, full)
        alone = self._neighbours.has_unique_stem(picture)
        if other.exists() and not wanted.exists() and (other == full or alone):
            return _follow(other)
        return _follow(
            wanted if wanted == full else self._neighbours.require_unique_stem(picture, stem)
        )

    def inspect(
        self, target: Path, content: bytes | None, picture: Path, text: str, *, human: bool
    ) -> _State:
        found = Found() if content is None else read_packet(content)
        embedded = read_embedded(picture)
        why = _describe_human(target, found) or _find_human_beside(picture)
        why = why or _describe_human(picture, embedded)
        same = found.holds(text, self._language, human=human)
        if not self._with_keywords:
            return _State(why, same)
        keywords = add_keywords(keywords_of(text), found.keywords, IN_XMP, embedded.keywords)
        return _State(why, same and found.keywords.hold(keywords, IN_XMP), keywords)

    def make(
        self,
        target: Path,
        content: bytes | None,
        text: str,
        mark: Mark | None,
        keywords: Keywords | None,
    ) -> bytes:
        return put_text(content, text, mark, self._language, keywords)


class _Embedded:
    """The picture itself; a person's text in its sidecars counts, too."""

    def __init__(self, exiftool: ExifTool, language: str, *, with_keywords: bool) -> None:
        self._exiftool, self._language = exiftool, language
        self._with_keywords = with_keywords

    def find_target(self, picture: Path) -> Path:
        return _follow(picture)

    def inspect(
        self, target: Path, content: bytes | None, picture: Path, text: str, *, human: bool
    ) -> _State:
        content = content or b""
        kind = kind_of(content, target.suffix)
        found = self._exiftool.read(content, kind)
        why = _describe_human(picture, found) or _find_human_beside(picture)
        same = found.holds(text, self._language, human=human)
        if not self._with_keywords:
            return _State(why, same)
        fields = self._exiftool.keyword_fields(content, kind)
        keywords = add_keywords(keywords_of(text), found.keywords, fields)
        return _State(why, same and found.keywords.hold(keywords, fields), keywords)

    def make(
        self,
        target: Path,
        content: bytes | None,
        text: str,
        mark: Mark | None,
        keywords: Keywords | None,
    ) -> bytes:
        content = content or b""
        kind = kind_of(content, target.suffix)
        return self._exiftool.write(content, kind, text, mark, self._language, keywords)


def sidecars_of(picture: Path) -> tuple[Path, Path]:
    """`photo.jpg.xmp` and `photo.xmp`, the two names of a picture's sidecar."""
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
        if human := _describe_human(sidecar, found):
            return human
    return ""


def _describe_human(path: Path, found: Found) -> str:
    return f"{path}: {found.human}" if found.human else ""


def _follow(path: Path) -> Path:
    """The target of a link: that file is replaced, and the link stays a link."""
    return path.resolve() if path.is_symlink() else path


def _as_text_file(text: str) -> bytes:
    return f"{text}\n".encode()


def _locate(path: Path, folder: Path) -> Path:
    with suppress(OSError):  # a name that is too long
        beside = folder / path
        if not path.is_absolute() and not path.exists() and beside.exists():
            return beside
    return path

"""Read and write captions in pictures with ExifTool, one process for all pictures.

ExifTool works on temporary copies with safe names, so no file name is mistaken for an option or
garbled by encoding, and the picture itself is never open for writing.
"""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from types import TracebackType
from typing import Any

from cutline.errors import WritingError
from cutline.metadata.keywords import HIERARCHY, IN_XMP, IPTC, SUBJECT, TAGS, Keywords
from cutline.metadata.provenance import ALT, DESCRIPTION, Found, Mark
from cutline.metadata.webp import read_packet_of, with_packet
from cutline.metadata.xmp import put_text

CONFIG = Path(str(files("cutline.metadata"))) / "exiftool.config"
PATIENCE = 120.0
"""Seconds for one answer: enough for a gigabyte on a slow disk."""

FIELDS = {
    "XMP-dc:Description": DESCRIPTION,
    "XMP-iptcCore:AltTextAccessibility": ALT,
    "XMP-iptcCore:ExtDescrAccessibility": "extended description",
    "XMP-tiff:ImageDescription": "TIFF description",
    "XMP-acdsee:Caption": "ACDSee caption",
    "IPTC:Caption-Abstract": "IPTC caption",
    "IFD0:ImageDescription": "EXIF description",
    "IFD0:XPComment": "Windows comment",
    "PNG:Description": "PNG description",
}
"""Fields in which programs keep descriptions of a picture."""
KEYWORDS = {
    "XMP-dc:Subject": SUBJECT,
    "XMP-digiKam:TagsList": TAGS,
    "XMP-lr:HierarchicalSubject": HIERARCHY,
    "IPTC:Keywords": IPTC,
}
"""Fields in which programs keep keywords."""

_WRITTEN = ("XMP-dc:Description", "XMP-iptcCore:AltTextAccessibility")
_LONGEST_IPTC = 2000
_BEGINNINGS = {b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png", b"RIFF": "webp"}
_TIFF = (b"II*\0", b"MM\0*")


def find_exiftool() -> str:
    """The path of the program. Raises `WritingError` that says how to install it."""
    program = shutil.which("exiftool")
    if program is None:
        raise WritingError(
            "writing into pictures needs ExifTool: apt install libimage-exiftool-perl, brew "
            "install exiftool, choco install exiftool; or write sidecars: --as xmp"
        )
    return program


def kind_of(content: bytes, suffix: str) -> str:
    """`jpg`, `png`, `webp` or `tif`, from the first bytes.

    Camera raw files begin like TIFF, so the suffix of a TIFF counts, too. Raises `WritingError`.
    """
    if not content:
        raise WritingError("is empty (0 bytes)")
    for beginning, kind in _BEGINNINGS.items():
        if content.startswith(beginning):
            return kind
    if content.startswith(_TIFF) and suffix.lower() in (".tif", ".tiff"):
        return "tif"
    raise WritingError("is not a JPEG, PNG, WebP or TIFF file: use --as xmp")


class ExifTool:
    """The running program, which ends with the `with` block."""

    def __init__(self, program: str, *, patience: float = PATIENCE) -> None:
        self._program, self._patience = program, patience
        self._folder = TemporaryDirectory(prefix="cutline-")
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self._last: tuple[bytes, Mapping[str, Any]] | None = None

    def __enter__(self) -> "ExifTool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        self._folder.cleanup()

    def read(self, content: bytes, kind: str) -> Found:
        """The descriptions in a picture. Raises `WritingError` if they cannot be read."""
        return _found_in(self._tags_of(content, kind))

    def keyword_fields(self, content: bytes, kind: str) -> tuple[str, ...]:
        """The fields of a picture that may get keywords."""
        has_iptc = kind == "jpg" and _may_have_iptc(self._tags_of(content, kind))
        return (*IN_XMP, IPTC) if has_iptc else IN_XMP

    def write(
        self,
        content: bytes,
        kind: str,
        text: str,
        mark: Mark | None,
        language: str,
        keywords: Keywords | None = None,
    ) -> bytes:
        """The picture with the text and its mark; pixels and everything else are unchanged.

        `keywords` replace those that are there; None leaves them. Raises `WritingError` if it
        cannot be written, or does not read back as written.
        """
        if kind == "webp":
            packet = put_text(read_packet_of(content), text, mark, language, keywords)
            written = with_packet(content, packet)
        else:
            written = self._write(content, kind, text, mark, language, keywords)
        found = self.read(written, kind)
        is_told = found.holds(text, language, human=mark is None)
        fields = self.keyword_fields(written, kind)
        if not is_told or (keywords and not found.keywords.hold(keywords, fields)):
            raise WritingError("does not hold what ExifTool wrote into it")
        return written

    def _tags_of(self, content: bytes, kind: str) -> Mapping[str, Any]:
        """Values by tag, cached for the last picture."""
        if self._last is None or self._last[0] is not content:
            self._last = (content, self._read_tags(content, kind))
        return self._last[1]

    def _read_tags(self, content: bytes, kind: str) -> Mapping[str, Any]:
        picture = self._place(content, kind)
        names = [f"-{name}{'*' if name.startswith('XMP') else ''}" for name in FIELDS]
        names += [f"-{name}" for name in KEYWORDS]
        said = self._ask(
            "-j", "-G1", "-q", *names, "-IPTC:all", "-XMP-cutline:all", "-FileType", "-Error",
            str(picture),
        )  # fmt: skip
        with contextlib.suppress(ValueError, IndexError):
            [told] = json.loads(said[said.index("[{") :], parse_int=str, parse_float=str)
            if error := told.get("ExifTool:Error"):
                raise WritingError(f"is damaged: {error}")
            return dict(told)
        raise WritingError(_refusal(said))

    def _write(
        self,
        content: bytes,
        kind: str,
        text: str,
        mark: Mark | None,
        language: str,
        keywords: Keywords | None,
    ) -> bytes:
        told = self._tags_of(content, kind)
        picture = self._place(content, kind)
        written = picture.with_name(f"written.{kind}")
        written.unlink(missing_ok=True)
        found, fields = _found_in(told), self.keyword_fields(content, kind)
        changes = [
            *_changes(told, found, kind, text, mark, language),
            *_keyword_changes(found, keywords, fields),
        ]
        said = self._ask(
            "-q", "-E", "-api", "PNGEarlyXMP=1", *changes, "-o", str(written), str(picture)
        )
        if not written.exists():
            raise WritingError(_refusal(said))
        return written.read_bytes()

    def _place(self, content: bytes, kind: str) -> Path:
        picture = Path(self._folder.name) / f"picture.{kind}"
        picture.write_bytes(content)
        return picture

    def _ask(self, *arguments: str) -> str:
        """ExifTool's answer to some arguments; a process that died is started again next time."""
        if any({"\n", "\r"} & set(argument) for argument in arguments):
            # the second line would be another argument, and `-if` runs Perl
            raise WritingError("cannot be written: an argument for ExifTool has several lines")
        process = self._running()
        self._asked += 1
        watch = Timer(self._patience, process.kill)
        watch.start()
        try:
            assert process.stdin and process.stdout
            asked = "\n".join([*arguments, f"-execute{self._asked}", ""])
            process.stdin.write(asked.encode())
            process.stdin.flush()
            end, lines = f"{{ready{self._asked}}}".encode(), list[bytes]()
            for line in process.stdout:
                if line.strip() == end:
                    return b"".join(lines).decode("utf8", "replace")
                lines.append(line)
        except BrokenPipeError:
            pass
        finally:
            watch.cancel()
        self._stop()
        raise WritingError("cannot be written: ExifTool stopped without an answer")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            arguments = [self._program, "-config", str(CONFIG), "-stay_open", "True", "-@", "-"]
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=sys.platform != "win32",  # Ctrl-C must not reach it
            )
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.communicate(b"-stay_open\nFalse\n", timeout=5)
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def _found_in(told: Mapping[str, Any]) -> Found:
    texts: dict[str, dict[str, str]] = {}
    keywords: dict[str, tuple[str, ...]] = {}
    for tag, value in told.items():
        if tag in KEYWORDS:
            keywords[KEYWORDS[tag]] = _as_list(value)
        name, language = _split_language(tag)
        text = _as_text(value)
        if name in FIELDS and text.strip():
            texts.setdefault(FIELDS[name], {})[language] = text.strip()
    added = _as_list(told.get("XMP-cutline:Keywords", []))
    return Found(texts, str(told.get("XMP-cutline:TextHash", "")), Keywords(keywords, added))


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)  # a text "true"


def _as_list(value: Any) -> tuple[str, ...]:
    """The texts of a list, which is no list in ExifTool's answer if it has only one."""
    texts = map(_as_text, value if isinstance(value, list) else [value])
    return tuple(text.strip() for text in texts if text.strip())


def _split_language(tag: str) -> tuple[str, str]:
    """`XMP-dc:Description-en` -> (`XMP-dc:Description`, `en`)."""
    for name in FIELDS:
        if name.startswith("XMP") and tag.startswith(f"{name}-"):
            return name, tag.removeprefix(f"{name}-")
    return tag, "x-default"


def _changes(
    told: Mapping[str, Any], found: Found, kind: str, text: str, mark: Mark | None, language: str
) -> Iterator[str]:
    """ExifTool's arguments: set the text, also in copies of it that other programs made."""
    written = _escape(text)
    for tag in _WRITTEN:
        yield f"-{tag}="  # languages of an earlier text
        yield f"-{tag}={written}"
        if language != "x-default":
            yield f"-{tag}-{language}={written}"
    yield "-XMP-cutline:all="
    for name, value in mark.properties() if mark else ():
        yield f"-XMP-cutline:{name}={escape(value, quote=False)}"
    for tag, name in FIELDS.items():
        if tag not in _WRITTEN and name in found.own:
            yield f"-{tag}={'' if tag == 'IPTC:Caption-Abstract' else written}"
    if kind == "jpg" and _may_have_iptc(told) and len(text.encode()) <= _LONGEST_IPTC:
        yield "-IPTC:CodedCharacterSet=UTF8"
        yield f"-IPTC:Caption-Abstract={written}"


def _escape(text: str) -> str:
    """A text for ExifTool's option `-E`, on one line."""
    return escape(text, quote=False).replace("\n", "&#xa;")


def _keyword_changes(
    found: Found, keywords: Keywords | None, fields: Iterable[str]
) -> Iterator[str]:
    """ExifTool's arguments that set the keywords; `-XMP-cutline:all=` has removed their mark."""
    lists = {"XMP-cutline:Keywords": (keywords or found.keywords).added}
    if keywords is not None:
        lists |= {tag: keywords.fields.get(n, ()) for tag, n in KEYWORDS.items() if n in fields}
        if keywords.fields.get(IPTC):
            yield "-IPTC:CodedCharacterSet=UTF8"
    for tag, items in lists.items():
        yield f"-{tag}="
        yield from (f"-{tag}={_escape(item)}" for item in items)


def _may_have_iptc(told: Mapping[str, Any]) -> bool:
    """Whether IPTC is UTF-8 or empty: WordPress reads it, and other charsets must not change."""
    return told.get("IPTC:CodedCharacterSet") == "UTF8" or not any(
        tag.startswith("IPTC:") for tag in told
    )


def _refusal(said: str) -> str:
    """ExifTool's error as the end of a sentence, without the name of our copy."""
    for line in said.splitlines():
        if line.startswith("Error: "):
            return f"cannot be written: {line[7:].rsplit(' - ', 1)[0]}"
    return "cannot be written: ExifTool gave no reason"

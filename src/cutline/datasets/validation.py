"""Validates a data set line by line.

Sources parse their files into entries, each what one line states about one picture. From these,
`assemble` makes a `Reading`: the valid examples, and the problems of the rest. Parsing
continues after a bad line, and nothing is guessed or corrected.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, runtime_checkable
from unicodedata import category

from cutline.errors import DataError
from cutline.images.formats import is_picture
from cutline.images.shards import find_shard
from cutline.text.language import find_script, guess_language, guess_other_language
from cutline.types import SPLITS, Example

_MARKER = re.compile(r"</?(?:start|end|pad|unk|s|bos|eos)>", re.IGNORECASE)


class Entry(NamedTuple):
    """What one line states; a tuple for speed, because COCO has 600,000 of them."""

    file: Path
    line: int | None
    """Counted from 1; None in formats without lines, such as a JSON document."""
    picture: str
    caption: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem, described in one sentence, and its location."""

    file: Path
    line: int | None
    sentence: str
    is_fatal: bool = True
    """False for warnings, which do not prevent iterating over the source."""
    picture: str | None = None
    """The picture that cannot be used, if it is one that has captions and a split."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading a source: valid examples, and the problems of the rest."""

    examples: tuple[Example, ...]
    problems: tuple[Problem, ...] = ()

    def require_valid(self) -> Iterator[Example]:
        """The examples; raises `DataError` for the first fatal problem and counts the others."""
        fatal = [problem for problem in self.problems if problem.is_fatal]
        if fatal:
            others = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
            raise DataError(f"{fatal[0]}{others}")
        return iter(self.examples)

    def without_bad(self) -> "Reading":
        """The examples that have no fatal problem of their own, and all problems.

        A picture in two splits is left out: which one is meant is not known.
        """
        contested = {problem.picture for problem in self.problems if problem.is_fatal}
        kept = tuple(example for example in self.examples if example.id not in contested)
        return replace(self, examples=kept)


@runtime_checkable
class Readable(Protocol):
    """A source that reports locations; any other iterable of examples is a source, too."""

    def read(self) -> Reading:
        """Read examples and problems; never raises because of the content of files."""


Fields = tuple[str, str | None, str | None]
"""Picture, caption and split of an entry, without its location."""


def check(source: Iterable[Example]) -> list[Problem]:
    """List all problems of a source, by file and line, without raising.

    Pictures are not opened: only existence, captions and splits are checked.
    """
    return check_reading(read(source))


def read(source: Iterable[Example]) -> Reading:
    """Read a source, with its problems if it reports them."""
    return source.read() if isinstance(source, Readable) else Reading(tuple(source))


def check_reading(reading: Reading) -> list[Problem]:
    """Like `check`, for a source that has been read already."""
    examples = reading.examples
    return [
        *reading.problems,
        *_find_breaches(examples),
        *_find_foreign(examples),
    ]


def list_pictures(folder: Path) -> dict[str, Path]:
    """File name -> path, from one listing instead of a check of each file."""
    return {path.name: path for path in folder.iterdir()}


def read_lines(
    file: Path, parse: Callable[[str], Iterable[Fields]], *, skip: int = 0
) -> Iterator[Entry | Problem]:
    """Parse each line that is not blank; a `DataError` from `parse` becomes a problem.

    UTF-8 with or without a byte order mark, LF or CRLF. Other line separators of Unicode do not end
    a line, because captions may contain them.
    """
    if not file.is_file():
        yield Problem(file, None, "this file is missing")
        return
    lines = file.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines[skip:], skip + 1):
        if line.strip():
            yield from _parse_line(file, number, line, parse)


def assemble(
    entries: Iterable[Entry | Problem],
    pictures: Mapping[str, Path],
    *,
    split_of: Callable[[str], str | None] = lambda picture: None,
) -> Reading:
    """Build examples, in the order in which their pictures first occur, and list all problems.

    `pictures` are the existing files. `split_of` gives the split of pictures without an explicit
    one; pictures without any split are left out, and their problems are not fatal.
    """
    problems, entries_of = [], dict[str, list[Entry]]()
    for entry in entries:
        if isinstance(entry, Problem):
            problems.append(entry)
        else:
            entries_of.setdefault(entry.picture, []).append(entry)
    examples = []
    alike = _find_alike(pictures) if entries_of.keys() - pictures.keys() else {}
    for picture, lines in entries_of.items():
        path = pictures.get(picture)
        split = next((line.split for line in lines if line.split), None) or split_of(picture)
        captions = _tidy_captions(lines)
        if path and split and captions:
            examples.append(Example(picture, path, captions, split))
        found = _judge(picture, lines, path, alike.get(_stem(picture)))
        problems += found if split else [replace(problem, is_fatal=False) for problem in found]
    return Reading(tuple(examples), tuple(sorted(problems, key=_by_place)))


def _find_alike(pictures: Iterable[str]) -> dict[str, str]:
    """Pictures by stem, ignoring case, suffix and folder, if it is unique."""
    names = list(pictures)
    times = Counter(map(_stem, names))
    return {_stem(name): name for name in names if times[_stem(name)] == 1}


def _stem(name: str) -> str:
    base = name.rpartition("/")[2].lower()
    return base.removesuffix(PurePosixPath(base).suffix if is_picture(base) else "")


def _by_place(problem: Problem) -> tuple[str, int]:
    return str(problem.file), problem.line or 0


def _parse_line(
    file: Path, number: int, line: bytes, parse: Callable[[str], Iterable[Fields]]
) -> Iterator[Entry | Problem]:
    try:
        for fields in parse(line.decode("utf8").rstrip("\r")):
            yield Entry(file, number, *fields)
    except UnicodeDecodeError as error:
        yield Problem(file, number, f"byte {error.start + 1} of this line is not UTF-8")
    except DataError as error:
        yield Problem(file, number, str(error))


def _tidy_captions(lines: Iterable[Entry]) -> tuple[str, ...]:
    """The captions that are not empty, with white space normalized."""
    tidy = (" ".join(line.caption.split()) for line in lines if line.caption)
    return tuple(caption for caption in tidy if caption)


def _judge(picture: str, lines: list[Entry], path: Path | None, alike: str | None) -> list[Problem]:
    """The problems of the lines about one picture; `alike` is a similar name, as a suggestion."""
    first, problems = lines[0], []
    if path is None:
        hint = f"; did you mean {alike!r}?" if alike else ""
        problems.append(Problem(first.file, first.line, f"there is no picture {picture!r}{hint}"))
    if all(line.caption is None for line in lines):
        problems.append(Problem(first.file, first.line, f"{picture!r} has no captions"))
    for line in lines:
        if line.caption is not None and not line.caption.strip():
            problems.append(Problem(line.file, line.line, f"{picture!r} has an empty caption"))
        elif line.caption is not None and not _is_text(line.caption):
            sentence = f"a caption of {picture!r} contains a lone surrogate"
            problems.append(Problem(line.file, line.line, sentence, picture=picture))
        elif line.caption and (found := _find_marker(line.caption)):
            sentence = f"a caption of {picture!r} contains {found}"
            problems.append(Problem(line.file, line.line, sentence, is_fatal=False))
    return [*problems, *_find_two_splits(lines), *_find_repeats(lines)]


def _is_text(caption: str) -> bool:
    r"""Whether it is valid Unicode; JSON can contain "\ud83d", a lone surrogate."""
    return caption.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in caption)


def _find_marker(caption: str) -> str:
    """What no person writes in a caption: a marker of a vocabulary, a control character."""
    if "<" in caption and (marker := _MARKER.search(caption)):
        return f"the marker {marker[0]}"
    if caption.isprintable():
        return ""
    controls = (sign for sign in caption if category(sign) == "Cc" and not sign.isspace())
    control = next(controls, "")
    return f"the control character U+{ord(control):04X}" if control else ""


def _find_two_splits(lines: Iterable[Entry]) -> Iterator[Problem]:
    """Find pictures that are in two splits, which would invalidate every score."""
    placed = [line for line in lines if line.split]
    for line in placed[1:]:
        if line.split != placed[0].split:
            here, there = f"{line.picture!r} is in split {line.split}", _place(placed[0], line)
            sentence = f"{here}, but {there} puts it in {placed[0].split}"
            yield Problem(line.file, line.line, sentence, picture=line.picture)


def _find_repeats(lines: Iterable[Entry]) -> Iterator[Problem]:
    """Find repeated captions; not fatal, as people may write the same (Flickr8k has 14 pairs)."""
    seen = dict[tuple[str | None, str | None], Entry]()
    for line in lines:
        key = (line.caption and " ".join(line.caption.lower().split()), line.split)
        earlier = seen.setdefault(key, line)
        if earlier is not line and (line.caption is None or line.caption.strip()):
            where = f" as in {_place(earlier, line)}" if earlier.line else ""
            sentence = f"{line.picture!r} has the same caption{where}"
            yield Problem(line.file, line.line, sentence, is_fatal=False)


def _place(entry: Entry, seen_from: Entry) -> str:
    if entry.line is None:
        return entry.file.name
    return f"line {entry.line}" + ("" if entry.file == seen_from.file else f" of {entry.file.name}")


def _find_breaches(examples: Iterable[Example]) -> Iterator[Problem]:
    """Find violations of a source's promises; lists each folder of pictures once."""
    folders: dict[Path, set[str]] = {}
    splits: dict[Path, str] = {}
    for example in examples:
        parent, image = example.image.parent, example.image
        if parent not in folders:
            folders[parent] = set(list_pictures(parent)) if parent.is_dir() else set()
        if image.name not in folders[parent] and not find_shard(image):
            yield Problem(image, None, "there is no such picture")
        if example.split not in SPLITS:
            yield Problem(image, None, f"split {example.split!r} is none of {', '.join(SPLITS)}")
        if splits.setdefault(image, example.split) != example.split:
            yield Problem(image, None, f"is in {splits[image]} and in {example.split}")
        if not all(caption.strip() for caption in example.captions):
            yield Problem(image, None, "has an empty caption")
        if not example.captions and example.split != "test":
            yield Problem(image, None, "has no captions")


def _find_foreign(examples: Sequence[Example]) -> Iterator[Problem]:
    """Find captions in another script or language than most; not fatal."""
    scripts = Counter(find_script(text) for example in examples for text in example.captions)
    del scripts[""]
    usual = scripts.most_common(1)[0][0] if scripts else ""
    language = guess_language(text for example in examples for text in example.captions)
    for example in examples:
        for text in example.captions:
            if (script := find_script(text)) and script != usual:
                what = f"in {script.title()} script, but most are in {usual.title()}"
            elif language and (other := guess_other_language(text, language)):
                what = f"in the language {other}, but most are in {language}"
            else:
                continue
            sentence = f"a caption is {what}: {text[:60]!r}"
            yield Problem(example.image, None, sentence, is_fatal=False)


def find_copies(examples: Sequence[Example]) -> Iterator[Problem]:
    """Find identical files in two splits, which make the scores of a split too good; not fatal."""
    sizes: dict[int, list[Example]] = {}
    for example in examples:
        if example.image.is_file():
            sizes.setdefault(example.image.stat().st_size, []).append(example)
    for alike in sizes.values():
        first: dict[bytes, Example] = {}
        for example in alike if len(alike) > 1 else ():
            other = first.setdefault(sha256(example.image.read_bytes()).digest(), example)
            if other.split != example.split:
                where = f"the same picture as {other.id!r}, which is in split {other.split}"
                sentence = f"is in split {example.split}, but is {where}"
                yield Problem(example.image, None, sentence, is_fatal=False)

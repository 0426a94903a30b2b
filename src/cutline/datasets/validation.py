"""Validation: what the lines of a data set say, judged.

Enters: entries, each one thing that one line of one file says about one picture. Leaves: a
`Reading`, the examples that can be used and the problems of the rest. A source reads and knows the
line; this room judges. One bad line hides nothing after it, and nothing is guessed or mended.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, runtime_checkable

from cutline.errors import DataError
from cutline.images.formats import is_picture
from cutline.types import SPLITS, Example


class Entry(NamedTuple):
    """What one line says; a tuple, because COCO has 600,000 of them."""

    file: Path
    line: int | None
    """Counted from 1; None where lines mean nothing, as in a JSON document."""
    picture: str
    caption: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong, told in one sentence, and where."""

    file: Path
    line: int | None
    sentence: str
    is_fatal: bool = True
    """False for what is only worth knowing: iterating over the source goes on."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a source found: what can be used, and what is wrong with the rest."""

    examples: tuple[Example, ...]
    problems: tuple[Problem, ...] = ()

    def require_valid(self) -> Iterator[Example]:
        """The examples; `DataError` with the first fatal problem and the count of the others."""
        fatal = [problem for problem in self.problems if problem.is_fatal]
        if fatal:
            others = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
            raise DataError(f"{fatal[0]}{others}")
        return iter(self.examples)


@runtime_checkable
class Readable(Protocol):
    """A source that knows where it read what; any other iterable of examples is a source too."""

    def read(self) -> Reading:
        """Examples and problems together; never raises because of what stands in the files."""


Fields = tuple[str, str | None, str | None]
"""Picture, caption, split: an entry without its place."""


def check(source: Iterable[Example]) -> list[Problem]:
    """All that is wrong with a source, by file and line; nothing is raised.

    The pictures are not opened: only that they are there, have words and stay in one split.
    """
    return check_reading(read(source))


def read(source: Iterable[Example]) -> Reading:
    """What a source found, with its problems where it knows them."""
    return source.read() if isinstance(source, Readable) else Reading(tuple(source))


def check_reading(reading: Reading) -> list[Problem]:
    """As `check`, of what has been read already."""
    return [*reading.problems, *_find_breaches(reading.examples)]


def list_pictures(folder: Path) -> dict[str, Path]:
    """File name -> path, from one look at the folder instead of one look at each file."""
    return {path.name: path for path in folder.iterdir()}


def read_lines(
    file: Path, parse: Callable[[str], Iterable[Fields]], *, skip: int = 0
) -> Iterator[Entry | Problem]:
    """Parse each line that is not blank; what `parse` raises as `DataError` becomes a problem.

    UTF-8 with or without a byte order mark, any line ends. Only a line feed ends a line: captions
    may contain the other separators of Unicode.
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
    """Examples in the order in which their pictures are first named, and everything wrong.

    `pictures` are those that are there. `split_of` answers for pictures whose split no entry
    says; a picture with no split at all is left out, and whatever is wrong with it is not fatal.
    """
    problems, said = [], dict[str, list[Entry]]()
    for entry in entries:
        if isinstance(entry, Problem):
            problems.append(entry)
        else:
            said.setdefault(entry.picture, []).append(entry)
    examples = []
    alike = _find_alike(pictures) if said.keys() - pictures.keys() else {}
    for picture, lines in said.items():
        path = pictures.get(picture)
        split = next((line.split for line in lines if line.split), None) or split_of(picture)
        captions = _tidy_captions(lines)
        if path and split and captions:
            examples.append(Example(picture, path, captions, split))
        found = _judge(picture, lines, path, alike.get(_stem(picture)))
        problems += found if split else [replace(problem, is_fatal=False) for problem in found]
    return Reading(tuple(examples), tuple(sorted(problems, key=_by_place)))


def _find_alike(pictures: Iterable[str]) -> dict[str, str]:
    """Pictures by a name that forgives case, suffix and folder, where only one has it."""
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
        for said in parse(line.decode("utf8").rstrip("\r")):
            yield Entry(file, number, *said)
    except UnicodeDecodeError as error:
        yield Problem(file, number, f"byte {error.start + 1} of this line is not UTF-8")
    except DataError as error:
        yield Problem(file, number, str(error))


def _tidy_captions(lines: Iterable[Entry]) -> tuple[str, ...]:
    """The captions that say something, without line breaks and needless spaces."""
    tidy = (" ".join(line.caption.split()) for line in lines if line.caption)
    return tuple(caption for caption in tidy if caption)


def _judge(picture: str, lines: list[Entry], path: Path | None, alike: str | None) -> list[Problem]:
    """Everything wrong with what the lines say about one picture; `alike` is what may be meant."""
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
            sentence = f"a caption of {picture!r} has half a character in it (a lone surrogate)"
            problems.append(Problem(line.file, line.line, sentence))
    return [*problems, *_find_two_splits(lines), *_find_repeats(lines)]


def _is_text(caption: str) -> bool:
    r"""JSON can say "\ud83d", half of an emoji, which no file of words could hold."""
    return caption.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in caption)


def _find_two_splits(lines: Iterable[Entry]) -> Iterator[Problem]:
    """A picture that is trained on and tested on makes every score a lie."""
    placed = [line for line in lines if line.split]
    for line in placed[1:]:
        if line.split != placed[0].split:
            here, there = f"{line.picture!r} is in split {line.split}", _place(placed[0], line)
            sentence = f"{here}, but {there} puts it in {placed[0].split}"
            yield Problem(line.file, line.line, sentence)


def _find_repeats(lines: Iterable[Entry]) -> Iterator[Problem]:
    """Two people may write the same sentence (Flickr8k has 14 such pairs), so this is not fatal."""
    seen = dict[tuple[str | None, str | None], Entry]()
    for line in lines:
        key = (line.caption and " ".join(line.caption.lower().split()), line.split)
        earlier = seen.setdefault(key, line)
        if earlier is not line and (line.caption is None or line.caption.strip()):
            where = f" as in {_place(earlier, line)}" if earlier.line else ""
            sentence = f"{line.picture!r} is told the same again{where}"
            yield Problem(line.file, line.line, sentence, is_fatal=False)


def _place(entry: Entry, seen_from: Entry) -> str:
    if entry.line is None:
        return entry.file.name
    return f"line {entry.line}" + ("" if entry.file == seen_from.file else f" of {entry.file.name}")


def _find_breaches(examples: Iterable[Example]) -> Iterator[Problem]:
    """What a source promises and these examples break; one look at each folder of pictures."""
    folders: dict[Path, set[str]] = {}
    splits: dict[Path, str] = {}
    for example in examples:
        parent, image = example.image.parent, example.image
        if parent not in folders:
            folders[parent] = set(list_pictures(parent)) if parent.is_dir() else set()
        if image.name not in folders[parent]:
            yield Problem(image, None, "there is no such picture")
        if example.split not in SPLITS:
            yield Problem(image, None, f"split {example.split!r} is none of {', '.join(SPLITS)}")
        if splits.setdefault(image, example.split) != example.split:
            yield Problem(image, None, f"is in {splits[image]} and in {example.split}")
        if not all(caption.strip() for caption in example.captions):
            yield Problem(image, None, "has an empty caption")
        if not example.captions and example.split != "test":
            yield Problem(image, None, "has no captions")

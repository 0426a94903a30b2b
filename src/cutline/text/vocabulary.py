"""Vocabulary: mapping between words and ids.

It is built from the training captions and saved as `vocabulary.txt`, one word per line, with line
number (from 0) = id. Its hash is stored with the weights, because weights with another vocabulary
produce fluent nonsense without any error.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import SupportsIndex

from cutline.errors import DataError, ModelError
from cutline.text.tokenizer import join_words, split_words
from cutline.text.words import ENGLISH, join_as_written, split_as_written

MARKERS = ("<pad>", "<start>", "<end>", "<unk>")
PAD, START, END, UNKNOWN = range(len(MARKERS))
MOST, LONGEST = 500_000, 100
"""Maximum number of words, and of characters in a word: more than any language needs, but few
enough that reading an untrusted file is fast."""
RARE_CASE = 0.1
"""A word that is capitalized or not in fewer of its occurrences is misspelled there."""


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model can write, in the order of their ids; the markers come first.

    English words are in lower case. Those of other languages are as people write them inside a
    sentence: `Hund` in German, and both `Junge` and `junge`.

    Raises `ModelError` for words that could not be saved and read back unchanged.
    """

    words: tuple[str, ...]
    language: str = ENGLISH
    """The language of the captions, as a tag such as `de`: it has the rules of words and texts."""
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)
    _folded: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _refuse_too_many(len(self.words))
        for number, word in enumerate(self.words):
            if wrong := _find_fault(number, word):
                raise ModelError(f"word {number} of the vocabulary {wrong}")
        ids = {word: number for number, word in enumerate(self.words)}
        if len(self.words) < len(MARKERS):
            raise ModelError(f"a vocabulary begins with {' '.join(MARKERS)}")
        if len(ids) < len(self.words):
            twice = next(word for number, word in enumerate(self.words) if ids[word] != number)
            raise ModelError(f"the vocabulary contains {twice!r} twice")
        ids = {word: ids[word] for word in self.words[len(MARKERS) :]}
        folded = {word.lower(): ids[word] for word in reversed(ids)}
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "_folded", folded)

    @classmethod
    def of(
        cls, captions: Iterable[str], *, min_count: int = 5, language: str = ENGLISH
    ) -> "Vocabulary":
        """Words that occur at least `min_count` times, by frequency, then alphabetically.

        Raises `DataError` if there are none.
        """
        counts = _count(captions, language)
        kept = _pick_common(counts, min_count)
        if not kept:
            sentence = f"none of the {len(counts)} words of the captions occurs {min_count} times"
            raise DataError(f"{sentence}; lower min_count or add captions")
        return cls((*MARKERS, *kept), language)

    @classmethod
    def of_lines(cls, text: str, *, language: str = ENGLISH) -> "Vocabulary":
        """The words of a one-file model: one per line, without a final line feed."""
        _refuse_too_many(text.count("\n") + 1)
        return cls(tuple(text.split("\n")), language)

    def grown(
        self, captions: Iterable[str], *, min_count: int = 5, language: str = ENGLISH
    ) -> "Vocabulary":
        """This vocabulary with the same ids, followed by the new words of `captions`.

        Raises `DataError` if it is of another language.
        """
        if language != self.language:
            raise DataError(
                f"the model to start from writes captions in {self.language!r}, not in "
                f"{language!r}: take its encoder only (--weights)"
            )
        counts = _count(captions, language)
        new = (word for word in _pick_common(counts, min_count) if word not in self._ids)
        return Vocabulary((*self.words, *new), language)

    @classmethod
    def load(cls, path: Path, *, language: str = ENGLISH) -> "Vocabulary":
        """Read `vocabulary.txt`; raises `ModelError` with the line that is malformed."""
        try:
            if path.stat().st_size > MOST * LONGEST:
                raise ModelError(f"{path} is too large to be a vocabulary")
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"cannot read the vocabulary {path}: {error.strerror}") from None
        return cls(tuple(_read_words(content, path)), language)

    def save(self, path: Path) -> None:
        """Write one word per line in UTF-8, with line feeds on every system."""
        path.write_bytes(self._content())

    @property
    def hash(self) -> str:
        """SHA-256 of the file's bytes, in hexadecimal."""
        return sha256(self._content()).hexdigest()

    def check(self, hash: str) -> None:
        """Raise `ModelError` unless `hash` is this vocabulary's."""
        if hash != self.hash:
            raise ModelError(
                f"these weights were trained with another vocabulary (hash {hash[:12]}; this one of"
                f" {len(self)} words has {self.hash[:12]}), so its ids would mean other words;"
                " use the vocabulary.txt that was saved with the weights"
            )

    def encode(self, caption: str | Iterable[str]) -> list[int]:
        """The ids of a text or of its words, without markers; unknown words become `<unk>`."""
        words = self.split(caption) if isinstance(caption, str) else caption
        known, folded = self._ids, self._folded
        return [max(UNKNOWN, known.get(word, folded.get(word.lower(), UNKNOWN))) for word in words]

    def split(self, caption: str) -> list[str]:
        """The words of a caption by the rules of the language, with their capitals, if any."""
        return split_words(caption) if self.language == ENGLISH else split_as_written(caption)

    def join(self, words: Iterable[str]) -> str:
        """The caption that people read."""
        if self.language == ENGLISH:
            return join_words(words)
        return join_as_written(words, self.language)

    def decode(self, ids: Iterable[SupportsIndex]) -> tuple[str, ...]:
        """The words before `<end>`, without `<pad>` and `<start>`; `<unk>` is kept."""
        words = []
        for number in map(int, ids):
            assert 0 <= number < len(self), f"there is no word {number}"
            if number == END:
                break
            if number not in (PAD, START):
                words.append(self.words[number])
        return tuple(words)

    @property
    def is_english(self) -> bool:
        """Whether it contains `a`, `an` and `the`, which only English has."""
        return self.language == ENGLISH and self._ids.keys() >= {"a", "an", "the"}

    @property
    def lengths(self) -> list[int]:
        """The characters that each word adds to a text, including a space; 0 for markers."""
        words = self.words[len(MARKERS) :]
        return [0] * len(MARKERS) + [len(self.join(("a", word))) - 1 for word in words]

    def __len__(self) -> int:
        return len(self.words)

    def _content(self) -> bytes:
        return "".join(f"{word}\n" for word in self.words).encode()


def _count(captions: Iterable[str], language: str) -> Counter[str]:
    """How often each word occurs, in the case or cases that it has inside a sentence."""
    if language == ENGLISH:
        return Counter(word for caption in captions for word in split_words(caption))
    written, inside = Counter[str](), Counter[str]()
    for words in map(split_as_written, captions):
        written.update(words)
        if any(word != word.lower() for word in words[1:]):  # else the writer ignored capitals
            inside.update(words[1:])
    cases: dict[str, list[str]] = {}
    for word in sorted(written, key=lambda word: (-inside[word], word != word.lower(), word)):
        cases.setdefault(word.lower(), []).append(word)
    counts = Counter[str]()
    for usual, *others in cases.values():
        often = inside.total() and inside[usual] * RARE_CASE
        counts[usual] = written[usual]
        for word in others:
            counts[word if inside[word] > often else usual] += written[word]
    return counts


def _pick_common(counts: Counter[str], min_count: int) -> list[str]:
    """Words that occur often enough, by frequency, then alphabetically."""
    kept = [
        word
        for word in counts
        if counts[word] >= min_count and word not in MARKERS and len(word) <= LONGEST
    ]
    return sorted(kept, key=lambda word: (-counts[word], word))


def _refuse_too_many(words: int) -> None:
    if words > MOST:
        raise ModelError(f"the vocabulary has {words:,} words; the limit is {MOST:,}")


def _read_words(content: bytes, path: Path) -> list[str]:
    """The lines of the file, each validated, so that errors have a line number."""
    if content.startswith(b"\xef\xbb\xbf"):
        raise ModelError(f"{path}:1: begins with a byte order mark; an editor changed this file")
    if content and not content.endswith(b"\n"):
        raise ModelError(f"{path}: the last line has no end; the file is cut short")
    words: dict[str, int] = {}
    for number, line in enumerate(content.split(b"\n")[:-1]):
        try:
            word = line.decode("utf8")
        except UnicodeDecodeError:
            raise ModelError(f"{path}:{number + 1}: is not UTF-8") from None
        if wrong := _find_fault(number, word):
            raise ModelError(f"{path}:{number + 1}: {wrong}")
        if word in words:
            raise ModelError(f"{path}:{number + 1}: {word!r} is on line {words[word] + 1} already")
        words[word] = number
    if len(words) < len(MARKERS):
        raise ModelError(f"{path}:{len(words) + 1}: must be {MARKERS[len(words)]!r}; the file ends")
    return list(words)


def _find_fault(number: int, word: str) -> str:
    """What is wrong with a word at this position, or an empty string."""
    if not word:
        return "is empty"
    if len(word) > LONGEST:
        return f"has {len(word):,} characters; the limit is {LONGEST}"
    if word.endswith("\r"):
        return "ends in a carriage return; an editor changed the line ends of this file"
    if any(character.isspace() for character in word):
        return f"contains white space: {word!r}"
    if any("\ud800" <= character <= "\udfff" for character in word):
        return f"contains a lone surrogate: {word!r}"
    if number < len(MARKERS) and word != MARKERS[number]:
        return f"must be the marker {MARKERS[number]!r}, not {word!r}"
    return ""

"""Linguistic resources of METEOR 1.5 for English: stems, synonyms, paraphrases, function words.

The data files are those of METEOR's program, in the package `pycocoevalcap` (a jar is a zip; Java
is not run): WordNet's synsets and exceptions, the paraphrase table, lists of function words and of
abbreviations that keep their full stop. Stems are those of Snowball's English stemmer (Porter 2).
"""

import gzip
import importlib.util
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from pathlib import Path
from typing import Protocol, runtime_checkable
from zipfile import ZipFile

from cutline.errors import CutlineError
from cutline.metrics.meteor_alignment import Phrase, Sentence, invert

LONGEST_PHRASE = 7
CHUNK = 2**24
"""Bytes of the paraphrase table that are read at a time; it has 272 million."""
ENTRIES = re.compile(rb".*+\n(.*+)\n.*+\n(?:.*+\n\1\n.*+\n)*+")
"""Successive entries of the paraphrase table for one phrase: probability, phrase, paraphrase."""

DICTIONARIES = (
    "function/english.words",
    "nonbreaking/english.prefixes",
    "synonym/english.synsets",
    "synonym/english.exceptions",
)

SUFFIXES = """
    s ses/s xes/x zes/z ches/ch shes/sh men/man ies/y s ies/y es/e es ed/e ed ing/e ing er est er/e
    est/e
"""
"""WordNet's suffixes and their replacements in the lemma (Morphy)."""

PLAIN = re.compile(r"[a-z\d ]*")
"""Text that METEOR's normalization leaves as it is, which most captions are."""
LETTER = r"a-zÀ-ÖØ-öø-ɏͰ-ԯ"
SPACED = (
    (re.compile(r"[“”]|``|''"), ' " '),
    (re.compile(r"[‘’`´]"), "'"),
    (re.compile(rf"([{LETTER}\d])-([{LETTER}\d])"), r"\1 \2"),
    (re.compile(rf"([^{LETTER}\d\s.',-])"), r" \1 "),
    (re.compile(r"(\.{2,})"), r" \1 "),
    (re.compile(r"(?<!\d),|,(?!\d)"), " , "),
    (re.compile(rf"(?:(?<=[{LETTER}])'(?=[{LETTER}])|(?<=\d)'(?=s))"), " \0"),
    (re.compile(r"'"), " ' "),
    (re.compile("\0"), "'"),
)
"""METEOR's normalization of text that is already tokenized, step by step."""


@runtime_checkable
class Stemmer(Protocol):
    """The interface of `snowballstemmer`."""

    def stemWord(self, word: str) -> str:  # noqa: N802
        """The stem of a word."""


class Lexicon:
    """METEOR's view of `texts`; only paraphrases that occur in them are kept."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        folder, stemmer = find_dictionaries()
        self._stem = lru_cache(None)(stemmer.stemWord)
        with ZipFile(folder / "meteor-1.5.jar") as jar:
            function, prefixes, synsets, exceptions = (jar.read(n).decode() for n in DICTIONARIES)
        self._function_words = frozenset(function.split())
        self._keep_stop = frozenset(_read_prefixes(prefixes))
        self._synsets = _read_pairs(synsets)
        self._bases: dict[str, list[str]] = {}
        for base, forms in _read_pairs(exceptions).items():
            for form in forms.split():
                self._bases.setdefault(form, []).append(base)
        self._words = {tuple(words): self.split(words) for words in texts}
        phrases = chain.from_iterable(map(_list_phrases, self._words.values()))
        wanted = set(chain.from_iterable(phrases))
        self._paraphrases = _read_paraphrases(folder / "data" / "paraphrase-en.gz", wanted)
        self._known = set(chain(self._paraphrases, *self._paraphrases.values()))
        self._synonyms = self._find_synonyms(set(chain.from_iterable(self._words.values())))

    def split(self, words: Sequence[str]) -> tuple[str, ...]:
        """Split the words further, as METEOR does: `["t-shirt"]` becomes two words."""
        text = " ".join(words).lower()
        if PLAIN.fullmatch(text):
            return tuple(text.split())
        for pattern, replacement in SPACED:
            text = pattern.sub(replacement, text)
        return tuple(_split_stops(text.split(), self._keep_stop))

    def _find_synonyms(self, words: Iterable[str]) -> dict[str, frozenset[str]]:
        """Synonyms of each word among the others: those that share a synset, or their lemmas do."""
        meanings = {word: self._list_synsets(word) for word in words}
        meant = invert((word, synset) for word, own in meanings.items() for synset in own)
        return {
            word: frozenset(chain.from_iterable(meant[synset] for synset in own)) - {word}
            for word, own in meanings.items()
        }

    def _list_synsets(self, word: str) -> set[str]:
        """The ids of the WordNet synsets of the word and of its lemmas."""
        forms = [word, *(self._bases.get(word) or self._strip_suffix(word))]
        return {synset for form in forms for synset in self._synsets.get(form, "").split()}

    def _strip_suffix(self, word: str) -> list[str]:
        """The first lemma that WordNet contains; none for short words and those in -ss."""
        if len(word) <= 2 or word.endswith("ss"):
            return []
        for rule in SUFFIXES.split():
            suffix, _, instead = rule.partition("/")
            if word.endswith(suffix) and word.removesuffix(suffix) + instead in self._synsets:
                return [word.removesuffix(suffix) + instead]
        return []

    def look_up(self, words: tuple[str, ...]) -> Sentence:
        """Look up one of `texts`, by its words as they were given."""
        words = self._words[words]
        known = [
            (start, length, phrase)
            for length, phrases in enumerate(_list_phrases(words), 1)
            for start, phrase in enumerate(phrases)
            if phrase in self._known
        ]
        return Sentence(
            words,
            [word in self._function_words for word in words],
            [*map(self._stem, words)],
            [self._synonyms[word] for word in words],
            [
                Phrase(start, length, self._paraphrases[phrase].keys())
                for start, length, phrase in sorted(known)
                if phrase in self._paraphrases
            ],
            invert(((start, length), phrase) for start, length, phrase in sorted(known)),
        )


def find_dictionaries() -> tuple[Path, Stemmer]:
    """The folder of METEOR's data and the stemmer; raises `CutlineError` if one is missing."""
    try:
        from snowballstemmer import stemmer  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        stemmer = None
    package = importlib.util.find_spec("pycocoevalcap")
    if stemmer is None or package is None:
        raise CutlineError("METEOR needs its dictionaries: pip install 'cutline[meteor]'")
    folder = Path(next(iter(package.submodule_search_locations or [""]))) / "meteor"
    if not (folder / "meteor-1.5.jar").exists():
        raise CutlineError(f"{folder} lacks meteor-1.5.jar; install pycocoevalcap again")
    return folder, stemmer("english")


def _read_pairs(text: str) -> dict[str, str]:
    lines = text.split("\n")
    return dict(zip(lines[::2], lines[1::2], strict=False))


def _read_prefixes(text: str) -> Iterator[str]:
    lines = (line.strip() for line in text.split("\n"))
    return (line.split()[0] for line in lines if line and not line.startswith("#"))


def _read_paraphrases(path: Path, wanted: set[str]) -> dict[str, dict[str, None]]:
    """The paraphrases of each phrase, in the table's order, where both are wanted."""
    found: dict[str, dict[str, None]] = {}
    rest = b""
    with gzip.open(path) as table:
        while chunk := table.read(CHUNK):
            text, end = rest + chunk, 0
            for entries in ENTRIES.finditer(text):
                end = entries.end()
                phrase = entries[1].decode()
                if phrase in wanted:
                    paraphrases = entries[0].decode().split("\n")[2::3]
                    if own := dict.fromkeys(filter(wanted.__contains__, paraphrases)):
                        found[phrase] = found.get(phrase, {}) | own
            rest = text[end:]
    return found


def _list_phrases(words: Sequence[str]) -> list[list[str]]:
    """For each length of up to seven words, the phrases of that length, by start."""
    text = " ".join(words)
    ends = [*accumulate(len(word) + 1 for word in words)]
    starts = [0, *ends]
    return [
        [text[start : end - 1] for start, end in zip(starts, ends[extra:], strict=False)]
        for extra in range(min(LONGEST_PHRASE, len(words)))
    ]


def _split_stops(words: Sequence[str], keep: frozenset[str]) -> Iterator[str]:
    """Drop full stops: `u.s.` becomes `us`; others are split off unless the word keeps them."""
    for word, after in zip(words, [*words[1:], ""], strict=False):
        bare = word.removesuffix(".")
        if bare == word or not bare.strip("."):
            yield word
        elif "." in bare and re.search(rf"[{LETTER}]", bare):
            yield bare.replace(".", "")
        elif bare in keep or re.match(rf"[{LETTER}]", after):
            yield word
        else:
            yield from (bare, ".")

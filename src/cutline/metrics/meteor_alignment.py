"""METEOR 1.5's alignment: which words of a prediction match which words of a reference.

Denkowski and Lavie 2014, section 2. An alignment is a set of matches in which no word occurs
twice. Matches that share no word with another are always part of it; a beam search over the
reference, from left to right, chooses among the rest: most words covered, then fewest chunks, then
the shortest distance between matched positions. Scores depend on the quirks of METEOR's own
program, so they are reproduced, and named where they occur.
"""

from collections.abc import Hashable, Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

Place = TypeVar("Place")
Key = TypeVar("Key", bound=Hashable)

STAGES = ("exact", "stem", "synonym", "paraphrase")
EXACT, STEM, SYNONYM, PARAPHRASE = range(4)
BEAM = 40
WORD, CHUNK = 2**64, 2**32
"""What a word and a chunk weigh in a path's rank, in units of distance (far fewer than 2**32)."""


class Match(NamedTuple):
    """Words of the reference (`start`, `length`) and of the prediction that mean the same."""

    start: int
    length: int
    other_start: int
    other_length: int
    stage: int

    @property
    def weight(self) -> int:
        """What the search maximizes: matched words of both sentences, halved unless equal.

        Each sentence's half is rounded down, so a single word that is not equal counts as nothing.
        """
        if self.stage == EXACT:
            return self.length + self.other_length
        return self.length // 2 + self.other_length // 2


class Phrase(NamedTuple):
    """A phrase of a sentence that has paraphrases."""

    start: int
    length: int
    paraphrases: KeysView[str]


@dataclass(frozen=True)
class Sentence:
    """A sentence with everything that comparing it with another needs."""

    words: Sequence[str]
    is_function_word: Sequence[bool]
    stems: Sequence[str]
    synonyms: Sequence[frozenset[str]]
    """For each word, its synonyms among all words of the data."""
    phrases: Sequence[Phrase]
    """Sorted by start, then by length."""
    phrase_spans: Mapping[str, Sequence[tuple[int, int]]]
    """Start and length of each phrase that is in the paraphrase table."""

    @cached_property
    def word_positions(self) -> Mapping[str, Sequence[int]]:
        """Where each word occurs."""
        return invert(enumerate(self.words))

    @cached_property
    def stem_positions(self) -> Mapping[str, Sequence[int]]:
        """Where each stem occurs."""
        return invert(enumerate(self.stems))


def invert(pairs: Iterable[tuple[Place, Key]]) -> dict[Key, list[Place]]:
    """The places of each key, in order."""
    places: dict[Key, list[Place]] = {}
    for place, key in pairs:
        places.setdefault(key, []).append(place)
    return places


class _Candidate(NamedTuple):
    """A match, with what the search needs to know of it."""

    match: Match
    other_start: int
    other_end: int
    end: int
    words: int
    """The words it covers, one bit each: the reference's, then the prediction's."""
    rank: int
    """What covering them adds to a path's rank."""
    distance: int
    """Between the two starts, in words."""


_Matches = tuple[Match, Any] | None
"""A path's matches as a linked list, the last one and the rest: paths share their beginnings."""

_Path = tuple[int, int, int, int, _Matches]
"""A choice of matches up to some word of the reference. A plain tuple, because millions are made:

- rank: words covered (negative), chunks and distance, weighted in that priority; less is better;
- words in use, as in `_Candidate`; those of certain matches always are;
- the prediction's word that would continue the chunk, -1 outside a chunk;
- where the last match ends in the reference;
- the matches.
"""


def align(prediction: Sentence, reference: Sentence) -> tuple[Match, ...]:
    """The matches of the best path, by their start in the reference."""
    candidates: list[list[_Candidate]] = [[] for _ in reference.words]
    used = shared = 0
    for match in _find_matches(prediction, reference):
        start, length, other_start, other_length, _ = match
        words = ((1 << length) - 1) << start
        words |= ((1 << other_length) - 1) << (other_start + len(reference.words))
        shared |= used & words
        used |= words
        distance = abs(other_start - start)
        ends = (other_start + other_length, start + length)
        gain = -match.weight * WORD
        candidates[start].append(_Candidate(match, other_start, *ends, words, gain, distance))
    if not shared:
        return tuple(candidate.match for here in candidates for candidate in here)
    return _search(candidates, shared)


def count_chunks(matches: Sequence[Match]) -> int:
    """Runs of matches that are contiguous and in the same order in both sentences."""
    chunks, here, there = 0, -1, -1
    for start, length, other_start, other_length, _ in matches:
        chunks += (start, other_start) != (here, there)
        here, there = start + length, other_start + other_length
    return chunks


def _find_matches(prediction: Sentence, reference: Sentence) -> Iterator[Match]:
    """Every possible match, stage by stage."""
    words, own = prediction.words, reference.words
    positions = prediction.word_positions
    for start, word in enumerate(own):
        for other in positions.get(word, ()):
            yield Match(start, 1, other, 1, EXACT)
    for start, stem in enumerate(reference.stems):
        for other in prediction.stem_positions.get(stem, ()):
            if words[other] != own[start]:
                yield Match(start, 1, other, 1, STEM)
    for start, synonyms in enumerate(reference.synonyms):
        found = map(positions.__getitem__, synonyms.intersection(positions))
        for other in sorted(chain.from_iterable(found)):
            yield Match(start, 1, other, 1, SYNONYM)
    for here, there in _find_paraphrases(reference, prediction):
        yield Match(*here, *there, PARAPHRASE)
    for there, here in _find_paraphrases(prediction, reference):
        yield Match(*here, *there, PARAPHRASE)


def _find_paraphrases(
    one: Sentence, other: Sentence
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Start and length of a phrase, and of its paraphrase in the other sentence."""
    spans = other.phrase_spans
    for start, length, paraphrases in one.phrases:
        if not paraphrases.isdisjoint(spans.keys()):
            for paraphrase in paraphrases:
                for span in spans.get(paraphrase, ()):
                    yield (start, length), span


def _search(candidates: Sequence[Sequence[_Candidate]], shared: int) -> tuple[Match, ...]:
    """The matches of the best path; `shared` are the words that several candidates cover.

    METEOR's program charges a match's distance not to the path that takes the match but to its
    parent; so later candidates, and the path that skips all of them, pay it.
    """
    certain = [here for here in candidates if here and not here[0].words & shared]
    paths: list[_Path] = [(0, sum(here[0].words for here in certain), -1, 0, None)]
    for place, here in enumerate(candidates):
        is_certain = bool(here) and not here[0].words & shared
        longer: list[_Path] = []
        for path in _keep_best(paths):
            rank, used, chunk_end, end, matches = path
            if end > place:  # inside a match
                longer.append(path)
                continue
            passed = 0
            broken = rank + CHUNK if chunk_end >= 0 else rank
            for match, other, other_end, match_end, words, gain, distance in here:
                if is_certain or not used & words:
                    taken = (rank if chunk_end == other else broken) + gain
                    taken += distance if is_certain else passed
                    longer.append((taken, used | words, other_end, match_end, (match, matches)))
                    passed += distance
            if not is_certain:
                longer.append((broken + passed, used, -1, end, matches))
        paths = longer
    *_, matches = min(_keep_best(paths), key=lambda path: path[0] + CHUNK * (path[2] >= 0))
    chosen: list[Match] = []
    while matches:
        match, matches = matches
        chosen.append(match)
    return tuple(reversed(chosen))


def _keep_best(paths: list[_Path]) -> list[_Path]:
    """The `BEAM` best paths, best first; of equal ones the earlier first."""
    return sorted(paths, key=itemgetter(0))[:BEAM]

"""Which words of a prediction stand for which words of a reference: METEOR 1.5's alignment.

Denkowski and Lavie 2014, section 2. Enters: two sentences. Leaves: matches, no word in two of
them. Matches that nothing competes with are taken; among the others a beam search from the left to
the right of the reference looks for the most words, then the fewest chunks, then the least
distance. It follows METEOR's program to its quirks, named where they are, because numbers do.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

STAGES = ("exact", "stem", "synonym", "paraphrase")
EXACT, STEM, SYNONYM, PARAPHRASE = range(4)
BEAM = 40


class Match(NamedTuple):
    """Words of the reference (`start`, `length`) and of the prediction that mean the same."""

    start: int
    length: int
    other_start: int
    other_length: int
    stage: int

    @property
    def weight(self) -> int:
        """What the search counts: words in both sentences, by halves unless they are equal.

        Each sentence's half is rounded down, so that one word that is not equal counts nothing.
        """
        if self.stage == EXACT:
            return self.length + self.other_length
        return self.length // 2 + self.other_length // 2


class Phrase(NamedTuple):
    """A phrase that has paraphrases, where it stands."""

    start: int
    length: int
    paraphrases: Sequence[bytes]


class Sentence(NamedTuple):
    """A sentence, looked up once for all the sentences it will be compared with."""

    words: Sequence[str]
    stems: Sequence[str]
    synonyms: Sequence[Collection[str]]
    """Of each word, those that can occur."""
    phrases: Sequence[Phrase]
    """Those that have paraphrases, by start, the short ones first."""
    word_places: Mapping[str, Sequence[int]]
    stem_places: Mapping[str, Sequence[int]]
    phrase_places: Mapping[bytes, Sequence[tuple[int, int]]]
    """Start and length of the phrases that are paraphrases of others."""


class _Path(NamedTuple):
    """A choice of matches up to some word of the reference; smaller is better."""

    uncounted: int
    chunks: int
    distance: int
    used: int
    """The prediction's words that are taken, a bit each; those of certain matches always."""
    used_here: int
    """The same for the reference."""
    chunk_end: int
    """Where the prediction would have to go on for the chunk to go on; -1 outside of a chunk."""
    done: int
    """Where the last match ends in the reference."""
    matches: tuple[Match, ...]


def align(prediction: Sentence, reference: Sentence) -> tuple[Match, ...]:
    """The matches of the best path, from left to right of the reference."""
    candidates: list[list[Match]] = [[] for _ in reference.words]
    for match in _find(prediction, reference):
        candidates[match.start].append(match)
    certain = _find_certain(candidates, len(prediction.words))
    used, used_here = _mark(certain.values())
    paths = [_Path(0, 0, 0, used, used_here, -1, 0, ())]
    for place, here in enumerate(candidates):
        paths = [
            longer
            for path in sorted(paths, key=_rank)[:BEAM]
            for longer in _lengthen(path, place, here, certain.get(place))
        ]
    return min(map(_close, sorted(paths, key=_rank)[:BEAM]), key=_rank).matches


def count_chunks(matches: Sequence[Match]) -> int:
    """Runs of matches that follow each other in both sentences."""
    chunks, here, there = 0, -1, -1
    for match in matches:
        chunks += (match.start, match.other_start) != (here, there)
        here, there = match.start + match.length, match.other_start + match.other_length
    return chunks


def _find(prediction: Sentence, reference: Sentence) -> Iterator[Match]:
    """Everything that could stand for something, stage by stage."""
    words, own = prediction.words, reference.words
    for start, word in enumerate(own):
        for other in prediction.word_places.get(word, ()):
            yield Match(start, 1, other, 1, EXACT)
    for start, stem in enumerate(reference.stems):
        places = prediction.stem_places.get(stem, ())
        for other in (place for place in places if words[place] != own[start]):
            yield Match(start, 1, other, 1, STEM)
    for start, synonyms in enumerate(reference.synonyms):
        found = (prediction.word_places.get(synonym, ()) for synonym in synonyms)
        for other in sorted(chain.from_iterable(found)):
            yield Match(start, 1, other, 1, SYNONYM)
    for here, there in _find_paraphrases(reference, prediction):
        yield Match(*here, *there, PARAPHRASE)
    for there, here in _find_paraphrases(prediction, reference):
        yield Match(*here, *there, PARAPHRASE)


def _find_paraphrases(
    one: Sentence, other: Sentence
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Start and length of a phrase, and of what the other sentence says for it."""
    for start, length, paraphrases in one.phrases:
        for paraphrase in paraphrases:
            for place in other.phrase_places.get(paraphrase, ()):
                yield (start, length), place


def _find_certain(candidates: Sequence[Sequence[Match]], words: int) -> dict[int, Match]:
    """The matches that share none of their words with another, by start."""
    here, there = [0] * len(candidates), [0] * words
    for match in (match for matches in candidates for match in matches):
        for place in range(match.start, match.start + match.length):
            here[place] += 1
        for place in range(match.other_start, match.other_start + match.other_length):
            there[place] += 1
    return {
        match.start: match
        for matches in candidates
        for match in matches
        if all(n == 1 for n in here[match.start : match.start + match.length])
        and all(n == 1 for n in there[match.other_start : match.other_start + match.other_length])
    }


def _lengthen(
    path: _Path, place: int, candidates: Sequence[Match], certain: Match | None
) -> Iterator[_Path]:
    """The path with each of the matches that begin here, and without any.

    METEOR's program adds a match's distance not to the path that takes it but to the one that it
    came from: to the later candidates and to the path without any.
    """
    if path.done > place:  # inside of a match
        yield path
    elif certain:
        taken = _take(path, certain)
        yield taken._replace(distance=taken.distance + abs(certain.other_start - place))
    else:
        passed = 0
        for match in candidates:
            used, used_here = _mark([match])
            if not (path.used & used or path.used_here & used_here):
                yield _take(path, match, passed)
                passed += abs(match.other_start - place)
        if passed or path.chunk_end >= 0:
            path = _close(path)._replace(distance=path.distance + passed, chunk_end=-1)
        yield path


def _take(path: _Path, match: Match, passed: int = 0) -> _Path:
    used, used_here = _mark([match])
    return _Path(
        path.uncounted - match.weight,
        path.chunks + (path.chunk_end not in (-1, match.other_start)),
        path.distance + passed,
        path.used | used,
        path.used_here | used_here,
        match.other_start + match.other_length,
        match.start + match.length,
        (*path.matches, match),
    )


def _close(path: _Path) -> _Path:
    return path._replace(chunks=path.chunks + (path.chunk_end >= 0))


def _mark(matches: Iterable[Match]) -> tuple[int, int]:
    """A bit for each word of the prediction that is matched, and of the reference."""
    used = used_here = 0
    for match in matches:
        used |= ((1 << match.other_length) - 1) << match.other_start
        used_here |= ((1 << match.length) - 1) << match.start
    return used, used_here


def _rank(path: _Path) -> tuple[int, int, int]:
    return path[:3]

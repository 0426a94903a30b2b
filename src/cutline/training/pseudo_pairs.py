"""Pseudo-captions: sentences about other images, matched to labelled photographs.

A sentence matches a photograph if all the nouns it names are labels of the photograph or nouns that
the concept head is sure of. Sentences about people never match, so the pairs balance captioned data
that is mostly about people.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from math import log2
from typing import NamedTuple

import numpy as np

from cutline.text.nouns import kind_of, names_person, nouns_of, widen
from cutline.text.tokenizer import split_words
from cutline.text.vocabulary import Vocabulary

SHORTEST, LONGEST = 5, 14
"""The shortest and longest sentence that may match, in words."""
ALSO_SURE = 0.6
"""The score of a noun that the head is sure of and no label names; that of a label is 1."""
GUESSED, EACH_WORD, CHANCE = 0.5, 0.05, 0.4
"""The cost of a word that labels cannot confirm and of any word, and the weight of chance."""
FOUND_BEFORE, MAX_PHOTOGRAPHS = 0.2, 5
"""The cost of a sentence for each photograph that it was matched to, and the most photographs that
it may be matched to: otherwise many photographs of cars get the same few sentences, which the
decoder memorises."""
BACKDROP = """
    wall floor ceiling sky ground grass water tree field building plant street road park
"""
"""Nouns that are usually in the background."""
BACKDROP_SCORE = 0.4
"""The score of a label in `BACKDROP`, which is the subject of few sentences."""
UNUSUAL = 0.25
"""The cost of each bit of the mean surprisal of a sentence's words, given the word before."""
UNTOLD = """
    red blue green white black yellow brown orange pink purple gray grey silver two three four five
    six seven several many bunch old young wooden flying kite riding
"""
"""Colours, numbers and actions, which labels do not name."""
SOMEBODY = """
    he she they him her them his hers their theirs himself herself themselves someone somebody
    anyone anybody everyone everybody i me my we us our you your who
"""
"""Words that show that a sentence without a noun for a person is about people."""


class _Bigrams:
    """A bigram model of sentences."""

    def __init__(self, sentences: Iterable[Sequence[str]]) -> None:
        self._words, self._pairs = Counter[str](), Counter[tuple[str, str]]()
        for words in sentences:
            self._words.update(words)
            self._pairs.update(pairwise(words))
        self._count = self._words.total()

    def surprise(self, words: Sequence[str]) -> float:
        """The mean surprisal of the words in bits; rare pairs back off to the second word."""
        bits = [
            -log2(
                (self._pairs[one, other] - 1 + self._words[other] / self._count) / self._words[one]
            )
            for one, other in pairwise(words)
        ]
        return sum(bits) / len(bits)


class _Sentence(NamedTuple):
    text: str
    nouns: frozenset[str]
    cost: float


class Finder:
    """Sentences, indexed by the nouns they name."""

    def __init__(self, sentences: Iterable[str], vocabulary: Vocabulary) -> None:
        """Keep the sentences of suitable length whose words are all in the vocabulary."""
        known = frozenset(vocabulary.words) - frozenset(SOMEBODY.split())
        self._backdrop = frozenset(BACKDROP.split())
        guesses = frozenset(UNTOLD.split())
        self._sentences: list[_Sentence] = []
        self._found = Counter[int]()
        self._having: dict[str, list[int]] = defaultdict(list)
        split = {text: split_words(text) for text in sentences}
        usual = _Bigrams(split.values())
        for text, words in split.items():
            if not SHORTEST <= len(words) <= LONGEST or not known.issuperset(words):
                continue
            nouns = frozenset(nouns_of(words))
            if not nouns or names_person(words):
                continue
            cost = GUESSED * len(guesses.intersection(words)) + EACH_WORD * len(words)
            cost += UNUSUAL * usual.surprise(words)
            for noun in nouns:
                self._having[noun].append(len(self._sentences))
            self._sentences.append(_Sentence(text, nouns, cost))

    def find(
        self, labels: Collection[str], sure: Collection[str], count: int, *, seed: Sequence[int]
    ) -> list[str]:
        """Up to `count` sentences that name a label, and only labels and nouns in `sure`.

        The best match comes first. Sentences that were matched before score lower, and are matched
        to `MAX_PHOTOGRAPHS` photographs at most.
        """
        labels = {noun for noun in labels if kind_of(noun) != "person"}
        told = frozenset(sure) - labels
        may = frozenset().union(*map(widen, labels | told))
        asked: dict[int, float] = defaultdict(float)
        for noun in sorted(labels):
            for place in self._having.get(noun, ()):
                asked[place] += BACKDROP_SCORE if noun in self._backdrop else 1.0
        places = [
            place
            for place in asked
            if self._sentences[place].nouns <= may and self._found[place] < MAX_PHOTOGRAPHS
        ]
        chance = np.random.default_rng(seed).random(len(places))

        def worth(place: int) -> float:
            sentence = self._sentences[place]
            cost = sentence.cost + FOUND_BEFORE * self._found[place]
            return asked[place] + ALSO_SURE * len(sentence.nouns & told) - cost

        scores = CHANCE * chance + np.array([worth(place) for place in places])
        best = [places[rank] for rank in np.argsort(-scores, kind="stable")[:count]]
        self._found.update(best)
        return [self._sentences[place].text for place in best]

"""Pseudo-captions: sentences about other images, matched to labelled photographs.

A sentence matches a photograph if all the nouns it names are labels of the photograph or nouns that
the concept head is sure of. Sentences about people never match, so the pairs balance captioned data
that is mostly about people.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
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
FOUND_BEFORE = 0.2
"""The cost of a sentence for each photograph that it was matched to. Without it many photographs
of cars get the same few sentences, which the decoder then memorises."""
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


class _Sentence(NamedTuple):
    text: str
    nouns: frozenset[str]
    cost: float


class Finder:
    """Sentences, indexed by the nouns they name."""

    def __init__(self, sentences: Iterable[str], vocabulary: Vocabulary) -> None:
        """Keep the sentences of suitable length whose words are all in the vocabulary."""
        known = frozenset(vocabulary.words) - frozenset(SOMEBODY.split())
        guesses = frozenset(UNTOLD.split())
        self._sentences: list[_Sentence] = []
        self._found = Counter[int]()
        self._having: dict[str, list[int]] = defaultdict(list)
        for text in dict.fromkeys(sentences):
            words = split_words(text)
            if not SHORTEST <= len(words) <= LONGEST or not known.issuperset(words):
                continue
            nouns = frozenset(nouns_of(words))
            if not nouns or names_person(words):
                continue
            cost = GUESSED * len(guesses.intersection(words)) + EACH_WORD * len(words)
            for noun in nouns:
                self._having[noun].append(len(self._sentences))
            self._sentences.append(_Sentence(text, nouns, cost))

    def find(
        self, labels: Collection[str], sure: Collection[str], count: int, *, seed: Sequence[int]
    ) -> list[str]:
        """Up to `count` sentences that name a label, and only labels and nouns in `sure`.

        The best match comes first. Sentences that were matched before score lower.
        """
        labels = {noun for noun in labels if kind_of(noun) != "person"}
        told = frozenset(sure) - labels
        may = frozenset().union(*map(widen, labels | told))
        asked = Counter(place for noun in labels for place in self._having.get(noun, ()))
        places = [place for place in asked if self._sentences[place].nouns <= may]
        chance = np.random.default_rng(seed).random(len(places))

        def worth(place: int) -> float:
            sentence = self._sentences[place]
            cost = sentence.cost + FOUND_BEFORE * self._found[place]
            return asked[place] + ALSO_SURE * len(sentence.nouns & told) - cost

        scores = CHANCE * chance + np.array([worth(place) for place in places])
        best = [places[rank] for rank in np.argsort(-scores, kind="stable")[:count]]
        self._found.update(best)
        return [self._sentences[place].text for place in best]

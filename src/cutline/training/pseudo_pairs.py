"""Sentences found for labelled photographs: pairs where nobody wrote a caption.

Enters: the nouns that labels name and a head is sure of, and sentences written of other pictures.
Leaves: for each photograph the sentences that name nothing else, likeliest first. Sentences with a
person are never found, so that these pairs balance captioned data that is mostly of people.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cutline.text.nouns import kind_of, names_person, nouns_of, widen
from cutline.text.tokenizer import split_words
from cutline.text.vocabulary import Vocabulary

SHORTEST, LONGEST = 5, 14
"""Words of the sentences that may be found."""
ALSO_SURE = 0.6
"""What a noun counts that the head is sure of and no label says; one that a label says counts 1."""
GUESSED, EACH_WORD, CHANCE = 0.5, 0.05, 0.4
"""What a word costs that no label can tell, what any word costs, and how far chance may decide."""
FOUND_BEFORE = 0.2
"""What a sentence costs for each photograph that it was found for: else many photographs of cars
get the same few, and the decoder learns these by heart."""
UNTOLD = """
    red blue green white black yellow brown orange pink purple gray grey silver two three four five
    six seven several many bunch old young wooden flying kite riding
"""
"""Colours, numbers and deeds, which no label tells."""


SOMEBODY = """
    he she they him her them his hers their theirs himself herself themselves someone somebody
    anyone anybody everyone everybody i me my we us our you your who
"""
"""Words of sentences about people that name none."""


class _Sentence(NamedTuple):
    text: str
    nouns: frozenset[str]
    cost: float


class Finder:
    """Sentences by the nouns in them."""

    def __init__(self, sentences: Iterable[str], vocabulary: Vocabulary) -> None:
        """Only those of a fit length whose every word the vocabulary has."""
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
        """At most `count` sentences that name a label, and nothing but labels and sure nouns.

        What was found before is less likely to be found again.
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

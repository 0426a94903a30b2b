"""Our networks as engines: word ids and log-probabilities become captions.

A `Network` has a vocabulary and writes ids for an array of pixels; this module makes captions of
them, shortens them, and applies the style.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite, isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutline.engines.texts import require_candidates
from cutline.errors import ModelError
from cutline.images.load import View
from cutline.inference.calibration import Calibration, weigh_evidence
from cutline.inference.fallback import finish, shorten
from cutline.text.style import UNCONSTRAINED, Style
from cutline.text.vocabulary import PAD, Vocabulary
from cutline.text.words import ENGLISH, primary_language
from cutline.types import Abilities, Caption, Concept, Written


class Network:
    """The base of the engines that run our own networks; they implement `write`."""

    vocabulary: Vocabulary
    """The words by id."""
    view: View
    """How pictures become pixels."""
    card: Mapping[str, Any]
    """The model card: training data, scores, calibration."""
    usage = ""
    """Nothing is counted."""

    @property
    def abilities(self) -> Abilities:
        """What the network can do; as far as known, what all of ours can."""
        return Abilities(
            probabilities=True, candidates=None, attention=True, phrases=True, style=True
        )

    @property
    def on_one_core(self) -> "Network":
        """The engine itself."""
        return self

    def write(self, pixels: NDArray[np.uint8], style: Style = UNCONSTRAINED) -> Written:
        """Caption pixels of shape (rows, size, size, 3) under the constraints of a style."""
        raise NotImplementedError

    def caption(
        self, pixels: Sequence[NDArray[np.uint8]], *, best: int = 1, style: Style = UNCONSTRAINED
    ) -> list[Caption]:
        """A caption for each picture; raises `ModelError` if there are not that many candidates."""
        seen, english = np.stack(pixels), self.vocabulary.is_english
        captions = self._find(seen, best, style.without_length_limit)
        long = [n for n, caption in enumerate(captions) if not style.is_short_enough(caption.text)]
        shorter = self._find(seen[long], None, style) if long else []
        for place, caption in zip(long, shorter, strict=True):
            caption = shorten(caption, style) if english else caption
            captions[place] = replace(caption, alternatives=caption.alternatives[: best - 1])
        photograph, least = (read_threshold(self.card, part) for part in ("refusal", "calibration"))
        return [
            finish(c, style, photograph=photograph, min_confidence=least, english=english)
            for c in captions
        ]

    def _find(self, pixels: NDArray[np.uint8], best: int | None, style: Style) -> list[Caption]:
        """The best candidates of each picture, or all of them."""
        written = self.write(pixels, style)
        candidates = written.words.shape[1]
        best = candidates if best is None else best
        require_candidates(best, candidates)
        calibration = Calibration.from_card(self.card)
        return captions_of(written, self.vocabulary, best=best, calibration=calibration)


def captions_of(
    written: Written,
    vocabulary: Vocabulary,
    *,
    best: int = 1,
    calibration: Calibration | None = None,
) -> list[Caption]:
    """A caption for each row of an engine's output, with `best` - 1 alternatives."""
    captions = []
    for row, scores in enumerate(written.scores):
        candidates = (
            _read_candidate(written, row, candidate, vocabulary)
            for candidate in range(best)
            if candidate == 0 or scores[candidate] > -np.inf
        )
        if calibration is not None:
            candidates = (_weigh(candidate, calibration) for candidate in candidates)
        first, *others = candidates
        captions.append(replace(first, alternatives=tuple(others)))
    return captions


def read_threshold(card: Mapping[str, Any], part: str) -> float:
    """The threshold in a part of a card, which is untrusted input; 0 if it has none."""
    entry = card.get(part)
    share = entry.get("threshold") if isinstance(entry, Mapping) else None
    return float(share) if isinstance(share, int | float) and 0 <= share <= 1 else 0.0


def language_of(card: Mapping[str, Any]) -> str:
    """The language of a model's captions by its card, which is untrusted; English by default."""
    tag = card.get("language")
    return (primary_language(tag) if isinstance(tag, str) else "") or ENGLISH


def _read_candidate(written: Written, row: int, candidate: int, vocabulary: Vocabulary) -> Caption:
    ids = written.words[row, candidate]
    words = vocabulary.decode(ids.tolist())
    each = tuple(float(value) for value in written.log_probs[row, candidate][ids != PAD])
    if not isfinite(sum(each)):  # from NaN weights; JSON has no NaN
        raise ModelError("this model's probabilities are not finite: its weights are damaged")
    gaze, photograph = None, None
    if written.gaze is not None:
        looked = written.gaze[row, candidate][ids != PAD]
        gaze = looked.reshape(len(looked), isqrt(looked.shape[1]), -1)
    if written.photograph is not None:
        photograph = float(written.photograph[row])
    concepts = _read_concepts(written, row, vocabulary)
    text = vocabulary.join(words)
    return Caption(
        text, words, sum(each), each, gaze=gaze, concepts=concepts, photograph=photograph
    )


def _read_concepts(written: Written, row: int, vocabulary: Vocabulary) -> tuple[Concept, ...]:
    if written.concepts is None or written.chances is None:
        return ()
    nouns = (vocabulary.words[place] for place in written.concepts[row].tolist())
    return tuple(map(Concept, nouns, written.chances[row].tolist()))


def _weigh(caption: Caption, calibration: Calibration) -> Caption:
    return replace(caption, chance=float(calibration.confidence([weigh_evidence(caption)])[0]))

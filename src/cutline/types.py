"""Data types shared by all packages: examples, captions, scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
MIN_CONCEPT_PROBABILITY = 0.05
"""Less probable concepts are left out of the JSON."""


@dataclass(frozen=True, slots=True)
class Example:
    """One picture and its human captions."""

    id: str
    """The id of the picture in its data set: a file name in Flickr8k, the image id in COCO."""
    image: Path
    captions: tuple[str, ...]
    split: str
    """One of `SPLITS`."""


@dataclass(frozen=True, slots=True)
class ExistingText:
    """A text that a picture carries already, and that cutline did not write."""

    text: str
    field: str
    """`alt text`, `description`, `IPTC caption` and so on."""
    file: Path
    """The picture, or its sidecar."""

    def as_json(self) -> dict[str, Any]:
        """As the line of a picture has it: the text is its caption."""
        existing = {"field": self.field, "file": str(self.file)}
        return {"caption": self.text, "existing": existing}


class Concept(NamedTuple):
    """A noun, and the probability that people would name it in a caption of the picture."""

    noun: str
    probability: float


@dataclass(frozen=True, slots=True, repr=False)
class Caption:
    """A caption of one picture, with the model's probabilities and confidence."""

    text: str
    """The detokenized sentence: `a dog's toy`."""
    words: tuple[str, ...]
    """The tokens, as the model generated them: `a`, `dog`, `'s`, `toy`."""
    log_prob: float | None
    """Natural log-probability of the whole sentence, its end marker included; None if the model
    does not give probabilities."""
    word_log_probs: tuple[float, ...]
    """That of each word, given the words before; one more than `words` if the end was generated.
    Empty if the model does not give probabilities."""
    alternatives: tuple["Caption", ...] = field(default=(), repr=False)
    """The other candidates of the search, best first."""
    gaze: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """(words, side, side): the attention of each word over the regions; the last row may belong to
    the end marker. None for a model without attention."""

    chance: float | None = field(default=None, repr=False)
    """Probability that the caption is good, by the rule in the card; None if not calibrated."""
    concepts: tuple[Concept, ...] = field(default=(), repr=False, compare=False)
    """What the picture shows, `person` first, then the likeliest nouns; empty for a model without
    concepts."""
    photograph: float | None = field(default=None, repr=False, compare=False)
    """Probability that the picture is a photograph; None for a model that does not predict it."""
    left_out: str = ""
    """Why there is no caption (`text` is empty then): `not a photograph`."""

    @property
    def confidence(self) -> float | None:
        """The calibrated probability, or the geometric mean of the word probabilities: 0 to 1.

        None if the model does not give probabilities.
        """
        if self.chance is not None or self.log_prob is None:
            return self.chance
        return exp(self.log_prob / max(1, len(self.word_log_probs)))

    def as_json(self, *, gaze: bool = False) -> dict[str, Any]:
        """Text, confidence and words with their probabilities, ready for `json.dumps`.

        With `gaze`, also the attention of each word: a value per region, row by row, in 1/1000.
        If there are several candidates, all of them are under `best`.
        """
        line: dict[str, Any] = {
            "caption": self.text,
            "confidence": _round(self.confidence),
            "log_prob": _round(self.log_prob),
            "words": [
                {"word": word, "probability": round(exp(log_prob), 4)}
                for word, log_prob in zip(self.words, self.word_log_probs, strict=False)
            ],
        }
        if gaze and self.gaze is not None:
            for word, looked in zip(line["words"], self.gaze, strict=False):
                word["gaze"] = np.rint(1000 * looked).astype(int).ravel().tolist()
        if self.concepts:
            likely = (c for c in self.concepts if c.probability >= MIN_CONCEPT_PROBABILITY)
            line["concepts"] = [
                {"noun": c.noun, "probability": round(c.probability, 4)} for c in likely
            ]
        if self.photograph is not None:
            line["photograph"] = round(self.photograph, 4)
        if self.alternatives:
            first = replace(self, alternatives=(), concepts=(), photograph=None)
            line["best"] = [each.as_json(gaze=gaze) for each in (first, *self.alternatives)]
        if self.left_out:
            kept = {name: value for name, value in line.items() if name not in ("words", "best")}
            return {**kept, "caption": None, "left_out": self.left_out}
        return line

    def as_dict(self, *, gaze: bool = False) -> dict[str, Any]:
        """The same as `as_json`."""
        return self.as_json(gaze=gaze)

    def _repr_html_(self) -> str:
        """For notebooks: the text, and the words, fainter the less probable they are."""
        from html import escape  # rarely needed

        words = (
            f'<span title="{exp(log_prob):.0%}" style="opacity:{0.35 + 0.65 * exp(log_prob):.2f}">'
            f"{escape(word)}</span>"
            for word, log_prob in zip(self.words, self.word_log_probs, strict=False)
        )
        if self.left_out:
            return f"<p><em>no caption: {escape(self.left_out)}</em></p>"
        return (
            f"<p><b>{escape(self.text)}</b>{self._confidence_text(' ({:.0%})')}<br>"
            f"<small>{' '.join(words)}</small></p>"
        )

    def __repr__(self) -> str:
        left_out = f", left_out={self.left_out!r}" if self.left_out else ""
        return f"Caption({self.text!r}{self._confidence_text(', confidence={:.2f}')}{left_out})"

    def _confidence_text(self, form: str) -> str:
        return "" if self.confidence is None else form.format(self.confidence)

    def __str__(self) -> str:
        return self.text


def leave_out_unsure(line: dict[str, Any], min_confidence: float) -> dict[str, Any]:
    """Remove the caption from the JSON of a picture (`Caption.as_json`) if it is too unsure.

    A caption without a confidence stays.
    """
    confidence = line["confidence"]
    if line["caption"] is None or confidence is None or confidence >= min_confidence:
        return line
    why = f"its confidence of {confidence:.2f} is less than {min_confidence:g}"
    kept = {name: value for name, value in line.items() if name not in ("words", "best")}
    return {**kept, "caption": None, "left_out": why}


def _round(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an engine can do and say. Commands ask this, and never which engine it is."""

    probabilities: bool = False
    """Whether it gives the probability of each word, and so a confidence."""
    candidates: int | None = 1
    """The largest number of candidate captions of a picture; None if only a run can tell."""
    attention: bool = False
    """Whether it may say where it looked for each word."""
    phrases: bool = False
    """Whether it predicts concepts: for phrases, and to tell photographs from other pictures."""
    style: bool = False
    """Whether it searches within a length and without words to avoid. Otherwise captions that break
    these limits are left out."""
    batch: int = 8
    """The number of pictures of a call that suits it."""
    workers: int = 1
    """How many concurrent calls pay off when there are many pictures."""
    file: Path | None = None
    """The one-file model that it runs, if it runs one."""


class Written(NamedTuple):
    """The output of an engine for some pictures; the best candidate of each comes first."""

    words: NDArray[np.int64]
    """(rows, candidates, time): word ids; padded after the end marker."""
    log_probs: NDArray[np.float32]
    """(rows, candidates, time): log-probability of each word, given the words before it."""
    scores: NDArray[np.float32]
    """(rows, candidates): scores by which candidates are ranked; -inf where there is none."""
    gaze: NDArray[np.float32] | None = None
    """(rows, candidates, time, regions): attention of each word, or None."""
    concepts: NDArray[np.int64] | None = None
    """(rows, concepts): nouns that the picture shows, as word ids, `person` first; None for a model
    without concepts."""
    chances: NDArray[np.float32] | None = None
    """(rows, concepts): their probabilities."""
    photograph: NDArray[np.float32] | None = None
    """(rows,): the probability that the picture is a photograph."""


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of predictions: of the corpus and of each image."""

    scores: Mapping[str, float]
    """`{"BLEU-1": 0.63, ..., "CIDEr-D": 0.48}`: fractions, as the COCO evaluator returns them."""
    per_image: Mapping[str, Mapping[str, float]]
    """The same scores for each image id."""
    signatures: tuple[str, ...]
    """What each metric measured and how, so that two scores can be compared."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap intervals of some scores."""

    counts: Mapping[str, float] = field(default_factory=dict)
    """Corpus statistics without intervals: `distinct`, `vocabulary`."""

    def as_json(self) -> dict[str, Any]:
        """Scores, intervals and signatures, ready for `json.dumps`."""
        intervals = {name: list(ends) for name, ends in self.intervals.items()}
        line = {"scores": dict(self.scores), "signature": " ".join(self.signatures)}
        return line | {
            name: value
            for name, value in (("intervals", intervals), ("counts", dict(self.counts)))
            if value
        }

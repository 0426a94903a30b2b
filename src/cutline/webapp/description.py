"""Describes a model for the page as JSON: view, vocabulary, calibration, rules for captions.

The rules are exported from `text` and `inference`, so that the page has no copy that could differ.
"""

from dataclasses import asdict
from typing import Any

from cutline.inference import calibration, fallback
from cutline.inference.calibration import Calibration
from cutline.inference.captioner import Captioner
from cutline.inference.network import Network
from cutline.text import nouns, tokenizer
from cutline.types import MIN_CONCEPT_PROBABILITY
from cutline.version import __version__

CARD = ("title", "licence", "fingerprint", "limits")
"""Fields of a model's card that the page shows."""


def describe(captioner: Captioner) -> dict[str, Any]:
    """The contents of `captioner.json`, except for the list of parts."""
    engine = captioner.engine
    assert isinstance(engine, Network)  # as all that are a file
    calibrated = Calibration.from_card(engine.card)
    return {
        "cutline": __version__,
        "view": engine.view.as_dict(),
        "vocabulary": list(engine.vocabulary.words),
        "english": engine.vocabulary.is_english,
        "calibration": asdict(calibrated) if calibrated else None,
        "threshold": captioner.threshold,
        "refusal": captioner.refusal_threshold,
        "card": {name: engine.card[name] for name in CARD if name in engine.card},
        "rules": rules(),
    }


def rules() -> dict[str, Any]:
    """The tables and thresholds for confidence, fallback phrases and articles."""
    said: dict[str, list[str]] = {name: [] for name in nouns.NOUNS}
    for words, name in nouns.SAID.items():
        said[name].append(" ".join(words))
    return {
        "nouns": {
            noun.name: [noun.kind, noun.wider, said[noun.name]] for noun in nouns.NOUNS.values()
        },
        "nothing": nouns.NOTHING,
        "ofAnimalsToo": sorted(nouns.OF_ANIMALS_TOO),
        "forSomething": sorted(nouns.FOR_SOMETHING),
        "peoples": list(nouns.PEOPLES),
        "housemates": sorted(nouns.HOUSEMATES),
        "phrases": fallback.read_phrases(),
        "articles": {
            "consonant": list(tokenizer.LIKE_YOU),
            "vowel": [*tokenizer.UNLIKE_YOU, *tokenizer.SILENT],
        },
        "notAPhotograph": fallback.NOT_A_PHOTOGRAPH,
        "minNounProbability": fallback.MIN_NOUN_PROBABILITY,
        "doubted": fallback.DOUBTED,
        "things": sorted(fallback.THINGS),
        "checked": sorted(fallback.CHECKED),
        "unnamed": calibration.UNNAMED,
        "certain": calibration.CERTAIN,
        "leastTold": MIN_CONCEPT_PROBABILITY,
    }

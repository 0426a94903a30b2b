"""Published captions have their published scores, and pycocoevalcap's own for each image.

Origin of the figures: the papers' tables (B1-4 .806 .655 .514 .398, METEOR .288, ROUGE-L .584,
CIDEr 1.311; MAGIC: .568 .358 .214 .129, .174, .399, .493), to more places from pycocoevalcap 1.2
with its Java programs on the published captions, which the shared data's README tells.
"""

import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cutline.errors import CutlineError
from cutline.io.references import read_predictions, read_references
from cutline.metrics import open_metric, score
from cutline.metrics.bleu import Bleu
from cutline.metrics.meteor_lexicon import find_dictionaries
from cutline.text.tokenizer import split_words

pytestmark = pytest.mark.slow

NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D")
PUBLISHED = {
    "sparse-updown": (0.8064, 0.6551, 0.5140, 0.3975, 0.2876, 0.5844, 1.3106),
    "magic-coco": (0.5682, 0.3576, 0.2142, 0.1288, 0.1736, 0.3988, 0.4929),
}
EXACT = {
    "sparse-updown": (0.8063577722, 0.6550977320, 0.5139784049, 0.3975430325, 1.3105737376),
    "magic-coco": (0.5682029903, 0.3576399975, 0.2141657001, 0.1287780858, 0.4928873510),
}
"""BLEU and CIDEr."""
COUNTS = [47153, 47168, 26801, 9496, 2857, 902, 47153, 42171, 37189, 32207]
"""MAGIC's testlen, reflen, correct and guess."""
REFERENCE = {
    "BLEU": "pycocoevalcap.bleu.bleu:Bleu",
    "ROUGE-L": "pycocoevalcap.rouge.rouge:Rouge",
    "CIDEr-D": "pycocoevalcap.cider.cider:Cider",
}


class Captions(NamedTuple):
    """What a captioner wrote and what people did, by image."""

    predictions: dict[str, str]
    references: dict[str, list[str]]

    def split(self, images: int) -> tuple[list[list[str]], list[list[list[str]]]]:
        """The words of the first images."""
        return (
            [split_words(text) for text in list(self.predictions.values())[:images]],
            [
                [split_words(text) for text in self.references[id]]
                for id in list(self.predictions)[:images]
            ],
        )


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, Captions]:
    folder = shared / "predictions"
    images = json.loads((folder / "magic-coco/magic_result.json").read_text(encoding="utf8"))
    return {
        "sparse-updown": Captions(
            read_predictions(folder / "sparse-updown/caption_00156000.json"),
            read_references(folder / "karpathy_test_references.json"),
        ),
        "magic-coco": Captions(
            {image["image_name"]: image["prediction"] for image in images},
            {image["image_name"]: image["captions"] for image in images},
        ),
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_captions_have_their_published_scores(published: dict[str, Captions], name: str):
    report = score(*published[name], metrics=["BLEU", "ROUGE-L", "CIDEr-D"])

    expected = {n: value for n, value in zip(NAMES, PUBLISHED[name], strict=True) if n != "METEOR"}
    assert {n: round(value, 4) for n, value in report.scores.items()} == expected
    bleu_and_cider = [value for n, value in report.scores.items() if n != "ROUGE-L"]
    assert bleu_and_cider == pytest.approx(EXACT[name], abs=1e-9)


@pytest.mark.timeout(1200)  # a minute each where nobody else computes
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_captions_have_their_published_meteor(published: dict[str, Captions], name: str):
    try:
        find_dictionaries()
    except CutlineError as error:
        pytest.skip(str(error))

    report = score(*published[name], metrics=["METEOR"])

    assert round(report.scores["METEOR"], 4) == PUBLISHED[name][NAMES.index("METEOR")]


def test_bleu_counts_what_the_reference_counts(published: dict[str, Captions]):
    rows = Bleu().statistics(*published["magic-coco"].split(images=5000))

    assert rows.sum(axis=0).tolist() == COUNTS


@pytest.mark.parametrize("kind", REFERENCE)
@pytest.mark.parametrize("name", PUBLISHED)
def test_each_of_500_images_has_the_reference_evaluators_scores(
    published: dict[str, Captions], name: str, kind: str
):
    predictions, references = published[name].split(images=500)
    metric = open_metric(kind)

    rows = metric.statistics(predictions, references)

    whole, each = ask_reference(REFERENCE[kind], predictions, references)
    assert metric.score(rows.sum(axis=0)) == pytest.approx(whole, abs=1e-9)
    assert metric.score(rows) == pytest.approx(each, abs=1e-9)
    assert each.shape == (500, len(metric.names))


def ask_reference(
    path: str, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> tuple[np.ndarray, np.ndarray]:
    """The values of the set and of each image, from pycocoevalcap on our words."""
    pytest.importorskip("pycocoevalcap", reason="the reference evaluator is not installed")
    module, _, kind = path.partition(":")
    given = {i: [" ".join(words)] for i, words in enumerate(predictions)}
    people = {i: [" ".join(words) for words in own] for i, own in enumerate(references)}
    with redirect_stdout(StringIO()):
        whole, each = getattr(import_module(module), kind)().compute_score(people, given)
    return np.atleast_1d(whole), np.reshape(np.array(each), (-1, len(given))).T

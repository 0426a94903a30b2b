"""The metrics in torchmetrics and evaluate give our scores."""

import pytest

from cutline import metrics
from cutline.errors import RecipeError
from cutline.metrics.cider import CiderD, DocumentFrequencies

PREDICTIONS = ["a dog runs on the grass", "a cat sleeps", "two people walk along a beach"]
REFERENCES = [
    ["a brown dog is running on grass", "the dog ran"],
    ["a cat is asleep", "a sleeping cat on a bed"],
    ["a couple walks on the beach", "two people are walking along the sea"],
]


def expected(*names: str | metrics.Metric) -> dict[str, float]:
    ids = [str(number) for number in range(len(PREDICTIONS))]
    predictions = dict(zip(ids, PREDICTIONS, strict=True))
    return dict(
        metrics.score(predictions, dict(zip(ids, REFERENCES, strict=True)), metrics=names).scores
    )


@pytest.mark.parametrize("name", ["BLEU", "ROUGE-L", "CIDEr-D"])
def test_torchmetrics_adds_up_batches_and_processes(name):
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    from cutline.metrics.torchmetrics import CaptionScore

    metric = CiderD(DocumentFrequencies.coco()) if name == "CIDEr-D" else name
    first, second = CaptionScore(metric), CaptionScore(metric)
    first.update(PREDICTIONS[:1], REFERENCES[:1])
    second.update(PREDICTIONS[1:2], REFERENCES[1:2])
    second.update(PREDICTIONS[2:], REFERENCES[2:])
    first.sums += second.sums  # what the other process has

    found = {name: float(score) for name, score in first.compute().items()}

    assert found == pytest.approx(expected(metric))
    second.reset()
    assert float(second.sums.sum()) == 0


def test_torchmetrics_refuses_what_does_not_add_up():
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    from cutline.metrics.torchmetrics import CaptionScore

    with pytest.raises(RecipeError, match="document frequencies of other images"):
        CaptionScore("CIDEr-D")


@pytest.mark.slow
def test_evaluate_loads_the_module(tmp_path):
    evaluate = pytest.importorskip("evaluate", reason="evaluate is not installed")
    from cutline.metrics import evaluate as module

    loaded = evaluate.load(module.__file__, cache_dir=str(tmp_path))
    found = loaded.compute(predictions=PREDICTIONS, references=REFERENCES)

    assert found == pytest.approx(expected(*metrics.DEFAULT_METRICS))

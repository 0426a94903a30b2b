"""A metric as one of torchmetrics, for Lightning and other loops, over any number of processes.

>>> score = CaptionScore("BLEU")
>>> score.update(["a dog runs"], [["a dog is running", "the dog ran"]])
>>> score.compute()["BLEU-1"]
"""

from collections.abc import Sequence

import torch
import torchmetrics

from cutline.errors import RecipeError
from cutline.metrics import Metric, open_metric
from cutline.text.tokenizer import split_words


class CaptionScore(torchmetrics.Metric):
    """Sums of a metric's statistics, which add up over batches and processes.

    Raises `RecipeError` for CIDEr with the document frequencies of the references, which are not
    known before the last batch: give `CiderD(DocumentFrequencies.coco())` or others.
    """

    def __init__(self, metric: str | Metric = "BLEU") -> None:
        super().__init__()
        self.metric = open_metric(metric)
        if self.metric.settings.get("df") == "refs":
            raise RecipeError(
                "CIDEr needs document frequencies of other images here, such as COCO's"
            )
        columns = self.metric.statistics([("a",)], [[("a",)]]).shape[1]
        self.add_state("sums", torch.zeros(columns, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Add a batch: a caption and the references of each picture."""
        expected = [[split_words(text) for text in texts] for texts in references]
        rows = self.metric.statistics([split_words(text) for text in predictions], expected)
        self.sums += torch.from_numpy(rows.sum(axis=0)).to(self.sums)

    def compute(self) -> dict[str, torch.Tensor]:
        """The scores of all batches, by name, as fractions."""
        scores = self.metric.score(self.sums.cpu().numpy())
        return dict(zip(self.metric.names, torch.from_numpy(scores), strict=True))

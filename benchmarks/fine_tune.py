"""Fine-tuning on few pictures: does it end above the model that it starts from?

    python benchmarks/fine_tune.py --data COCO80 [--set training.learning_rate=1e-4 ...]

COCO80 is a folder of 80 captioned photographs in COCO's layout (`captions_*.json`). They are split
into four folds of 20: each fold is the test split once, the next one the validation split, and the
recipe learns from the other two, 40 photographs. The start and the results are scored on all test
folds together, 80 photographs that the scored model did not learn from. The result is printed.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cutline import metrics
from cutline.datasets.coco import Coco
from cutline.images.load import open_image
from cutline.inference.captioner import PACKAGED
from cutline.inference.network import captions_of
from cutline.inference.torch import TorchEngine
from cutline.models.checkpoint import read_model
from cutline.recipe import Recipe, find_recipe
from cutline.training.events import Notice, Validated
from cutline.training.experiment import Experiment
from cutline.types import Example

FOLDS = 4


def main() -> None:
    """Fine-tune once a fold and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("fine-tune"))
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    given = parser.parse_args()
    start = read_model(PACKAGED)
    recipe = Recipe.read(find_recipe(given.recipe), model=start.recipe, overrides=given.overrides)
    examples = list(Coco(given.data))
    references = {example.id: example.captions for example in examples}
    before = caption(PACKAGED, examples)
    after: dict[str, str] = {}
    with TemporaryDirectory() as scratch:
        for fold in range(FOLDS):
            home = Path(scratch) / str(fold)
            test = write_fold(home / "data", examples, fold)
            run = Experiment(recipe, home / "data", home / "model", start=start)
            for event in run.run():
                if isinstance(event, Validated) and event.report:
                    score = 100 * event.report.scores["CIDEr-D"]
                    print(f"fold {fold} epoch {event.epoch + 1} {score:.1f}{'*' * event.is_best}")
                elif isinstance(event, Notice):
                    print(f"fold {fold}: {event.sentence}")
            after |= caption(home / "model", test)
    for name, captions in (("start", before), ("fine-tuned", after)):
        scores = metrics.score(captions, references).scores
        print(f"{name:10}", " ".join(f"{each} {100 * scores[each]:.1f}" for each in scores))


def write_fold(folder: Path, examples: Sequence[Example], fold: int) -> list[Example]:
    """A folder of pictures with splits; returns the examples of its test split."""
    folder.mkdir(parents=True)
    splits = {fold: "test", (fold + 1) % FOLDS: "validation"}
    lines = []
    for number, example in enumerate(examples):
        (folder / example.image.name).symlink_to(example.image.resolve())
        line = {"image": example.image.name, "captions": example.captions}
        lines.append(json.dumps({**line, "split": splits.get(number % FOLDS, "train")}))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return [example for number, example in enumerate(examples) if number % FOLDS == fold]


def caption(model: Path, examples: Sequence[Example]) -> Mapping[str, str]:
    """The captions of a model, by PyTorch."""
    engine = TorchEngine.open(model)
    written = {}
    for example in examples:
        pixels = open_image(example.image, engine.view)
        [said] = captions_of(engine.write(np.stack([pixels])), engine.vocabulary)
        written[example.id] = said.text
    return written


if __name__ == "__main__":
    main()

"""How fast the attention decoder trains on stored regions, beside the plain loop.

    python benchmarks/training.py --data FLICKR8K --weights WEIGHTS [--steps 5]

The plain loop is the tutorials': every caption of a batch brings its picture, which is read and
encoded again (single precision, frozen encoder). Ours reads stored regions once for all captions of
a picture, in the recipe's precision. Both take turns in one run; an epoch is the steps it has.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from cutline.batches import encode_captions, pick_batch, plan_batches
from cutline.experiment import load_encoder
from cutline.features import encode
from cutline.images import open_image
from cutline.material import Sight, Stored, plan_training
from cutline.model import CaptionModel
from cutline.objectives import CrossEntropy, cross_entropy
from cutline.recipe import Recipe
from cutline.training import Step, Trainer
from cutline.vocabulary import Vocabulary

RECIPE = Path(__file__).parents[1] / "recipes" / "flickr8k-show-attend-tell.toml"
PICTURES = 320


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    recipe = Recipe.read(RECIPE)
    [training] = recipe.trainings
    examples = [e for e in recipe.build("source", options.data) if e.split == "train"]
    captions = sum(len(example.captions) for example in examples)
    vocabulary = Vocabulary.of((c for e in examples for c in e.captions), min_count=5)
    examples = examples[:PICTURES]
    encoder, view = load_encoder(recipe, options.weights, None), recipe.build("view")
    decoder = recipe.build("decoder", encoder.width, len(vocabulary))

    with TemporaryDirectory() as cache:
        material = Stored(Sight(encoder, view, Path(cache)), training)
        list(material.prepare(examples, []))
        plan = plan_training(material, examples, vocabulary, training)
        model = CaptionModel(torch.nn.Identity(), decoder)
        trainer = Trainer(model, training, CrossEntropy(), steps_an_epoch=len(plan(0)))
        ours = (event.seconds for event in trainer.run(plan) if isinstance(event, Step))

        encoded = encode_captions(examples, vocabulary)
        optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-4)
        size = training.captions_a_step
        batches = iter(plan_batches(encoded.lengths, batch_size=size, seed=0, epoch=0))

        def plain() -> float:
            began = time.perf_counter()
            batch = pick_batch(encoded, next(batches))
            pixels = np.stack([open_image(examples[i].image, view) for i in batch.images])
            words = torch.from_numpy(batch.words)
            loss = cross_entropy(decoder(encode(encoder, pixels), words[:, :-1]), words[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return (time.perf_counter() - began) / len(words) * size

        next(ours), plain()  # warm up
        pairs = [(next(ours), plain()) for _ in range(options.steps)]
    stored, again = (median(side) for side in zip(*pairs, strict=True))
    steps = captions / size
    found = {
        "an epoch on stored regions, minutes": round(stored * steps / 60, 2),
        "an epoch of the plain loop, minutes": round(again * steps / 60, 1),
        "times faster": round(again / stored, 1),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

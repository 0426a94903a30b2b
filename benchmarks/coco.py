"""COCO: how large it may be, what its recipes cost, and what a model learns from a little of it.

    python benchmarks/coco.py --data FOLDER --weights WEIGHTS     all of it, some 30 minutes
    python benchmarks/coco.py --data FOLDER --weights WEIGHTS large little
    python benchmarks/coco.py                                     only rewrite docs/coco.md

FOLDER holds `captions_val2017.json` and 80 photographs of COCO, `train2017-80/`, with their
captions, `captions_train2017_80.json`. Writes benchmarks/coco.json and docs/coco.md.
"""

import argparse
import json
import platform
import random
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from run import ROOT, machine

from cutline.images.load import open_image
from cutline.models.weights import CaptionModel, encode
from cutline.recipe import Recipe
from cutline.text.tokenizer import split_words
from cutline.training.experiment import load_encoder
from cutline.training.losses import CrossEntropy
from cutline.training.trainer import Step, Trainer

RESULTS = ROOT / "benchmarks" / "coco.json"
RECIPES = ("coco-show-and-tell", "coco-show-attend-tell")
PICTURES, CAPTIONS = 82_783, 414_113
"""Of captions_train2014.json."""
TRAINING, VALIDATION = 113_287, 5_000
"""Pictures of Karpathy's split."""
CHOSEN_BY, FOLDS = 10, 4
"""Of the 80 pictures so many choose the epoch, and every quarter is the test once."""
AS_IT_IS = "the packaged model as it is"

SUITED = {"captions_a_step": 25, "epochs": 40, "patience": 10, "min_count": 2}
"""Options of the COCO recipes for so few pictures."""

LOAD = """
import json, resource, sys, time
from cutline.datasets.batches import encode_captions, plan_pictures
from cutline.datasets.coco import Coco
from cutline.text.vocabulary import Vocabulary
clock = [time.perf_counter()]
lap = lambda: clock.append(time.perf_counter()) or round(clock[-1] - clock[-2], 2)
examples = [e for e in Coco(sys.argv[1], year=2014) if e.split == "train"]
told = {"captions": sum(len(e.captions) for e in examples), "load": lap()}
vocabulary = Vocabulary.of(c for e in examples for c in e.captions)
told |= {"words": len(vocabulary), "build the vocabulary": lap()}
captions = encode_captions(examples, vocabulary)
told["turn captions into numbers"] = lap()
plan = plan_pictures(captions, captions_a_batch=250, seed=0, epoch=0)
told |= {"batches": len(plan), "plan an epoch": lap()}
told["most memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps(told))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("parts", nargs="*", choices=["large", "costs", "little", []])
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.data:
        measures = {"large": measure_large, "costs": measure_costs, "little": learn_a_little}
        for name in options.parts or measures:
            with TemporaryDirectory() as folder:
                results[name] = measures[name](options.data, options.weights, Path(folder))
            results |= {"machine": machine(), "date": str(date.today())}
            RESULTS.write_text(json.dumps(results, indent=2) + "\n")
            print(name, json.dumps(results[name]), flush=True)
    (ROOT / "docs" / "coco.md").write_text(write_page(results), encoding="utf8")


# ---------------------------------------------------------------------------------------- large


def measure_large(data: Path, _: Path, folder: Path) -> dict[str, Any]:
    """A file as large as captions_train2014.json, of real captions drawn again and again."""
    real = json.loads((data / "captions_val2017.json").read_text())["annotations"]
    chance = random.Random(0)
    (folder / "train2014").mkdir()
    images = [{"id": n, "file_name": f"{n:012}.jpg"} for n in range(PICTURES)]
    for image in images:
        (folder / "train2014" / image["file_name"]).touch()
    annotations = [
        {"id": n, "image_id": n % PICTURES, "caption": chance.choice(real)["caption"]}
        for n in range(CAPTIONS)
    ]
    document = {"images": images, "annotations": annotations}
    (folder / "captions_train2014.json").write_text(json.dumps(document))
    told = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder)], check=True, capture_output=True, text=True
    )
    return json.loads(told.stdout)


# ---------------------------------------------------------------------------------------- costs


def measure_costs(data: Path, weights: Path, _: Path) -> dict[str, Any]:
    """Seconds of what a run at full size consists of, with COCO's number of words."""
    real = json.loads((data / "captions_val2017.json").read_text())["annotations"]
    lengths = [len(split_words(each["caption"])) for each in real]
    told: dict[str, Any] = {"words a caption": round(sum(lengths) / len(lengths), 2)}
    photographs = sorted((data / "train2017-80").glob("*.jpg"))
    for name in RECIPES:
        recipe = Recipe.read(ROOT / "recipes" / f"{name}.toml")
        [training] = recipe.trainings
        encoder = load_encoder(recipe, weights, None)
        view = recipe.build("view")
        began = time.perf_counter()
        seen = torch.cat(
            [
                encode(encoder, open_image(path, view)[None], training.precision)
                for path in photographs
            ]
        )
        picture = (time.perf_counter() - began) / len(photographs)
        step = _time_a_step(recipe, training, encoder.width, seen, round(told["words a caption"]))
        steps = 5 * TRAINING / training.captions_a_step
        told[name] = {
            "encode a picture": picture,
            "a step": step,
            "epochs": training.epochs,
            "hours of encoding": (TRAINING + VALIDATION) * picture / 3600,
            "hours of an epoch": steps * step / 3600,
            "gigabytes of features": seen[0].numel() * 2 * (TRAINING + VALIDATION) / 1e9,
        }
    return told


def _time_a_step(recipe: Recipe, training: Any, width: int, seen: Any, length: int) -> float:
    """The median of some steps on these pictures' regions, with as many words as COCO's."""
    words = 9_490
    model = CaptionModel(torch.nn.Identity(), recipe.build("decoder", width, words))
    pictures = training.captions_a_step // 5
    some = seen.repeat(2, 1, 1)[:pictures]
    said = torch.randint(4, words, (pictures * 5, length + 2))

    def plan(_: int) -> list[Any]:
        return [lambda: (some, said)] * 12

    trainer = Trainer(model, training, CrossEntropy(smoothing=0.1), steps_an_epoch=12, device="cpu")
    steps = (event.seconds for event in trainer.run(plan) if isinstance(event, Step))
    return median(list(islice(steps, 12))[2:])


# --------------------------------------------------------------------------------------- little


def learn_a_little(data: Path, weights: Path, folder: Path) -> dict[str, Any]:
    """From data to score on 80 pictures: both recipes, and a model that learns on.

    Every quarter of the pictures is the test once, so that all 80 are scored together.
    """
    told: dict[str, Any] = {}
    written: dict[str, list[dict[str, Any]]] = {}
    for fold in range(FOLDS):
        place = folder / str(fold)
        test = divide(data, place, fold)
        told.setdefault("data show", _run("data", "show", place, "--kind", "coco")[0])
        for name, (recipe, options) in _ways(place, weights).items():
            way = told.setdefault(name, {"train": 0.0, "caption": 0.0})
            model = place / "runs" / recipe.stem
            train = ("train", recipe, "--data", place, "--kind", "coco", "--out", model, *options)
            way["train"] += _run(*train, "--cache", folder / "cache")[0] / FOLDS
            written.setdefault(name, []).extend(_caption(model, place, test, way))
        way = told.setdefault(AS_IT_IS, {"caption": 0.0})
        written.setdefault(AS_IT_IS, []).extend(_caption(None, place, test, way))
    for name, captions in written.items():
        told[name] |= _score(captions, data / "captions_train2017_80.json", folder)
    return told


def _ways(folder: Path, weights: Path) -> dict[str, tuple[Path, Sequence[object]]]:
    """What is tried: a recipe and options of `cutline train`."""
    tuned = ROOT / "recipes" / "fine-tune.toml"
    return {
        f"{name}, from scratch": (_suited(name, folder), ("--weights", weights)) for name in RECIPES
    } | {"fine-tune, from the packaged model": (tuned, ("--from", "packaged"))}


def divide(data: Path, folder: Path, fold: int) -> Path:
    """COCO's files of 50 training and 10 validation pictures; a quarter as a test's image list."""
    whole = json.loads((data / "captions_train2017_80.json").read_text())
    ids = sorted(image["id"] for image in whole["images"])
    random.Random(0).shuffle(ids)
    test = ids[fold::FOLDS]
    others = [id for id in ids if id not in test]
    parts = {"train2017": others[CHOSEN_BY:], "val2017": others[:CHOSEN_BY], "test2017": test}
    (folder / "annotations").mkdir(parents=True)
    for name, chosen in parts.items():
        document = {
            kind: [e for e in whole[kind] if e["id" if kind == "images" else "image_id"] in chosen]
            for kind in ("images", "annotations")
        }
        (folder / name).mkdir()
        for image in document["images"]:
            photograph = data / "train2017-80" / image["file_name"]
            (folder / name / image["file_name"]).symlink_to(photograph.resolve())
        listed = folder / "annotations" / f"captions_{name}.json"
        listed.write_text(json.dumps(document))
    kept = folder / "references.json"
    return (folder / "annotations" / "captions_test2017.json").rename(kept)


def _suited(name: str, folder: Path) -> Path:
    """A recipe with what so few pictures ask for: smaller steps, more epochs, rarer words."""
    recipe = (ROOT / "recipes" / f"{name}.toml").read_text(encoding="utf8")
    for option, few in SUITED.items():
        recipe = re.sub(rf"^{option} = .*$", f"{option} = {few}", recipe, flags=re.M)
    path = folder / f"{name}.toml"
    path.write_text(recipe, encoding="utf8")
    return path


def _caption(
    model: Path | None, folder: Path, listed: Path, way: dict[str, float]
) -> list[dict[str, Any]]:
    """Caption the test's image list as for the evaluation server."""
    results = folder / "captions_test2017_cutline_results.json"
    results.unlink(missing_ok=True)
    which = () if model is None else ("--model", model)
    lists = (listed, "--images", folder / "test2017", "--out", results)
    way["caption"] += _run("submit", *which, *lists)[0] / FOLDS
    captions: list[dict[str, Any]] = json.loads(results.read_text())
    return captions


def _score(captions: list[dict[str, Any]], references: Path, folder: Path) -> dict[str, Any]:
    """All quarters' captions together."""
    results = folder / "captions_all_cutline_results.json"
    results.write_text(json.dumps(captions))
    only = ("--only", "BLEU,CIDEr-D", "--df", "coco", "--json")
    _, told = _run("score", results, "--references", references, *only)
    report = json.loads(told)
    metrics = ("BLEU-1", "BLEU-4", "CIDEr-D")
    return {
        "scores": {name: report["scores"][name] for name in metrics},
        "intervals": {name: report["intervals"][name] for name in metrics},
    }


def _run(*arguments: object) -> tuple[float, str]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "cutline", *map(str, arguments)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return round(time.perf_counter() - began, 1), told.stdout


# ---------------------------------------------------------------------------------------- page


def write_page(results: Mapping[str, Any]) -> str:
    large, costs, little = results["large"], results["costs"], results["little"]
    suited = ", ".join(f"{option} = {value}" for option, value in SUITED.items())
    lines = [
        "# COCO",
        "",
        f"Measured on {results['machine']}, {results['date']} (torch {torch.__version__}, python "
        f"{platform.python_version()}), by `python benchmarks/coco.py --data FOLDER --weights "
        "WEIGHTS`, which writes this page.",
        "",
        "## A data set of COCO's size",
        "",
        f"{large['captions']:,} captions of {PICTURES:,} pictures, sampled from val2017:",
        "",
        "| step | seconds |",
        "|---|---|",
        *(f"| {name} | {large[name]:.1f} |" for name in STEPS),
        "",
        f"{large['words']:,} words, {large['batches']:,} batches; at most "
        f"{large['most memory, MB']} MB of memory.",
        "",
        "## What the recipes would cost",
        "",
        "Extrapolated from the seconds per picture and per step, with a vocabulary of COCO's size; "
        "**no full run was done**, and no GPU was available.",
        "",
        "| recipe | encode once | features | per epoch | epochs | total |",
        "|---|---|---|---|---|---|",
        *(_cost_row(name, costs[name]) for name in RECIPES),
        "",
        "Scoring 5,000 validation pictures after each epoch is not included.",
        "",
        "## Eighty photographs, from data to score",
        "",
        f"{FOLDS}-fold cross-validation, so that each of the 80 is tested once: "
        f"{80 - 80 // FOLDS - CHOSEN_BY} to train, {CHOSEN_BY} to validate, {80 // FOLDS} to test. "
        "Times are of one fold; CIDEr-D uses COCO's document frequencies and has 95 % bootstrap "
        f"intervals. From scratch the recipes use {suited}; fine-tune's learning rate and epochs "
        "were chosen by such folds of 60 of these pictures; "
        f"`cutline data show` took {little['data show']:.0f} s. Fine-tuning beats training from "
        "scratch in the same time; where intervals overlap, as in the last two rows, fifty "
        "pictures are too few to tell.",
        "",
        "| | train | caption | BLEU-1 | BLEU-4 | CIDEr-D |",
        "|---|---|---|---|---|---|",
        *(_score_row(name, told) for name, told in little.items() if isinstance(told, dict)),
    ]
    return re.sub(r" +$", "", "\n".join(lines), flags=re.M) + "\n"


STEPS = ("load", "build the vocabulary", "turn captions into numbers", "plan an epoch")


def _cost_row(name: str, cost: Mapping[str, float]) -> str:
    together = cost["hours of encoding"] + cost["epochs"] * cost["hours of an epoch"]
    return (
        f"| {name} | {cost['hours of encoding']:.1f} h | {cost['gigabytes of features']:.1f} GB | "
        f"{cost['hours of an epoch']:.2f} h | {cost['epochs']} | **{together:.0f} h** |"
    )


def _score_row(name: str, told: Mapping[str, Any]) -> str:
    cells = [
        f"{100 * score:.1f} [{100 * told['intervals'][metric][0]:.1f}, "
        f"{100 * told['intervals'][metric][1]:.1f}]"
        for metric, score in told["scores"].items()
    ]
    train = f"{told['train']:.0f} s" if "train" in told else ""
    return f"| {name} | {train} | {told['caption']:.0f} s | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()

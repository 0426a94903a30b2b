"""Every recipe trains for a few steps on a small part of the real data."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import ROOT
from cutline.inference.captioner import PACKAGED
from cutline.models.checkpoint import Checkpoint, create_folder, read_model, save_model
from cutline.models.weights import CaptionModel, load_weights, part_of
from cutline.recipe import Recipe
from cutline.training.experiment import Experiment, Validated
from cutline.training.trainer import Step

RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
PICTURES = {"train": 12, "dev": 3, "test": 2}


@pytest.fixture(scope="module")
def little(shared, tmp_path_factory) -> Path:
    """Flickr8k in its original layout, with a few of its pictures."""
    whole, folder = shared / "data" / "flickr8k", tmp_path_factory.mktemp("flickr8k")
    (folder / "images").mkdir()
    kept = set()
    for split, count in PICTURES.items():
        name = f"Flickr_8k.{split}Images.txt"
        names = (whole / name).read_text().split()[:count]
        (folder / name).write_text("\n".join(names) + "\n")
        kept |= set(names)
    for name in kept:
        (folder / "images" / name).symlink_to(whole / "images" / name)
    lines = (whole / "Flickr8k.token.txt").read_text(encoding="utf8").splitlines(keepends=True)
    mine = [line for line in lines if line.split("#")[0] in kept]
    (folder / "Flickr8k.token.txt").write_text("".join(mine), encoding="utf8")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Features for all recipes, since most have the same encoder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def own_pictures(little, tmp_path) -> Path:
    """The same pictures as a folder of the user's."""
    folder = tmp_path / "own"
    folder.mkdir()
    token = (little / "Flickr8k.token.txt").read_text(encoding="utf8").splitlines()
    lines = []
    for line in token[::5]:
        name, caption = line.split("#")[0], line.split("\t")[1]
        (folder / name).symlink_to(little / "images" / name)
        lines.append(json.dumps({"image": name, "caption": caption}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf8")
    return folder


def write_mixture(little: Path, own: Path, folder: Path) -> dict[str, Path]:
    """A small part of every source of `see-and-say`."""
    folder.mkdir()
    said = [
        line.split("\t")[1] for line in (little / "Flickr8k.token.txt").read_text().splitlines()
    ]
    (folder / "talk.txt").write_text("\n".join(said) + "\n")
    (folder / "zoo").symlink_to(little / "images")
    pictures = sorted(path.name for path in (little / "images").iterdir())
    lines = [{"file": f"zoo/{name}", "labels": ["dog"], "person": False} for name in pictures[:4]]
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "others.jsonl").write_text("\n".join(map(json.dumps, lines[:2])))
    places = dict.fromkeys(("coco-sentences", "flickr30k-sentences"), folder / "talk.txt")
    places |= {name: folder / f"{name}.jsonl" for name in ("labels", "others")}
    places["labelled"] = places.pop("labels")
    return {"flickr8k": little, "coco": own, "more": own, **places}


def beginner(recipe: Recipe, folder: Path) -> Checkpoint:
    """An untrained model of the recipe, with the packaged model's vocabulary and encoder."""
    packaged = read_model(PACKAGED)
    encoder = recipe.build("encoder")
    load_weights(encoder, part_of(packaged.tensors, "encoder"), PACKAGED)
    decoder = recipe.build("decoder", encoder.width, len(packaged.vocabulary))
    create_folder(folder / "start", recipe, packaged.vocabulary)
    save_model(folder / "start", CaptionModel(encoder, decoder), packaged.vocabulary, {})
    return read_model(folder / "start")


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains(path, shared, little, own_pictures, cache, tmp_path):
    if path.stem == "flickr8k-german":  # the little Flickr8k has its captions in German, too
        english = (little / "Flickr8k.token.txt").read_text(encoding="utf8")
        (little / "Flickr8k.german.token.txt").write_text(english, encoding="utf8")
    goes_on = "--from packaged" in path.read_text(encoding="utf8")
    recipe = Recipe.read(path, model=read_model(PACKAGED).recipe if goes_on else None)
    short = {"epochs": 1, "precision": "no", "captions_a_step": 20}  # bf16 is slow on most CPUs
    sections = dict(recipe.sections)
    sections["training"] = {**sections["training"], **short}
    if "min_count" in sections["vocabulary"]:
        sections["vocabulary"] = {**sections["vocabulary"], "min_count": 1}
    if sections["source"]["kind"] == "coco":  # the 80 photographs are of 2017's
        sections["source"] = {"kind": "coco", "year": 2017, "split": "official"}
    then = tuple({**each, **short} for each in recipe.then)
    recipe = replace(recipe, sections=sections, then=then)
    known = {"flickr8k": little, "folder": own_pictures, "coco": shared / "data" / "coco"}
    data = known.get(sections["source"]["kind"], tmp_path / "drawn")
    start = beginner(recipe, tmp_path) if "--from" in recipe.claim["command"] else None
    if recipe.mixed:
        data, start = write_mixture(little, own_pictures, tmp_path / "mixture"), None

    events = list(
        Experiment(recipe, data, tmp_path / "model", start=start, cache=cache, device="cpu").run()
    )

    assert sum(isinstance(event, Step) for event in events) >= len(recipe.trainings)
    validated = sum(isinstance(event, Validated) for event in events)  # perhaps the start, too
    assert validated in (len(recipe.trainings), len(recipe.trainings) + (start is not None))
    assert (tmp_path / "model" / "weights.safetensors").exists()

import json
import os
import pickle
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from cutline.errors import ModelError
from cutline.io.atomic import atomic_write, remove_partial_files
from cutline.models.checkpoint import (
    build,
    create_folder,
    read_model,
    read_recipe,
    read_resume,
    save_card,
    save_model,
    save_resume,
)
from cutline.models.weights import CaptionModel
from cutline.recipe import Recipe
from cutline.text.vocabulary import Vocabulary

RECIPE = Recipe.of(
    {
        "title": "For tests",
        "source": {"kind": "shapes"},
        "encoder": {"kind": "mosaic", "tiles": 2},
        "decoder": {"kind": "show-and-tell", "embedding": 8, "hidden": 8},
        "search": {"kind": "greedy"},
    }
)
WORDS = Vocabulary.of(["a red circle", "a blue square"], min_count=1)
OTHER_WORDS = Vocabulary.of(["a red circle", "a blue triangle"], min_count=1)
CARD = {"title": "For tests", "epoch": 3, "scores": {"CIDEr-D": 0.5}, "author": "Zoë"}


def make_model(*, seed: int = 0) -> CaptionModel:
    torch.manual_seed(seed)
    encoder = RECIPE.build("encoder")
    return CaptionModel(encoder, RECIPE.build("decoder", encoder.width, len(WORDS))).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model folder."""
    path = tmp_path / "runs" / "model"
    create_folder(path, RECIPE, WORDS)
    save_model(path, make_model(), WORDS, CARD)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def assert_is_a_sentence(error: BaseException, *mentioned: object) -> None:
    assert "\n" not in str(error)
    for each in mentioned:
        assert str(each) in str(error)


def test_a_model_read_back_is_the_model_that_was_saved(folder):
    saved = read_model(folder)

    assert (saved.recipe, saved.vocabulary, saved.card) == (RECIPE, WORDS, CARD)
    assert saved.tensors.keys() == make_model().state_dict().keys()
    for name, tensor in make_model().state_dict().items():
        assert torch.equal(saved.tensors[name], tensor)


def test_a_network_built_again_scores_captions_as_before(folder):
    pixels, words = torch.rand(2, 3, 8, 8) * 255, torch.tensor([[1, 4, 5], [1, 6, 7]])

    network = build(read_model(folder))

    assert not network.training
    torch.testing.assert_close(network(pixels, words), make_model()(pixels, words))


def test_a_model_folder_holds_nothing_else(folder):
    assert names(folder) == {"recipe.json", "vocabulary.txt", "weights.safetensors", "card.json"}
    assert names(folder.parent) == {folder.name}


def test_whoever_may_read_the_recipe_may_read_the_weights(folder):
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}

    assert len(modes) == 1


def test_the_card_in_the_weights_is_the_card_for_people(folder):
    with safe_open(folder / "weights.safetensors", "pt") as file:
        inside = json.loads(file.metadata()["card"])

    assert inside == json.loads((folder / "card.json").read_text(encoding="utf8")) == CARD


def test_a_card_with_half_a_character_is_written_as_json(tmp_path):
    save_card(tmp_path, {"notes": "\ud800"})

    assert json.loads((tmp_path / "card.json").read_text(encoding="utf8")) == {"notes": "\ud800"}


def test_the_recipe_of_a_folder_has_every_default_written_out(folder):
    written = json.loads((folder / "recipe.json").read_text(encoding="utf8"))

    assert written["training"]["max_grad_norm"] == 5.0
    assert read_recipe(folder) == RECIPE


def test_a_new_model_does_not_go_where_something_is(folder):
    with pytest.raises(ModelError) as raised:
        create_folder(folder, RECIPE, WORDS)

    assert_is_a_sentence(raised.value, folder, "--out")
    assert read_model(folder).card == CARD


def test_a_killed_beginning_does_not_stop_the_next(tmp_path):
    left = tmp_path / ".cutline-0123456789abcdef.part"
    left.mkdir()
    (left / "recipe.json").write_text("{")

    create_folder(tmp_path / "model", RECIPE, WORDS)

    assert names(tmp_path) == {"model"}
    assert read_recipe(tmp_path / "model") == RECIPE


# ------------------------------------------------------------------------- what does not fit


def test_the_vocabulary_of_another_model_is_refused_with_an_explanation(folder):
    OTHER_WORDS.save(folder / "vocabulary.txt")

    with pytest.raises(ModelError, match="trained with another vocabulary") as raised:
        read_model(folder)

    assert_is_a_sentence(raised.value, WORDS.hash[:12], OTHER_WORDS.hash[:12], "vocabulary.txt")


def test_weights_of_another_shape_are_refused(folder):
    table = json.loads((folder / "recipe.json").read_text(encoding="utf8"))
    table["decoder"]["hidden"] = 16
    (folder / "recipe.json").write_text(json.dumps(table))

    with pytest.raises(ModelError, match="shape") as raised:
        build(read_model(folder))

    assert_is_a_sentence(raised.value)


@pytest.mark.parametrize("name", ["recipe.json", "vocabulary.txt", "weights.safetensors"])
def test_a_missing_file_is_told_in_a_sentence(name, folder):
    (folder / name).unlink()

    with pytest.raises(ModelError) as raised:
        read_model(folder)

    assert_is_a_sentence(raised.value, folder, name)


def test_a_missing_card_for_people_is_no_matter(folder):
    (folder / "card.json").unlink()

    assert read_model(folder).card == CARD


@pytest.mark.parametrize("where", ["nowhere", "recipe.json"])
def test_what_is_not_a_model_folder_is_told_in_a_sentence(where, folder):
    with pytest.raises(ModelError, match="not a model folder") as raised:
        read_model(folder / where)

    assert_is_a_sentence(raised.value, folder / where)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: b"PK\3\4" + content,
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content.replace(b'"dtype"', b'"dtipe"'),
    ],
    ids=["empty", "header", "half", "last-byte", "zip", "length", "field"],
)
def test_damaged_weights_are_told_in_a_sentence(damage, folder):
    path = folder / "weights.safetensors"
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(ModelError, match="damaged") as raised:
        read_model(folder)

    assert_is_a_sentence(raised.value, path)


@pytest.mark.parametrize("content", [b"", b'{"title": ', b"[]", b"3", b"\xff\xfe{}"])
def test_a_damaged_recipe_is_told_in_a_sentence(content, folder):
    (folder / "recipe.json").write_bytes(content)

    with pytest.raises(ModelError) as raised:
        read_model(folder)

    assert_is_a_sentence(raised.value, folder / "recipe.json")


# ------------------------------------------------------------------------------ going on


def test_what_a_run_needs_to_go_on_is_read_as_it_was_saved(folder):
    state = {"step": 3, "random": torch.get_rng_state(), "given": {"sha256": "ab", "train": 4}}

    save_resume(folder, state)

    found = read_resume(folder)
    assert torch.equal(found.pop("random"), state.pop("random"))
    assert found == state


def test_a_run_that_has_not_begun_has_nothing_to_go_on_from(folder):
    assert read_resume(folder) is None


class Mischief:
    """What somebody else's pickle may do."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (Path("mischief"),)


@pytest.mark.parametrize(
    "pack", [torch.save, lambda what, path: path.write_bytes(pickle.dumps(what))]
)
def test_nothing_in_a_model_folder_is_executed(pack, folder, monkeypatch):
    monkeypatch.chdir(folder)
    pack({"step": Mischief()}, folder / "resume.pt")

    with pytest.raises(ModelError, match="damaged") as raised:
        read_resume(folder)

    assert_is_a_sentence(raised.value, folder / "resume.pt")
    assert "mischief" not in names(folder)


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_damaged_state_is_told_in_a_sentence(kept, folder):
    save_resume(folder, {"random": torch.get_rng_state()})
    content = (folder / "resume.pt").read_bytes()
    (folder / "resume.pt").write_bytes(content[:kept])

    with pytest.raises(ModelError, match="damaged") as raised:
        read_resume(folder)

    assert_is_a_sentence(raised.value, folder / "resume.pt")


# --------------------------------------------------------------------- the old one or the new


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(folder):
    with pytest.raises(OSError, match="No space"), atomic_write(folder / "card.json") as file:
        file.write(b'{"epo')
        raise OSError(28, "No space left on device")

    assert json.loads((folder / "card.json").read_text(encoding="utf8")) == CARD
    assert len(names(folder)) == 4


def test_what_a_killed_run_left_does_not_hurt_and_is_swept(folder):
    before = names(folder)
    for name in (".cutline-0123456789abcdef.part", ".cutline-00000000000000aa.part"):
        (folder / name).write_bytes(b"half")

    assert read_model(folder).card == CARD
    save_model(folder, make_model(seed=1), WORDS, CARD)
    remove_partial_files(folder)

    assert names(folder) == before
    assert torch.equal(
        read_model(folder).tensors["decoder.see.weight"],
        make_model(seed=1).decoder.see.weight,
    )


SAVES_UNTIL_KILLED = """
import os, sys, time
from pathlib import Path
from torch import nn
from cutline.models.checkpoint import save_model
from cutline.text.vocabulary import Vocabulary

folder = Path(sys.argv[1])
words = Vocabulary.load(folder / "vocabulary.txt")
module = nn.Linear(300, 300)
while sys.stdin.readline():
    if child := os.fork():
        os.waitpid(child, 0)
        print("killed", flush=True)
        continue
    for epoch in range(10**9):
        for parameter in module.parameters():
            nn.init.constant_(parameter, epoch % 2)
        save_model(folder, module, words, {"state": epoch % 2, "padding": 2000 * "card "})
        if epoch == 0:
            print(os.getpid(), flush=True)
"""
"""Forks, so that torch is imported once for all the processes that are killed."""


@contextmanager
def running(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.stdin.close()


def kill_once(process: subprocess.Popen[str], after: float) -> None:
    """Let a child of the process save models, and kill it so many seconds after the first."""
    process.stdin.write("go\n")
    process.stdin.flush()
    child = int(process.stdout.readline())
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    assert process.stdout.readline() == "killed\n"


@pytest.mark.slow
def test_a_run_killed_while_it_saves_leaves_the_old_model_or_the_new_one(tmp_path):
    folder, chance = tmp_path / "model", random.Random(0)
    create_folder(folder, RECIPE, WORDS)
    seen, left = set(), False

    with running(SAVES_UNTIL_KILLED, folder) as process:
        for _ in range(25):
            kill_once(process, after=chance.uniform(0, 0.02))
            saved = read_model(folder)
            values = {float(value) for t in saved.tensors.values() for value in t.unique()}
            assert values == {saved.card["state"]}
            json.loads((folder / "card.json").read_text(encoding="utf8"))
            seen |= values
            left |= any(name.endswith(".part") for name in names(folder))

    assert seen == {0, 1}
    remove_partial_files(folder)
    assert names(folder) == {"recipe.json", "vocabulary.txt", "weights.safetensors", "card.json"}
    assert left, "none of the kills fell into the middle of a save"

"""Model folders of strangers: one sentence says what is wrong with each."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save

from cutline.models.weights import CaptionModel
from cutline.recipe import Recipe

PARTS = {
    "source": {"kind": "shapes"},
    "view": {"size": 32},
    "encoder": {"kind": "mosaic", "tiles": 4},
    "decoder": {"kind": "show-and-tell", "embedding": 8, "hidden": 8},
    "search": {"kind": "beam"},
}
WORDS = "".join(f"{word}\n" for word in ("<pad>", "<start>", "<end>", "<unk>", "a", "dog"))


def write_folder(folder: Path, *, card: str = "{}", filled: float | None = None) -> Path:
    """The smallest model folder, with weights as they begin, or all of one number."""
    recipe = Recipe.of(PARTS)
    encoder = recipe.build("encoder")
    model = CaptionModel(encoder, recipe.build("decoder", encoder.width, 6))
    tensors = {
        name: tensor if filled is None or not tensor.is_floating_point() else tensor * filled
        for name, tensor in model.state_dict().items()
    }
    metadata = {"vocabulary": sha256(WORDS.encode()).hexdigest(), "card": card}
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(PARTS))
    (folder / "vocabulary.txt").write_text(WORDS)
    (folder / "weights.safetensors").write_bytes(save(tensors, metadata))
    return folder


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("recipe.json", "{", "is not JSON"),
        ("recipe.json", "[" * 100_000, "is not JSON"),
        ("recipe.json", f'{{"training": {"9" * 5_000}}}', "is not JSON"),
        ("recipe.json", b"\xff", "is not JSON"),
        ("recipe.json", "[]", "is not a recipe"),
        ("recipe.json", {"encoder": {"kind": ["x"]}}, "the kind of [encoder] is ['x']"),
        ("recipe.json", {"encoder": {"kind": "subprocess:Popen"}}, "custom code"),
        ("recipe.json", {"decoder": {"kind": "show-and-tell", "hidden": 10**6}}, "1 to 16,384"),
        ("recipe.json", {"decoder": {"kind": "show-and-tell", "hidden": -5}}, "1 to 16,384"),
        ("recipe.json", {"search": {"kind": "beam", "max_words": 0}}, "1 to 1,000"),
        ("recipe.json", {"view": {"size": 10**9}}, "a view has a size from 1 to 1024"),
        ("vocabulary.txt", "a\n", "must be the marker '<pad>'"),
        ("vocabulary.txt", WORDS + "b" * 10**6 + "\n", "has 1,000,000 characters"),
        ("weights.safetensors", b"", "weights.safetensors is damaged"),
        ("weights.safetensors", (10**15).to_bytes(8, "little") + b"{}", "safetensors is damaged"),
        ("weights.safetensors", None, "weights.safetensors is damaged"),
    ],
)
def test_a_strangers_folder_is_one_sentence(file, content, sentence, tmp_path, run):
    folder = write_folder(tmp_path / "model")
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (folder / file).unlink()
    if content is None:
        (folder / file).mkdir()
    elif isinstance(content, bytes):
        (folder / file).write_bytes(content)
    else:
        given = content if isinstance(content, str) else json.dumps({**PARTS, **content})
        (folder / file).write_text(given)

    code, out, err = run("caption", "-m", folder, tmp_path / "a.png")

    assert (code, out) == (1, "")
    assert sentence in err
    assert "\n" not in err.strip()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"card": "["}, "carries no card that can be read"),
        ({"card": '{"calibration": 7}'}, "the calibration in the model card is invalid"),
        ({"filled": float("nan")}, "probabilities are not finite: its weights are damaged"),
    ],
)
def test_weights_of_a_stranger_are_one_sentence(how, sentence, tmp_path, run):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    folder = write_folder(tmp_path / "model", **how)

    code, out, err = run("caption", "-m", folder, tmp_path / "a.png", "--json")

    assert (code, out) == (1, "")
    assert sentence in err

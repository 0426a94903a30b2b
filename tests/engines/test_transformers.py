"""Captioners of transformers: its real classes, in tiny random configurations, from folders."""

import json
import shutil

import pytest
import torch
import transformers
from PIL import Image

import tiny_captioners
from conftest import ROOT
from cutline.images.load import open_image
from cutline.inference.captioner import Captioner, Engine, load
from cutline.inference.library import caption_library
from cutline.text.style import Style

pytestmark = pytest.mark.slow  # importing transformers takes seconds
PICTURES = [ROOT / "examples" / f"{name}.jpg" for name in ("cat", "lake", "coffee")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of tiny models, each made once."""
    base = tmp_path_factory.mktemp("models")

    def make(name: str):
        return base / name if (base / name).exists() else tiny_captioners.make(name, base / name)

    return make


@pytest.fixture(params=tiny_captioners.MAKERS)
def captioner(request, folders) -> Captioner:
    return load(f"hf:{folders(request.param)}", device="cpu")


def test_a_batch_equals_its_pictures_one_by_one_and_words_have_probabilities(captioner):
    together = captioner.caption(PICTURES)

    assert isinstance(captioner.engine, Engine)
    for picture, caption in zip(PICTURES, together, strict=True):
        alone = captioner.caption(picture)
        assert (alone.text, alone.words) == (caption.text, caption.words)
        assert caption.log_prob == pytest.approx(alone.log_prob, abs=1e-3)
        assert sum(caption.word_log_probs) == pytest.approx(caption.log_prob)
        assert len(caption.word_log_probs) == len(caption.words) + 1
        assert 0 < caption.confidence < 1


def test_there_are_as_many_candidates_as_are_wanted(captioner):
    caption = captioner.caption(PICTURES[0], best=3)

    likely = [each.log_prob for each in (caption, *caption.alternatives)]
    assert len(likely) <= 3 and max(likely) < 0


def test_the_log_probability_is_that_of_scoring_the_words_again(folders):
    folder = folders("pair")
    captioner = load(f"hf:{folder}", device="cpu")
    engine = captioner.engine
    seen = captioner.caption(PICTURES[0])
    model = transformers.VisionEncoderDecoderModel.from_pretrained(folder)
    pixels = engine._prepare([Image.fromarray(open_image(PICTURES[0], engine.view))])
    ids = model.generate(**pixels, max_new_tokens=60, do_sample=False)
    with torch.no_grad():
        logits = model(**pixels, decoder_input_ids=ids[:, :-1]).logits.log_softmax(-1)
    expected = logits.gather(2, ids[:, 1:, None]).sum().item()

    assert seen.log_prob == pytest.approx(expected, abs=1e-3)


def test_a_journal_keeps_captions_of_different_models_apart(folders, tmp_path):
    out = tmp_path / "captions.jsonl"

    def fingerprints(model: str | None, **options) -> set[str]:
        list(caption_library(load(model, device="cpu", **options), PICTURES[:1], out))
        return {json.loads(row)["model"]["fingerprint"] for row in out.read_text().splitlines()}

    pair = f"hf:{folders('pair')}"
    shutil.copytree(folders("pair"), tmp_path / "other")
    weights = tmp_path / "other" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    seen = [fingerprints(m) for m in (None, pair, f"hf:{tmp_path / 'other'}", pair)]

    assert seen[1] == seen[3] and len(set.union(*seen)) == 3


def test_styles_apply_afterwards(folders):
    captioner = load(f"hf:{folders('pair')}", device="cpu")

    caption = captioner.caption(PICTURES[0], style=Style(max_chars=10, avoid=frozenset(["a"])))

    assert len(caption.text) <= 10 and (caption.text or caption.left_out)


def break_json(folder, file: str, **changes: object) -> None:
    table = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**table, **changes}))


@pytest.mark.parametrize(
    ("breaks", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "cannot be loaded"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "cannot be loaded"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "cannot be loaded"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "cannot be loaded"),
        (
            lambda f: transformers.BertConfig().save_pretrained(f),
            "is a bert model, not a captioner",
        ),
        (
            lambda f: break_json(
                f, "config.json", model_type="mine", auto_map={"AutoConfig": "mine.Config"}
            ),
            "brings code of its own, which cutline never runs (trust_remote_code is off)",
        ),
        (
            lambda f: tiny_captioners.tokenizer(*map(str, range(40))).save_pretrained(f),
            "its tokenizer has 64 tokens, its decoder 24; they do not fit",
        ),
    ],
)
def test_a_folder_that_is_no_captioner_is_one_sentence(run, folders, tmp_path, breaks, sentence):
    shutil.copytree(folders("pair"), tmp_path / "model")
    (tmp_path / "model" / "mine.py").write_text("raise SystemExit('run')")
    breaks(tmp_path / "model")

    code, out, err = run("caption", "-m", f"hf:{tmp_path / 'model'}", PICTURES[0])

    assert (code, out) == (1, "")
    assert sentence in err and err.startswith("cutline: ") and err.count("\n") == 0

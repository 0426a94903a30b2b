"""Encoder and decoder as two ONNX files, exported here from a real architecture."""

import importlib
import json
import shutil
import subprocess
import sys

import onnx
import pytest
import torch
import transformers
from onnx import TensorProto, helper

import tiny_captioners
from conftest import ROOT
from cutline.inference.captioner import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # exporting takes many seconds
PICTURES = [ROOT / "examples" / f"{name}.jpg" for name in ("cat", "lake", "coffee")]


class Reader(torch.nn.Module):
    """A decoder without a cache, which reads all words again."""

    def __init__(self, model) -> None:
        super().__init__()
        self.decoder = model.decoder

    def forward(self, input_ids, encoder_hidden_states):
        return self.decoder(
            input_ids=input_ids, encoder_hidden_states=encoder_hidden_states, use_cache=False
        ).logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a tiny ViT-GPT2 with `onnx/` in it, as on the hub."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    onnx_peer = importlib.import_module("onnx_peer")
    sys.path.pop(0)
    folder = tiny_captioners.make("pair", tmp_path_factory.mktemp("models") / "pair")
    model = transformers.VisionEncoderDecoderModel.from_pretrained(folder).eval()
    (folder / "onnx").mkdir()
    onnx_peer.export(model, folder / "onnx")
    merged = folder / "onnx" / "decoder_model_merged.onnx"
    graph = onnx.load(merged)  # optimum's merged decoders have one more input
    branch = helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1])
    graph.graph.input.append(branch)
    onnx.save(graph, merged)
    rows, length = torch.export.Dim("rows"), torch.export.Dim("length")
    onnx_peer.write(
        Reader(model), (torch.zeros(2, 3, dtype=torch.long), torch.randn(2, 17, 16)),
        folder / "onnx" / "decoder_model_plain.onnx",
        ["input_ids", "encoder_hidden_states"], ["logits"],
        {"input_ids": {0: rows, 1: length}, "encoder_hidden_states": {0: rows}},
    )  # fmt: skip
    shutil.copy(
        folder / "onnx" / "encoder_model.onnx", folder / "onnx" / "encoder_model_plain.onnx"
    )
    return folder


@pytest.mark.parametrize("variant", ["", "#plain"])
def test_two_files_give_the_captions_of_the_model(folder, variant):
    """With a cache, and by reading all words again in each step."""
    exported, original = load(f"onnx:{folder}{variant}", threads=1), load(f"hf:{folder}")

    captions = exported.caption(PICTURES)

    for ours, theirs in zip(captions, original.caption(PICTURES), strict=True):
        assert (ours.text, ours.words) == (theirs.text, theirs.words)
        assert ours.log_prob == pytest.approx(theirs.log_prob, abs=2e-2)
    assert captions[0] == exported.caption(PICTURES[0]) or captions[0].log_prob == pytest.approx(
        exported.caption(PICTURES[0]).log_prob, abs=1e-3
    )


def test_it_needs_no_torch(folder):
    code = (
        "import sys, cutline; "
        f"print(cutline.load('onnx:{folder}').caption({str(PICTURES[0])!r}).log_prob); "
        "sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0 and float(done.stdout) < 0, done.stderr


def change(file, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("breaks", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "but a model without a config.json"),
        (lambda f: change(f / "config.json", model_type="blip"), "but a blip"),
        (lambda f: (f / "config.json").write_text("[]"), "config.json is no JSON object"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json cannot be read"),
        (
            lambda f: tiny_captioners.tokenizer(*map(str, range(40))).save_pretrained(f),
            "tokens, its decoder 24; they do not fit",
        ),
        (lambda f: (f / "onnx" / "encoder_model.onnx").unlink(), "has no encoder_model.onnx"),
        (lambda f: (f / "onnx" / "encoder_model.onnx").write_bytes(b"x"), "not a model that runs"),
        (
            lambda f: change(f / "preprocessor_config.json", size={"height": 16, "width": 16}),
            "its files do not run together",
        ),
        (
            lambda f: change(f / "preprocessor_config.json", size={"height": -1, "width": 10**9}),
            "preprocessor_config.json is not understood",
        ),
    ],
)
def test_files_that_do_not_fit_are_one_sentence(run, folder, tmp_path, breaks, sentence):
    shutil.copytree(folder, tmp_path / "pair")
    breaks(tmp_path / "pair")

    code, out, err = run("caption", "-m", f"onnx:{tmp_path / 'pair'}", PICTURES[0])

    assert (code, out) == (1, "")
    assert sentence in err and err.startswith("cutline: ") and err.count("\n") == 0

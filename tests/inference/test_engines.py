"""What every engine promises; the exported graph and torch must write the same."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from cutline.errors import ModelError
from cutline.images.load import View, open_image
from cutline.inference.captioner import PACKAGED, Engine
from cutline.inference.ensemble import EnsembleEngine
from cutline.inference.onnx import OnnxEngine, _sums_saturate
from cutline.inference.torch import TorchEngine
from cutline.models.averaging import mix, save
from cutline.models.checkpoint import build, read_model
from cutline.models.decoders.show_and_tell import ShowAndTell
from cutline.models.encoders.resnet import ResNet
from cutline.models.onnx_export import export, halve_weights
from cutline.models.weights import CaptionModel, read_tensors
from cutline.recipe import Recipe
from cutline.text.style import Style
from cutline.text.vocabulary import Vocabulary
from cutline.training.feature_store import FeatureStore
from cutline.types import Written
from naive import END, PAD, log_prob, shake


@pytest.fixture(params=["onnx", "torch"])
def engine(request, tiny) -> Engine:
    return OnnxEngine(tiny / "model.onnx") if request.param == "onnx" else TorchEngine.open(tiny)


@pytest.fixture
def pixels(drawn) -> np.ndarray:
    pictures = sorted(drawn.glob("*.png"))[:12]
    return np.stack([open_image(picture, View(32)) for picture in pictures])


def test_an_engine_knows_its_words_its_view_and_its_card(engine, tiny):
    assert isinstance(engine, Engine)
    assert engine.view == View(32)
    assert engine.vocabulary == read_model(tiny).vocabulary
    assert engine.card["title"] == "Tiny"
    assert engine.card["scores"]["validation"]["scores"]["CIDEr-D"] > 0.5


def test_an_engine_searches_within_a_style(engine, pixels):
    free = engine.write(pixels)
    [first, *_] = {text.split()[1] for text in _texts(engine, free)}

    short = _texts(engine, engine.write(pixels, Style(max_chars=12)))
    without = _texts(engine, engine.write(pixels, Style(avoid=frozenset([first]))))

    assert max(map(len, _texts(engine, free))) > 12
    assert all(0 < len(text) <= 12 for text in short)
    assert not any(first in text.split() for text in without)
    assert np.array_equal(engine.write(pixels, Style().without_length_limit).words, free.words)


@pytest.mark.parametrize("style", [Style(max_chars=14), Style(avoid=frozenset(["a", "circle"]))])
def test_both_engines_write_the_same_within_a_style(tiny, pixels, style):
    graph = OnnxEngine(tiny / "model.onnx").write(pixels, style)
    eager = TorchEngine.open(tiny).write(pixels, style)

    found = eager.scores > -np.inf
    assert np.array_equal(graph.scores > -np.inf, found)
    assert np.array_equal(graph.words[found], eager.words[found])
    np.testing.assert_allclose(graph.log_probs[found], eager.log_probs[found], atol=1e-4)


@pytest.mark.slow
def test_a_model_with_one_candidate_in_mind_has_no_shorter_one(tiny, tmp_path, pixels):
    saved = read_model(tiny)
    greedy = Recipe.of({**saved.recipe.as_json(), "search": {"kind": "greedy"}})
    export(replace(saved, recipe=greedy), tmp_path / "greedy.onnx")
    engines = OnnxEngine(tmp_path / "greedy.onnx"), TorchEngine.open(tmp_path / "greedy.onnx")

    for engine in engines:
        with pytest.raises(ModelError, match="max_chars needs"):
            engine.write(pixels, Style(max_chars=12))
        assert (
            "a" not in _texts(engine, engine.write(pixels, Style(avoid=frozenset("a"))))[0].split()
        )


def test_a_file_from_before_styles_says_so(tiny, tmp_path, pixels):
    graph = onnx.load(tiny / "model.onnx")
    kept = [tensor for tensor in graph.graph.initializer if tensor.name != "avoid"]
    frozen = next(tensor for tensor in graph.graph.initializer if tensor.name == "avoid")
    del graph.graph.initializer[:], graph.graph.input[1:]
    graph.graph.initializer.extend([*kept, frozen])
    onnx.save(graph, tmp_path / "old.onnx")
    old = OnnxEngine(tmp_path / "old.onnx")

    assert (
        old.write(pixels).words.shape == OnnxEngine(tiny / "model.onnx").write(pixels).words.shape
    )
    with pytest.raises(
        ModelError, match=r"old\.onnx has no inputs for a style: it was made by a different version"
    ):
        old.write(pixels, Style(max_chars=12))


def _texts(engine: Engine, written: Written) -> list[str]:
    return [" ".join(engine.vocabulary.decode(words)) for words in written.words[:, 0]]


def test_a_batch_equals_its_pictures_one_by_one(engine, pixels):
    together = engine.write(pixels)

    for number in range(len(pixels)):
        alone = engine.write(pixels[number : number + 1])
        assert np.array_equal(together.words[number], alone.words[0])
        np.testing.assert_allclose(together.log_probs[number], alone.log_probs[0], atol=1e-4)


def test_calls_may_come_from_several_threads(engine, pixels):
    alone = [engine.write(picture[None]) for picture in pixels]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(engine.write, [picture[None] for picture in pixels]))

    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.words, other.words)


def test_the_log_probabilities_are_those_of_scoring_the_words_again(engine, pixels, tiny):
    model = build(read_model(tiny))
    with torch.no_grad():
        regions = model.encoder(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())

    written = engine.write(pixels)

    for number in range(4):
        for words, log_probs in zip(written.words[number], written.log_probs[number], strict=True):
            caption = tuple(word for word in words.tolist() if word != PAD)
            with torch.no_grad():
                expected = log_prob(model.decoder, regions[number : number + 1], caption)
            assert log_probs.sum() == pytest.approx(expected, abs=1e-4)


def test_candidates_come_best_first_and_after_the_end_only_padding(engine, pixels):
    written = engine.write(pixels)

    assert (np.diff(written.scores, axis=1) <= 0).all()
    after_end = np.cumsum(written.words == END, axis=2) - (written.words == END) > 0
    assert (written.words[after_end] == PAD).all()
    assert (written.log_probs[written.words == PAD] == 0).all()


def test_both_engines_write_the_same(tiny, pixels):
    graph, eager = (
        OnnxEngine(tiny / "model.onnx").write(pixels),
        TorchEngine.open(tiny).write(pixels),
    )

    _assert_same(graph, eager)


def _assert_same(graph, eager) -> None:
    assert np.array_equal(graph.words, eager.words)
    np.testing.assert_allclose(graph.log_probs, eager.log_probs, atol=1e-4)
    np.testing.assert_allclose(graph.scores, eager.scores, atol=1e-4)
    np.testing.assert_allclose(graph.gaze, eager.gaze, atol=1e-4)


def test_the_file_alone_is_enough_to_caption_from_any_language(tiny, pixels):
    """What a browser or a program in another language does, with nothing of cutline."""
    session = onnxruntime.InferenceSession(tiny / "model.onnx")
    metadata = session.get_modelmeta().custom_metadata_map

    words, _, _, _ = session.run(None, {"pixels": pixels[:1]})

    vocabulary = metadata["vocabulary"].split("\n")
    spoken = " ".join(vocabulary[word] for word in words[0, 0] if word > END)
    assert spoken == " ".join(_first_caption(tiny, pixels))
    assert json.loads(metadata["view"]) == {"size": 32, "fit": "squash"}


def _first_caption(tiny: Path, pixels: np.ndarray) -> tuple[str, ...]:
    engine = TorchEngine.open(tiny)
    return engine.vocabulary.decode(engine.write(pixels[:1]).words[0, 0])


def test_the_captions_depend_on_the_picture(engine, pixels):
    written = engine.write(pixels)

    assert len({tuple(words[0]) for words in written.words}) > 3


def test_half_weights_make_a_smaller_file_with_nearly_the_same_weights(tiny, tmp_path):
    graph = onnx.load(tiny / "model.onnx")
    halve_weights(graph)
    onnx.save(graph, tmp_path / "narrow.onnx")

    exact, narrow = load_file(tiny / "weights.safetensors"), read_tensors(tmp_path / "narrow.onnx")
    stored = sum(t.numel() * 4 for t in exact.values() if t.numel() > 4096)
    saved = (tiny / "model.onnx").stat().st_size - (tmp_path / "narrow.onnx").stat().st_size
    assert saved > 0.45 * stored
    for name in narrow:
        error = (narrow[name] - exact[name]).abs().max() / exact[name].abs().max()
        assert error < 0.005


def test_an_exported_file_can_be_opened_by_torch_again(tiny, tmp_path, pixels):
    graph = onnx.load(tiny / "model.onnx")
    halve_weights(graph)
    onnx.save(graph, tmp_path / "narrow.onnx")

    eager = TorchEngine.open(tmp_path / "narrow.onnx").write(pixels)

    _assert_same(OnnxEngine(tmp_path / "narrow.onnx").write(pixels), eager)


def test_a_file_that_is_no_captioner_is_one_sentence(tiny, tmp_path):
    (tmp_path / "text.onnx").write_text("not a graph")
    foreign = onnx.load(tiny / "model.onnx")
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")

    with pytest.raises(ModelError, match=r"text.onnx is not a model that runs: "):
        OnnxEngine(tmp_path / "text.onnx")
    with pytest.raises(ModelError, match=r"foreign.onnx carries no vocabulary: it was not made by"):
        OnnxEngine(tmp_path / "foreign.onnx")
    with pytest.raises(ModelError, match=r"there is no model .*absent.onnx"):
        OnnxEngine(tmp_path / "absent.onnx")


@pytest.mark.slow
def test_both_engines_write_the_same_under_100_photographs(shared, tmp_path):
    """The weights in the package, computing in single precision."""
    photographs = sorted((shared / "data/flickr8k/originals").glob("*.jpg"))[:100]
    export(read_model(PACKAGED), tmp_path / "exact.onnx")
    graph, eager = OnnxEngine(tmp_path / "exact.onnx"), TorchEngine.open(PACKAGED)
    pixels = np.stack([open_image(photograph, graph.view) for photograph in photographs])

    different = _count_different(graph, eager, pixels)

    assert len(photographs) == 100
    assert different <= 1


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 2])
def test_both_engines_write_the_same_at_other_widths(shared, tmp_path, width):
    saved = read_model(PACKAGED)
    table = saved.recipe.as_json()
    recipe = Recipe.of({**table, "search": {**table["search"], "width": width}})
    other = type(saved)(recipe, saved.vocabulary, saved.tensors, saved.card)
    export(other, tmp_path / "other.onnx")
    photographs = sorted((shared / "data/flickr8k/originals").glob("*.jpg"))[:100]
    graph = OnnxEngine(tmp_path / "other.onnx")
    pixels = np.stack([open_image(photograph, graph.view) for photograph in photographs])

    different = _count_different(graph, TorchEngine(build(other), recipe, saved.vocabulary), pixels)

    assert different <= 1


def _count_different(graph: OnnxEngine, eager: TorchEngine, pixels: np.ndarray) -> int:
    """Pictures whose best captions differ; those that agree must agree in log-probability too."""
    different = 0
    for start in range(0, len(pixels), 10):
        ours, theirs = (e.write(pixels[start : start + 10]) for e in (graph, eager))
        time = theirs.words.shape[2]
        same = (ours.words[:, 0, :time] == theirs.words[:, 0]).all(axis=1)
        different += int((~same).sum())
        np.testing.assert_allclose(
            ours.log_probs[same, 0, :time], theirs.log_probs[same, 0], atol=1e-4
        )
    return different


def test_stored_features_give_the_captions_of_the_pictures(tiny, drawn, tmp_path):
    """Half precision on disk changes a word only where two were almost equally likely."""
    engine, pictures = TorchEngine.open(tiny), sorted(drawn.glob("*.png"))
    store = FeatureStore(tmp_path, engine.model.encoder, engine.view)
    list(store.encode(pictures))

    stored = engine.read(torch.stack(store.load(pictures)))

    raw = engine.write(np.stack([open_image(picture, engine.view) for picture in pictures]))
    different = (stored.words[:, 0] != raw.words[:, 0]).any(axis=1)
    assert different.sum() <= 1


@pytest.mark.slow
def test_stored_features_give_the_captions_of_100_photographs(shared, tmp_path):
    engine = TorchEngine.open(PACKAGED)
    photographs = sorted((shared / "data/flickr8k/originals").glob("*.jpg"))[:100]
    store = FeatureStore(tmp_path, engine.model.encoder, engine.view)
    list(store.encode(photographs))

    stored = engine.read(torch.stack(store.load(photographs))).words[:, 0].tolist()

    pixels = [open_image(photograph, engine.view) for photograph in photographs]
    raw = [engine.write(picture[None]).words[0, 0].tolist() for picture in pixels]
    different = sum(
        _without_padding(a) != _without_padding(b) for a, b in zip(stored, raw, strict=True)
    )
    assert different <= 1


def _without_padding(words: list[int]) -> list[int]:
    return [word for word in words if word != PAD]


@pytest.mark.slow
def test_a_network_with_normalisations_is_folded_on_its_way_out(tiny, tmp_path):
    saved = read_model(tiny)
    table = saved.recipe.as_json()
    encoder = {"kind": "resnet", "depth": 18, "pool": True}
    recipe = Recipe.of({**table, "encoder": encoder, "search": {**table["search"], "max_words": 2}})
    torch.manual_seed(0)
    model = CaptionModel(shake(ResNet(18, pool=True)), ShowAndTell(512, len(saved.vocabulary)))
    plain = type(saved)(
        Recipe.of({**recipe.as_json(), "decoder": {"kind": "show-and-tell"}}),
        saved.vocabulary,
        model.state_dict(),
        saved.card,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)

    export(plain, tmp_path / "folded.onnx")

    expected = TorchEngine(build(plain), plain.recipe, plain.vocabulary).write(pixels)
    _assert_same(OnnxEngine(tmp_path / "folded.onnx").write(pixels), expected)
    _assert_same(TorchEngine.open(tmp_path / "folded.onnx").write(pixels), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["show-attend-tell", "transformer"])
def test_a_captioner_with_attention_says_the_same_in_both_engines(kind, tiny, tmp_path):
    saved = read_model(tiny)
    parts = {
        "view": {"size": 64},
        "encoder": {"kind": "resnet", "depth": 18},
        "decoder": {"kind": kind, "embedding": 24, "hidden": 16},
    }
    recipe = Recipe.of({**saved.recipe.as_json(), **parts})
    torch.manual_seed(0)
    decoder = recipe.build("decoder", 512, len(saved.vocabulary))
    model = CaptionModel(shake(ResNet(18)), decoder)
    attentive = type(saved)(recipe, saved.vocabulary, model.state_dict(), saved.card)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)

    export(attentive, tmp_path / "attentive.onnx")

    expected = TorchEngine(build(attentive), recipe, saved.vocabulary).write(pixels)
    _assert_same(OnnxEngine(tmp_path / "attentive.onnx").write(pixels), expected)


def test_a_caption_tells_where_each_word_was_looked_for(tiny, pixels):
    written = OnnxEngine(tiny / "model.onnx").write(pixels)

    shares = written.gaze.sum(axis=3)
    np.testing.assert_allclose(shares, written.words != PAD, atol=1e-5)


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "sse4_2 avx2", True),
        ("x86_64", "avx512_vnni", False),
        ("AMD64", "avx_vnni", False),
        ("aarch64", "asimd", False),
    ],
)
def test_exact_sums_are_asked_for_only_where_8_bit_ones_saturate(
    machine, flags, expected, tmp_path, monkeypatch
):
    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags} lm\n")
    monkeypatch.setattr("platform.machine", lambda: machine)

    assert _sums_saturate(tmp_path / "cpuinfo") is expected
    assert _sums_saturate(tmp_path / "absent") is False


# ------------------------------------------------------------------------------- several models


def shaken(path: Path, amount: float) -> TorchEngine:
    """The model in a folder, every weight a little off."""
    engine = TorchEngine.open(path)
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in engine.model.decoder.parameters():
            weight += amount * torch.randn(weight.shape, generator=chance)
    return engine


def test_an_ensemble_of_the_same_model_twice_writes_what_it_writes(tiny, pixels):
    alone, twice = TorchEngine.open(tiny), [TorchEngine.open(tiny) for _ in range(2)]

    together = EnsembleEngine(twice)

    assert isinstance(together, Engine)
    _assert_same(together.write(pixels), alone.write(pixels))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_an_ensemble_writes_on_a_gpu_what_it_writes_on_a_processor(tiny, pixels):
    members = [[TorchEngine.open(tiny, device=d) for _ in range(2)] for d in ("cpu", "cuda")]

    here, there = (EnsembleEngine(each).write(pixels) for each in members)

    _assert_same(there, here)


def test_an_ensemble_averages_the_probabilities_of_every_word(tiny, pixels):
    members = [TorchEngine.open(tiny), shaken(tiny, 0.05)]

    written = EnsembleEngine(members).write(pixels[:3])

    for number in range(3):
        caption = written.words[number, 0]
        each = [_read_again(member, pixels[number], caption) for member in members]
        expected = np.log(np.exp(np.stack(each)).mean(axis=0))
        end = len(expected)
        np.testing.assert_allclose(written.log_probs[number, 0, :end], expected, atol=1e-4)


@torch.no_grad()
def _read_again(engine: TorchEngine, pixels: np.ndarray, caption: np.ndarray) -> np.ndarray:
    """The log-probability of each word of a caption, markers not forbidden but unlikely."""
    words = torch.from_numpy(caption[caption != PAD])[None]
    regions = engine.model.encoder(torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).float())
    read = torch.cat([torch.ones(1, 1, dtype=torch.long), words[:, :-1]], dim=1)
    return engine.model.decoder(regions, read).gather(2, words[..., None])[0, :, 0].numpy()


def test_models_of_other_words_do_not_go_together(tiny):
    other = TorchEngine.open(tiny)
    other.vocabulary = Vocabulary((*other.vocabulary.words, "zebra"))

    with pytest.raises(ModelError, match="needs models with the same vocabulary and the same view"):
        EnsembleEngine([TorchEngine.open(tiny), other])


def test_a_soup_is_the_mean_of_the_weights(tiny, tmp_path):
    one = read_model(tiny)
    other = replace(one, tensors={n: 3 * t for n, t in one.tensors.items()})

    save(mix([one, other]), tmp_path / "soup")

    again = read_model(tmp_path / "soup")
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(again.tensors[name], 2 * tensor)
    assert again.card["scores"] == {}
    assert len(again.card["mixed"]) == 2


def test_models_of_other_parts_do_not_mix(tiny):
    one = read_model(tiny)
    table = one.recipe.as_json()
    other = Recipe.of({**table, "decoder": {**table["decoder"], "hidden": 8}})

    with pytest.raises(ModelError, match="same parts and vocabulary can be averaged"):
        mix([one, replace(one, recipe=other)])

"""A graph in 8 bits: nearly the same captions, from kernels of whole numbers, loop included."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from safetensors.torch import load_file

from cutline.errors import ModelError
from cutline.images.load import View, open_image
from cutline.inference.onnx import OnnxEngine, _sums_saturate
from cutline.inference.torch import TorchEngine
from cutline.models.checkpoint import read_model
from cutline.models.onnx_export import export
from cutline.models.quantization import (
    BINS,
    SHARES,
    Range,
    fit_range,
    graphs,
    measure_ranges,
    quantise,
)
from cutline.models.weights import read_tensors
from cutline.text.vocabulary import Vocabulary
from naive import PAD

exact_sums = pytest.mark.skipif(
    _sums_saturate(), reason="in loops, 8-bit sums overflow on x86 without VNNI"
)


@pytest.fixture(scope="module")
def pixels(drawn) -> np.ndarray:
    pictures = sorted(drawn.glob("*.png"))[:60]
    return np.stack([open_image(picture, View(32)) for picture in pictures])


@pytest.fixture(scope="module")
def narrow(tiny, tmp_path_factory, pixels):
    path = tmp_path_factory.mktemp("narrow") / "int8.onnx"
    graph = onnx.load(tiny / "model.onnx")
    quantise(graph, [pixels[:30], pixels[30:]])
    onnx.save(graph, path)
    return path


@given(low=st.floats(-1e4, 0), high=st.floats(0, 1e4))
def test_zero_is_kept_exactly_and_everything_else_within_a_step(low, high):
    kept = Range(low, high)

    def through(value: float) -> float:
        whole = np.clip(np.rint(value / kept.scale) + kept.zero, 0, 255)
        return float((whole - kept.zero) * kept.scale)

    assert through(0.0) == 0.0
    for value in np.linspace(low, high, 9):
        assert abs(through(value) - value) <= 1.01 * kept.scale


@pytest.mark.parametrize("lowest", [0.0, -5.0])
def test_a_range_leaves_outliers_out_and_has_the_least_squared_error(lowest):
    dice = np.random.default_rng(0)
    values = np.append(dice.normal(0, 1, 1_000_000).clip(lowest), 30.0)
    widest = Range(float(values.min()), float(values.max()))

    fitted = fit_range(np.histogram(values, BINS, widest)[0].astype(float), widest)

    def error(part: Range) -> float:
        whole = np.clip(np.rint(values / part.scale) + part.zero, 0, 255)
        return float(((((whole - part.zero) * part.scale) - values) ** 2).sum())

    tried = [Range(widest.low * b, widest.high * a) for a in SHARES for b in (0.6, 1.0)]
    assert fitted.high < 24
    assert error(fitted) < 1.1 * min(map(error, tried))


@exact_sums
def test_8_bits_write_nearly_the_same_captions(tiny, narrow, pixels):
    exact, eight = OnnxEngine(tiny / "model.onnx").write(pixels), OnnxEngine(narrow).write(pixels)

    same = (exact.words[:, 0] == eight.words[:, 0]).all(axis=1).mean()
    assert same >= 0.9
    written = (eight.words[:, 0] != PAD) & (exact.words[:, 0] == eight.words[:, 0])
    difference = np.abs(exact.log_probs[:, 0] - eight.log_probs[:, 0])[written]
    assert 0 < difference.mean() < 0.05


def test_8_bits_write_the_same_alone_and_in_company(narrow, pixels):
    engine = OnnxEngine(narrow)

    together = engine.write(pixels[:12])

    for number in range(12):
        alone = engine.write(pixels[number : number + 1])
        assert np.array_equal(together.words[number], alone.words[0])


def optimise(model, path):
    """The model as onnxruntime runs it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return onnx.load(path)


def test_images_are_pooled_in_whole_numbers(pixels, tmp_path):
    random = np.random.default_rng(0)
    shapes = {"stem": (32, 3, 7, 7), "next": (32, 32, 3, 3)}
    weights = [
        numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "stem"], ["seen"]),
        helper.make_node("Relu", ["seen"], ["bright"]),
        helper.make_node("MaxPool", ["bright"], ["pooled"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Conv", ["pooled", "next"], ["features"]),
    ]
    ends = [
        helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["rows", 32, 32, 3]),
        helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, None),
    ]
    graph = helper.make_graph(nodes, "pooling", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    quantise(model, [pixels[:8]])

    nodes = optimise(model.SerializeToString(), tmp_path / "optimised.onnx").graph.node
    maker = {output: node.op_type for node in nodes for output in node.output}
    [pool] = [node for node in nodes if node.op_type.endswith("MaxPool")]
    assert maker[pool.input[0]] != "DequantizeLinear"


def test_the_loop_computes_in_whole_numbers(narrow, tmp_path):
    (_, _), (body, _) = graphs(optimise(narrow, tmp_path / "optimised.onnx"))
    kinds = [node.op_type for node in body.node]
    assert kinds.count("QGemm") == 2  # the two of the LSTM; the words of shapes are few
    assert "DequantizeLinear" not in kinds


def test_the_weights_can_be_read_back_for_training(tiny, narrow):
    exact, kept = load_file(tiny / "weights.safetensors"), read_tensors(narrow)

    assert kept.keys() >= exact.keys()
    for name, tensor in exact.items():
        error = (kept[name] - tensor).abs().max() / tensor.abs().max().clip(1e-6)
        assert error < 0.005, name
    assert TorchEngine.open(narrow).vocabulary == read_model(tiny).vocabulary


@pytest.mark.slow
def test_the_weights_of_many_words_can_be_read_back_too(tiny, tmp_path, pixels):
    saved = read_model(tiny)
    few, many = len(saved.vocabulary.words), 5_000
    words = Vocabulary((*saved.vocabulary.words, *(f"word{n}" for n in range(few, many))))
    tensors = dict(saved.tensors)
    for name, tensor in tensors.items():
        if tensor.shape[:1] == (few,):  # of the words: their vectors, and how common each is
            more = torch.randn(many - few, *tensor.shape[1:]) - 8 * (tensor.ndim == 1)
            tensors[name] = torch.cat([tensor, more])
    grown = replace(saved, vocabulary=words, tensors=tensors)
    export(grown, tmp_path / "many.onnx", precision="int8", pixels=[pixels])

    kept = read_tensors(tmp_path / "many.onnx")

    assert TorchEngine.open(tmp_path / "many.onnx").vocabulary == words
    for name, tensor in tensors.items():
        error = (kept[name] - tensor).abs().max() / tensor.abs().max().clip(1e-6)
        assert error < 0.005, name


def test_8_bits_without_pictures_are_refused_in_a_sentence(tiny, tmp_path):
    with pytest.raises(ModelError, match="8 bits need pictures to measure ranges on"):
        export(read_model(tiny), tmp_path / "none.onnx", precision="int8")

    assert not (tmp_path / "none.onnx").exists()


def test_ranges_hold_what_was_seen_outside_and_inside_loops():
    """y doubles three times: inside it is 1, 2 and 4 times what is given."""
    double = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["x", "x"], ["doubled"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2]),
        ],
        [
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("doubled", onnx.TensorProto.FLOAT, [None, 2]),
        ],
    )
    nodes = [
        helper.make_node("Cast", ["pixels"], ["wide"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Loop", ["times", "", "wide"], ["y"], body=double),
    ]
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, [None, 2])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(np.int64(3), "times")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    batches = [np.array([[1, 3]], np.uint8), np.array([[2, 7]], np.uint8)]

    ranges = measure_ranges(model, [["wide"], ["x", "doubled"]], batches)

    assert {name: tuple(kept) for name, kept in ranges.items()} == {
        "wide": (0, 7),
        "x": (0, 28),
        "doubled": (0, 56),
    }


def gemm_graph(weight, bias, **how) -> onnx.ModelProto:
    """y = x times weight, plus bias."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gemm", ["x", "weight", "bias"], ["y"], **how),
    ]
    return _model(nodes, {"weight": weight, "bias": bias})


def _model(nodes, initializers) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, [None, 96])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 96])],
        [numpy_helper.from_array(values, name) for name, values in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def computed(model: onnx.ModelProto, given: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # where sums would overflow
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"pixels": given})[0]


GIVEN = np.random.default_rng(1).integers(0, 256, (20, 96), dtype=np.uint8)
WEIGHT = np.random.default_rng(2).standard_normal((96, 96)).astype(np.float32)


def test_a_bias_is_kept_where_the_weights_or_the_activations_are_next_to_nothing():
    weight, bias = WEIGHT.copy(), np.full(96, 0.5, np.float32)
    weight[0], weight[1] = 0, 1e-12

    model = gemm_graph(weight, bias, transB=1)
    quantise(model, [GIVEN])
    unlit = gemm_graph(WEIGHT, bias, transB=1)
    quantise(unlit, [GIVEN * 0])

    np.testing.assert_allclose(computed(model, GIVEN)[:, :2], 0.5, atol=1e-3)
    np.testing.assert_allclose(computed(unlit, GIVEN * 0), 0.5, atol=1e-3)


@pytest.mark.parametrize("how", [{}, {"transB": 1, "beta": 0.5}, {"transB": 1, "alpha": 2.0}])
def test_products_of_other_kinds_stay_in_single_precision(how):
    model = gemm_graph(WEIGHT, np.ones(96, np.float32), **how)
    exact = computed(model, GIVEN)

    quantise(model, [GIVEN])

    assert np.array_equal(computed(model, GIVEN), exact)


@exact_sums
@pytest.mark.parametrize("outside_too", [False, True])
def test_a_loop_may_read_what_was_made_before_it_through_a_big_layer(outside_too):
    inside = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Gemm", ["x", "weight"], ["key"], transB=1),
            helper.make_node("Add", ["sum", "key"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, [None, 96]),
        ],
        [
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [None, 96]),
        ],
    )
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gemm", ["x", "weight"], ["first"], transB=1),
        helper.make_node(
            "Loop", ["times", "", "first" if outside_too else "x"], ["y"], body=inside
        ),
    ]
    nodes = nodes if outside_too else [nodes[0], nodes[2]]
    model = _model(nodes, {"weight": WEIGHT, "times": np.int64(2)})
    exact = computed(model, GIVEN)

    quantise(model, [GIVEN])

    eight = computed(model, GIVEN)
    assert 0 < np.abs(eight - exact).max() < 0.02 * np.abs(exact).max()

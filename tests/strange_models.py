"""One-file models as a stranger might make them: a graph that writes what it is told to."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WORDS = ("<pad>", "<start>", "<end>", "<unk>", "a", "dog")
METADATA = {
    "vocabulary": "\n".join(WORDS),
    "view": '{"size": 32, "fit": "squash"}',
    "card": "{}",
    "format": "1",
}
WRITTEN = {
    "words": np.array([[[4, 5, 2, 0]]], np.int64),
    "log_probs": np.full((1, 1, 4), -0.1, np.float32),
    "scores": np.zeros((1, 1), np.float32),
    "gaze": np.full((1, 1, 4, 4), 0.25, np.float32),
}
"""Under one picture: `a dog`."""


def write_model(
    path: Path,
    *,
    endless: bool = False,
    hungry: int = 0,
    without: tuple[str, ...] = (),
    metadata: dict[str, str] | None = None,
    **written: NDArray[np.generic],
) -> Path:
    """A model that writes `WRITTEN`, or what is given; an `endless` one never comes to it, and a
    `hungry` one asks for so many numbers before.
    """
    before = _loop_for_ever() if endless else _ask_for(hungry) if hungry else []
    told = {n: v for n, v in {**WRITTEN, **written}.items() if n not in without}
    nodes = [node for name, value in told.items() for node in _write(name, value, bool(before))]
    graph = helper.make_graph(
        [*before, *nodes],
        "strange",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["rows", None, None, 3])],
        [
            helper.make_tensor_value_info(name, numpy_helper.from_array(value).data_type, None)
            for name, value in told.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    said = {**METADATA, **(metadata or {})}
    helper.set_model_props(model, {n: v for n, v in said.items() if n not in without})
    onnx.save(model, path)
    return path


def _write(name: str, value: NDArray[np.generic], late: bool) -> list[onnx.NodeProto]:
    """Write a value, one for one picture once for each; `late`: not before all else is done."""
    first = f"{name}.late" if late and name == "scores" else name
    nodes = _repeat(first, value) if value.shape[0] == 1 else [_hold(first, value)]
    if first != name:
        nodes.append(helper.make_node("Add", [first, "never"], [name]))
    return nodes


def _repeat(name: str, value: NDArray[np.generic]) -> list[onnx.NodeProto]:
    return [
        _hold(f"{name}.one", value),
        _hold(f"{name}.rest", np.array(value.shape[1:], np.int64)),
        helper.make_node("Shape", ["pixels"], [f"{name}.rows"], start=0, end=1),
        helper.make_node("Concat", [f"{name}.rows", f"{name}.rest"], [f"{name}.shape"], axis=0),
        helper.make_node("Expand", [f"{name}.one", f"{name}.shape"], [name]),
    ]


def _hold(name: str, value: NDArray[np.generic]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))


def _ask_for(numbers: int) -> list[onnx.NodeProto]:
    return [
        _hold("count", np.array([numbers], np.int64)),
        helper.make_node("ConstantOfShape", ["count"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["never"], keepdims=0),
    ]


def _loop_for_ever() -> list[onnx.NodeProto]:
    kinds = {"turn": TensorProto.INT64, "on": TensorProto.BOOL, "sum": TensorProto.FLOAT}
    kinds |= {"on.next": TensorProto.BOOL, "sum.next": TensorProto.FLOAT}
    info = {name: helper.make_tensor_value_info(name, kind, []) for name, kind in kinds.items()}
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["on.next"]),
            helper.make_node("Add", ["sum", "sum"], ["sum.next"]),
        ],
        "body",
        [info["turn"], info["on"], info["sum"]],
        [info["on.next"], info["sum.next"]],
    )
    return [
        _hold("true", np.array(True)),
        _hold("zero", np.array(0, np.float32)),
        helper.make_node("Loop", ["", "true", "zero"], ["never"], body=body),
    ]

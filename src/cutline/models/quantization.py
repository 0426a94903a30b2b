"""Static post-training quantisation of an ONNX graph to 8 bits.

Following Jacob et al. 2018 (arXiv 1712.05877, equation 1), a real number r is represented by an
integer q with r = scale * (q - zero). Weights are int8 with a scale for each output channel,
activations uint8 with ranges fitted to what images give, biases int32. Pairs of QuantizeLinear and
DequantizeLinear in the graph express this, and runtimes fuse them into integer kernels.

onnxruntime's own quantiser does not enter loop bodies, but the decoder is in one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from cutline.models.onnx_runtime import onnxruntime

SMALL = 4096
"""Weights with at most this many values are not quantised; they cost little."""
HEAVY = ("Conv", "Gemm")
"""Operators whose weights are quantised."""
BINS = 2048
"""Bins of the histograms of activations."""
SHARES = tuple(np.linspace(0.2, 1, 41).tolist())
"""Shares of the widest range that are tried."""


class Range(NamedTuple):
    """The range of an activation, which always includes 0; 0 is represented exactly."""

    low: float
    high: float

    @property
    def scale(self) -> np.float32:
        """The difference between values of neighbouring integers."""
        return np.float32(max(self.high - self.low, 1e-6) / 255)

    @property
    def zero(self) -> np.uint8:
        """The integer that represents 0."""
        return np.uint8(np.rint(-self.low / self.scale))


def quantise(model: ModelProto, pixels: Iterable[NDArray[np.uint8]]) -> None:
    """Quantise a graph in place, with activation ranges measured on batches of images."""
    store = _Weights(model)
    main, *loops = (graph for graph, _ in graphs(model))
    outer = _Graph(main, store)
    inner = [_Graph(body, store, outside=outer.measured) for body in loops]
    ranges = measure_ranges(model, [each.own for each in (outer, *inner)], pixels)
    for each in (outer, *inner):
        each.keep_ranges_of_pooling(ranges)
    for each in (*inner, outer):  # bodies first: rewriting a graph copies its nodes
        each.rewrite(ranges)
    _drop_unused(model)


def measure_ranges(
    model: ModelProto, tensors: Sequence[Sequence[str]], pixels: Iterable[NDArray[np.uint8]]
) -> dict[str, Range]:
    """The ranges that fit tensors of the graph and of its loops' bodies best, as `fit_range` does.

    The graph runs on the images twice: for the smallest and largest values, then for histograms.
    """
    names, run = _watch_all(model, tensors)
    if not names:
        return {}
    batches = list(pixels)
    low, high = np.zeros(len(names)), np.full(len(names), 1e-6)
    for batch in batches:
        seen = run(batch)
        low = np.minimum(low, [values.min() for values in seen])
        high = np.maximum(high, [values.max() for values in seen])
    widest = [Range(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True)]
    counts = np.zeros((len(names), BINS))
    for batch in batches:
        for row, values in enumerate(run(batch)):
            counts[row] += np.histogram(values, BINS, widest[row])[0]
    fitted = map(fit_range, counts, widest)
    return dict(zip(names, fitted, strict=True))


def _watch_all(
    model: ModelProto, tensors: Sequence[Sequence[str]]
) -> tuple[list[str], Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]]:
    """The names of the tensors, and what computes them of a batch of images."""
    watched = ModelProto()
    watched.CopyFrom(model)
    outputs = {}
    for (graph, loop), names in zip(graphs(watched), tensors, strict=True):
        for name in names:
            outputs[name] = _watch(watched.graph, graph, loop, name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [*outputs], lambda batch: session.run([*outputs.values()], {"pixels": batch})


def fit_range(counts: NDArray[np.float64], widest: Range) -> Range:
    """The range within `widest` with the least squared error; `counts` is a histogram over it.

    Values outside the range are clipped to its ends; inside, rounding costs scale^2 / 12 each, but
    nothing for 0, which is represented exactly (Banner et al. 2019, arXiv 1810.05723, section 3).
    A few outliers would otherwise make the steps coarse for all other values.
    """
    edges = np.linspace(*widest, len(counts) + 1)
    middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    rounded = counts * (np.abs(middle) > width)

    def error(part: Range) -> float:
        beyond = middle - middle.clip(*part)
        return float(counts @ beyond**2 + part.scale**2 / 12 * rounded[beyond == 0].sum())

    ends = [
        Range(widest.low * below, widest.high * above)
        for below in (SHARES if widest.low < 0 else (1.0,))
        for above in SHARES
    ]
    return min(ends, key=error)


def graphs(model: ModelProto) -> Iterator[tuple[GraphProto, NodeProto | None]]:
    """The main graph, then the body of each loop with the loop's node."""
    yield model.graph, None
    for node in model.graph.node:
        if node.op_type == "Loop":
            yield next(a.g for a in node.attribute if a.name == "body"), node


def _watch(main: GraphProto, graph: GraphProto, loop: NodeProto | None, name: str) -> str:
    """Make a tensor an output; one in a loop is output for all iterations, concatenated."""
    seen = name
    if loop is not None:
        seen, inside = f"{name}.seen", f"{name}.each"
        graph.node.append(helper.make_node("Identity", [name], [inside]))
        graph.output.append(helper.make_empty_tensor_value_info(inside))
        loop.output.append(seen)
    main.output.append(helper.make_empty_tensor_value_info(seen))
    return seen


class _Graph:
    """Quantises one graph: the main one or the body of a loop.

    Quantised weights are stored in the main graph. `outside` names activations of the main graph
    that are quantised already, which a loop's body may read.
    """

    def __init__(
        self, graph: GraphProto, store: "_Weights", *, outside: Sequence[str] = ()
    ) -> None:
        self.graph, self.store = graph, store
        self._made_by = {output: node for node in graph.node for output in node.output}
        self._relu_of = {n.input[0]: n.output[0] for n in graph.node if n.op_type == "Relu"}
        found: list[str] = []
        for node in graph.node:
            if self._is_heavy(node) or node.op_type == "MaxPool":
                found.append(node.input[0])
            elif self._is_residual(node):
                found += [*node.input, self._relu_of.get(node.output[0], node.output[0])]
        self.measured = list(dict.fromkeys(found))
        """The activations that operators read in 8 bits."""
        self.own = [name for name in self.measured if name not in outside]
        """Those of them that this graph quantises."""

    def keep_ranges_of_pooling(self, ranges: dict[str, Range]) -> None:
        """Give the output of max pooling the range of its input.

        With different ranges, onnxruntime pools in single precision and needs more memory.
        """
        for node in self.graph.node:
            if node.op_type == "MaxPool" and node.output[0] in ranges:
                ranges[node.output[0]] = ranges[node.input[0]]

    def rewrite(self, ranges: dict[str, Range]) -> None:
        """Quantise every measured activation and every large weight."""
        nodes: list[NodeProto] = []
        for name in self.own:
            if name not in self._made_by:  # an input, or from outside the loop
                nodes += self._through_8_bits(name, ranges)
        for node in self.graph.node:
            if self._is_heavy(node):
                nodes += self.store.narrow(node, ranges[node.input[0]])
            for place, name in enumerate(node.input):
                if name in self.measured:
                    node.input[place] = f"{name}.wide"
            nodes.append(node)
            for output in node.output:
                nodes += self._through_8_bits(output, ranges)
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def _is_heavy(self, node: NodeProto) -> bool:
        if node.op_type not in HEAVY or not all(n in self.store.weights for n in node.input[1:]):
            return False
        how = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        usual = how.get("alpha", 1.0) == how.get("beta", 1.0) == how.get("transB", 1) == 1
        plain = node.op_type == "Conv" or ("transB" in how and usual and not how.get("transA"))
        return plain and self.store.weights[node.input[1]].size > SMALL

    def _is_residual(self, node: NodeProto) -> bool:
        makers = [self._made_by.get(name) for name in node.input]
        return node.op_type == "Add" and all(
            maker is not None and maker.op_type in ("Conv", "Relu") for maker in makers
        )

    def _through_8_bits(self, name: str, ranges: dict[str, Range]) -> list[NodeProto]:
        if name not in self.own:
            return []
        how = self.store.add(name, scale=ranges[name].scale, zero=ranges[name].zero)
        return [
            helper.make_node("QuantizeLinear", [name, *how], [f"{name}.uint8"]),
            helper.make_node("DequantizeLinear", [f"{name}.uint8", *how], [f"{name}.wide"]),
        ]


class _Weights:
    """The weights of the main graph, and the quantised tensors that replace them."""

    def __init__(self, model: ModelProto) -> None:
        self._main, self._uses = model.graph, Counter[str]()
        self._present = {tensor.name for tensor in model.graph.initializer}
        self.weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}

    def add(self, name: str, **parts: NDArray[np.generic] | np.generic) -> list[str]:
        """Store the parts of a tensor, once, and return their names."""
        for part, values in parts.items():
            if f"{name}.{part}" not in self._present:
                self._present.add(f"{name}.{part}")
                tensor = numpy_helper.from_array(np.asarray(values), f"{name}.{part}")
                self._main.initializer.append(tensor)
        return [f"{name}.{part}" for part in parts]

    def narrow(self, node: NodeProto, entering: Range) -> list[NodeProto]:
        """Quantise weight and bias of a node; returns the nodes that dequantise them."""
        weight, *bias = (self.weights[name] for name in node.input[1:])
        steps = np.abs(weight).max(axis=tuple(range(1, weight.ndim))).clip(1e-12) / 127
        for values in bias:  # must fit into 31 bits even if the weights are almost 0
            steps = np.maximum(steps, np.abs(values) / (2.0**30 * entering.scale))
        whole = np.rint(weight / steps.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)
        widen = [self._widen(node, 1, node.input[1], int8=whole, scale=steps.astype(np.float32))]
        for values in bias:  # with the scale of the sums that they are added to
            unit = steps * entering.scale
            own = np.rint(values / unit).astype(np.int32)
            name = (
                "again." * self._uses[node.input[2]] + node.input[2]
            )  # each use has its own scale
            widen.append(self._widen(node, 2, name, int32=own, scale=unit.astype(np.float32)))
        return widen

    def _widen(
        self, node: NodeProto, place: int, name: str, **parts: NDArray[np.generic]
    ) -> NodeProto:
        self._uses[node.input[place]] += 1
        wide = f"{node.input[place]}.wide.{self._uses[node.input[place]]}"
        whole = next(iter(parts.values()))
        zero = np.zeros(len(whole), whole.dtype)  # required for fusion
        kept = self.add(name, **parts, zero=zero)
        node.input[place] = wide
        return helper.make_node("DequantizeLinear", kept, [wide], axis=0)


def _drop_unused(model: ModelProto) -> None:
    """Remove weights that quantised ones replace."""
    used = {name for graph, _ in graphs(model) for node in graph.node for name in node.input}
    present = {tensor.name for tensor in model.graph.initializer}
    for tensor in list(model.graph.initializer):
        narrow = {f"{tensor.name}.{kind}" for kind in ("int8", "int32")}
        if tensor.name not in used and narrow & present:
            model.graph.initializer.remove(tensor)

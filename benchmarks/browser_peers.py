"""cutline's page beside transformers.js, in the same Chromium in one run: CPU, bytes, memory.

    npm pack @huggingface/transformers@4.3.2 onnxruntime-web@1.31.0-dev.20260914-8d85527a0
    python benchmarks/browser_peers.py --packages .    half an hour on a busy machine
    python benchmarks/browser_peers.py                 only rewrite the document

Writes benchmarks/browser_peers.json and the marked part of docs/browser.md. Needs what
`.ci/programs` installs. The networks have the real shapes and random weights of 8 bits:
ViT-B/16 (86 million parameters) and GPT-2 with cross-attention, of 12 layers
(nlpconnect/vit-gpt2-image-captioning) or 6 (Mozilla's distilvit), in the files that transformers.js
loads. Time and size depend on the shapes, not on the weights.
"""

import argparse
import json
import subprocess
import tarfile
import tempfile
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from run import ROOT, machine, write_marked

from browser import RUNTIME
from cutline.inference.captioner import load
from cutline.models.onnx_runtime import onnxruntime
from cutline.webapp import read_runtime, write_site

quantization = import_module(f"{onnxruntime.__name__}.quantization")  # reports stay switched off
RESULTS = ROOT / "benchmarks" / "browser_peers.json"
PICTURES = ("lake", "tourist", "astronaut")
PACKED = {
    "huggingface-transformers-*.tgz": ("transformers.min.js",),
    "onnxruntime-web-*.tgz": (
        "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm",
    ),
}  # fmt: skip
"""What transformers.js loads, and the packages that it is in."""
PEERS = {"ViT-GPT2": 12, "distilvit": 6}
"""Layers of the decoder."""
WIDTH, HEADS, WORDS, START = 768, 12, 50_257, 50_256
SIDE = 64
"""Numbers per head."""


class Graph:
    """Nodes of ONNX, added one after the other."""

    def __init__(self) -> None:
        self.nodes = list[onnx.NodeProto]()
        self.tensors = list[onnx.TensorProto]()
        self.dice = np.random.default_rng(1)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def hold(self, values: Any) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def draw(self, *shape: int) -> str:
        return self.hold(self.dice.normal(0, 0.02, shape).astype(np.float32))

    def project(self, x: str, wide: int, out: int) -> str:
        return self.add("Add", self.add("MatMul", x, self.draw(wide, out)), self.draw(out))

    def normalize(self, x: str) -> str:
        one = self.hold(np.ones(WIDTH, np.float32))
        return self.add("LayerNormalization", x, one, self.draw(WIDTH), axis=-1)

    def split_heads(self, x: str) -> str:
        parts = self.add("Reshape", x, self.hold(np.int64([0, 0, HEADS, SIDE])))
        return self.add("Transpose", parts, perm=[0, 2, 1, 3])

    def attend(self, query: str, key: str, value: str) -> str:
        turned = self.add("Transpose", key, perm=[0, 1, 3, 2])
        scores = self.add(
            "Mul", self.add("MatMul", query, turned), self.hold(np.float32(SIDE**-0.5))
        )
        mixed = self.add("MatMul", self.add("Softmax", scores, axis=-1), value)
        rows = self.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return self.project(
            self.add("Reshape", rows, self.hold(np.int64([0, 0, WIDTH]))), WIDTH, WIDTH
        )

    def feed_forward(self, x: str, gelu: str) -> str:
        wide = self.add("Gelu", self.project(self.normalize(x), WIDTH, 4 * WIDTH), approximate=gelu)
        return self.add("Add", x, self.project(wide, 4 * WIDTH, WIDTH))

    def model(self, inputs: dict[str, Any], outputs: dict[str, str]) -> onnx.ModelProto:
        given = [helper.make_tensor_value_info(n, *told) for n, told in inputs.items()]
        named = [helper.make_node("Identity", [n], [out]) for out, n in outputs.items()]
        made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
        graph = helper.make_graph([*self.nodes, *named], "peer", given, made, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def build_encoder() -> onnx.ModelProto:
    """ViT-B/16 of 224 pixels."""
    graph = Graph()
    patches = graph.add(
        "Conv", "pixel_values", graph.draw(WIDTH, 3, 16, 16), graph.draw(WIDTH),
        kernel_shape=[16, 16], strides=[16, 16],
    )  # fmt: skip
    rows = graph.add("Reshape", patches, graph.hold(np.int64([0, WIDTH, 196])))
    rows = graph.add("Transpose", rows, perm=[0, 2, 1])
    x = graph.add("Concat", graph.draw(1, 1, WIDTH), rows, axis=1)
    x = graph.add("Add", x, graph.draw(1, 197, WIDTH))
    for _ in range(12):
        normal = graph.normalize(x)
        parts = [graph.split_heads(graph.project(normal, WIDTH, WIDTH)) for _ in range(3)]
        x = graph.feed_forward(graph.add("Add", x, graph.attend(*parts)), "none")
    pixels = (TensorProto.FLOAT, ["batch", 3, 224, 224])
    return graph.model({"pixel_values": pixels}, {"last_hidden_state": graph.normalize(x)})


def build_decoder(layers: int) -> onnx.ModelProto:
    """GPT-2 with cross-attention, one word at a time, from the keys and values of those before."""
    graph = Graph()
    words = graph.draw(WORDS, WIDTH)
    past = graph.add("Shape", "past_key_values.0.key", start=2, end=3)
    where = graph.add("Unsqueeze", past, graph.hold(np.int64([0])))
    x = graph.add("Gather", words, "input_ids")
    x = graph.add("Add", x, graph.add("Gather", graph.draw(1024, WIDTH), where))
    cached = (TensorProto.FLOAT, ["batch", HEADS, "past", SIDE])
    inputs: dict[str, Any] = {
        "input_ids": (TensorProto.INT64, ["batch", 1]),
        "encoder_hidden_states": (TensorProto.FLOAT, ["batch", "regions", WIDTH]),
    }
    outputs = {}
    for layer in range(layers):
        normal = graph.normalize(x)
        query, *own = (graph.split_heads(graph.project(normal, WIDTH, WIDTH)) for _ in range(3))
        for number, name in enumerate(("key", "value")):
            before = f"past_key_values.{layer}.{name}"
            inputs[before] = cached
            own[number] = graph.add("Concat", before, own[number], axis=2)
            outputs[f"present.{layer}.{name}"] = own[number]
        x = graph.add("Add", x, graph.attend(query, *own))
        query = graph.split_heads(graph.project(graph.normalize(x), WIDTH, WIDTH))
        seen = [
            graph.split_heads(graph.project("encoder_hidden_states", WIDTH, WIDTH))
            for _ in range(2)
        ]
        x = graph.feed_forward(graph.add("Add", x, graph.attend(query, *seen)), "tanh")
    turned = numpy_helper.to_array(graph.tensors[0]).T
    outputs["logits"] = graph.add("MatMul", graph.normalize(x), graph.hold(turned))
    return graph.model(inputs, outputs)


def write_peer(name: str, folder: Path) -> int:
    """The folder of a model, as transformers.js loads it; how many parameters it has."""
    layers, parameters = PEERS[name], 0
    (folder / "onnx").mkdir(parents=True)
    for part, model in {
        "encoder_model": build_encoder(),
        "decoder_model_merged": build_decoder(layers),
    }.items():
        out = folder / "onnx" / f"{part}_quantized.onnx"
        parameters += sum(int(np.prod(each.dims)) for each in model.graph.initializer)
        how = {"MatMulConstBOnly": True}
        quantization.quantize_dynamic(
            model, out, weight_type=quantization.QuantType.QUInt8, extra_options=how
        )
        if part != "encoder_model":
            share_words(out)
    decoder = {
        "model_type": "gpt2", "n_layer": layers, "n_head": HEADS, "n_embd": WIDTH,
        "vocab_size": WORDS, "add_cross_attention": True, "is_decoder": True,
    }  # fmt: skip
    config = {
        "model_type": "vision-encoder-decoder", "is_encoder_decoder": True,
        "architectures": ["VisionEncoderDecoderModel"], "decoder": decoder,
        "encoder": {"model_type": "vit", "image_size": 224, "patch_size": 16},
        "decoder_start_token_id": START, "eos_token_id": START, "pad_token_id": START,
    }  # fmt: skip
    normal = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    pixels = {
        "image_processor_type": "ViTImageProcessor", "do_resize": True, "resample": 2,
        "size": {"height": 224, "width": 224}, "do_rescale": True, **normal,
    }  # fmt: skip
    for file, told in {
        "config.json": config,
        "generation_config.json": {"decoder_start_token_id": START, "eos_token_id": START},
        "preprocessor_config.json": pixels,
    }.items():
        (folder / file).write_text(json.dumps(told))
    return parameters - WORDS * WIDTH  # the word vectors are there twice until they are shared


def share_words(path: Path) -> None:
    """Store the word vectors once: those of the output are those of the input, turned."""
    model = onnx.load(path)
    held = {each.name: each for each in model.graph.initializer}
    large = [n for n, each in held.items() if set(each.dims) == {WORDS, WIDTH}]
    first, last = sorted(large, key=lambda n: held[n].dims[0], reverse=True)
    turned = numpy_helper.to_array(held[last])
    assert (turned == numpy_helper.to_array(held[first]).T).all()
    model.graph.initializer.remove(held[last])
    node = helper.make_node("Transpose", [first], [last], perm=[1, 0])
    model.graph.node.insert(0, node)
    onnx.save(model, path)


# -------------------------------------------------------------------------------- measuring


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path)
    packages = parser.parse_args().packages
    if packages:
        RESULTS.write_text(json.dumps(measure(packages), indent=1) + "\n")
    results = json.loads(RESULTS.read_text())
    write_marked(ROOT / "docs" / "browser.md", {"peers": table(results)})


def measure(packages: Path) -> dict[str, Any]:
    rows = dict[str, Any]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "blank.html").write_text("<!doctype html>")
        pictures = [f"{name}.jpg" for name in PICTURES]
        for name in pictures:
            (folder / name).write_bytes((ROOT / "examples" / name).read_bytes())
        for pattern, names in PACKED.items():
            with tarfile.open(next(packages.glob(pattern))) as package:
                for name in names:
                    held = package.extractfile(f"package/dist/{name}")
                    assert held
                    (folder / name).write_bytes(held.read())
        write_site(folder / "site", load(threads=1), read_runtime(RUNTIME))
        for name in ("cutline", *PEERS):
            own = 0 if name == "cutline" else write_peer(name, folder / "models" / name)
            folders = [str(folder / "site"), temporary] if name == "cutline" else [temporary]
            task = {"name": name, "folders": folders, "pictures": pictures}
            command = ["node", str(ROOT / "benchmarks" / "browser_peers.mjs")]
            done = subprocess.run(
                command, input=json.dumps(task), capture_output=True, text=True, check=True
            )
            rows[name] = json.loads(done.stdout) | {"parameters": own}
    return {"date": str(date.today()), "machine": machine(), "rows": rows}


def table(results: dict[str, Any]) -> str:
    rows = results["rows"]
    first = rows["cutline"]
    lines = [
        "| | downloaded | CPU a picture | CPU to load | most memory |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        millions = f", {row['parameters'] / 1e6:.0f} M parameters" if row["parameters"] else ""
        how = f"{name} in transformers.js{millions}" if millions else f"**{name}**, beam 3"
        times = [f" ({row[key] / first[key]:.1f} times)" if millions else "" for key in _TIMES]
        lines.append(
            f"| {how} | {row['bytes'] / 1e6:.0f} MB | {row['cpu']:.2f} s{times[0]} "
            f"| {row['start']:.1f} s{times[1]} | {row['memory'] / 1e6:.0f} MB |"
        )
    where = f"{first['version']}, one thread, on {results['machine']}, {results['date']}"
    return "\n" + "\n".join(lines) + f"\n\nMeasured with {where}.\n"


_TIMES = ("cpu", "start")


if __name__ == "__main__":
    main()

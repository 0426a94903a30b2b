"""How fast captioning is, beside others, and how its cost grows: everything in one run.

    python benchmarks/speed.py --pictures FOLDER            all of it, some 15 minutes
    python benchmarks/speed.py --pictures FOLDER peers one  only these parts; the rest stays
    python benchmarks/speed.py                              only rewrite the documents

FOLDER holds JPEGs of about 500 x 375. Writes benchmarks/speed.json, docs/speed.md, docs/speed.png
and the marked part of README.md. Peers have random weights: they cost what trained ones cost.
"""

import argparse
import contextlib
import io
import json
import platform
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import cache, partial
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from run import ROOT, machine, write_marked

import cutline
from cutline.images.load import open_image
from cutline.inference.captioner import PACKAGED
from cutline.inference.onnx import OnnxEngine
from cutline.inference.torch import TorchEngine
from cutline.models.checkpoint import Checkpoint, read_model
from cutline.models.onnx_export import export
from cutline.models.onnx_runtime import onnxruntime
from cutline.models.search import greedy
from cutline.recipe import Recipe
from cutline.text.vocabulary import Vocabulary

RESULTS = ROOT / "benchmarks" / "speed.json"
MANY = 1_000
COUNTS = (1, 10, 100, 1_000, 10_000)
OPERATIONS = 8.18e9
"""Of a ResNet-50 at 224 pixels: two for every multiplication with an addition."""
TOKENS = 20
WATCH = """
import resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A small process of its own: the child of a large one begins with its parent's memory."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.pictures:
        photographs = sorted(options.pictures.resolve().glob("*.jpg"))
        for name in options.parts or PARTS:
            began = time.perf_counter()
            results[name] = PARTS[name](photographs)
            print(name, json.dumps(results[name]), f"{time.perf_counter() - began:.0f} s")
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        if set(options.parts or PARTS) != set(PARTS):
            print("only some parts are new: measure all before the figures go anywhere")
        results["about"] = {
            "date": str(date.today()),
            "machine": machine(),
            "versions": {
                name: version(name) for name in ("onnxruntime", "torch", "transformers", "pillow")
            }
            | {"python": platform.python_version(), "cutline": cutline.__version__},
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_documents(results)


# ---------------------------------------------------------------------------------- what is timed


def measure_folder(photographs: Sequence[Path]) -> dict[str, float]:
    """Pictures a second, from files to captions; the others beside it, in turns."""
    captioner, encoder = cutline.load(), Encoder()
    files = list(islice(cycle(photographs), MANY))
    pixels = _look(photographs[:32])
    list(captioner.caption_each(files[:50]))
    alone: dict[int, list[float]] = {1: [], 8: [], 32: []}
    ours, seed = [], []
    for _ in range(3):
        for batch, rates in alone.items():
            rates.append(batch / _seconds(lambda b=batch: encoder(pixels[:b]), times=64 // batch))
        ours.append(MANY / _seconds(lambda: list(captioner.caption_each(files))))
        few = files[:20]
        seed.append(len(few) / _seconds(lambda f=few: [_as_the_seed_does(p) for p in f]))
    return {
        "ours": median(ours),
        "encoder alone": max(median(rates) for rates in alone.values()),
        "eager PyTorch, greedy, one by one": median(seed),
    }


def measure_one(photographs: Sequence[Path]) -> dict[str, float]:
    """Seconds for one picture, everything warm, in turns."""
    captioner, encoder = cutline.load(), Encoder()
    ways: dict[str, Callable[[Path, Any], Any]] = {
        "file to caption": lambda path, _: captioner.caption(path),
        "encoder alone": lambda _, pixels: encoder(pixels),
        "file to pixels": lambda path, _: _look([path]),
        "pixels to caption": lambda _, pixels: captioner.engine.write(pixels),
        "eager PyTorch, greedy, file to caption": lambda path, _: _as_the_seed_does(path),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for path in photographs[:40]:
        pixels = _look([path])
        for name, way in ways.items():
            time.sleep(0.05)  # the threads of the one before have stopped waiting for more
            took[name].append(_seconds(lambda w=way, a=path, b=pixels: w(a, b)))
    return {name: median(seconds[5:]) for name, seconds in took.items()}


def measure_peers(_: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Seconds a picture of captioners of other kinds, from pixels, 20 tokens."""
    from transformers import logging

    logging.set_verbosity_error()
    found = {}
    for name, build in PEERS.items():
        generate = build()
        generate(1)
        found[name] = {
            f"beam {width}": median(_seconds(partial(generate, width)) for _ in range(3))
            for width in (1, 3)
        }
    return found


def measure_cold(photographs: Sequence[Path]) -> dict[str, float]:
    """Seconds from nothing to a caption, and of them to the end of the imports."""
    caption = [sys.executable, "-m", "cutline", "caption", str(photographs[0])]
    imports = [sys.executable, "-c", "import cutline.cli.main, cutline.inference.captioner"]
    took: dict[str, list[float]] = {"first caption": [], "interpreter and imports": []}
    for _ in range(7):
        took["first caption"].append(_run(caption)[0])
        took["interpreter and imports"].append(_run(imports)[0])
    return {name: median(seconds) for name, seconds in took.items()}


def measure_many(photographs: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Seconds and most memory of `cutline caption FOLDER`, by the number of pictures in it."""
    found = {}
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            for number, photograph in enumerate(islice(cycle(photographs), count)):
                (Path(folder) / f"{number:06}.jpg").symlink_to(photograph)
            seconds, megabytes = _run([sys.executable, "-m", "cutline", "caption", folder])
        found[str(count)] = {"seconds": seconds, "MB": megabytes}
    return found


def measure_size(_: Sequence[Path]) -> dict[str, float]:
    """Megabytes of the model, and of everything that `pip install cutline` puts on a disk."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        packages = next(Path(folder).glob("lib/python*/site-packages"))
        before = _megabytes(packages)
        subprocess.run([f"{folder}/bin/pip", "install", "-qq", str(ROOT)], check=True)
        return {
            "model": PACKAGED.stat().st_size / 1e6,
            "installed": _megabytes(packages) - before,
        }


def measure_roofline(photographs: Sequence[Path]) -> dict[str, float]:
    """Operations a second: the machine's most in a product of matrices, and the encoder's."""
    encoder, exact = Encoder(), Encoder(exact=True)
    pixels = _look(photographs[:8])
    found: dict[str, list[float]] = {}
    for _ in range(3):
        for name, measure in (
            ("fp32 peak", _exact_product),
            ("int8 peak", _whole_product),
            ("fp32 encoder", lambda: 8 * OPERATIONS / _seconds(lambda: exact(pixels), times=4)),
            ("int8 encoder", lambda: 8 * OPERATIONS / _seconds(lambda: encoder(pixels), times=8)),
        ):
            time.sleep(0.2)  # the threads of the one before have stopped waiting for more
            found.setdefault(name, []).append(measure())
    return {name: max(rates) for name, rates in found.items()}


def measure_growth(photographs: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Milliseconds a picture, by what may grow."""
    pixels = _look(photographs[:32])
    given = {cores: OnnxEngine(PACKAGED, threads=cores) for cores in _core_counts()}
    engine = given[max(given)]

    def each(engine: OnnxEngine, batch: int) -> float:
        engine.write(pixels[:batch])
        return 1000 * _seconds(lambda: engine.write(pixels[:batch]), times=40 // batch + 2) / batch

    return {
        "batch": {str(batch): each(engine, batch) for batch in (1, 2, 4, 8, 16, 32)},
        "cores": {str(cores): each(engine, 1) for cores, engine in given.items()},
        "beam width": {
            str(width): each(engine, 1)
            for width, engine in _engines(pixels, "width", (1, 2, 3, 5, 8))
        },
        "vocabulary": {
            str(words): each(engine, 1)
            for words, engine in _engines(pixels, "vocabulary", (2_543, 5_000, 10_000, 20_000))
        },
        "picture's longer side": {
            str(side): 1000 * median(_seconds(lambda f=file: _look([f])) for _ in range(5))
            for side, file in _sizes(photographs[0], (250, 500, 1_000, 2_000, 4_000))
        },
    }


# ------------------------------------------------------------------------------------ how


class Encoder:
    """The packaged model's encoder alone, in the same engine."""

    def __init__(self, *, exact: bool = False) -> None:
        with tempfile.TemporaryDirectory() as folder:
            whole, part = Path(folder) / "whole.onnx", Path(folder) / "part.onnx"
            if exact:
                export(read_model(PACKAGED), whole)
            graph = onnx.load(whole if exact else PACKAGED)
            makers = {output: node for node in graph.graph.node for output in node.output}
            [middle] = [n for n in graph.graph.node if "decoder.middle" in n.input]
            node = makers[middle.input[0]]
            while node.op_type in ("Transpose", "Reshape"):
                node = makers[node.input[0]]
            seen = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
            graph.graph.value_info.append(seen)
            onnx.save(onnx.utils.Extractor(graph).extract_model(["pixels"], node.output), part)
            self._session = onnxruntime.InferenceSession(
                part, _on_all_cores(), providers=["CPUExecutionProvider"]
            )

    def __call__(self, pixels: np.ndarray) -> None:
        self._session.run(None, {"pixels": pixels})


@cache
def _seed() -> TorchEngine:
    return TorchEngine.open(PACKAGED)


def _as_the_seed_does(path: Path) -> None:
    """Eager PyTorch, one picture, greedy."""
    engine = _seed()
    with torch.inference_mode():
        pixels = torch.from_numpy(_look([path])).permute(0, 3, 1, 2)
        greedy(engine.model.decoder, engine.model.encoder(pixels))


def _look(files: Sequence[Any]) -> np.ndarray:
    return np.stack([open_image(file, VIEW) for file in files])


def _blip() -> Callable[[int], None]:
    from transformers import BlipConfig, BlipForConditionalGeneration

    return _generator(BlipForConditionalGeneration(BlipConfig()), 384)


def _git() -> Callable[[int], None]:
    from transformers import GitConfig, GitForCausalLM

    return _generator(GitForCausalLM(GitConfig()), 224)


def _vit_gpt2() -> Callable[[int], None]:
    from transformers import GPT2Config, VisionEncoderDecoderConfig, ViTConfig
    from transformers import VisionEncoderDecoderModel as Model

    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        ViTConfig(), GPT2Config(add_cross_attention=True)
    )
    return _generator(Model(config), 224, decoder_start_token_id=50256)


def _generator(model: Any, side: int, **more: int) -> Callable[[int], None]:
    model.eval()
    pixels = torch.randn(1, 3, side, side)
    how = {"min_new_tokens": TOKENS, "max_new_tokens": TOKENS, "do_sample": False, **more}

    def generate(width: int) -> None:
        with torch.inference_mode():
            model.generate(pixel_values=pixels, num_beams=width, **how)

    return generate


def _engines(
    pixels: np.ndarray, what: str, values: Sequence[int]
) -> Iterator[tuple[int, OnnxEngine]]:
    """The packaged captioner with another beam or, untrained, another number of words."""
    packaged = read_model(PACKAGED)
    for value in values:
        changed = _widen(packaged, value) if what == "width" else _teach(packaged, value)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "changed.onnx"
            export(changed, path, precision="int8", pixels=[pixels[:4]])
            yield value, OnnxEngine(path)


def _widen(packaged: Checkpoint, width: int) -> Checkpoint:
    table = packaged.recipe.as_json()
    recipe = Recipe.of({**table, "search": {**table["search"], "width": width}})
    return replace(packaged, recipe=recipe)


def _teach(packaged: Checkpoint, words: int) -> Checkpoint:
    own = packaged.vocabulary.words
    vocabulary = Vocabulary((*own[:words], *(f"word{n}" for n in range(len(own), words))))
    tensors = dict(packaged.tensors)
    for name in ("decoder.read.weight", "decoder.speak.weight", "decoder.speak.bias"):
        tensor = tensors[name]
        again = -(-words // len(tensor))
        tensors[name] = tensor.repeat(again, *[1] * (tensor.ndim - 1))[:words].contiguous()
    return replace(packaged, vocabulary=vocabulary, tensors=tensors)


def _sizes(photograph: Path, sides: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    picture = Image.open(photograph).convert("RGB")
    for side in sides:
        file = io.BytesIO()
        size = (side, round(side * picture.height / picture.width))
        picture.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        yield side, file.getvalue()


def _whole_product() -> float:
    """Operations a second in a product of two large matrices of 8 bits."""
    side = 2048
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    entry = helper.make_tensor_value_info("a", TensorProto.UINT8, [side, side])
    result = helper.make_tensor_value_info("c", TensorProto.INT32, [side, side])
    right = numpy_helper.from_array(np.ones((side, side), np.int8), "b")
    graph = helper.make_graph([node], "product", [entry], [result], [right])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), _on_all_cores())
    left = np.ones((side, side), np.uint8)
    return 2 * side**3 / min(_seconds(lambda: session.run(None, {"a": left})) for _ in range(12))


def _exact_product() -> float:
    """The same in single precision, by PyTorch, whose product is the faster one."""
    left = torch.ones(2048, 2048)
    return 2 * 2048**3 / min(_seconds(lambda: left @ left) for _ in range(12))


def _on_all_cores() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = len(_core_counts()), 1
    return options


def _run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and megabytes at the most of a process."""
    watched = subprocess.run(
        [sys.executable, "-c", WATCH, *command], check=True, capture_output=True, text=True
    )
    seconds, kilobytes = map(float, watched.stdout.split())
    return seconds, kilobytes / 1024


def _seconds(work: Callable[[], Any], *, times: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def _megabytes(folder: Path) -> float:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


def _core_counts() -> list[int]:
    return list(range(1, OnnxEngine(PACKAGED).threads + 1))


VIEW = cutline.load().engine.view
PEERS = {"BLIP-base": _blip, "GIT-base": _git, "ViT-GPT2": _vit_gpt2}
PARTS: dict[str, Callable[[Sequence[Path]], Any]] = {
    "folder": measure_folder,
    "one": measure_one,
    "peers": measure_peers,
    "cold": measure_cold,
    "many": measure_many,
    "size": measure_size,
    "roofline": measure_roofline,
    "growth": measure_growth,
}


# ------------------------------------------------------------------------------ the documents


def write_documents(results: dict[str, Any]) -> None:
    table = "\n".join(write_table(results))
    write_marked(ROOT / "README.md", {"speed": f"\n{table}\n"})
    draw_growth(results, ROOT / "docs" / "speed.png")
    (ROOT / "docs" / "speed.md").write_text(write_page(results), encoding="utf8")


def write_table(results: dict[str, Any]) -> list[str]:
    folder, one, peers = results["folder"], results["one"], results["peers"]
    ours, seed = folder["ours"], folder["eager PyTorch, greedy, one by one"]
    rows = [
        ("**cutline**, beam 3", one["file to caption"], ours, 1.0),
        (
            "the same network in eager PyTorch, greedy",
            one["eager PyTorch, greedy, file to caption"],
            seed,
            ours / seed,
        ),
        *(
            (f"{name}, beam 3", seconds["beam 3"], 1 / seconds["beam 3"], ours * seconds["beam 3"])
            for name, seconds in peers.items()
        ),
    ]
    about = results["about"]
    return [
        "| | one picture | pictures a second | cutline is faster by |",
        "|---|---|---|---|",
        *(
            f"| {name} | {_spoken(seconds)} | {rate:.1f} | "
            + (f"{times:.0f} x |" if times > 1 else "|")
            for name, seconds, rate, times in rows
        ),
        "",
        f"{MANY:,} JPEGs of about 500 x 375 from files to captions, one picture warm; measured "
        f"side by side on {about['machine']}, {about['date']}, by `python benchmarks/speed.py`. "
        "The peers' networks have random weights, start from pixels and write 20 tokens; they "
        "caption better. More in [docs/speed.md](docs/speed.md).",
    ]


def write_page(results: dict[str, Any]) -> str:
    folder, one, cold, many = (results[name] for name in ("folder", "one", "cold", "many"))
    size, roof, about = results["size"], results["roofline"], results["about"]
    ours, seed = folder["ours"], folder["eager PyTorch, greedy, one by one"]
    eager = one["eager PyTorch, greedy, file to caption"]
    last = str(COUNTS[-1])
    cost = cutline.load().card.get("precision_cost", {})
    rows = [
        (
            f"{MANY:,} files to captions, beam 3",
            f"{ours:.1f} pictures/s",
            f"{ours / folder['encoder alone']:.2f} of the encoder alone "
            f"({folder['encoder alone']:.1f}/s); {ours / seed:.1f} x eager PyTorch one by one "
            f"({seed:.1f}/s); {ours * results['peers']['BLIP-base']['beam 3']:.0f} x BLIP-base",
        ),
        (
            "one picture, warm, file to caption",
            _spoken(one["file to caption"]),
            f"{one['file to caption'] / one['encoder alone']:.2f} x the encoder alone "
            f"({_spoken(one['encoder alone'])}); "
            f"{one['file to caption'] / eager:.2f} of eager PyTorch",
        ),
        (
            "cold process to the first caption",
            _spoken(cold["first caption"]),
            f"{cold['interpreter and imports'] / cold['first caption']:.0%} of it the interpreter "
            "and imports",
        ),
        (
            f"most memory, {MANY:,} pictures",
            f"{many[str(MANY)]['MB']:.0f} MB",
            f"{many[last]['MB']:.0f} MB for {int(last):,}",
        ),
        (
            "model",
            f"{size['model']:.1f} MB",
            f"installed with everything {size['installed']:.0f} MB",
        ),
        (
            "what 8 bits cost",
            f"{100 * (cost['fp32'] - cost['int8']):.1f} {cost['metric']}",
            f"{100 * cost['int8']:.1f} in place of {100 * cost['fp32']:.1f} on {cost['split']}",
        )
        if cost
        else ("what 8 bits cost", "not measured", ""),
        *(
            (
                f"the encoder's arithmetic, {kind}",
                f"{roof[f'{kind} encoder'] / 1e9:.0f} billion operations/s",
                f"{roof[f'{kind} encoder'] / roof[f'{kind} peak']:.0%} of the "
                f"{roof[f'{kind} peak'] / 1e9:.0f} of a product of two matrices of 2,048 x 2,048",
            )
            for kind in ("fp32", "int8")
        ),
    ]
    made = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    notes = (ROOT / "docs" / "speed-notes.md").read_text(encoding="utf8")
    return "\n".join(
        [
            "# Speed",
            "",
            f"Measured side by side on {about['machine']}, {about['date']} ({made}), by "
            "`python benchmarks/speed.py --pictures FOLDER`, which writes this page. Compare "
            "ratios: absolute times vary by a third from day to day on a shared machine.",
            "",
            *write_table(results)[:-2],
            "",
            "| what | measured | for comparison |",
            "|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
            "## Scaling",
            "",
            "![Six plots: time per picture by number, batch, beam, words, size and cores]"
            "(speed.png)",
            "",
            notes,
        ]
    )


def draw_growth(results: dict[str, Any], path: Path) -> None:
    """A plot for everything that may grow."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    each = {n: 1000 * m["seconds"] / int(n) for n, m in results["many"].items()}
    panels = {"pictures in the folder": each, **results["growth"]}
    figure, axes = pyplot.subplots(2, 3, figsize=(11, 6), constrained_layout=True)
    for axis, (name, points) in zip(axes.flat, panels.items(), strict=True):
        at = [int(value) for value in points]
        axis.plot(at, list(points.values()), "o-", color="#1f5fa8")
        axis.set(xlabel=name, ylabel="ms a picture", ylim=(0, 1.1 * max(points.values())))
        if name in ("pictures in the folder", "batch", "picture's longer side"):
            axis.set_xscale("log")
        if name == "pictures in the folder":
            axis.set_yscale("log")
            axis.set_ylim(1, 2 * max(points.values()))
        with contextlib.suppress(ValueError):
            axis.set_xticks(at, [f"{value:,}" for value in at], rotation=30)
            axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    axes.flat[5].set_ylabel("ms to decode")
    figure.savefig(path, dpi=110)


def _spoken(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.2 else f"{1000 * seconds:.0f} ms"


if __name__ == "__main__":
    main()

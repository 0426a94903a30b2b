"""What captioners of 2026 cost on one core: CPU-seconds a picture and memory, in one run.

    python benchmarks/peers.py             all of it, some ten minutes of one core
    python benchmarks/peers.py GIT-base    only this one; the rest stays
    python benchmarks/peers.py --write     only rewrite the documents

Each captioner is a process of its own with one thread. The peers have their real configurations and
random weights (they cost what trained ones cost), start from pixels and write 20 tokens, greedily.
cutline runs before and after all of them, from the file to the caption, by beam search. CPU-seconds
are of the process, so other work on the machine hardly counts. Writes benchmarks/peers.json and the
marked part of README.md.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from run import ROOT, machine, write_marked

RESULTS = ROOT / "benchmarks" / "peers.json"
TOKENS = 20
VOCABULARY = 50_257
PICTURE = ROOT / "examples" / "coffee.jpg"
OURS = "cutline"
Generate = Callable[[], Any]


def blip() -> Generate:
    """BLIP-base: ViT-B/16 at 384 pixels, 12 decoder layers."""
    import transformers as t

    return _generate(t.BlipForConditionalGeneration(t.BlipConfig()), pixels=(1, 3, 384, 384))


def git() -> Generate:
    """GIT-base: CLIP ViT-B/16 at 224 pixels, 6 layers."""
    import transformers as t

    return _generate(t.GitForCausalLM(t.GitConfig()), pixels=(1, 3, 224, 224))


def vit_gpt2() -> Generate:
    """ViT-B/16 at 224 pixels and GPT-2."""
    return _generate(_pair(12), pixels=(1, 3, 224, 224))


def distilvit() -> Generate:
    """ViT-B/16 at 224 pixels and DistilGPT-2."""
    return _generate(_pair(6), pixels=(1, 3, 224, 224))


def florence() -> Generate:
    """Florence-2-base: DaViT-B at 768 pixels, BART of 6 and 6 layers."""
    import torch
    import transformers as t

    text = t.BartConfig(
        vocab_size=51_289, d_model=768, encoder_layers=6, decoder_layers=6,
        encoder_attention_heads=12, decoder_attention_heads=12, encoder_ffn_dim=3072,
        decoder_ffn_dim=3072, max_position_embeddings=4096,
    )  # fmt: skip
    config = t.Florence2Config(
        vision_config={"projection_dim": 768}, text_config=text.to_dict(), image_token_id=51_288
    )
    words = torch.tensor([[0, *[51_288] * 577, 2264, 473, 5, 2274, 6190, 2]])
    model = t.Florence2ForConditionalGeneration(config)
    return _generate(model, pixels=(1, 3, 768, 768), words=words)


def smolvlm() -> Generate:
    """SmolVLM-256M: 13 tiles of 512 pixels, 64 tokens each, as its processor cuts a photograph."""
    import torch
    import transformers as t

    text = t.LlamaConfig(
        vocab_size=49_280, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
    )  # fmt: skip
    vision = {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12, "image_size": 512, "patch_size": 16,
    }  # fmt: skip
    config = t.SmolVLMConfig(
        vision_config=vision, text_config=text.to_dict(), image_token_id=49_190, scale_factor=4
    )
    words = torch.tensor([[*[49_190] * 13 * 64, *range(100, 130)]])
    model = t.SmolVLMForConditionalGeneration(config)
    return _generate(model, pixels=(1, 13, 3, 512, 512), words=words)


def lfm2_vl() -> Generate:
    """LFM2-VL-450M: a picture of 512 pixels, 256 tokens."""
    import torch
    import transformers as t

    layers = ["full_attention" if n in (2, 5, 8, 10, 12, 14) else "conv" for n in range(16)]
    text = t.Lfm2Config(
        vocab_size=65_536, hidden_size=1024, intermediate_size=6656, num_hidden_layers=16,
        num_attention_heads=16, num_key_value_heads=8, layer_types=layers,
    )  # fmt: skip
    config = t.Lfm2VlConfig(text_config=text.to_dict(), image_token_id=396)
    words = torch.tensor([[*[396] * 256, *range(500, 530)]])
    more = {
        "spatial_shapes": torch.tensor([[32, 32]]),
        "pixel_attention_mask": torch.ones(1, 1024, dtype=torch.long),
    }
    model = t.Lfm2VlForConditionalGeneration(config)
    return _generate(model, pixels=(1, 1024, 3 * 16 * 16), words=words, more=more)


def distilvit_int8() -> Generate:
    """The same shape as distilvit, as an ONNX pair in 8 bits, by `onnx:`."""
    from cutline.engines.onnx_pair import OnnxPair
    from cutline.images.load import open_image

    folder = Path(os.environ["PEERS_FOLDER"])
    pair = OnnxPair(_Pair(folder), "int8", threads=1)
    pair._tokens.ends = [-1]  # 20 tokens, as the others
    pixels = open_image(PICTURE, pair.view)
    return lambda: pair.caption([pixels])


def ours() -> Generate:
    """The model in the package."""
    import cutline

    captioner = cutline.load(threads=1)
    return lambda: captioner.caption(PICTURE)


PEERS: Mapping[str, Callable[[], Generate]] = {
    OURS: ours,
    "BLIP-base": blip,
    "GIT-base": git,
    "ViT-GPT2": vit_gpt2,
    "distilvit": distilvit,
    "distilvit, int8 ONNX": distilvit_int8,
    "Florence-2-base": florence,
    "SmolVLM-256M": smolvlm,
    "LFM2-VL-450M": lfm2_vl,
}


def _generate(
    model: Any, *, pixels: tuple[int, ...], words: Any = None, more: Mapping[str, Any] | None = None
) -> Generate:
    import torch

    torch.manual_seed(0)
    given = {"pixel_values": torch.randn(pixels), **(more or {})}
    if words is not None:
        given |= {"input_ids": words, "attention_mask": torch.ones_like(words)}
    model.eval()

    @torch.inference_mode()
    def generate() -> Any:
        return model.generate(
            **given, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False
        )

    return generate


def _pair(layers: int) -> Any:
    import transformers as t

    config = t.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        t.ViTConfig(), t.GPT2Config(n_layer=layers)
    )
    config.decoder_start_token_id = config.pad_token_id = config.eos_token_id = VOCABULARY - 1
    return t.VisionEncoderDecoderModel(config)


class _Pair:
    """A folder as `OnnxPair` reads it."""

    def __init__(self, folder: Path) -> None:
        self.name, self.folder = "distilvit's shape", folder

    def find(self, file: str) -> Path | None:
        """A file of the folder."""
        path = self.folder / file
        return path if path.exists() else None

    def read_table(self, file: str) -> dict[str, Any]:
        """A JSON object."""
        path = self.find(file)
        return json.loads(path.read_text()) if path else {}


def export_pair(folder: Path) -> None:
    """distilvit's shape as two ONNX files in 8 bits, with a tokenizer of numbers."""
    from tokenizers import Tokenizer, models

    exact = folder / "exact"
    exact.mkdir(parents=True)
    import_module("onnx_peer").export(_pair(6).eval(), exact)
    quantize = import_module("onnxruntime.quantization").quantize_dynamic
    for name in ("encoder_model", "decoder_model_merged"):  # embeddings stay exact
        narrow = folder / f"{name}_int8.onnx"
        quantize(exact / f"{name}.onnx", narrow, op_types_to_quantize=["MatMul", "Gemm"])
    config = {
        "model_type": "vision-encoder-decoder", "decoder": {"vocab_size": VOCABULARY},
        "decoder_start_token_id": 0, "eos_token_id": 1, "max_length": TOKENS,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    size = {"size": {"height": 224, "width": 224}}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    words = {f"w{number}": number for number in range(VOCABULARY)}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))


# --------------------------------------------------------------------------------------- measuring


def measure_here(name: str) -> dict[str, float]:
    """CPU-seconds of a picture, warm, and the peak of this process's memory in megabytes."""
    generate = PEERS[name]()
    generate()
    seconds, began = [], time.monotonic()
    while len(seconds) < 3 or (time.monotonic() - began < 5 and len(seconds) < 30):
        before = time.process_time()
        generate()
        seconds.append(time.process_time() - before)
    status = Path("/proc/self/status").read_text()  # the peak since the program began
    kilobytes = int(re.search(r"VmHWM:\s*(\d+)", status)[1])
    return {"cpu_seconds": round(median(seconds), 4), "megabytes": round(kilobytes / 1000)}


def run(*arguments: str) -> str:
    """This program in a new process with one thread; its last line."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{arguments}: {done.stderr[-2000:]}")
    return (done.stdout.splitlines() or [""])[-1]


def main() -> None:
    match sys.argv[1:]:
        case ["--here", name]:
            print(json.dumps(measure_here(name)))
            return
        case ["--export", folder]:
            export_pair(Path(folder))
            return
        case ["--write"]:
            results = json.loads(RESULTS.read_text())
        case names:
            results = measure_all(names or [*PEERS, OURS])
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_marked(ROOT / "README.md", {"peers": tell(results)})


def measure_all(names: Sequence[str]) -> dict[str, Any]:
    """The results, with new figures of these captioners."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    measured = results.setdefault("measured", {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.environ.setdefault("PEERS_FOLDER", f"{temporary}/pair")
        for place, name in enumerate(names):
            if "ONNX" in name and not Path(folder).exists():
                run("--export", folder)
            found = json.loads(run("--here", name))
            print(name, found, flush=True)
            if name == OURS and place:
                again = found["cpu_seconds"] / measured[OURS]["cpu_seconds"]
                results["cutline_after_to_before"] = round(again, 2)
            else:
                measured[name] = found
    results["measured"] = {name: measured[name] for name in PEERS if name in measured}
    versions = {name: import_module(name).__version__ for name in ("torch", "transformers")}
    results["about"] = {"date": str(date.today()), "machine": machine(), "versions": versions}
    return results


def tell(results: Mapping[str, Any]) -> str:
    """The table, with what must be known to read it."""
    measured, about = results["measured"], results["about"]
    base = measured[OURS]["cpu_seconds"]
    rows = [
        f"| {f'**{name}**' if name == OURS else name} | {found['cpu_seconds']:.2g} s "
        f"| {found['cpu_seconds'] / base:.0f} x | {found['megabytes']:,.0f} MB |"
        for name, found in measured.items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    again = results.get("cutline_after_to_before")
    stable = f"; a second run at the end took {again} times as long" if again else ""
    missing = ", ".join(name for name in PEERS if name not in measured)
    notes = (
        f"One picture on one core, warm, in a process of its own; {about['machine']}, "
        f"{about['date']}, {versions}, by `python benchmarks/peers.py`. cutline goes from the file "
        f"to the caption (beam search, 8 bits){stable}. The others have their real configurations "
        f"and random weights, start from pixels and write {TOKENS} tokens greedily, in single "
        "precision unless it says int8. Trained ones caption better than cutline, at this cost."
        + (f" Not measured yet: {missing}." if missing else "")
    )
    head = (
        "| | CPU-seconds a picture | cutline's cost times | memory at its peak |\n|---|---|---|---|"
    )
    return "\n".join(["", head, *rows, "", notes, ""])


if __name__ == "__main__":
    main()

"""Exports a ViT with a GPT-2 as two ONNX files, with a cache, in the layout of optimum."""

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache


class Encoder(torch.nn.Module):
    """Pixels → hidden states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, pixel_values: Any) -> Any:
        return self.encoder(pixel_values=pixel_values).last_hidden_state


class Decoder(torch.nn.Module):
    """The next word, with the cache of the words before as inputs and outputs."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder = model.decoder

    def forward(self, input_ids: Any, encoder_hidden_states: Any, past: list[Any]) -> Any:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        for layer in range(len(past) // 2):
            cache.self_attention_cache.update(past[2 * layer], past[2 * layer + 1], layer)
        length = past[0].shape[2]
        found = self.decoder(
            input_ids=input_ids,
            position_ids=torch.arange(length, length + input_ids.shape[1])[None],
            encoder_hidden_states=encoder_hidden_states,
            past_key_values=cache,
            use_cache=True,
        )
        kept = found.past_key_values.self_attention_cache.layers
        return (found.logits, *(part for layer in kept for part in (layer.keys, layer.values)))


def export(model: Any, folder: Path) -> None:
    """Write `encoder_model.onnx` and `decoder_model_merged.onnx` into a folder."""
    encoder, decoder = model.config.encoder, model.config.decoder
    side, width = encoder.image_size, decoder.n_embd // decoder.n_head
    pixels = torch.randn(2, 3, side, side)
    with torch.no_grad():
        hidden = Encoder(model)(pixels)
    names = [f"{n}.{part}" for n in range(decoder.n_layer) for part in ("key", "value")]
    past = [torch.zeros(2, decoder.n_head, 3, width) for _ in names]
    rows, length = torch.export.Dim("rows"), torch.export.Dim("past")
    write(
        Encoder(model), (pixels,), folder / "encoder_model.onnx",
        ["pixel_values"], ["last_hidden_state"], {"pixel_values": {0: rows}},
    )  # fmt: skip
    write(
        Decoder(model), (torch.zeros(2, 1, dtype=torch.long), hidden, past),
        folder / "decoder_model_merged.onnx",
        ["input_ids", "encoder_hidden_states", *(f"past_key_values.{name}" for name in names)],
        ["logits", *(f"present.{name}" for name in names)],
        {
            "input_ids": {0: rows},
            "encoder_hidden_states": {0: rows},
            "past": [{0: rows, 2: length} for _ in names],
        },
    )  # fmt: skip


def write(
    module: Any, given: tuple[Any, ...], file: Path, names: list[str], outputs: list[str], axes: Any
) -> None:
    """Export one module, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), given, file, input_names=names, output_names=outputs,
            dynamic_shapes=axes, dynamo=True, verbose=False, external_data=False,
        )  # fmt: skip

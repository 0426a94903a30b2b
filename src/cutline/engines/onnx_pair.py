"""Image encoder and text decoder as two ONNX files (ViT-GPT2, distilvit), as optimum exports and
transformers.js uses them: onnxruntime and `tokenizers`, without torch.

Files: `config.json`, `preprocessor_config.json`, `tokenizer.json`, `generation_config.json` if
there is one, and `encoder_model.onnx` and `decoder_model_merged.onnx` (or `decoder_model.onnx`), in
the repository or its folder `onnx`. A variant is a suffix: `#quantized` reads
`encoder_model_quantized.onnx`. The search is greedy.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutline.engines.hub import Repository, digest, needs
from cutline.engines.texts import TOKENS, caption_of, choose, require_candidates
from cutline.errors import ModelError
from cutline.images.load import WholeView
from cutline.models.onnx_runtime import onnxruntime, session_options, usable_cores
from cutline.text.style import UNCONSTRAINED, Style
from cutline.types import Abilities, Caption

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxPair:
    """An encoder and a decoder. Raises `ModelError` for files that do not fit together."""

    view = WholeView()
    """The rest of the preprocessing is the model's."""
    usage = ""

    def __init__(self, repository: Repository, variant: str = "", *, threads: int) -> None:
        self._repository, self._variant, self.threads = repository, variant, threads
        config = repository.read_table("config.json")
        if config.get("model_type") != "vision-encoder-decoder":
            kind = config.get("model_type", "model without a config.json")
            raise ModelError(
                f"{repository.name} is no pair of an image encoder and a text decoder "
                f"(vision-encoder-decoder) but a {kind}"
            )
        self._tokens = _Tokens(repository, config)
        self._prepare = _Preprocessing(repository.read_table("preprocessor_config.json"))
        suffix = f"_{variant}" if variant else ""
        files = [
            _require(repository, [f"encoder_model{suffix}.onnx"]),
            _require(
                repository, [f"decoder_model_merged{suffix}.onnx", f"decoder_model{suffix}.onnx"]
            ),
        ]
        self._encoder, self._decoder = (_open(file, threads) for file in files)
        self._cache = {
            each.name: each
            for each in self._decoder.get_inputs()
            if each.name.startswith("past_key_values")
        }
        self.card: Mapping[str, Any] = {
            "title": repository.name + (f" ({variant})" if variant else ""),
            "fingerprint": digest(files),
        }
        self.abilities = Abilities(probabilities=True, workers=threads)

    @cached_property
    def on_one_core(self) -> "OnnxPair":
        """The same model for concurrent calls, each on one core."""
        return self if self.threads == 1 else OnnxPair(self._repository, self._variant, threads=1)

    def caption(
        self, pixels: Sequence[NDArray[np.uint8]], *, best: int = 1, style: Style = UNCONSTRAINED
    ) -> list[Caption]:
        """A caption for each picture. Raises `ModelError` if the files do not run together."""
        require_candidates(best, 1)
        try:
            seen = np.stack([self._prepare(picture) for picture in pixels])
            [name] = [each.name for each in self._encoder.get_inputs()]
            hidden = self._encoder.run(None, {name: seen.astype(_type_of(self._encoder, name))})[0]
            ids, log_probs = self._search(hidden)
        except Exception as error:  # the only common base class of onnxruntime's errors
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"{self._repository.name}: its files do not run together ({reason})"
            ) from None
        decode = self._tokens.decode
        return [
            choose([caption_of(own, sure, decode)], 1, style)
            for own, sure in zip(ids, log_probs, strict=True)
        ]

    def _search(self, hidden: NDArray[Any]) -> tuple[list[list[int]], list[list[float]]]:
        """Greedy search: the tokens of each row and their log-probabilities, ends included."""
        rows, tokens = len(hidden), self._tokens
        words = np.full((rows, 1), tokens.start, np.int64)
        ids: list[list[int]] = [[] for _ in range(rows)]
        sure: list[list[float]] = [[] for _ in range(rows)]
        cache = {name: self._no_past(name, rows) for name in self._cache}
        done = np.zeros(rows, bool)
        for step in range(tokens.most):
            logits, cache = self._step(words, hidden, cache, step)
            likely = logits - logits.max(axis=1, keepdims=True)
            likely -= np.log(np.exp(likely).sum(axis=1, keepdims=True))
            chosen = likely.argmax(axis=1)
            for row in np.flatnonzero(~done):
                ids[row].append(int(chosen[row]))
                sure[row].append(float(likely[row, chosen[row]]))
            done |= np.isin(chosen, tokens.ends)
            if done.all():
                break
            words = np.concatenate([words, np.where(done, tokens.start, chosen)[:, None]], axis=1)
        return ids, sure

    def _step(
        self, words: NDArray[np.int64], hidden: NDArray[Any], cache: dict[str, Any], step: int
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """The logits of the next word, and the cache with the last one in it."""
        given: dict[str, Any] = {
            "input_ids": words[:, -1:] if cache else words,
            "encoder_hidden_states": hidden,
            "encoder_attention_mask": np.ones(hidden.shape[:2], np.int64),
            "attention_mask": np.ones(words.shape, np.int64),
            "position_ids": np.full((len(words), 1), words.shape[1] - 1, np.int64),
            "use_cache_branch": np.array([step > 0]),
            **cache,
        }
        known = {each.name for each in self._decoder.get_inputs()}
        outputs = [each.name for each in self._decoder.get_outputs()]
        found = self._decoder.run(None, {name: given[name] for name in known})
        named = dict(zip(outputs, found, strict=True))
        logits = named.pop("logits")[:, -1].astype(np.float32)
        return logits, {name: _renew(name, named, cache, step) for name in cache}

    def _no_past(self, name: str, rows: int) -> NDArray[Any]:
        """An empty part of the cache."""
        shape = self._cache[name].shape  # rows, heads, past, width
        heads, width = (int(shape[place]) for place in (1, 3))
        return np.zeros((rows, heads, 0, width), _type_of(self._decoder, name))


def _renew(name: str, outputs: Mapping[str, Any], cache: Mapping[str, Any], step: int) -> Any:
    """A part of the cache after a step; the keys of the picture are those of the first step."""
    if step and ".encoder." in name:
        return cache[name]
    return outputs[name.replace("past_key_values", "present")]


class _Tokens:
    """The tokenizer, and the tokens that begin and end a caption."""

    def __init__(self, repository: Repository, config: Mapping[str, Any]) -> None:
        with needs("tokenizers", "hub"):
            from tokenizers import Tokenizer
        file = repository.find("tokenizer.json")
        if file is None:
            raise ModelError(f"{repository.name} has no tokenizer.json")
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # it raises no other class
            reason = " ".join(str(error).split())[:100]
            raise ModelError(
                f"{repository.name}: tokenizer.json cannot be read ({reason})"
            ) from None
        decoder = config.get("decoder") or {}
        tables = (repository.read_table("generation_config.json"), config, decoder)
        start = _first(tables, "decoder_start_token_id", "bos_token_id")
        ends = _first(tables, "eos_token_id")
        self.start, self.ends = start, ends if isinstance(ends, list) else [ends]
        most = _first(tables, "max_length") or TOKENS
        self.most = min(int(most), TOKENS) if isinstance(most, int) and most > 1 else TOKENS
        numbers = [self.start, *self.ends]
        words = decoder.get("vocab_size", 0)
        size = self._tokenizer.get_vocab_size()
        if not all(isinstance(each, int) and 0 <= each < max(size, words) for each in numbers):
            raise ModelError(f"{repository.name}: its config names no tokens to begin and end with")
        if isinstance(words, int) and words and size > words:
            raise ModelError(
                f"{repository.name}: its tokenizer has {size:,} tokens, its decoder {words:,}; "
                "they do not fit"
            )

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)


class _Preprocessing:
    """Pixels → the encoder's input, as an image processor's configuration says."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        try:
            self._size = _sides(table.get("size", 224))
            crop = table.get("do_center_crop", False)
            self._crop = _sides(table.get("crop_size", self._size)) if crop else None
            self._filter = Image.Resampling(table.get("resample", Image.Resampling.BILINEAR))
            self._scale = np.float32(table.get("rescale_factor", 1 / 255))
            self._mean, self._std = (
                np.array(table.get(name, [0.5] * 3), np.float32).reshape(3)
                for name in ("image_mean", "image_std")
            )
        except (TypeError, ValueError, LookupError) as error:
            raise ModelError(f"preprocessor_config.json is not understood: {error}") from None

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(height, width, 3) → (3, height, width)."""
        picture = Image.fromarray(pixels)
        height, width = self._size
        if height == 0:  # the short side, in proportion
            scale = width / min(picture.size)
            size = (round(scale * picture.width), round(scale * picture.height))
        else:
            size = (width, height)
        picture = picture.resize(size, self._filter)
        if self._crop:
            down, across = self._crop
            left, top = (picture.width - across) // 2, (picture.height - down) // 2
            picture = picture.crop((left, top, left + across, top + down))
        values = (np.asarray(picture, np.float32) * self._scale - self._mean) / self._std
        return values.transpose(2, 0, 1)


def _sides(size: Any) -> tuple[int, int]:
    """Height and width; a height of 0 if the size is that of the short side."""
    if isinstance(size, Mapping):
        given = (0, size["shortest_edge"]) if "shortest_edge" in size else None
        height, width = given or (size["height"], size["width"])
    else:
        height = width = size
    if not (0 <= int(height) <= 4096 and 1 <= int(width) <= 4096):
        raise ValueError(f"a size of {size}")
    return int(height), int(width)


def _first(tables: Sequence[Mapping[str, Any]], *names: str) -> Any:
    found = (table.get(name) for name in names for table in tables)
    return next((each for each in found if each is not None), None)


def _require(repository: Repository, names: Sequence[str]) -> Path:
    """The first of some files, in `onnx` or at the top."""
    for name in names:
        for place in (f"onnx/{name}", name):
            if file := repository.find(place):
                return file
    raise ModelError(f"{repository.name} has no {' or '.join(names)}")


def _open(file: Path, threads: int) -> Any:
    options = session_options()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the only common base class of onnxruntime's errors
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{file} is not a model that runs: {reason}") from None


def _type_of(session: Any, name: str) -> Any:
    kinds = {each.name: each.type for each in session.get_inputs()}
    return _TYPES.get(kinds[name], np.float32)


def open_pair(name: str, *, threads: int | None = None) -> OnnxPair:
    """The engine for `FOLDER` or `OWNER/NAME[@REVISION]`, with `#VARIANT` if one is wanted."""
    where, _, variant = name.partition("#")
    return OnnxPair(Repository.of(where), variant, threads=threads or usable_cores())

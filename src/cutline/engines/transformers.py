"""Captioners of the transformers library: BLIP, BLIP-2, GIT, ViT-GPT2, Florence-2, SmolVLM, LFM2-VL
and whatever else `AutoModelForImageTextToText` takes, with the library's own classes only.

Models that chat get a prompt with each picture; the others write captions anyway. A model that
brings code of its own is refused (`trust_remote_code` is off).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image

from cutline.engines.hub import Repository, digest_files
from cutline.engines.texts import PROMPT, TOKENS, caption_of, choose, require_candidates
from cutline.errors import ModelError
from cutline.images.load import WholeView
from cutline.models.device import resolve_device
from cutline.text.style import UNCONSTRAINED, Style
from cutline.types import Abilities, Caption

CANDIDATES = 10
"""The largest number of beams, each a candidate."""
TASKS = {"florence2": "<CAPTION>"}
"""What models that know a few tasks are asked, by type."""
BATCH = 4


class TransformersEngine:
    """A model of the library on a device. Raises `ModelError` for what is no captioner."""

    view = WholeView()
    """The rest of the preprocessing is the model's."""
    usage = ""

    def __init__(
        self, repository: Repository, *, device: str = "auto", prompt: str | None = None
    ) -> None:
        self._device = resolve_device(device)
        name, place = repository.name, str(repository.folder or repository.name)
        source: dict[str, Any] = {"revision": repository.revision, "trust_remote_code": False}
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        with _as_model_error(name):
            config = transformers.AutoConfig.from_pretrained(place, **source)
            if type(config) not in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
                raise ModelError(f"{name} is a {config.model_type} model, not a captioner")
            exact = {"dtype": torch.float32} if self._device.type == "cpu" else {"dtype": "auto"}
            auto = transformers.AutoModelForImageTextToText
            self._model = auto.from_pretrained(place, **source, **exact).eval().to(self._device)
            self._read, self._tokenizer = _open_processors(place, source)
        _require_fit(name, config, self._tokenizer)
        self._asked = _find_request(config, self._read, prompt)
        self._beams = self._model.generation_config.num_beams or 1
        commit = getattr(config, "_commit_hash", None)
        version = digest_files(repository.folder) if repository.folder else commit
        about = [version, str(self._model.dtype), self._asked, self._beams, TOKENS]
        self.card: Mapping[str, Any] = {
            "title": name,
            "fingerprint": sha256(json.dumps(about).encode()).hexdigest(),
            "precision": {"torch.float32": "fp32", "torch.float16": "fp16"}.get(
                str(self._model.dtype), str(self._model.dtype).removeprefix("torch.")
            ),
        }
        self.abilities = Abilities(probabilities=True, candidates=CANDIDATES, batch=BATCH)

    @property
    def on_one_core(self) -> "TransformersEngine":
        """The engine itself."""
        return self

    @torch.inference_mode()
    def caption(
        self, pixels: Sequence[NDArray[np.uint8]], *, best: int = 1, style: Style = UNCONSTRAINED
    ) -> list[Caption]:
        """A caption for each picture, by beam search if the model or `best` asks for it."""
        require_candidates(best, CANDIDATES)
        beams = max(best, self._beams)
        try:
            inputs = self._prepare([Image.fromarray(picture) for picture in pixels])
            found = self._model.generate(
                **inputs,
                num_beams=beams,
                num_return_sequences=beams,
                do_sample=False,
                max_new_tokens=TOKENS,
                output_scores=True,
                return_dict_in_generate=True,
            )
            sure = self._model.compute_transition_scores(
                found.sequences, found.scores, found.get("beam_indices"), normalize_logits=True
            )
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(f"{self.card['title']} does not run: {_reason(error)}") from None
        written = found.sequences[:, found.sequences.shape[1] - sure.shape[1] :]
        candidates = [
            caption_of(*self._cut(ids, own), self._decode)
            for ids, own in zip(written.tolist(), sure.tolist(), strict=True)
        ]
        return [
            choose(candidates[first : first + beams], best, style)
            for first in range(0, len(candidates), beams)
        ]

    def _prepare(self, pictures: list[Image.Image]) -> Any:
        """Pictures, and what is asked about them, as the model's inputs."""
        given: dict[str, Any] = {"images": pictures, "return_tensors": "pt"}
        if self._asked:
            given["text"] = [self._asked] * len(pictures)
            given["padding"] = True
        if getattr(self._read, "chat_template", None):
            given["images"] = [[picture] for picture in pictures]
        inputs = self._read(**given).to(self._device)
        for name, each in inputs.items():
            if torch.is_tensor(each) and each.is_floating_point():
                inputs[name] = each.to(self._model.dtype)
        return inputs

    def _cut(self, ids: list[int], sure: list[float]) -> tuple[list[int], list[float]]:
        """The tokens up to the end marker; what follows is padding."""
        own = self._model.generation_config.eos_token_id
        ends = {*(own if isinstance(own, list) else [own])}
        ends |= {self._tokenizer.eos_token_id, self._tokenizer.sep_token_id} - {None}
        length = next((place for place, word in enumerate(ids, 1) if word in ends), len(ids))
        return ids[:length], sure[:length]

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def _open_processors(place: str, source: Mapping[str, Any]) -> tuple[Any, Any]:
    """The processor of pictures and prompts, and the tokenizer."""
    processor = transformers.AutoProcessor.from_pretrained(place, **source)
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None:  # an encoder-decoder pair has no processor of its own
        processor = transformers.AutoImageProcessor.from_pretrained(place, **source)
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **source)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor, tokenizer


def _find_request(config: Any, processor: Any, prompt: str | None) -> str | None:
    """What the model is asked with each picture; None for one that needs no prompt."""
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, {"type": "text", "text": prompt or PROMPT}]
        messages = [{"role": "user", "content": content}]
        return str(processor.apply_chat_template(messages, add_generation_prompt=True))
    return prompt or TASKS.get(config.model_type)


def _require_fit(name: str, config: Any, tokenizer: Any) -> None:
    """Raise `ModelError` for a tokenizer with more tokens than the decoder."""
    known = getattr(config.get_text_config(decoder=True), "vocab_size", None)
    largest = max(tokenizer.get_vocab().values(), default=0)
    if known and largest >= known:
        raise ModelError(
            f"{name}: its tokenizer has {largest + 1:,} tokens, its decoder {known:,}; they do not "
            "fit"
        )


@contextmanager
def _as_model_error(name: str) -> Iterator[None]:
    """Turn the library's errors into a sentence."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # OSError, ValueError, ImportError, safetensors' own ...
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"{name} brings code of its own, which cutline never runs (trust_remote_code is "
                "off): choose a version for transformers' own classes"
            ) from None
        raise ModelError(f"{name} cannot be loaded: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]

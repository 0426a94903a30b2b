"""Captioners of the transformers library in tiny random configurations, saved to folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = [
    "a",
    "dog",
    "cat",
    "runs",
    "sleeps",
    "on",
    "the",
    "grass",
    "red",
    "ball",
    "with",
    "in",
    "and",
    "man",
    "woman",
    "plays",
]
MARKERS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<image>", "<s>", "</s>", "<pad>"]
CHAT = (
    "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}"
    "{{ c.text }}{% endif %}{% endfor %}{% endfor %} a"
)
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
IMAGE = {"image_size": 32, "patch_size": 8}
SIZE = {"height": 32, "width": 32}


def tokenizer(*more: str, **named: str) -> Any:
    """A word for a token, and the markers that the models need."""
    known = {word: number for number, word in enumerate([*MARKERS, *more, *WORDS])}
    raw = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
    names |= {"bos": "[CLS]", "eos": "[SEP]"}
    special = {f"{name}_token": token for name, token in names.items()}
    return t.PreTrainedTokenizerFast(tokenizer_object=raw, extra_special_tokens=named, **special)


def make_pair(folder: Path) -> None:
    """ViT and GPT-2."""
    words = tokenizer()
    config = t.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        t.ViTConfig(**SMALL, **IMAGE),
        t.GPT2Config(vocab_size=len(words), n_embd=16, n_layer=2, n_head=2, n_positions=64),
    )
    config.decoder_start_token_id = words.bos_token_id
    config.eos_token_id = words.eos_token_id
    config.pad_token_id = words.pad_token_id
    model = t.VisionEncoderDecoderModel(config)
    _save(folder, model, words, t.ViTImageProcessor(size=SIZE))


def make_blip(folder: Path) -> None:
    """BLIP."""
    words = tokenizer()
    text = t.BlipTextConfig(
        vocab_size=len(words),
        **SMALL,
        encoder_hidden_size=16,
        max_position_embeddings=64,
        projection_dim=8,
        bos_token_id=words.bos_token_id,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.sep_token_id,
        sep_token_id=words.sep_token_id,
    )
    vision = t.BlipVisionConfig(**SMALL, **IMAGE, projection_dim=8)
    model = t.BlipForConditionalGeneration(
        t.BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    )
    _save(folder, model, t.BlipProcessor(t.BlipImageProcessor(size=SIZE), words))


def make_git(folder: Path) -> None:
    """GIT."""
    words = tokenizer()
    config = t.GitConfig(
        vision_config={**SMALL, **IMAGE},
        vocab_size=len(words),
        **SMALL,
        max_position_embeddings=64,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    pictures = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIZE)
    _save(folder, t.GitForCausalLM(config), t.GitProcessor(pictures, words))


def make_blip2(folder: Path) -> None:
    """BLIP-2 with OPT."""
    words = tokenizer()
    config = t.Blip2Config(
        vision_config={**SMALL, **IMAGE},
        qformer_config={**SMALL, "vocab_size": 30, "encoder_hidden_size": 16},
        text_config=t.OPTConfig(
            vocab_size=len(words),
            hidden_size=16,
            ffn_dim=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=128,
            word_embed_proj_dim=16,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        ).to_dict(),
        num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    processor = t.Blip2Processor(t.BlipImageProcessor(size=SIZE), words, num_query_tokens=4)
    _save(folder, t.Blip2ForConditionalGeneration(config), processor)


def make_florence(folder: Path) -> None:
    """Florence-2."""
    words = tokenizer("<CAPTION>", image_token="<image>")
    config = t.Florence2Config(
        vision_config={
            "depths": (1, 1, 1, 1),
            "embed_dim": (8, 8, 8, 16),
            "num_heads": (1, 1, 1, 2),
            "num_groups": (1, 1, 1, 2),
            "window_size": 4,
            "projection_dim": 16,
            "max_position_embeddings": 8,
        },
        text_config=t.BartConfig(
            vocab_size=len(words),
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_position_embeddings=256,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
            decoder_start_token_id=words.eos_token_id,
        ).to_dict(),
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )
    pictures = t.CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    pictures.image_seq_length = 5
    processor = t.Florence2Processor(pictures, words)
    _save(folder, t.Florence2ForConditionalGeneration(config), processor)


def make_llava(folder: Path) -> None:
    """LLaVA, which is asked in a chat."""
    words = tokenizer(image_token="<image>")
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**SMALL, **IMAGE).to_dict(),
        text_config=t.LlamaConfig(
            vocab_size=len(words),
            **SMALL,
            max_position_embeddings=512,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        ).to_dict(),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
    )
    pictures = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIZE)
    processor = t.LlavaProcessor(
        pictures, words, patch_size=8, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=CHAT,
    )  # fmt: skip
    _save(folder, t.LlavaForConditionalGeneration(config), processor)


def _save(folder: Path, model: Any, *others: Any) -> None:
    for each in (model, *others):
        each.save_pretrained(folder)


MAKERS: dict[str, Callable[[Path], None]] = {
    "pair": make_pair,
    "blip": make_blip,
    "git": make_git,
    "blip2": make_blip2,
    "florence": make_florence,
    "llava": make_llava,
}


def make(name: str, folder: Path) -> Path:
    """The folder of a tiny model, the same each time."""
    torch.manual_seed(len(name))
    MAKERS[name](folder)
    return folder

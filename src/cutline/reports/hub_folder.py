"""A model as a folder for the Hugging Face hub: model, config, card with scores, preview."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from cutline.errors import DataError, ModelError
from cutline.inference.captioner import Captioner
from cutline.inference.network import language_of
from cutline.io.atomic import atomic_write, write_text_file
from cutline.reports.attention import draw_contact_sheet, save_drawing
from cutline.reports.model_card import format_card
from cutline.text.style import Style
from cutline.version import __version__

MODEL, CONFIG, CARD, PREVIEW = "model.onnx", "config.json", "README.md", "preview.jpg"
METRICS = {
    "BLEU": "bleu",
    "METEOR": "meteor",
    "ROUGE-L": "rouge",
    "CIDEr": "cider",
    "SPICE": "spice",
}
"""The hub's names of metrics, by the beginnings of ours."""


def write_hub_folder(
    captioner: Captioner, folder: Path, *, pictures: Sequence[Path] = (), overwrite: bool = False
) -> dict[str, int]:
    """Write or update the folder; returns the size of each file in bytes. Other files stay.

    `pictures` are captioned for the preview. Raises `ModelError` for a model that is not one file,
    and `DataError` for files of another origin, unless `overwrite`.
    """
    file = captioner.engine.abilities.file
    if file is None:
        raise ModelError("the hub gets a one-file model: run `cutline export` on the folder first")
    _require_own(folder, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    content, card = file.read_bytes(), captioner.card
    config = {
        "model_type": "cutline",
        "title": card.get("title", ""),
        "file": MODEL,
        "sha256": sha256(content).hexdigest(),
        "view": captioner.engine.view.as_dict(),
        "cutline_version": __version__,
    }
    if folder.resolve() / MODEL != file:
        with atomic_write(folder / MODEL) as out:
            out.write(content)
    if pictures:
        captions = captioner.caption(list(pictures), style=Style(any_picture=True))
        pairs = [(path, each.text) for path, each in zip(pictures, captions, strict=True)]
        save_drawing(draw_contact_sheet(pairs, columns=min(4, len(pairs))), folder / PREVIEW)
    shown = (folder / PREVIEW).exists()
    write_text_file([json.dumps(config, indent=2, ensure_ascii=False) + "\n"], folder / CONFIG)
    write_text_file([format_hub_card(card, has_preview=shown)], folder / CARD)
    written = [MODEL, CONFIG, CARD, *([PREVIEW] if shown else [])]
    return {name: (folder / name).stat().st_size for name in written}


def format_hub_card(card: Mapping[str, Any], *, has_preview: bool = False) -> str:
    """The card as the hub reads it: metadata between `---` (YAML, as JSON), then Markdown."""
    metadata = "\n".join(
        f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in _metadata(card)
    )
    title, _, rest = format_card(card).partition("\n")
    preview = f"\n![Photographs with their captions]({PREVIEW})\n" if has_preview else ""
    return f"""---
{metadata}
---
{title}
{preview}
An image captioner for [cutline](https://pypi.org/project/cutline/): one ONNX file, CPU, no PyTorch.

```python
import cutline  # pip install 'cutline[hub]'

cutline.load("hf:OWNER/NAME").caption("photo.jpg").text
```
{rest}"""


def _metadata(card: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    licence = str(card.get("licence", ""))
    is_mit = re.match(r"MIT\b", licence) is not None
    yield "library_name", "cutline"
    yield "pipeline_tag", "image-to-text"
    yield "license", "mit" if is_mit else "other"
    if licence and not is_mit:
        yield "license_name", licence[:100]
    yield "language", language_of(card)
    yield "tags", ["image-captioning", "alt-text", "onnx", "cutline"]
    results = list(_results(card))
    if results:
        yield "metrics", sorted({m["type"] for result in results for m in result["metrics"]})
        yield "model-index", [{"name": str(card.get("title", "")), "results": results}]


def _results(card: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The scores of a card in the hub's format, per split; in percent, as documents have them."""
    kind = str(card.get("source", {}).get("kind", "unknown"))
    for split, report in card.get("scores", {}).items():
        metrics = [
            {"type": known, "name": name, "value": round(100 * score, 2)}
            for name, score in report["scores"].items()
            for beginning, known in METRICS.items()
            if name.startswith(beginning)
        ]
        dataset = {"type": kind, "name": kind, "split": split}
        source = {"name": report["signature"], "url": "https://pypi.org/project/cutline/"}
        yield {
            "task": {"type": "image-to-text", "name": "Image captioning"},
            "dataset": dataset,
            "metrics": metrics,
            "source": source,
        }


def _require_own(folder: Path, *, overwrite: bool) -> None:
    """Raise `DataError` for a folder with such files that cutline did not write."""
    if overwrite or not any((folder / name).exists() for name in (MODEL, CONFIG, CARD, PREVIEW)):
        return
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf8"))
        own = isinstance(config, dict) and config.get("model_type") == "cutline"
    except (OSError, ValueError, RecursionError):
        own = False
    if not own:
        raise DataError(
            f"{folder} has files that are not known to be cutline's: name another folder, or "
            "replace them with --overwrite"
        )

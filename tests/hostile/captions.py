"""Files of captions and of references in every form, and folders of data."""

import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
import pyarrow.parquet

from hostile.material import Material
from hostile.mutations import (
    TEXTS,
    encode_strangely,
    hostile_value,
    mutate_bytes,
    mutate_text,
    mutated_json,
)

LINE = {
    "path": "dog.png",
    "caption": "a dog runs",
    "confidence": 0.5,
    "log_prob": -3.5,
    "words": [
        {"word": "a", "probability": 0.9, "gaze": [0.25, 0.25, 0.25, 0.25]},
        {"word": "dog", "probability": 0.5, "gaze": [0.1, 0.2, 0.3, 0.4]},
    ],
    "best": [{"caption": "a dog runs", "confidence": 0.5}, {"caption": "a cat", "confidence": 0.2}],
    "model": {"name": "m", "fingerprint": "f00d", "cutline": "0.1.0", "view": {"size": 32}},
    "date": "2026-11-23T10:12:00Z",
}
COCO = {
    "images": [{"id": 1, "file_name": "dog.png"}, {"id": 2, "file_name": "cat.png"}],
    "annotations": [
        {"id": 1, "image_id": 1, "caption": "a dog runs"},
        {"id": 2, "image_id": 2, "caption": "a cat sits"},
    ],
}
RESULTS = [{"image_id": 1, "caption": "a dog"}, {"image_id": 2, "caption": "a cat"}]
KARPATHY = {
    "images": [
        {"cocoid": 1, "split": "test", "sentences": [{"raw": "a dog runs"}]},
        {"filename": "cat.png", "split": "train", "sentences": [{"raw": "a cat"}]},
    ]
}
MAPPING = {"1": ["a dog runs", "a dog"], "2": "a cat"}
TOKENS = "dog.png#0\ta dog runs .\ndog.png#1\tthe dog\ncat.png#0\ta cat sits .\n"
CSV = 'path,caption,confidence,log_prob,error\ndog.png,a dog,0.5,-1,\ncat.png,"a, cat",,,\n'
OWN = "image,caption,split\ndog.png,a dog runs,train\ncat.png,a cat sits,test\n"
OWN_LINES = [
    {"image": "dog.png", "captions": ["a dog runs", "a dog"], "split": "train"},
    {"image": "cat.png", "caption": "a cat"},
]


def make_captions(dice: Random, folder: Path, material: Material) -> Path:
    """What `cutline caption` may have written, or somebody in its name, beside two pictures."""
    for name in ("dog.png", "cat.png"):
        (folder / name).write_bytes(material.picture)
    match dice.randrange(8):
        case 0 | 1 | 2:
            content = b"\n".join(_line(dice) for _ in range(dice.choice((1, 2, 3, 40))))
            return _put(folder / "captions.jsonl", content)
        case 3 | 4:
            return _put(folder / "captions.csv", _text(dice, CSV))
        case 5 | 6:
            return _put(folder / "captions.parquet", _parquet(dice))
        case _:
            return _put(folder / "captions.json", mutated_json(dice, dice.choice((RESULTS, COCO))))


def make_references(dice: Random, folder: Path, material: Material) -> Path:
    """What people wrote, in the formats of the field."""
    match dice.randrange(5):
        case 0:
            return _put(folder / "references.json", mutated_json(dice, COCO))
        case 1:
            return _put(folder / "dataset_coco.json", mutated_json(dice, KARPATHY))
        case 2:
            return _put(
                folder / "references.json", mutated_json(dice, dice.choice((MAPPING, RESULTS)))
            )
        case 3:
            lines = (mutated_json(dice, {"id": n, "caption": "a dog"}) for n in range(3))
            return _put(folder / "references.jsonl", b"\n".join(lines))
        case _:
            return _put(folder / "Flickr8k.token.txt", _text(dice, TOKENS))


def make_data(dice: Random, folder: Path, material: Material) -> Path:
    """A data set as somebody sends it: captions in a folder with pictures."""
    place = folder / "data"
    place.mkdir()
    for name in ("dog.png", "cat.png"):
        (place / name).write_bytes(material.picture)
    match dice.randrange(5):
        case 0:
            (place / "captions.csv").write_bytes(_text(dice, OWN))
        case 1:
            lines = (mutated_json(dice, dice.choice(OWN_LINES)) for _ in range(3))
            (place / "captions.jsonl").write_bytes(b"\n".join(lines))
        case 2:
            (place / "dog.txt").write_bytes(_text(dice, "a dog runs\na dog\n"))
        case 3:
            (place / "annotations").mkdir()
            (place / "val2017").mkdir()
            (place / "val2017" / "dog.png").write_bytes(material.picture)
            coco = mutated_json(dice, COCO)
            (place / "annotations" / "captions_val2017.json").write_bytes(coco)
        case _:
            (place / "Flickr8k.token.txt").write_bytes(_text(dice, TOKENS))
            for split, name in (("train", "dog.png"), ("dev", "cat.png"), ("test", "cat.png")):
                path = place / f"Flickr_8k.{split}Images.txt"
                path.write_bytes(_text(dice, f"{name}\n") if dice.random() < 0.3 else name.encode())
    return place


def make_list(dice: Random, folder: Path, material: Material) -> Path:
    """COCO's list of images that a server wants captions of, and a file of words to avoid."""
    for name in ("dog.png", "cat.png"):
        (folder / name).write_bytes(material.picture)
    (folder / "avoid.txt").write_bytes(_text(dice, "dog\nman\n"))
    return _put(folder / "image_info_test2014.json", mutated_json(dice, COCO))


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _line(dice: Random) -> bytes:
    return json.dumps(LINE).encode() if dice.random() < 0.3 else mutated_json(dice, LINE)


def _text(dice: Random, text: str) -> bytes:
    content = encode_strangely(dice, mutate_text(dice, text))
    return mutate_bytes(dice, content) if dice.random() < 0.2 else content


# ---------------------------------------------------------------------------------------- Parquet


def _parquet(dice: Random) -> bytes:
    """Other types than text, many rows, a bomb of one value; or damaged bytes."""
    columns: dict[str, Any] = {"path": ["dog.png", "cat.png"], "caption": ["a dog", "a cat"]}
    match dice.randrange(7):
        case 0:
            columns["caption"] = [_of_one_kind(dice)] * 2
        case 1:
            columns[dice.choice(TEXTS).encode("utf8", "replace").decode()] = [1, 2]
        case 2:
            del columns[dice.choice(("path", "caption"))]
        case 3:
            columns["confidence"] = [float("nan"), float("inf")]
        case 4:
            many = dice.choice((10**5, 3 * 10**6))
            bomb = pyarrow.array(["x" * 20]).dictionary_encode().take(pyarrow.array([0] * many))
            columns = {"path": bomb, "caption": bomb}
        case 5:
            columns = {
                "path": ["dog.png"] * 40,
                "caption": ["x" * dice.choice((10**5, 10**7))] * 40,
            }
        case _:
            pass
    file = io.BytesIO()
    compression = dice.choice(("zstd", "snappy", "gzip", "none"))
    pyarrow.parquet.write_table(pyarrow.table(columns), file, compression=compression)
    content = file.getvalue()
    return mutate_bytes(dice, content) if dice.random() < 0.5 else content


def _of_one_kind(dice: Random) -> Any:
    value = hostile_value(dice)
    try:
        column = pyarrow.array([value, value])
        pyarrow.parquet.write_table(pyarrow.table({"x": column}), io.BytesIO())
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError, ValueError):
        return dice.choice((1, 2.5, b"\xff", True, ["a"], {"a": 1}, None))
    return value

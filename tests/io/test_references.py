import json
from pathlib import Path
from typing import Any

import pytest

from cutline.errors import DataError
from cutline.io.references import read_predictions, read_references
from cutline.metrics import pair

CAPTIONS = {"1": ["a dog", "the dog runs"], "2": ["a cat"]}

COCO = {
    "info": {"year": 2017},
    "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}],
    "annotations": [
        {"image_id": 1, "id": 71, "caption": "a dog"},
        {"image_id": 2, "id": 72, "caption": "a cat"},
        {"image_id": 1, "id": 73, "caption": "the dog runs"},
    ],
}
KARPATHY = {
    "dataset": "coco",
    "images": [
        {"cocoid": 1, "split": "train", "sentences": [{"raw": "a dog"}, {"raw": "the dog runs"}]},
        {"cocoid": 2, "split": "restval", "sentences": [{"raw": "a cat"}]},
        {"cocoid": 3, "split": "val", "sentences": [{"raw": "a bird"}]},
        {"filename": "4.jpg", "split": "test", "sentences": [{"raw": "a fish"}]},
    ],
}
SAME_REFERENCES = {
    "COCO annotations": json.dumps(COCO, indent=1),
    "captions by id": json.dumps(CAPTIONS),
    "pycocoevalcap's mapping": json.dumps(
        {id: [{"caption": caption} for caption in captions] for id, captions in CAPTIONS.items()}
    ),
    "lines, one an image": (
        '{"id": 1, "captions": ["a dog", "the dog runs"]}\n\n{"id": 2, "captions": ["a cat"]}\n'
    ),
    "lines, one a caption": (
        '{"image": "1", "caption": "a dog"}\n'
        '{"image": "2", "caption": "a cat"}\n'
        '{"image": "1", "caption": "the dog runs"}'
    ),
    "Flickr8k's tokens": "1#0\ta dog\n1#1\tthe dog runs\n2#0\ta cat\n",
    "with a byte order mark": "\ufeff" + json.dumps(CAPTIONS),
}
SAME_PREDICTIONS = {
    "COCO results": '[{"image_id": 1, "caption": "a dog"}, {"image_id": 2, "caption": ""}]',
    "captions by id": '{"1": "a dog", "2": ""}',
    "pycocoevalcap's mapping": '{"1": ["a dog"], "2": [{"caption": ""}]}',
    "cutline's lines": (
        '{"path": "1", "caption": "a dog", "confidence": 0.5}\n{"path": "2", "caption": ""}\n'
    ),
    "cutline's lines, one left out": (
        '{"path": "1", "caption": "a dog"}\n{"path": "2", "caption": null, "left_out": "unsure"}\n'
    ),
}
BROKEN = {
    "": "{path} is empty",
    "{}": "{path} holds no captions",
    "[1]": "{path}, entry 1: unknown format of an entry; accepted are COCO",
    "hello": "{path}, line 1: unknown format of a file or line; accepted are COCO",
    '{"a": 1,\n"b": }': "{path}, line 2, column 6: broken JSON, Expecting value",
    '{"id": 1, "caption": "a"}\n{"id": 2, "captio': "{path}, line 2, column 11: broken JSON",
    '{"id": 1, "caption": "a"}\n{"path": 2}': "{path}, line 2: no caption for '2'; accepted are",
    '[{"caption": "a"}]': "{path}, entry 1: no image id; accepted are COCO",
    '[{"id": null, "caption": "a"}]': "{path}, entry 1: no image id",
    '{"1": []}': "{path}, entry 1: no caption for '1'",
    '{"1": [null]}': "{path}, entry 1: no caption for '1'",
    '{"1": "a", "1": "b"}': "{path}: the key '1' appears twice",
    '{"id": 1, "id": 2}\n{"id": 3}': "{path}, line 1: the key 'id' appears twice",
    '{"images": [], "annotations": 3}': "{path}, entry 1: no caption for 'images'",
    '{"info": {"year": 2017}}': "{path}, entry 1: no caption for 'info'; accepted are COCO",
}


@pytest.mark.parametrize("kind", SAME_REFERENCES)
def test_references_are_the_same_in_every_format(tmp_path: Path, kind: str):
    path = write(tmp_path, SAME_REFERENCES[kind])

    references = read_references(path)

    assert references == CAPTIONS


@pytest.mark.parametrize("kind", SAME_PREDICTIONS)
def test_predictions_are_the_same_in_every_format(tmp_path: Path, kind: str):
    path = write(tmp_path, SAME_PREDICTIONS[kind])

    predictions = read_predictions(path)

    assert predictions == {"1": "a dog", "2": ""}


@pytest.mark.parametrize(
    ("split", "ids"),
    [(None, ["1", "2", "3", "4.jpg"]), ("train", ["1", "2"]), ("validation", ["3"])],
)
def test_a_split_of_a_karpathy_file_has_its_images_alone(
    tmp_path: Path, split: str | None, ids: list[str]
):
    path = write(tmp_path, json.dumps(KARPATHY))

    references = read_references(path, split=split)

    assert list(references) == ids


def test_a_caption_with_a_line_separator_in_it_stays_one_caption(tmp_path: Path):
    path = write(tmp_path, '{"id": 1, "caption": "a\u2028dog"}\n{"id": 2, "caption": "a cat"}')

    predictions = read_predictions(path)

    assert predictions == {"1": "a\u2028dog", "2": "a cat"}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_told_with_its_place(tmp_path: Path, text: str):
    path = write(tmp_path, text)

    with pytest.raises(DataError) as told:
        read_references(path)

    assert str(told.value).startswith(BROKEN[text].replace("{path}", str(path)))


@pytest.mark.parametrize(
    "text",
    [
        '[{"image_id": 7, "caption": "a"}, {"image_id": "7", "caption": "b"}]',
        '{"6": "a", "7": ["a", "b"]}',
    ],
)
def test_a_second_prediction_for_an_image_is_refused(tmp_path: Path, text: str):
    path = write(tmp_path, text)

    with pytest.raises(DataError, match="entry 2: a second prediction for image '7'"):
        read_predictions(path)


def test_a_missing_file_and_one_that_is_no_text_are_told(tmp_path: Path):
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"\xff\xd8\xff")

    with pytest.raises(DataError, match="nowhere cannot be read: No such file"):
        read_references(tmp_path / "nowhere")
    with pytest.raises(DataError, match="jpg is not text in UTF-8"):
        read_references(picture)


def test_a_split_that_cannot_be_chosen_is_refused(tmp_path: Path):
    karpathy, captions = write(tmp_path, json.dumps(KARPATHY)), tmp_path / "captions.json"
    captions.write_text(json.dumps(CAPTIONS))

    with pytest.raises(DataError, match="no split 'tset'; did you mean 'test'"):
        list(read_references(karpathy, split="tset"))
    with pytest.raises(DataError, match="captions.json has no splits"):
        read_references(captions, split="test")


def test_predictions_meet_their_references_in_the_order_of_the_predictions():
    pairs = pair({"2": "cat", "1": "dog"}, CAPTIONS)

    assert list(pairs.items()) == [("2", ("cat", ["a cat"])), ("1", ("dog", CAPTIONS["1"]))]


@pytest.mark.parametrize(
    ("predictions", "sentence"),
    [
        ({"1": "a"}, "1 image has no prediction ('2'); partial scores the 1 that have both"),
        (
            {"1": "a", "2": "b", "x": "", "y": ""},
            "2 predictions have no references ('x', 'y'); partial scores the 2 that have both",
        ),
        (
            {"1": "a", "2": " "},
            "1 prediction has no words ('2'); partial scores the 2 that have both",
        ),
    ],
)
def test_ids_on_one_side_only_are_refused_with_counts_and_examples(
    predictions: dict[str, str], sentence: str
):
    with pytest.raises(DataError) as told:
        pair(predictions, CAPTIONS)

    assert str(told.value) == sentence


def test_partial_keeps_the_images_that_have_both():
    pairs = pair({"2": "cat", "x": "fox"}, CAPTIONS, partial=True)

    assert pairs == {"2": ("cat", ["a cat"])}


@pytest.mark.parametrize("partial", [False, True])
def test_sets_without_a_common_id_are_refused_even_in_part(partial: bool):
    names: dict[str, Any] = {f"COCO_val2014_{n}.jpg": "" for n in range(4)}

    with pytest.raises(DataError, match=r"^nothing to score; 4 predictions .*_2.jpg', \.\.\.\)"):
        pair(names, CAPTIONS, partial=partial)


@pytest.mark.slow
def test_the_published_files_are_read(shared: Path):
    predictions = read_predictions(shared / "predictions/sparse-updown/caption_00156000.json")
    references = read_references(shared / "predictions/karpathy_test_references.json")
    official = read_references(shared / "data/coco/captions_val2017.json")
    flickr8k = read_references(shared / "data/flickr8k/Flickr8k.token.txt")

    assert predictions["391895"] == "a man riding a motorcycle down a dirt road"
    assert len(pair(predictions, references)) == 5000
    assert sum(map(len, official.values())) == 25014
    assert {len(captions) for captions in flickr8k.values()} == {5}


def write(folder: Path, text: str) -> Path:
    path = folder / "captions"
    path.write_text(text, encoding="utf-8")
    return path

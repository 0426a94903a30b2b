"""Data sets that the library datasets opens: a folder in its layout, and tables with bytes."""

import json
from pathlib import Path

import pytest
from PIL import Image

from cutline.datasets import detect_source, open_dataset
from cutline.datasets.folder import Folder
from cutline.errors import DataError
from cutline.types import Example

COLOURS = ("red", "green", "blue")


def draw(folder, colours=COLOURS) -> None:
    folder.mkdir(parents=True)
    for colour in colours:
        Image.new("RGB", (8, 8), colour).save(folder / f"{colour}.png")
    lines = [{"file_name": f"{c}.png", "text": f"a {c} square"} for c in colours]
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_a_folder_with_the_names_of_imagefolder_is_read_without_any_library(tmp_path):
    draw(tmp_path / "a")
    draw(tmp_path / "b")
    rows = "".join(f"{c}.png,a {c} square\n" for c in COLOURS)
    (tmp_path / "b" / "metadata.csv").write_text(f"file_name,text\n{rows}")
    (tmp_path / "b" / "metadata.jsonl").unlink()

    for name in ("a", "b"):
        examples = list(Folder(tmp_path / name, validation=0.0, test=0.0))
        assert [(e.id, e.captions) for e in examples] == [
            (f"{c}.png", (f"a {c} square",)) for c in COLOURS
        ]
        assert detect_source({"kind": "coco"}, tmp_path / name) == {"kind": "folder"}


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    library = pytest.importorskip("datasets", reason="datasets is not installed")
    if library.__file__ is None:  # the folder of these tests
        pytest.skip("datasets is not installed")
    return library


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the library
def test_an_imagefolder_with_splits_is_a_data_set(datasets, tmp_path):
    draw(tmp_path / "data" / "train", COLOURS[:2])
    draw(tmp_path / "data" / "test", COLOURS[2:])
    name = Path(f"hf:{tmp_path / 'data'}")

    examples = list(open_dataset({**detect_source({}, name), "cache": str(tmp_path / "c")}, name))

    assert examples == [
        Example("train/0", tmp_path / "data/train/red.png", ("a red square",), "train"),
        Example("train/1", tmp_path / "data/train/green.png", ("a green square",), "train"),
        Example("test/0", tmp_path / "data/test/blue.png", ("a blue square",), "test"),
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the library
def test_pictures_in_tables_become_files_once(datasets, tmp_path):
    draw(tmp_path / "pictures")
    rows = {
        "image": [
            {"bytes": (tmp_path / "pictures" / f"{c}.png").read_bytes(), "path": f"{c}.png"}
            for c in COLOURS
        ],
        "captions": [[f"a {c} square", "a square"] for c in COLOURS],
    }
    texts = datasets.Sequence(datasets.Value("string"))
    kinds = datasets.Features({"image": datasets.Image(), "captions": texts})
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict(rows, features=kinds).to_parquet(
        tmp_path / "data/validation.parquet"
    )
    options = {"kind": "hf", "cache": str(tmp_path / "cache")}

    for _ in range(2):
        examples = list(open_dataset(options, Path(f"hf:{tmp_path / 'data'}")))

    assert [e.captions for e in examples] == [(f"a {c} square", "a square") for c in COLOURS]
    assert {e.split for e in examples} == {"validation"}
    assert len(list((tmp_path / "cache").iterdir())) == len(COLOURS)
    assert Image.open(examples[0].image).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the library
def test_what_is_no_data_set_is_one_sentence(datasets, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("a,b\n1,2\n")

    with pytest.raises(DataError, match="has no column of images, only a, b"):
        list(open_dataset({"kind": "hf"}, Path(f"hf:{tmp_path / 'data'}")))
    with pytest.raises(DataError, match="the data set owner/none cannot be opened"):
        list(open_dataset({"kind": "hf"}, Path("hf:owner/none")))

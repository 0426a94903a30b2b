"""Files of captions are read as they were written, in three forms."""

import csv

import numpy as np
import pytest

from albums import draw_album, line, write_lines
from cutline.errors import DataError
from cutline.io.predictions import Model
from cutline.io.tables import WRITERS, read_rows
from cutline.metadata.writer import read_captions


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_files_as_the_bulk_command_writes_them_are_read(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    album, captions = draw_album(tmp_path / "album"), tmp_path / f"captions{suffix}"
    names = ("jpg.jpg", "png.png", "tif.tif")
    sure, unsure, damaged = (f"album/{name}" for name in names)
    left = {"caption": None, "left_out": "its confidence of 0.20 is less than 0.5"}
    rows = [
        line(sure, 'ein "Hund", läuft\nweg', confidence=0.6),
        {**line(unsure, "", confidence=0.2), **left},
        {"path": damaged, "error": f"{damaged} is damaged"},
    ]
    with captions.open("wb") as file:
        WRITERS[suffix](iter(rows), file)

    found = read_captions(captions)

    why = left["left_out"] if suffix == ".jsonl" else "the table has no caption for it"
    assert [c.path for c in found] == [str(album / name) for name in names]
    assert [c.text for c in found] == ['ein "Hund", läuft\nweg', "", ""]
    assert [c.confidence for c in found] == [0.6, 0.2, None]
    assert [c.left_out for c in found] == ["", why, ""]
    assert [c.error for c in found] == ["", "", f"{damaged} is damaged"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "path,captoin\na.jpg,a dog\n", "no column 'caption'; as `cutline"),
        ("a.csv", "", "a table has path, caption, confidence,"),
        (
            "a.csv",
            "path,caption,confidence\na.jpg,a dog,high\n",
            "line 2: the confidence must be from 0 to 1, not 'high'",
        ),
        ("a.csv", "path,caption\n,a dog\n", "line 2: no path; a line is"),
        (
            "a.jsonl",
            f'{{"path": "a", "caption": "b", "confidence": 1{"0" * 400}}}',
            "must be from 0 to 1, not 10",
        ),
        ("a.jsonl", "\ufeff[1]\n", "line 1: a line must be a JSON object"),
        ("a.jsonl", b"\xff\xfe{", "is not text in UTF-8"),
        ("a.parquet", "path,caption\n", "cannot be read as Parquet"),
        ("a.csv", 'path,caption\na.jpg,"a dog\n', "a.csv is not a CSV table: unexpected end"),
        ("a.csv", "path,caption\na.jpg,Tür\n".encode("latin1"), "line 2: the caption is not text"),
        ("none.jsonl", None, "none.jsonl cannot be read: No such file"),
    ],
)
def test_a_file_that_holds_no_captions_is_one_sentence(tmp_path, name, content, sentence):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    if content is not None:
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=sentence):
        read_captions(tmp_path / name)


def test_lines_are_read_the_last_of_each_picture_and_half_a_line_is_none(tmp_path):
    album = draw_album(tmp_path / "album")
    captions = write_lines(tmp_path / "captions.jsonl", [
        line("album/jpg.jpg", "a dog"), line("album/png.png", "a bird"),
        line("album/jpg.jpg", "a cat"),
    ])  # fmt: skip
    with captions.open("a") as file:
        file.write('{"path": "album/tif.t')

    found = read_captions(captions)  # paths are as seen from the file, where not from here

    assert [(c.path, c.text) for c in found] == [
        (str(album / "png.png"), "a bird"), (str(album / "jpg.jpg"), "a cat"),
    ]  # fmt: skip
    assert found[0].model == Model("flickr8k", "f00d", "0.1.0")


@pytest.mark.parametrize(
    "bad", ["{}", "[1]", "no", '{"path": "a.jpg"}', '{"path": 1, "caption": ""}']
)
def test_a_broken_line_is_named_before_anything_is_written(tmp_path, bad):
    captions = tmp_path / "captions.jsonl"
    captions.write_text(f"\n{bad}\n")

    with pytest.raises(DataError, match="line 2: "):
        read_captions(captions)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "'=1", "''-a", "'tis a dog", "a=b", "＝1"]
)
def test_no_spreadsheet_computes_a_cell_and_it_is_read_as_it_was(tmp_path, text):
    row = {"path": f"{text}.jpg", "caption": text, "confidence": 0.5, "log_prob": -3.25}

    with (tmp_path / "captions.csv").open("wb") as out:
        WRITERS[".csv"](iter([row]), out)

    with (tmp_path / "captions.csv").open(encoding="utf8", newline="") as file:
        [cells] = csv.DictReader(file)
    assert not cells["caption"].startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
    assert cells["log_prob"] == "-3.25"  # a number stays one
    [again] = read_rows(tmp_path / "captions.csv")
    assert (again.fields["path"], again.fields["caption"]) == (row["path"], text)


def write_parquet(file, /, **columns):
    """A table of columns, each a list, or one text for so many rows: kilobytes, however many."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    def repeat(text, count):
        zeros = pyarrow.array(np.zeros(count, np.int32))
        return pyarrow.DictionaryArray.from_arrays(zeros, pyarrow.array([text]))

    made = {n: c if isinstance(c, list) else repeat(*c) for n, c in columns.items()}
    parquet.write_table(pyarrow.table(made), file)
    return file


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"path": ("a.jpg", 5_000_000), "caption": ("a dog", 5_000_000)},
            "5,000,000 rows are too many for its size",
        ),
        (
            {"path": ("a.jpg", 1_000), "caption": ("a" * 10**6, 1_000)},
            "a text of 1,000,000 bytes in the column 'caption'",
        ),
        (
            {"path": ("a.jpg", 10_000), "caption": ("a" * 39_000, 10_000)},
            "its texts are too large for its size",
        ),
        (
            {"path": ["a.jpg"], "caption": [["a", "dog"]]},
            "the column 'caption' holds list<",
        ),
    ],
)
def test_a_parquet_bomb_is_one_sentence(tmp_path, columns, sentence):
    path = write_parquet(tmp_path / "bomb.parquet", **columns)
    assert path.stat().st_size < 50_000

    with pytest.raises(DataError) as refused:
        list(read_rows(path))

    assert sentence in str(refused.value)


def test_of_a_table_only_the_columns_of_captions_are_unpacked(tmp_path):
    path = write_parquet(
        tmp_path / "more.parquet",
        path=["a.jpg"],
        caption=["a dog"],
        confidence=[0.5],
        more=("a" * 10**6, 1),
    )

    [row] = read_rows(path)

    assert row.fields == {"path": "a.jpg", "caption": "a dog", "confidence": 0.5}

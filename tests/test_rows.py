"""Files of captions are read as they were written, in three forms."""

import pytest

from albums import draw_album, line, write_lines
from cutline.errors import DataError
from cutline.rows import WRITERS
from cutline.writing import read_captions


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

    why = f"{unsure} has no caption" + (f": {left['left_out']}" if suffix == ".jsonl" else "")
    assert [c.picture for c in found] == [album / name for name in names]
    assert [c.text for c in found] == ['ein "Hund", läuft\nweg', "", ""]
    assert [c.confidence for c in found] == [0.6, 0.2, None]
    assert [c.lacking for c in found] == ["", why, f"{damaged} is damaged"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "path,captoin\na.jpg,a dog\n", "no column 'caption'; as `cutline"),
        ("a.csv", "", "a table has path, caption, confidence,"),
        ("a.csv", "path,caption,confidence\na.jpg,a dog,high\n", "line 2: the confidence of a.jpg"),
        ("a.csv", "path,caption\n,a dog\n", "line 2: a line needs a path"),
        (
            "a.jsonl",
            f'{{"path": "a", "caption": "b", "confidence": 1{"0" * 400}}}',
            "is no number: 10",
        ),
        ("a.jsonl", "\ufeff[1]\n", "line 1: a line holds an object"),
        ("a.jsonl", b"\xff\xfe{", "is not text in UTF-8"),
        ("a.parquet", "path,caption\n", "cannot be read as Parquet"),
        ("a.csv", 'path,caption\na.jpg,"a dog\n', "a.csv is no table: unexpected end"),
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

    assert [(c.picture, c.text) for c in found] == [
        (album / "png.png", "a bird"), (album / "jpg.jpg", "a cat"),
    ]  # fmt: skip
    assert (found[0].model, found[0].fingerprint, found[0].version) == ("flickr8k", "f00d", "0.1.0")


@pytest.mark.parametrize(
    "bad", ["{}", "[1]", "no", '{"path": "a.jpg"}', '{"path": 1, "caption": ""}']
)
def test_a_broken_line_is_named_before_anything_is_written(tmp_path, bad):
    captions = tmp_path / "captions.jsonl"
    captions.write_text(f"\n{bad}\n")

    with pytest.raises(DataError, match="line 2: "):
        read_captions(captions)

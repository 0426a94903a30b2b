"""One reader of cutline's own files of captions, for pages and for `cutline write` alike."""

import pytest

from cutline.errors import DataError
from cutline.io.predictions import Candidate, Prediction, read_captions

DAMAGED = {"path": "a.jpg", "error": "a.jpg is damaged"}


@pytest.mark.parametrize(
    ("row", "text", "reason"),
    [
        (DAMAGED, "", "a.jpg is damaged"),
        ({**DAMAGED, "caption": None}, "", "a.jpg is damaged"),
        ({**DAMAGED, "caption": "my cat", "by": "human"}, "my cat", ""),
        ({"path": "a.jpg", "caption": None, "left_out": "unsure"}, "", "unsure"),
        ({"path": "a.jpg", "caption": None, "by": "human"}, "", "a person removed it"),
        ({"path": "a.jpg", "caption": "", "by": "human"}, "", "a person removed it"),
    ],
)
def test_a_row_has_a_caption_or_says_why_not(row, text, reason):
    read = Prediction.from_row(row)

    assert (read.text, read.error or read.left_out) == (text, reason)
    assert (read.caption is None) == bool(reason)
    assert read.human == ("by" in row)


@pytest.mark.parametrize("path", [None, "", 1, "a\0b"])
def test_a_row_without_a_path_is_one_sentence(path):
    with pytest.raises(DataError, match=r"^captions.jsonl, line 3: no path; a line is"):
        Prediction.from_row({"path": path, "caption": "a dog"}, "captions.jsonl, line 3")


def test_a_confidence_that_is_no_number_in_parquet_is_unknown(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    columns = {"path": ["a.jpg"], "caption": ["a dog"], "confidence": [float("nan")]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "captions.parquet")

    read = read_captions(tmp_path / "captions.parquet")

    assert read == [Prediction("a.jpg", Candidate("a dog"))]

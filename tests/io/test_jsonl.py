"""JSON Lines: a torn last line is no line, a broken one elsewhere is named."""

import pytest

from cutline.errors import DataError
from cutline.io.atomic import append, open_to_append
from cutline.io.jsonl import format_jsonl, read_jsonl, remove_torn_line

RECORDS = [{"caption": "ein Hund\u2028läuft"}, {"caption": None}]
WHOLE = "".join(format_jsonl(RECORDS)).encode()


@pytest.mark.parametrize("size", range(len(WHOLE) + 1))
def test_wherever_a_file_was_torn_its_whole_lines_are_read(size, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(WHOLE[:size])

    read = [line.value for line in read_jsonl(path)]

    finished = WHOLE[:size].count(b"\n")
    assert read[:finished] == RECORDS[:finished]
    assert len(read) <= finished + 1  # a last line that lacks nothing but its line feed


@pytest.mark.parametrize("torn", [b"", b'{"half', b"{}"])
def test_what_is_appended_after_a_torn_line_begins_a_line(torn, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(WHOLE + torn)

    with open_to_append(path) as file:
        assert remove_torn_line(file) == WHOLE
        assert append(file, b"{}\n") == len(WHOLE)

    assert [line.value for line in read_jsonl(path)] == [*RECORDS, {}]


@pytest.mark.parametrize("broken", ["{half", "[" * 100_000, "1" * 5_000])
def test_a_broken_line_is_named_by_its_number(broken, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(f"\ufeff{{}}\n\n{broken}\n{{}}\n")

    with pytest.raises(DataError, match=r"log.jsonl, line 3: broken JSON"):
        list(read_jsonl(path))

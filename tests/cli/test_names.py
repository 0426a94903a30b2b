"""Names of files in and out: any names, none that are taken, and tables that Excel opens."""

import io
import sys
from pathlib import Path

import pytest

from albums import draw
from conftest import ROOT
from cutline.io.tables import read_rows

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="names that only POSIX has")
ODD = "two\nlines\tand a tab.png"


@pytest.fixture
def album(tmp_path, monkeypatch) -> Path:
    """Pictures with odd names, in the current folder."""
    monkeypatch.chdir(tmp_path)
    draw(Path(ODD))
    draw(Path("z.png"), seed=1)
    return tmp_path


@needs_posix
def test_a_line_per_picture_whatever_it_is_called(run, tiny, album):
    _, out, _ = run("caption", ".", "--model", tiny)

    first, second = out.splitlines()
    assert first.startswith("./two\\nlines\\tand a tab.png\t")
    assert second.startswith("./z.png\t")


@needs_posix
def test_null_takes_the_output_of_find_and_writes_names_as_they_are(run, tiny, album, monkeypatch):
    names = io.TextIOWrapper(io.BytesIO(f"{ODD}\0z.png\0".encode()))
    monkeypatch.setattr(sys, "stdin", names)

    _, out, _ = run("caption", "-", "--null", "--model", tiny)

    first, second, rest = out.split("\0")
    assert (first.rpartition("\t")[0], second.rpartition("\t")[0], rest) == (ODD, "z.png", "")


def test_gaze_takes_a_name_that_no_file_has(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for written in ("lake.gaze.png", "lake.gaze-2.png"):
        code, _, err = run("gaze", ROOT / "examples" / "lake.jpg")
        assert (code, err, Path(written).exists()) == (0, f"{written} written\n", True)


def test_no_cores_are_refused_with_a_sentence(run):
    code, _, err = run("caption", "a.jpg", "--threads", 0)

    assert code == 2
    assert "0 cores cannot caption: name 1 or more, or leave it out" in err


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_written_for_excel_and_read_as_excel_saves_it(run, tiny, tmp_path, separator):
    picture = draw(tmp_path / "Größe.png")
    out = tmp_path / "captions.csv"
    run("caption", picture, "--model", tiny, "--out", out)
    assert out.read_bytes().startswith(b"\xef\xbb\xbfpath,caption,")

    text = out.read_text("utf-8-sig").replace(",", separator)
    out.write_text(f"\ufeff{text}", "utf8")

    [(_, row)] = read_rows(out)
    assert (row["path"], bool(row["caption"])) == (str(picture), True)
    out.write_bytes(f"path,caption\n{picture},Größe\n".encode("cp1252"))
    code, _, err = run("write", out, "--as", "txt")
    assert (code, "save as CSV UTF-8" in err) == (1, True)

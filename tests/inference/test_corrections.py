"""What a person corrects in a file of captions is kept, and written as the person's."""

import csv
import json
import struct
from pathlib import Path
from shutil import which
from types import SimpleNamespace

import pytest

from albums import SUFFIXES, draw_album
from cutline.errors import DataError
from cutline.images.load import View
from cutline.inference.captioner import Captioner
from cutline.inference.journal import journal_path
from cutline.inference.library import Finished, caption_library
from cutline.metadata.exiftool import ExifTool, find_exiftool
from cutline.metadata.undo_journal import undo
from cutline.metadata.writer import read_captions, write
from cutline.metadata.xmp import read_packet
from cutline.types import Caption


class Saying(Captioner):
    """Says the same of every picture, with the picture's name."""

    def __init__(self, says: str) -> None:
        self.says, card = says, {"title": says, "fingerprint": says}
        self.engine = SimpleNamespace(card=card, view=View())

    def caption_each(self, pictures, *, best, style):
        for picture in pictures:
            words = (*self.says.split(), "of", Path(picture).stem)
            yield Caption(" ".join(words), words, -1.0, (-0.2,) * len(words))


@pytest.fixture
def album(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return draw_album(Path("album"))


def captions_of(out: Path) -> dict[str, str | None]:
    from cutline.io.tables import read_rows

    return {Path(row.fields["path"]).stem: row.fields.get("caption") for row in read_rows(out)}


def change(out: Path, stem: str, caption: str | None) -> None:
    """As a person does: one caption, in whatever the file is."""
    if out.suffix == ".jsonl":
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        for told in lines:
            told["caption"] = caption if Path(told["path"]).stem == stem else told["caption"]
        out.write_text("".join(f"{json.dumps(told)}\r\n" for told in lines))
        return
    if out.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
        import pyarrow

        rows = parquet.read_table(out).to_pylist()
        for row in rows:
            row["caption"] = caption if Path(row["path"]).stem == stem else row["caption"]
        parquet.write_table(pyarrow.Table.from_pylist(rows), out)
        return
    with out.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        rows = list(table)
    for row in rows:
        row["caption"] = caption or "" if Path(row["path"]).stem == stem else row["caption"]
        row["confidence"] = row["confidence"][:4]  # as a spreadsheet does
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def go(out: Path, says: str = "a dog", paths: object = "album") -> Finished:
    *_, finished = caption_library(Saying(says), paths, out)
    return finished


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("caption", ["Grandma's dog", None])
def test_a_correction_is_kept_by_every_later_run(album, suffix, caption):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    out = Path(f"captions{suffix}")
    go(out)
    change(out, "png", caption)
    expected = {"jpg": "a dog of jpg", "png": caption, "tif": "a dog of tif"}

    for _ in range(3):
        go(out)
        assert captions_of(out) == {**expected, "webp": "a dog of webp"}
    go(out, "a cat")  # another model
    go(out, "a cat")

    assert captions_of(out) == {
        "jpg": "a cat of jpg", "png": caption, "tif": "a cat of tif", "webp": "a cat of webp"
    }  # fmt: skip
    change(out, "tif", "a cat of mine")
    go(out)
    assert captions_of(out)["tif"] == "a cat of mine"
    assert captions_of(out)["png"] == caption


def test_a_line_of_a_persons_says_so_and_nothing_of_the_model(album):
    out = Path("captions.jsonl")
    go(out)
    change(out, "png", "Grandma's dog")
    go(out)

    [line] = [json.loads(told) for told in out.read_text().splitlines() if "Grandma" in told]
    assert line == {"path": "album/png.png", "caption": "Grandma's dog", "by": "human"}


def test_a_line_that_a_person_takes_out_is_the_models_again(album):
    out = Path("captions.jsonl")
    go(out)
    change(out, "png", "Grandma's dog")
    go(out)
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(line for line in lines if "Grandma" not in line))

    go(out)

    assert captions_of(out)["png"] == "a dog of png"


def test_a_correction_outlives_its_picture_and_a_run_over_others(album):
    out = Path("captions.jsonl")
    go(out)
    change(out, "png", "Grandma's dog")
    (album / "png.png").rename("elsewhere.png")

    go(out, paths="album/jpg.jpg")

    assert captions_of(out) == {"jpg": "a dog of jpg", "png": "Grandma's dog"}


def test_a_file_that_an_edit_broke_is_one_sentence_before_a_picture_is_captioned(album):
    out = Path("captions.jsonl")
    go(out)
    out.write_text(out.read_text().replace("a dog of png", 'a "dog" of png'))
    before = out.read_text()

    with pytest.raises(DataError, match=r"captions.jsonl, line 2: broken JSON"):
        go(out, "a cat")

    assert out.read_text() == before


def test_a_journal_of_before_knows_what_was_written_by_its_answers(album):
    import sqlite3

    out = Path("captions.jsonl")
    go(out)
    change(out, "png", "Grandma's dog")
    with sqlite3.connect(journal_path(out)) as base:
        base.execute("DROP TABLE written")
    base.close()

    go(out, "a cat")

    assert captions_of(out)["png"] == "Grandma's dog"
    assert captions_of(out)["jpg"] == "a cat of jpg"


@pytest.mark.parametrize("answer", ["{", "[]", "{}", '{"caption": 5}', b"\xff", 5])
def test_a_strangers_journal_with_other_answers_is_one_sentence(album, answer):
    import sqlite3

    out = Path("captions.jsonl")
    go(out)
    before = out.read_bytes()
    with sqlite3.connect(journal_path(out)) as base:
        base.execute("UPDATE answers SET answer = ?", (answer,))
    base.close()

    with pytest.raises(DataError, match="is damaged .* captioned again"):
        go(out)

    assert out.read_bytes() == before


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_correction_is_written_without_a_mark_and_never_replaced(album, suffix):
    out = Path(f"captions{suffix}")
    go(out)
    journal = Path("captions.undo.jsonl")
    options = {"form": "xmp", "journal": journal, "apply": True, "known_to": out}
    list(write(read_captions(out), **options))
    change(out, "png", "Grandma's dog")

    actions = [e.action for e in write(read_captions(out), min_confidence=0.0, **options)]
    again = [e.action for e in write(read_captions(out), min_confidence=0.0, **options)]

    assert actions == ["unchanged", "written", "unchanged", "unchanged"]
    assert again == ["unchanged"] * 4
    found = read_packet((album / "png.png.xmp").read_bytes())
    assert found.text_hash == ""
    assert found.texts["description"]["x-default"] == "Grandma's dog"
    assert read_packet((album / "jpg.jpg.xmp").read_bytes()).text_hash
    change(out, "png", "a dog of png")  # the model's again
    assert [e.action for e in write(read_captions(out), **options)][1] == "kept"


@pytest.mark.skipif(not which("exiftool"), reason="ExifTool is not installed")
def test_into_a_picture_a_correction_goes_without_a_mark_too(album):
    out = Path("captions.jsonl")
    go(out)
    options = {"form": "embed", "journal": Path("c.undo.jsonl"), "apply": True, "known_to": out}
    before = {path: path.read_bytes() for path in album.iterdir()}
    assert [e.action for e in write(read_captions(out), **options)] == ["written"] * 4
    for stem in SUFFIXES:
        change(out, stem, f"Grandma's {stem}")

    assert [e.action for e in write(read_captions(out), **options)] == ["written"] * 4
    assert [e.action for e in write(read_captions(out), **options)] == ["unchanged"] * 4
    with ExifTool(find_exiftool()) as exiftool:
        for path in before:
            found = exiftool.read(path.read_bytes(), path.suffix[1:])
            assert found.text_hash == ""
            assert found.texts["description"]["x-default"] == f"Grandma's {path.stem}"
    assert {each.action for each in undo(Path("c.undo.jsonl"), apply=True)} == {"restored"}
    assert {path: path.read_bytes() for path in album.iterdir()} == before


def test_in_a_text_file_a_correction_is_not_replaced_either(album):
    out = Path("captions.jsonl")
    go(out)
    options = {"form": "txt", "journal": Path("captions.undo.jsonl"), "apply": True}
    list(write(read_captions(out), **options))
    change(out, "png", "Grandma's dog")
    assert [e.action for e in write(read_captions(out), **options)][1] == "written"
    assert (album / "png.txt").read_text() == "Grandma's dog\n"

    change(out, "png", "a dog of png")

    assert [e.action for e in write(read_captions(out), **options)][1] == "kept"
    assert (album / "png.txt").read_text() == "Grandma's dog\n"


def test_however_unsure_the_model_was_a_persons_caption_is_written(album):
    out = Path("captions.jsonl")
    go(out)
    change(out, "png", "Grandma's dog")

    options = {"form": "xmp", "journal": Path("c.undo.jsonl"), "min_confidence": 1.0}
    actions = [event.action for event in write(read_captions(out), **options)]

    assert actions == ["left out", "would write", "left out", "left out"]


@pytest.mark.parametrize("command", ["caption", "write"])
def test_a_strangers_rollback_journal_deletes_no_file(album, command):
    """SQLite deletes the file that is named at its end, whatever that holds."""
    out, precious = Path("captions.jsonl"), Path("precious").absolute()
    go(out)
    precious.write_text("precious")
    name, magic = bytes(precious), bytes.fromhex("d9d505f920a163d7")
    head = (magic + struct.pack(">5I", 0, 0, 1, 512, 4096)).ljust(512, b"\0")
    end = struct.pack(">I", 1) + name + struct.pack(">2I", len(name), sum(name)) + magic
    Path(f"{journal_path(out)}-journal").write_bytes(head + end)

    with pytest.raises(DataError, match="was not made by cutline: delete it"):
        go(out) if command == "caption" else read_captions(out)

    assert precious.read_text() == "precious"


@pytest.mark.parametrize("suffix", ["", "-journal"])
def test_a_journal_that_is_a_link_is_one_sentence(album, suffix):
    Path("precious").write_text("")
    Path(f".captions.jsonl.journal{suffix}").symlink_to("precious")

    with pytest.raises(DataError, match="it is a link"):
        go(Path("captions.jsonl"))

    assert Path("precious").read_text() == ""

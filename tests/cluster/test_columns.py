"""The class that engines run: the captions of `cutline caption`, as Arrow columns."""

import pickle
from io import BytesIO

import pyarrow
import pytest

from albums import SUFFIXES, draw_album
from cutline.cluster import CaptionColumns
from cutline.cluster.columns import caption_schema
from cutline.inference.captioner import load
from cutline.inference.library import describe_model
from cutline.io.tables import read_rows
from cutline.text.style import Style


@pytest.fixture
def album(tmp_path):
    return draw_album(tmp_path / "album")


def test_paths_bytes_files_and_what_datasets_holds_give_the_same_rows(tiny, album):
    columns, captioner = CaptionColumns(tiny), load(tiny)
    paths = [str(album / f"{suffix}.{suffix}") for suffix in SUFFIXES]
    contents = [(album / f"{suffix}.{suffix}").read_bytes() for suffix in SUFFIXES]

    table = columns(paths)

    assert table.schema == caption_schema()
    assert table["caption"].to_pylist() == [c.text for c in captioner.caption(paths)]
    about = describe_model(captioner)
    assert set(table["model"].to_pylist()) == {f"{about['name']} ({about['fingerprint']})"}
    assert columns(pyarrow.array(contents)) == columns(contents) == table
    assert columns([{"bytes": content, "path": None} for content in contents]) == table
    assert columns([{"bytes": None, "path": path} for path in paths]) == table
    assert columns(map(BytesIO, contents)) == table


def test_a_damaged_picture_has_its_sentence_and_the_others_their_captions(tiny, album):
    (album / "bad.png").write_bytes(b"no picture")

    table = CaptionColumns(tiny)([str(album / "bad.png"), None, str(album / "png.png")])

    bad, nothing, fine = table["error"].to_pylist()
    assert bad.startswith(f"{album}/bad.png is not a picture in a supported format")
    assert (nothing, fine) == ("the file is empty (0 bytes)", None)
    assert [caption is None for caption in table["caption"].to_pylist()] == [True, True, False]
    assert CaptionColumns(tiny)([None]).schema == caption_schema()


def test_options_travel_to_other_processes_without_the_model(tiny, album):
    columns = CaptionColumns(tiny, Style(sentence=True), 1.0)
    before = columns([str(album / "png.png")])

    sent = pickle.dumps(columns)

    assert len(sent) < 2_000
    assert pickle.loads(sent)([str(album / "png.png")]) == before
    assert before["left_out"][0].as_py().endswith("is less than 1")


def test_a_folder_of_parts_is_read_like_one_table(tiny, album, tmp_path):
    from cutline.cluster.folder import CaptionFolder

    columns, folder = CaptionColumns(tiny), tmp_path / "captions.parquet"
    names = [f"{suffix}.{suffix}" for suffix in SUFFIXES]
    for some in (names[:1], names[1:]):
        with CaptionFolder.open(folder, {}) as parts:
            rows = columns([str(album / name) for name in some])
            parts.append(rows.add_column(0, "path", [some]))

    assert [row["path"] for _, row in read_rows(folder)] == names
    assert sorted(path.name for path in folder.iterdir()) == [
        "part-000000.parquet",
        "part-000001.parquet",
    ]


def test_an_engine_needs_a_folder_and_takes_no_options_of_files(run):
    code, _, err = run("caption", ".", "--engine", "daft", "--sentence", "--threads", 2)
    assert code == 2 and "--engine needs what to caption and a folder" in err

    for option in ("--json", "--gaze", "--watch", "--overwrite", "--best=2"):
        code, _, err = run("caption", ".", "--engine", "daft", option)
        assert code == 2 and "cannot be combined with --engine" in err
    assert run("caption", ".", "--ray", "auto")[0] == 2

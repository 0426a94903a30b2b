"""Training from shards is training from the same pictures in a folder."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cutline.datasets.shapes import Shapes
from cutline.datasets.shards import Shards
from cutline.errors import ImageError
from cutline.images.load import View, open_image
from cutline.images.shards import find_shard, list_members
from cutline.recipe import Recipe
from cutline.reports.dataset import summarize
from cutline.training import distributed
from cutline.training.experiment import Experiment
from cutline.training.trainer import Step
from cutline.types import Example
from training.processes import in_processes

TABLE: dict[str, dict[str, Any]] = {
    "source": {"kind": "shards"},
    "view": {"size": 32},
    "vocabulary": {"min_count": 1},
    "encoder": {"kind": "mosaic", "tiles": 4},
    "decoder": {"kind": "show-and-tell", "embedding": 16, "hidden": 32, "dropout": 0.5},
    "training": {"epochs": 2, "captions_a_step": 20, "learning_rate": 0.01},
    "search": {"kind": "beam", "width": 2, "max_words": 12},
}
SHARDS = 4


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same 40 pictures in a folder, in four tars and in a table of small row groups."""
    home = tmp_path_factory.mktemp("shards")
    examples = list(Shapes(home / "folder", count=40, size=32))
    lines = [{"image": e.id, "captions": e.captions, "split": e.split} for e in examples]
    (home / "folder" / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (home / "tar").mkdir()
    for number in range(SHARDS):
        write_tar(home / "tar" / f"{number:05}.tar", examples[number * 10 : number * 10 + 10])
    return home


def write_tar(shard: Path, examples: list[Example]) -> None:
    with tarfile.open(shard, "w") as tar:
        for example in examples:
            said = json.dumps({"captions": example.captions, "split": example.split}).encode()
            name = Path(example.id)
            for file, content in ((name, example.image.read_bytes()), (name.stem + ".json", said)):
                member = tarfile.TarInfo(str(file))
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def table(home: Path) -> Path:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    examples = list(Shapes(home / "folder", count=40, size=32))
    rows = {
        "image": [{"bytes": e.image.read_bytes(), "path": e.id} for e in examples],
        "caption": [list(e.captions) for e in examples],
        "split": [e.split for e in examples],
    }
    (home / "table").mkdir()
    parquet.write_table(pyarrow.table(rows), home / "table" / "all.parquet", row_group_size=7)
    return home / "table"


def train(home: Path, kind: str, out: str, *, stop: int | None = None) -> list[float]:
    source = {"kind": "folder" if kind == "folder" else "shards"}
    recipe = Recipe.of({**TABLE, "source": source})
    experiment = Experiment(
        recipe, home / kind, home / out, cache=home / f"cache-{out}", device="cpu"
    )
    events = experiment.run()
    losses = []
    for event in events:
        if isinstance(event, Step):
            losses.append(event.loss)
            if event.number == stop:
                break
    events.close()
    return losses


@pytest.fixture(scope="module")
def from_folder(home: Path) -> list[float]:
    return train(home, "folder", "from-folder")


def test_tar_shards_train_as_the_same_pictures_in_a_folder_and_resume_to_the_sample(
    home, from_folder
):
    before = train(home, "tar", "from-tar", stop=7)
    after = train(home, "tar", "from-tar")

    assert before + after == from_folder


@pytest.mark.slow
def test_a_table_trains_as_the_same_pictures_in_a_folder(home, table, from_folder):
    assert train(home, "table", "from-table") == from_folder


def test_two_processes_read_the_shards_of_their_own(home):
    def own() -> set[str]:
        """The shards of the pictures that this process encodes."""
        examples = list(Shards(home / "tar"))
        part = examples[distributed.block(len(examples))]
        return {example.image.parent.name for example in part}

    first, second = in_processes(2, own)

    assert first == {"00000.tar", "00001.tar"}
    assert second == {"00002.tar", "00003.tar"}


@pytest.mark.slow
def test_two_processes_from_shards_learn_what_they_learn_from_a_folder(home):
    [one, _], [other, _] = (
        in_processes(2, train, home, kind, f"{kind}-by-two") for kind in ("folder", "tar")
    )

    assert one == other


def test_a_picture_of_a_shard_is_read_in_place_and_a_missing_one_is_told(home):
    example = next(iter(Shards(home / "tar")))

    pixels = open_image(example.image, View(size=32))

    assert find_shard(example.image) == home / "tar" / "00000.tar"
    assert (pixels == open_image(home / "folder" / example.image.name, View(size=32))).all()
    with pytest.raises(ImageError, match=r"00000\.tar/nothing\.png does not exist"):
        open_image(home / "tar" / "00000.tar" / "nothing.png", View())


def test_the_same_picture_in_the_shards_of_two_splits_is_found(home, tmp_path):
    example = next(iter(Shapes(home / "folder", count=1, size=32)))
    write_tar(tmp_path / "one.tar", [example])
    write_tar(tmp_path / "two.tar", [replace(example, split="validation")])

    *_, summary = summarize(list(Shards(tmp_path)))

    assert [[e.image.parent.name for e in group] for group in summary.duplicates] == [
        ["one.tar", "two.tar"]
    ]


def test_names_that_lead_out_of_a_shard_are_no_members(tmp_path):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for name in ("/etc/a.jpg", "../b.jpg", "c/../../d.jpg", "e.jpg"):
            tar.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("f.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)

    assert list(list_members(tmp_path / "evil.tar")) == ["e.jpg"]


@pytest.mark.parametrize("name", ["bad.tar", "bad.parquet"])
def test_a_damaged_shard_is_told_in_a_sentence(name, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(b"neither nor" * 100)

    [problem] = Shards(tmp_path).read().problems

    assert str(problem).startswith(f"{tmp_path / name}: this shard cannot be read: ")


def test_descriptions_that_are_wrong_are_told_by_member(tmp_path):
    write = {"a.jpg": b"", "a.json": b"{", "b.jpg": b"", "b.json": b'{"caption": 3}', "c.jpg": b""}
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for member, content in write.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

    told = [problem.sentence for problem in Shards(tmp_path).read().problems]

    assert told == [
        "the description of a.jpg is wrong: not JSON",
        "the description of b.jpg is wrong: captions must be a text or a list of texts",
        "'x.tar/c.jpg' has no captions",
    ]

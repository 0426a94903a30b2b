"""A file of captions as training data: what a person accepted, corrected or wrote, nothing else."""

import json
from pathlib import Path

import pytest

from albums import draw, line, write_lines
from cutline.datasets.folder import Folder
from cutline.datasets.validation import Problem
from cutline.errors import DataError
from cutline.reports.review import Review


def read(file: Path) -> tuple[dict[str, str], str]:
    """Caption by the picture's name, and the sentence about what is used."""
    reading = Folder(file).read()
    used = {example.image.name: example.captions[0] for example in reading.examples}
    return used, reading.problems[0].sentence


def test_what_a_person_accepted_edited_or_wrote_is_used_and_the_rest_counted(tmp_path):
    names = ("accepted", "edited", "rejected", "untouched", "by hand", "found", "gone", "failed")
    lines = [line(draw(tmp_path / f"{name}.jpg"), f"a dog {name}") for name in names]
    file = write_lines(tmp_path / "captions.jsonl", lines)
    review = Review(file)
    review.decide(0, "accepted")
    review.decide(1, "edited", "our dog")
    review.decide(2, "rejected")
    rows = [json.loads(each) for each in file.read_text().splitlines()]
    rows[4] = {"path": "by hand.jpg", "caption": "Rex"}  # relative to the file
    rows[5] = {**rows[4], "path": "found.jpg", "existing": {"field": "IPTC caption"}}
    rows[6]["by"] = "human"
    (tmp_path / "gone.jpg").unlink()
    rows[7] = {"path": "failed.jpg", "error": "damaged"}
    write_lines(file, rows)

    used, sentence = read(file)

    assert used == {
        "accepted.jpg": "a dog accepted",
        "edited.jpg": "our dog",
        "by hand.jpg": "Rex",
        "found.jpg": "Rex",
    }
    assert sentence == (
        "trains on 4 captions of a person (1 accepted, 2 edited, 1 existing); left out: 1 the "
        "model's own, 1 rejected, 1 without a caption, 1 without their picture"
    )
    assert len(list(Folder(file))) == 4


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_an_edit_in_the_file_is_found_by_its_journal(run, tiny, tmp_path, suffix):
    pictures = [draw(tmp_path / f"{name}.png", seed) for seed, name in enumerate("abc")]
    out = tmp_path / f"captions.{suffix}"
    run("caption", *pictures, "--model", tiny, "--out", out)
    assert "no caption in it is a person's; left out: 3 the model's own" in read(out)[1]
    with pytest.raises(DataError, match="cutline review"):
        list(Folder(out))

    first = json.loads(out.read_text().splitlines()[0])["caption"] if suffix == "jsonl" else None
    first = first or out.read_text().splitlines()[1].split(",")[1]
    out.write_text(out.read_text().replace(first, "my shape", 1))

    assert list(read(out)[0].values()) == ["my shape"]


def test_a_folder_with_such_a_file_is_answered_with_the_files_name(tmp_path):
    picture = draw(tmp_path / "a.jpg")
    write_lines(tmp_path / "captions.jsonl", [line(picture, "a dog")])

    [problem] = [p for p in Folder(tmp_path).read().problems if isinstance(p, Problem) and p.line]
    assert "name the file instead of its folder" in problem.sentence

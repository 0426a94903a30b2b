"""Several sources, read together: sentences, labels, and pictures that are shown more than once."""

import gzip
import json
from pathlib import Path

import pytest

from cutline.datasets.labels import Labels
from cutline.datasets.mixture import Share, locate, read_mixture
from cutline.datasets.sentences import Sentences
from cutline.errors import DataError, RecipeError
from cutline.recipe import Recipe

RECIPE = Recipe.of(
    {
        "source": [
            {"name": "a", "kind": "folder", "repeat": 2, "repeat_without_people": 4},
            {"name": "b", "kind": "folder"},
            {"name": "talk", "kind": "sentences"},
        ],
        "encoder": {"kind": "mosaic"},
        "decoder": {"kind": "concept-attention"},
        "search": {"kind": "beam"},
    }
)


def write_folder(folder: Path, *captions: str) -> Path:
    folder.mkdir()
    lines = []
    for number, caption in enumerate(captions):
        (folder / f"{number}.png").touch()
        lines.append({"image": f"{number}.png", "caption": caption, "split": "train"})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture
def places(tmp_path):
    (tmp_path / "talk.txt").write_text("a zebra\n\na giraffe\n")
    return {
        "a": write_folder(tmp_path / "a", "a man runs", "a dog runs"),
        "b": write_folder(tmp_path / "b", "a cat sits"),
        "talk": tmp_path / "talk.txt",
    }


def test_pictures_of_two_sources_are_told_apart_and_shown_as_often_as_their_source_says(places):
    mixture = read_mixture(RECIPE, places)

    assert [example.id for example in mixture.examples] == ["a/0.png", "a/1.png", "b/0.png"]
    assert mixture.repeats == {"a/0.png": 2, "a/1.png": 4, "b/0.png": 1}
    assert list(mixture.sentences[0]) == ["a zebra", "a giraffe"]
    assert [source["count"] for source in mixture.sources] == [2, 1, 2]


def test_other_sentences_are_other_data(places):
    before = read_mixture(RECIPE, places).fingerprint()
    places["talk"].write_text("a zebra\na lion\n")

    assert read_mixture(RECIPE, places).fingerprint() != before


def test_a_source_of_which_nobody_said_where_it_is_is_named(places):
    del places["b"]

    with pytest.raises(DataError, match="give the path of b, --data b=PATH"):
        read_mixture(RECIPE, places)


def test_a_picture_is_shown_once_at_least():
    with pytest.raises(RecipeError, match="source.repeat is 0"):
        Share(repeat=0)


def test_what_the_command_line_says_of_several_sources():
    told = locate(RECIPE, ["a=x", "talk=y=z.tsv", "b=w"])

    assert told == {"a": Path("x"), "talk": Path("y=z.tsv"), "b": Path("w")}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["x"], "mixes a, b, talk: give the path of each, --data a=PATH"),
        (["a=x", "tolk=y"], "no source 'tolk'; did you mean 'talk'?"),
        (["a=x", "b=y"], "give the path of talk, --data talk=PATH"),
    ],
)
def test_what_is_wrong_with_it_is_told(given, sentence):
    with pytest.raises((RecipeError, DataError), match=sentence):
        locate(RECIPE, given)


def test_one_source_is_one_path_whatever_signs_it_has():
    one = Recipe.of({**RECIPE.as_json(), "source": {"kind": "folder"}})

    assert locate(one, ["a=b"]) == Path("a=b")
    with pytest.raises(RecipeError, match="--data can be given only once"):
        locate(one, ["a", "b"])


# ------------------------------------------------------------------------------ sentences, labels


@pytest.mark.parametrize("name", ["talk.tsv", "talk.tsv.gz", "talk.txt"])
def test_a_line_is_a_sentence_with_or_without_an_id(name, tmp_path):
    text = "17\tA dog  runs .\r\n\nA cat, asleep\n"
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)

    assert list(Sentences(tmp_path / name)) == ["A dog runs .", "A cat, asleep"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", None, "a.txt cannot be read: No such file"),
        ("a.tsv.gz", b"no gzip", "a.tsv.gz cannot be read"),
        ("a.txt", b"a dog\n\xff\xfe\n", "a.txt:2: this line is not UTF-8"),
    ],
)
def test_a_file_that_holds_no_sentences_is_told(name, content, sentence, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=sentence):
        list(Sentences(tmp_path / name))


def write_labels(folder: Path, *lines: dict) -> Path:
    file = folder / "labels.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_labels_are_read_as_the_plain_nouns_that_they_name(tmp_path):
    file = write_labels(
        tmp_path,
        {"file": "in/a.jpg", "labels": ["golden retriever", "Persian cat"], "person": True},
        {"file_name": "b.jpg", "labels": ["sky"], "objects": [["car", 0.5], ["pole", 0.01]]},
        {"file": "c.jpg", "labels": [], "scene": "living_room", "person": False},
        {"file": "d.jpg", "labels": ["chart"], "photograph": False},
        {"file": "e.jpg", "labels": ["dog"], "split": "test"},
    )

    read = list(Labels(file))

    assert [each.image.name for each in read] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert [each.folder for each in read] == ["in", "", "", ""]
    assert [each.photograph for each in read] == [True, True, True, False]
    assert [each.person for each in read] == [True, None, False, None]
    assert read[3].nouns == frozenset()
    assert {"cat"} <= read[0].nouns
    assert read[1].nouns == {"car"}
    assert "room" in read[2].nouns


def test_a_folder_and_a_number_may_be_chosen(tmp_path):
    lines = [{"file": f"{'zoo' if n % 2 else 'sea'}/{n}.jpg", "labels": ["dog"]} for n in range(20)]
    file = write_labels(tmp_path, *lines)

    read = [each.image.name for each in Labels(file, folder="zoo", limit=5)]

    assert read == ["1.jpg", "5.jpg", "9.jpg", "13.jpg", "17.jpg"]
    with pytest.raises(DataError, match="no labelled photographs in moon"):
        list(Labels(file, folder="moon"))


@pytest.mark.parametrize("line", ["no json", "[1]", '{"labels": ["dog"]}', '{"file": "a.jpg"}'])
def test_a_line_that_labels_nothing_is_told(line, tmp_path):
    (tmp_path / "labels.jsonl").write_text('{"file": "a.jpg", "labels": []}\n' + line)

    with pytest.raises(DataError, match=r"labels.jsonl:2: a line must be an object"):
        list(Labels(tmp_path / "labels.jsonl"))

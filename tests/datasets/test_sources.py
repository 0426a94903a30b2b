"""Every source keeps the promises of `cutline.datasets` and tells what breaks them, by line."""

import io
import json
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from shutil import copy

import numpy as np
import pytest
from PIL import Image

from cutline.datasets import SOURCES, coco
from cutline.datasets.coco import Coco, write_coco
from cutline.datasets.flickr8k import Flickr8k
from cutline.datasets.folder import Folder
from cutline.datasets.shapes import COLOURS, SHAPES, Shapes
from cutline.datasets.shards import Shards
from cutline.datasets.validation import check
from cutline.errors import DataError, RecipeError
from cutline.images.shards import find_shard
from cutline.recipe import find
from cutline.types import SPLITS, Example

LISTS = {"train": "trainImages", "validation": "devImages", "test": "testImages"}
FLICKR = {"train": ["a.jpg", "b.jpg"], "validation": ["c.jpg"], "test": ["d.jpg"]}


def write_pictures(folder: Path, names: Iterable[str]) -> None:
    """Empty files: a source lists pictures and does not open them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write_lists(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, name in LISTS.items():
        (folder / f"Flickr_8k.{name}.txt").write_text("\n".join(FLICKR[split]) + "\n")


def flickr_as_unzipped(folder: Path) -> Flickr8k:
    write_lists(folder / "Flickr8k_text")
    lines = [f"{name}.jpg#{number}\tA dog , {number} .\n" for name in "abcd" for number in (0, 1)]
    (folder / "Flickr8k_text" / "Flickr8k.token.txt").write_text("".join(lines))
    write_pictures(folder / "Flicker8k_Dataset", ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    return Flickr8k(folder)


def flickr_from_kaggle(folder: Path) -> Flickr8k:
    write_lists(folder)
    rows = [f'{name}.jpg,A dog , alone .\n{name}.jpg,"A ""dog"", alone ."\n' for name in "abcd"]
    (folder / "captions.txt").write_text("".join(["image,caption\n", *rows]))
    write_pictures(folder / "Images", ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    return Flickr8k(folder)


def coco_of(folder: Path, year: int = 2017) -> Coco:
    """Two training pictures, one of validation, one of test; ids 1 to 4."""
    (folder / "annotations").mkdir(parents=True)
    for name, ids in (
        ("captions_train", (1, 2)),
        ("captions_val", (3,)),
        ("image_info_test", (4,)),
    ):
        images = [{"id": id, "file_name": f"{id:012}.jpg"} for id in ids]
        annotations = [{"id": 9, "image_id": id, "caption": f"a cat {id}\n"} for id in ids]
        document = {"images": images, "annotations": annotations}
        if name == "image_info_test":
            del document["annotations"]
        (folder / "annotations" / f"{name}{year}.json").write_text(json.dumps(document))
        pictures = f"{name.rpartition('_')[2]}{year}"
        write_pictures(folder / pictures, [image["file_name"] for image in images])
    return Coco(folder, year=year)


def folder_with(folder: Path, files: dict[str, str], *pictures: str) -> Folder:
    write_pictures(folder, pictures)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    return Folder(folder)


def folder_of_jsonl(folder: Path) -> Folder:
    lines = (
        '{"image": "a.jpg", "captions": ["a dog", "a brown dog"], "split": "val"}\n'
        '{"image": "in/b.PNG", "caption": "an egg"}\n'
    )
    return folder_with(folder, {"captions.jsonl": lines}, "a.jpg", "in/b.PNG")


def folder_of_json(folder: Path) -> Folder:
    images = [
        {"id": 7, "file_name": "a.jpg", "split": "validation"},
        {"id": 8, "file_name": "b.jpg"},
    ]
    said = [(7, "a dog"), (8, "an egg"), (7, "a brown dog")]
    annotations = [{"image_id": number, "caption": caption} for number, caption in said]
    document = {"images": images, "annotations": annotations}
    return folder_with(folder, {"captions.json": json.dumps(document)}, "images/a.jpg", "b.jpg")


def folder_of_csv(folder: Path) -> Folder:
    rows = 'image,caption,split\na.jpg,"a dog, brown",train\na.jpg,a dog,train\nb.jpg,an egg,\n'
    return folder_with(folder, {"captions.csv": rows}, "a.jpg", "b.jpg")


def folder_of_texts(folder: Path) -> Folder:
    texts = {"a.txt": "a dog\n\na brown dog\n", "b.txt": "an egg"}
    return folder_with(folder, texts, "a.jpg", "b.jpg")


def add_to_tar(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def shards_of_tar(folder: Path) -> Shards:
    """As `webdataset` and `img2dataset` write them; one picture may have several captions."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "00000.tar", "w") as tar:
        add_to_tar(tar, "./a.jpg", b"")
        add_to_tar(tar, "./a.txt", b"a dog\n\na brown dog\n")
        add_to_tar(tar, "./a.json", b'{"width": 3}')
    with tarfile.open(folder / "val-00001.tar", "w") as tar:
        add_to_tar(tar, "b.json", b'{"captions": ["an egg"]}')
        add_to_tar(tar, "b.png", b"")
    return Shards(folder)


def shards_of_parquet(folder: Path) -> Shards:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    folder.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": b"", "path": "a.jpg"}, {"bytes": b"", "path": "b.jpg"}]
    rows = {"image": images, "caption": [["a dog", "a brown dog"], ["an egg"]]}
    parquet.write_table(pyarrow.table(rows), folder / "train-00000-of-00001.parquet")
    plain = {"jpg": [b""], "caption": ["a cat"], "split": ["val"]}
    parquet.write_table(pyarrow.table(plain), folder / "more.parquet")
    return Shards(folder)


def shapes_of(folder: Path) -> Shapes:
    return Shapes(folder, count=20, size=32)


EVERY_SOURCE = [
    flickr_as_unzipped,
    flickr_from_kaggle,
    coco_of,
    folder_of_jsonl,
    folder_of_json,
    folder_of_csv,
    folder_of_texts,
    shapes_of,
    shards_of_tar,
    shards_of_parquet,
]


@pytest.fixture(params=EVERY_SOURCE, ids=lambda make: make.__name__)
def make_source(request: pytest.FixtureRequest) -> Callable[[Path], Iterable[Example]]:
    return request.param


@pytest.mark.parametrize("content", ["[]", "{", '{"images": [], "annotations": [{"image_id": 1}]}'])
def test_a_document_that_is_none_of_cocos_is_told_once(content, tmp_path):
    [problem] = folder_with(tmp_path, {"captions.json": content}, "a.jpg").read().problems

    assert "captions.json: this is not a captions file in COCO's format" in str(problem)


def test_a_document_as_cocos_says_which_picture_is_in_which_split(tmp_path):
    examples = {each.id: each for each in folder_of_json(tmp_path)}

    assert examples["images/a.jpg"].split == "validation"
    assert examples["images/a.jpg"].captions == ("a dog", "a brown dog")


def test_every_kind_that_reads_files_is_in_the_contract(tmp_path):
    made = {type(make(tmp_path / make.__name__)) for make in EVERY_SOURCE}

    assert made == {find("source", {"kind": kind}) for kind in SOURCES if kind != "hf"}


def test_a_source_keeps_its_promises(make_source, tmp_path):
    examples = list(make_source(tmp_path))

    assert examples
    assert all((find_shard(e.image) or e.image).is_file() for e in examples)
    assert all(example.split in SPLITS for example in examples)
    assert all(text.strip() == text != "" for example in examples for text in example.captions)
    assert all(example.captions or example.split == "test" for example in examples)
    assert len({example.id for example in examples}) == len(examples)


def test_a_source_comes_in_the_same_order_each_time(make_source, tmp_path):
    source = make_source(tmp_path)

    assert list(source) == list(source)


def test_nothing_is_wrong_with_a_good_source(make_source, tmp_path):
    assert check(make_source(tmp_path)) == []


def test_a_folder_may_be_given_as_text(make_source, tmp_path):
    source = make_source(tmp_path)

    assert type(source)(str(tmp_path)).folder == source.folder


# Flickr8k


@pytest.mark.slow
def test_flickr8k_has_its_published_counts(shared):
    examples = list(Flickr8k(shared / "data/flickr8k"))

    assert Counter(e.split for e in examples) == {"train": 6000, "validation": 1000, "test": 1000}
    assert {len(example.captions) for example in examples} == {5}
    assert examples[0].id == "2513260012_03d33305cf.jpg"
    assert examples[0].captions[1] == "Black dog chasing brown dog through snow"


@pytest.mark.slow
def test_only_captions_written_twice_are_found_in_the_real_flickr8k(shared):
    problems = check(Flickr8k(shared / "data/flickr8k"))

    assert len(problems) == 14
    assert not any(problem.is_fatal for problem in problems)
    assert str(problems[0]).endswith(
        "token.txt:6479: '2242863004_3a9f82a31f.jpg' has the same caption as in line 6478"
    )


@pytest.mark.slow
def test_the_arabic_captions_have_one_line_without_a_picture(shared):
    source = Flickr8k(shared / "data/flickr8k", captions="Flickr8k.arabic.full.txt")

    with pytest.raises(DataError, match=r"arabic.full.txt:22183: .* there is no tab$"):
        list(source)


def test_photographs_in_no_list_are_left_out_whatever_is_wrong_with_them(tmp_path):
    source = flickr_as_unzipped(tmp_path)
    with (tmp_path / "Flickr8k_text" / "Flickr8k.token.txt").open("a") as tokens:
        tokens.write("2258277193_586949ec62.jpg.1#0\tPeople wait .\n")  # so in the authors' file

    problems = check(source)

    assert [example.id for example in source] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert [(problem.line, problem.is_fatal) for problem in problems] == [(9, False)]


def test_kaggles_copy_without_lists_is_told_what_is_missing(tmp_path):
    source = flickr_from_kaggle(tmp_path)
    for name in LISTS.values():
        (tmp_path / f"Flickr_8k.{name}.txt").unlink()

    with pytest.raises(DataError, match=r"devImages.txt: the list .* Flickr8k_text.zip .*2 more"):
        list(source)


def test_kaggles_copy_can_be_read_as_a_folder(tmp_path):
    flickr_from_kaggle(tmp_path)

    examples = list(Folder(tmp_path))

    assert [example.id for example in examples] == [f"Images/{name}.jpg" for name in "abcd"]
    assert examples[0].captions == ("A dog , alone .", 'A "dog", alone .')


def test_a_folder_that_is_not_flickr8k_is_told_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match="no folder of photographs; looked for Flicker8k_Dataset/"):
        list(Flickr8k(tmp_path))


def test_all_problems_are_told_by_line_and_none_hides_another(tmp_path):
    source = flickr_as_unzipped(tmp_path)
    text = tmp_path / "Flickr8k_text"
    with (text / "Flickr_8k.testImages.txt").open("a") as list_of_test:
        list_of_test.write("a.jpg\nx.jpg\n")
    tokens = (text / "Flickr8k.token.txt").read_bytes().splitlines(keepends=True)
    tokens[1:3] = [b"a.jpg#1 no tab\n", b"b.jpg#0\t \n", b"b.jpg#2\tna\xefve\n"]
    (text / "Flickr8k.token.txt").write_bytes(b"".join(tokens))

    told = [(problem.file.name, problem.line, problem.sentence) for problem in check(source)]

    assert told == [
        (
            "Flickr8k.token.txt",
            2,
            "a line must be name#number, a tab and the caption; there is no tab",
        ),
        ("Flickr8k.token.txt", 3, "'b.jpg' has an empty caption"),
        ("Flickr8k.token.txt", 4, "byte 11 of this line is not UTF-8"),
        (
            "Flickr_8k.testImages.txt",
            2,
            "'a.jpg' is in split test, but line 1 of Flickr_8k.trainImages.txt puts it in train",
        ),
        ("Flickr_8k.testImages.txt", 3, "there is no picture 'x.jpg'"),
        ("Flickr_8k.testImages.txt", 3, "'x.jpg' has no captions"),
    ]
    with pytest.raises(DataError, match=r"token.txt:2: .* \(and 5 more\)$"):
        list(source)


# COCO


@pytest.mark.slow
def test_coco_in_small_is_read_as_it_lies(shared):
    source = Coco(shared / "data/coco")

    examples, problems = list(source), check(source)

    assert [(len(examples), len(example.captions)) for example in examples] == [(80, 5)] * 80
    assert examples[0].id == "493652"
    assert examples[0].image.name == "000000493652.jpg"
    assert [str(problem) for problem in problems] == [
        f"{shared}/data/coco/captions_val2017.json: left out, because there is no folder val2017/"
        " of its pictures"
    ]


def test_coco_knows_its_splits_and_leaves_the_test_pictures_without_captions(tmp_path):
    examples = list(coco_of(tmp_path, year=2014))

    assert [(example.id, example.split, example.captions) for example in examples] == [
        ("1", "train", ("a cat 1",)),
        ("2", "train", ("a cat 2",)),
        ("3", "validation", ("a cat 3",)),
        ("4", "test", ()),
    ]


def test_karpathys_split_takes_validation_and_test_from_val2014(tmp_path):
    coco_of(tmp_path, year=2014)
    path = tmp_path / "annotations" / "captions_val2014.json"
    ids = [253964, 350334, 184613, 3]  # the first two are Karpathy's test, the third validation
    images = [{"id": id, "file_name": f"{id:012}.jpg"} for id in ids]
    captions = [{"image_id": id, "caption": "a cat"} for id in ids]
    path.write_text(json.dumps({"images": images, "annotations": captions}))
    write_pictures(tmp_path / "val2014", [image["file_name"] for image in images])

    found = {e.id: e.split for e in Coco(tmp_path, year=2014, split="karpathy")}

    assert found == {
        "1": "train",
        "2": "train",
        "253964": "test",
        "350334": "test",
        "184613": "validation",
        "3": "train",
    }
    with pytest.raises(RecipeError, match="COCO has no split 'karpaty'; did you mean 'karpathy'"):
        Coco(tmp_path, split="karpaty")


@pytest.mark.slow
def test_karpathys_split_is_that_of_the_published_lists(shared):
    told = {
        split: {
            line.split()[1]
            for line in (shared / f"data/coco/karpathy_{name}_images.txt").read_text().splitlines()
        }
        for split, name in (("validation", "valid"), ("test", "test"))
    }

    split_of = coco._karpathy()

    assert {split: {i for i, s in split_of.items() if s == split} for split in told} == told


def as_pycocotools_reads(file: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """Id, file and captions of every image, as everybody else reads COCO.

    White space is told plainly, as our sources do: one blank between words, none around them.
    """
    from pycocotools.coco import COCO

    read = COCO(str(file))
    return [
        (str(image["id"]), image["file_name"], tuple(" ".join(a["caption"].split()) for a in own))
        for image in read.loadImgs(read.getImgIds())
        if (own := read.imgToAnns[image["id"]])
    ]


def as_we_read(source: Iterable[Example], split: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(e.id, e.image.name, e.captions) for e in source if e.split == split]


def test_what_is_written_as_coco_is_read_the_same_by_us_and_by_pycocotools(tmp_path, drawn):
    examples = list(Shapes(drawn, count=20, size=32))

    source = write_coco(examples, tmp_path / "coco", year=2014)

    assert source.year == 2014
    found = {(e.split, e.image.read_bytes(), e.captions) for e in source}
    assert found == {
        (e.split, e.image.read_bytes(), () if e.split == "test" else e.captions) for e in examples
    }
    assert [e.id for e in source] == [*(str(n) for n in range(1, 21) if n not in (9, 10, 19, 20)),
                                      "9", "19", "10", "20"]  # fmt: skip
    for split, name in (("train", "train"), ("validation", "val")):
        file = tmp_path / "coco" / "annotations" / f"captions_{name}2014.json"
        assert as_pycocotools_reads(file) == as_we_read(source, split)


@pytest.mark.slow
def test_pycocotools_reads_the_real_annotations_as_we_do(tmp_path, shared):
    file = tmp_path / "captions_val2017.json"
    file.write_bytes((shared / "data/coco/captions_val2017.json").read_bytes())
    images = json.loads(file.read_text())["images"]
    write_pictures(tmp_path / "val2017", [image["file_name"] for image in images])

    ours = as_we_read(Coco(tmp_path), "validation")

    assert len(ours) == 5000
    assert sorted(ours) == sorted(as_pycocotools_reads(file))


def test_nothing_that_exists_is_overwritten_as_coco(tmp_path, drawn):
    (tmp_path / "coco").mkdir()

    with pytest.raises(DataError, match="coco already exists"):
        write_coco(list(Shapes(drawn, count=2, size=32)), tmp_path / "coco")

    assert [path.name for path in tmp_path.iterdir()] == ["coco"]


def test_a_coco_file_that_lies_in_both_places_counts_once(tmp_path):
    source = coco_of(tmp_path)
    before, name = list(source), "captions_train2017.json"
    copy(tmp_path / "annotations" / name, tmp_path)

    reading = source.read()

    assert list(reading.examples) == before
    assert [str(problem) for problem in reading.problems] == [
        f"{tmp_path / name}: left out, because annotations/ has a file of the same name"
    ]
    assert not any(problem.is_fatal for problem in reading.problems)


def test_coco_of_another_year_is_not_mixed_in(tmp_path):
    coco_of(tmp_path, year=2014)

    with pytest.raises(DataError, match="neither annotations/captions_train2017.json"):
        list(Coco(tmp_path))


def test_all_that_is_wrong_in_a_coco_file_is_told(tmp_path):
    source = coco_of(tmp_path)
    file = tmp_path / "annotations" / "captions_train2017.json"
    document = json.loads(file.read_text())
    document["images"] += [{"id": 5, "file_name": "5.jpg"}, {"id": 6}, 7]
    document["images"] += [{"id": 8, "file_name": "000000000002.jpg"}]
    document["annotations"] += [{"image_id": 1}, {"image_id": 99, "caption": "a cat"}, []]
    document["annotations"] += [{"image_id": 5, "caption": "a cat"}, {"image_id": 1, "caption": ""}]
    document["annotations"] += [{"image_id": 1, "caption": "A cat 1"}]
    file.write_text(json.dumps(document))

    told = [(problem.sentence, problem.is_fatal) for problem in check(source)]

    assert told == [
        ("images[2]: there is no 5.jpg in train2017/", True),
        ("images[3] must have an 'id' and a 'file_name'", True),
        ("images[4] must have an 'id' and a 'file_name'", True),
        ("left out: image 8 has no captions", False),
        ("annotations[2] must have an 'image_id' and a 'caption'", True),
        ("annotations[3] is about image 99, which `images` does not list", True),
        ("annotations[4] must have an 'image_id' and a 'caption'", True),
        ("'1' has an empty caption", True),
        ("'1' has the same caption", False),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"images": [],\n oops}', r"2017.json:2: broken JSON, column 2: Expecting property name"),
        (b"\xff{}", "byte 1 of this file is not UTF-8"),
        (b"[]", "it has no list 'images'"),
        (b'{"images": []}', "it has no list 'annotations'"),
        (b'{"images": ' + b"[" * 100_000, r"val2017.json: broken JSON: it is nested too deeply"),
        (b'{"images": ' + b"9" * 5_000, r"val2017.json: broken JSON: .*4300 digits"),
    ],
)
def test_a_broken_coco_file_is_one_problem(content, sentence, tmp_path):
    source = coco_of(tmp_path)
    (tmp_path / "annotations" / "captions_val2017.json").write_bytes(content)

    assert len(check(source)) == 1
    with pytest.raises(DataError, match=sentence):
        list(source)


# One's own folder


def test_the_three_forms_of_captions_say_the_same(tmp_path):
    jsonl = folder_of_jsonl(tmp_path / "jsonl")
    texts = folder_of_texts(tmp_path / "texts")
    csv = folder_of_csv(tmp_path / "csv")

    assert [example.captions for example in jsonl] == [("a dog", "a brown dog"), ("an egg",)]
    assert [example.captions for example in texts] == [("a dog", "a brown dog"), ("an egg",)]
    assert [example.captions for example in csv] == [("a dog, brown", "a dog"), ("an egg",)]
    assert [example.split for example in islice(jsonl, 1)] == ["validation"]


def test_a_picture_in_a_subfolder_may_be_called_by_its_bare_name_if_that_is_unique(tmp_path):
    rows = "image,caption\nb.jpg,one\n1\\c.jpg,two\n./1/d.jpg,three\nc.jpg,four\n"
    source = folder_with(
        tmp_path, {"captions.csv": rows}, "1/b.jpg", "1/c.jpg", "2/c.jpg", "1/d.jpg"
    )

    told = [str(problem) for problem in check(source)]

    assert told == [
        f"{tmp_path}/2/c.jpg: left out: this picture has no captions",
        f"{tmp_path}/captions.csv:5: there is no picture 'c.jpg'",
    ]


def test_names_and_captions_outside_ascii_are_found_however_they_are_composed(tmp_path):
    rows = "\ufeffimage;caption\r\nkätzchen.jpg;قطة صغيرة\r\n"
    source = folder_with(tmp_path, {"captions.csv": rows}, "ka\u0308tzchen.jpg")

    [example] = source

    assert example.captions == ("قطة صغيرة",)


def test_lines_of_csv_that_do_not_fit_are_told(tmp_path):
    rows = ["image,caption,split", "a.jpg,x,y,train", 'a.jpg,"open,train', "a.jpg,fine,trian"]
    source = folder_with(tmp_path, {"captions.csv": "\n".join([*rows, "a.jpg,good,test"])}, "a.jpg")

    told = [(problem.line, problem.sentence) for problem in check(source)]

    assert told == [
        (2, "4 cells, but 3 columns; a caption that contains ',' must be quoted"),
        (3, "this is not a line of CSV: unexpected end of data"),
        (4, "there is no split 'trian'; did you mean 'train'?"),
    ]


def test_lines_of_json_that_do_not_fit_are_told(tmp_path):
    lines = [
        '{"image": "a.jpg", "caption": "good"}',
        '{"image": "a.jpg",',
        '["a.jpg", "a dog"]',
        '{"image": "a.jpg", "captoin": "a dog"}',
        '{"image": "a.jpg", "captions": "a dog"}',
        '{"image": "a.jpg", "captions": [" "]}',
        '{"image": "b.jpg", "captions": []}',
        '{"image": "", "caption": "a dog"}',
        '{"image": "a.jpg", "caption": "half an emoji \\ud83d"}',
        '{"image": ' + "[" * 100_000,
        '{"image": ' + "9" * 5_000,
    ]
    source = folder_with(tmp_path, {"captions.jsonl": "\n".join(lines)}, "a.jpg", "b.jpg")

    told = [(problem.line, problem.sentence) for problem in check(source)]

    assert told == [
        (2, "broken JSON, column 19: Expecting property name enclosed in double quotes"),
        (3, "a line must be an object with the name of an 'image'"),
        (4, "a line must have either a 'caption' or 'captions'; did you mean 'captoin'?"),
        (5, "a 'caption' must be a text, and 'captions' a list of texts"),
        (6, "'a.jpg' has an empty caption"),
        (7, "'b.jpg' has no captions"),
        (8, "there is no picture '.'"),
        (9, "a caption of 'a.jpg' contains a lone surrogate"),
        (10, "broken JSON: it is nested too deeply"),
        (11, "broken JSON: it contains a number with thousands of digits"),
    ]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"captions.csv": "image,words\na.jpg,x\n"}, "csv:1: the columns must be image, caption"),
        ({"captions.csv": "image,captoin\n"}, "did you mean 'caption'"),
        ({"captions.csv": "file,text\na.jpg,x\n"}, "the first line, 'file,text', names others$"),
        ({"captions.csv": ""}, "captions.csv:1: the columns .* the first line is empty$"),
        (
            {"captions.csv": "image,caption\n"},
            "there are no captions; put",
        ),
        ({"labels.csv": "image,caption\na.jpg,x\n"}, "there are no captions; put them into"),
        ({"captions.csv": "", "captions.jsonl": ""}, "captions.jsonl exists, too; keep one"),
    ],
)
def test_captions_that_cannot_be_understood_as_a_whole_are_told(files, sentence, tmp_path):
    with pytest.raises(DataError, match=sentence):
        list(folder_with(tmp_path, files, "a.jpg"))


def test_a_table_that_cannot_be_understood_is_the_only_thing_told(tmp_path):
    table = "image,caption\na.jpg,ein Hund\n".encode("utf-16")
    (tmp_path / "captions.csv").write_bytes(table)
    source = folder_with(tmp_path, {}, "a.jpg", "b.jpg")

    told = [(problem.file.name, problem.sentence) for problem in check(source)]

    assert told == [("captions.csv", "this file is UTF-16: save it as UTF-8")]


def test_an_empty_folder_has_no_pictures(tmp_path):
    assert [problem.sentence for problem in check(Folder(tmp_path))] == ["there are no pictures"]


def test_a_name_that_differs_in_case_or_suffix_is_told_with_the_right_one(tmp_path):
    rows = "image,caption\nDOG.JPG,one\nsub/egg,two\nd.og.png,three\ncat,four\n"
    pictures = ("dog.jpg", "egg.png", "d.og.jpg", "1/cat.jpg", "2/cat.jpg")
    source = folder_with(tmp_path, {"captions.csv": rows}, *pictures)

    told = [problem.sentence for problem in check(source) if problem.is_fatal]

    assert told == [
        "there is no picture 'DOG.JPG'; did you mean 'dog.jpg'?",
        "there is no picture 'sub/egg'; did you mean 'egg.png'?",
        "there is no picture 'd.og.png'; did you mean 'd.og.jpg'?",
        "there is no picture 'cat'",  # there are two
    ]


def test_pictures_without_captions_are_left_out_and_hidden_ones_not_seen(tmp_path):
    texts = {"a.txt": "a dog", "captions.txt": "a page of captions"}
    source = folder_with(tmp_path, texts, "a.jpg", "b.jpg", "captions.jpg", ".thumbnails/a.jpg")

    assert [example.id for example in source] == ["a.jpg", "captions.jpg"]
    assert [(p.file.name, p.is_fatal) for p in check(source)] == [("b.jpg", False)]


def test_adding_pictures_moves_none_and_the_shares_come_out(tmp_path):
    few = [f"{number}.jpg" for number in range(0, 400, 2)]
    rows = "".join(f"{number}.jpg,a dog\n" for number in range(400))
    before = folder_with(tmp_path / "1", {"captions.csv": "image,caption\n" + rows}, *few)
    after = folder_with(
        tmp_path / "2",
        {"captions.csv": "image,caption\n" + rows},
        *(f"{number}.jpg" for number in range(400)),
    )

    earlier = {example.id: example.split for example in before.read().examples}
    later = {example.id: example.split for example in after}

    assert {name: later[name] for name in earlier} == earlier
    counts = Counter(later.values())
    assert 0.07 < counts["validation"] / 400 < 0.13
    assert 0.07 < counts["test"] / 400 < 0.13


def test_a_picture_keeps_its_split_when_it_changes_its_format(tmp_path):
    pngs = folder_with(
        tmp_path / "1", {f"{n}.txt": "a dog" for n in range(20)}, *map("{}.png".format, range(20))
    )
    jpgs = folder_with(
        tmp_path / "2", {f"{n}.txt": "a dog" for n in range(20)}, *map("{}.jpg".format, range(20))
    )

    assert [example.split for example in pngs] == [example.split for example in jpgs]


def test_shares_that_leave_nothing_to_train_on_are_refused(tmp_path):
    with pytest.raises(DataError, match="leave nothing to train on"):
        Folder(tmp_path, validation=0.6, test=0.6)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        list(Folder(tmp_path / "nowhere"))


# Drawn shapes


def test_a_picture_of_shapes_shows_what_its_captions_say(tmp_path):
    """Both colours are there, and their centres lie as the caption says."""
    for example in Shapes(tmp_path, count=30, size=48):
        here, relation, there = understand(example.captions[0])
        pixels = np.asarray(Image.open(example.image).convert("RGB")).astype(int)
        if here == there:
            continue
        (y, x), (other_y, other_x) = centre_of(here, pixels), centre_of(there, pixels)

        assert {
            "left of": x < other_x - 10,
            "right of": x > other_x + 10,
            "above": y < other_y - 10,
            "below": y > other_y + 10,
        }[relation]


def understand(caption: str) -> tuple[str, str, str]:
    """`a red circle left of a blue square` is `red`, `left of`, `blue`."""
    colours = [word for word in caption.split() if word in COLOURS]
    [relation] = [r for r in ("left of", "right of", "above", "below") if r in caption]
    return colours[0], relation, colours[1]


def centre_of(colour: str, pixels: np.ndarray) -> np.ndarray:
    red_green_blue = [int(COLOURS[colour][start : start + 2], 16) for start in (1, 3, 5)]
    places = np.argwhere((pixels == red_green_blue).all(axis=-1))
    return places.mean(axis=0)


def test_captions_of_a_picture_of_shapes_mean_the_same_in_different_words(tmp_path):
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    for example in Shapes(tmp_path, count=30, size=16):
        meanings = {understand(caption) for caption in example.captions}
        here, relation, there = understand(example.captions[0])

        assert len(set(example.captions)) == 3
        assert meanings <= {(here, relation, there), (there, opposite[relation], here)}
        assert all(
            sum(caption.count(shape) for shape in SHAPES) == 2 for caption in example.captions
        )


def test_shapes_are_the_same_wherever_they_are_drawn_and_more_move_none(tmp_path):
    few = list(Shapes(tmp_path / "1", count=5, size=16, seed=7))
    many = list(Shapes(tmp_path / "2", count=9, size=16, seed=7))

    assert [example.captions for example in few] == [example.captions for example in many[:5]]
    assert [e.image.read_bytes() for e in few] == [e.image.read_bytes() for e in many[:5]]
    assert [e.captions for e in Shapes(tmp_path / "3", count=5, size=16, seed=8)] != [
        example.captions for example in few
    ]


def test_shapes_are_drawn_once(tmp_path):
    [example] = Shapes(tmp_path, count=1, size=16)
    os.utime(example.image, (1, 1))

    list(Shapes(tmp_path, count=2, size=16))

    assert example.image.stat().st_mtime == 1
    assert not list(tmp_path.glob("*.part"))


def test_shapes_too_few_or_too_small_are_refused(tmp_path):
    with pytest.raises(DataError, match="0 shapes of 64 pixels"):
        Shapes(tmp_path, count=0)


# The validator on a source of one's own


def test_a_source_of_ones_own_is_held_to_the_contract(tmp_path):
    write_pictures(tmp_path, ["a.jpg"])
    source = [
        Example("a", tmp_path / "a.jpg", ("a dog",), "train"),
        Example("a", tmp_path / "a.jpg", ("a dog",), "test"),
        Example("b", tmp_path / "b.jpg", (), "trian"),
        Example("c", tmp_path / "nowhere" / "c.jpg", ("",), "test"),
    ]

    told = [(problem.file.name, problem.sentence) for problem in check(source)]

    assert told == [
        ("a.jpg", "is in train and in test"),
        ("b.jpg", "there is no such picture"),
        ("b.jpg", "split 'trian' is none of train, validation, test"),
        ("b.jpg", "has no captions"),
        ("c.jpg", "there is no such picture"),
        ("c.jpg", "has an empty caption"),
    ]


def test_flickr8k_in_another_language_has_the_photographs_with_captions_in_it(tmp_path):
    flickr_as_unzipped(tmp_path)
    english = tmp_path / "Flickr8k_text/Flickr8k.token.txt"
    first = english.read_text(encoding="utf8").partition("#")[0]
    german = english.with_name("Flickr8k.german.token.txt")
    german.write_text(f"{first}#0\tEin Mädchen läuft.\n", encoding="utf8")

    [example] = Flickr8k(tmp_path, language="de")

    assert (example.id, example.captions) == (first, ("Ein Mädchen läuft.",))
    with pytest.raises(DataError, match="Flickr8k has no captions in 'fr' that are known by name"):
        Flickr8k(tmp_path, language="fr")


@pytest.mark.slow
def test_german_flickr8k_has_its_published_counts(shared):
    examples = list(Flickr8k(shared / "data/flickr8k", language="de"))

    assert Counter(e.split for e in examples) == {"train": 5528, "validation": 934, "test": 929}
    assert sum(len(e.captions) for e in examples) == 36_955

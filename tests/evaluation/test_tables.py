"""`cutline score` and `cutline compare`, as a user meets them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutline.cli.main import main
from cutline.errors import CutlineError
from cutline.metrics.meteor_lexicon import find_dictionaries

REFERENCES = {
    "1": ["A dog runs on the grass.", "The brown dog is running outside."],
    "2": ["Two cats sleep on a sofa.", "A pair of cats lies on the couch."],
    "3": ["A man rides a red bicycle.", "A cyclist on a road."],
}
GOOD = {"1": "a brown dog runs on grass", "2": "two cats on a couch", "3": "a man rides a bicycle"}
BAD = {"1": "a man", "2": "two cats on a couch", "3": "a bicycle bicycle on a"}
PEOPLE = ("--references", "people.json")
QUICK = ("--only", "BLEU,ROUGE-L,CIDEr-D")
NAMES = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D"]
LISTS = {"train": "trainImages", "validation": "devImages", "test": "testImages"}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `cutline`: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cutline", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code
        said = capsys.readouterr()
        if isinstance(code, str):  # what Python prints for `sys.exit("sentence")`
            return 1, said.out, said.err + code
        return code or 0, said.out, said.err

    return run


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where we are, with references and the captions of two captioners."""
    monkeypatch.chdir(tmp_path)
    for name, captions in (("people", REFERENCES), ("good", GOOD), ("bad", BAD)):
        (tmp_path / f"{name}.json").write_text(json.dumps(captions))
    return tmp_path


@pytest.fixture
def flickr8k(tmp_path: Path) -> Path:
    """Four photographs in the authors' layout; sources list pictures and do not open them."""
    folder = tmp_path / "flickr8k"
    (folder / "images").mkdir(parents=True)
    names = {"train": ["a.jpg", "b.jpg"], "validation": ["c.jpg"], "test": ["d.jpg"]}
    for split, name in LISTS.items():
        text = "".join(f"{picture}\n" for picture in names[split])
        (folder / f"Flickr_8k.{name}.txt").write_text(text)
    lines = [f"{name}.jpg#{n}\tA dog {n} of {name} .\n" for name in "abcd" for n in range(2)]
    (folder / "Flickr8k.token.txt").write_text("".join(lines))
    for name in "abcd":
        (folder / "images" / f"{name}.jpg").touch()
    return folder


@pytest.mark.slow
def test_all_metrics_but_spice_are_measured_unless_some_are_named(run: Run, files: Path):
    try:
        find_dictionaries()
    except CutlineError as error:
        pytest.skip(str(error))

    code, out, err = run("score", "good.json", *PEOPLE)

    assert (code, err) == (0, "")
    table, signatures = split_table(out)
    first, last = NAMES[:4], ["ROUGE-L", "CIDEr-D", "CIDEr", "length", "bad endings", "repeats"]
    assert list(table) == [*first, "METEOR", *last, "distinct", "vocabulary"]
    kinds = ["BLEU", "METEOR", "ROUGE-L", "CIDEr-D", "CIDEr", "diversity"]
    assert [line.split("|")[0] for line in signatures] == kinds
    assert all("|images:3|refs:2.0|cutline:" in line for line in signatures)
    assert table["length"].split()[0] == "5.3"
    assert table["distinct"].strip() == "100.0"


def test_each_score_stands_inside_its_interval_and_no_draws_leave_none(run: Run, files: Path):
    arguments = ("score", "good.json", *PEOPLE, *QUICK)

    _, sure, _ = run(*arguments, "--draws", 200)
    _, unsure, _ = run(*arguments, "--draws", 0)

    table, _ = split_table(sure)
    for line in table.values():
        value, low, high = map(float, line.translate(str.maketrans("[,]", "   ")).split())
        assert low <= value <= high
    assert "[" not in unsure
    assert "--df coco uses those of COCO" in unsure


def test_json_has_what_the_table_has(run: Run, files: Path):
    arguments = ("score", "good.json", *PEOPLE, *QUICK)

    code, out, _ = run(*arguments, "--json")
    _, shown, _ = run(*arguments)

    found = json.loads(out)
    table, signatures = split_table(shown)
    assert code == 0
    assert set(found) == {"scores", "intervals", "signature"}
    assert list(found["scores"]) == list(found["intervals"]) == NAMES
    for name, line in table.items():
        value = 100 * found["scores"][name]
        low, high = (100 * end for end in found["intervals"][name])
        assert line.split() == [f"{value:.1f}", f"[{low:.1f},", f"{high:.1f}]"]
    assert found["signature"] == " ".join(signatures)


def test_each_images_scores_are_written_on_request(run: Run, files: Path):
    run("score", "bad.json", *PEOPLE, *QUICK, "--per-image", "each.jsonl")

    lines = [json.loads(line) for line in (files / "each.jsonl").read_text().splitlines()]
    assert [line["image_id"] for line in lines] == ["1", "2", "3"]
    assert [line["caption"] for line in lines] == list(BAD.values())
    assert all(list(line)[2:] == NAMES for line in lines)
    assert lines[1]["BLEU-2"] > 0.5 > lines[0]["BLEU-2"]


def test_only_measures_what_it_names(run: Run, files: Path):
    code, out, _ = run("score", "good.json", *PEOPLE, "--only", "CIDEr, BLEU")

    table, signatures = split_table(out)
    assert code == 0
    assert list(table) == ["CIDEr", *NAMES[:4]]
    assert [line.split("|")[0] for line in signatures] == ["CIDEr", "BLEU"]


def test_document_frequencies_come_from_coco_a_file_or_a_table(run: Run, files: Path):
    from cutline.metrics.cider import DocumentFrequencies

    DocumentFrequencies.of([[["a", "dog"]], [["a", "cat"]]]).save(files / "pets.df.gz")
    scores = {}

    for df in ("refs", "coco", "people.json", files / "pets.df.gz"):
        arguments = ("--only", "CIDEr-D", "--draws", 0, "--df", df, "--json")
        _, out, _ = run("score", "good.json", *PEOPLE, *arguments)
        found = json.loads(out)
        scores[found["signature"].split("|")[2]] = found["scores"]["CIDEr-D"]

    assert list(scores) == ["df:refs", "df:coco-val2017", "df:people.json", "df:pets"]
    assert scores["df:people.json"] == pytest.approx(scores["df:refs"])
    assert len({f"{score:.6f}" for score in scores.values()}) == 3


def test_partial_scores_the_images_that_both_have(run: Run, files: Path):
    (files / "part.json").write_text(json.dumps({"1": GOOD["1"], "2": GOOD["2"], "x": "a fox"}))
    arguments = ("score", "part.json", *PEOPLE, *QUICK)

    refused, _, sentence = run(*arguments)
    code, out, _ = run(*arguments, "--partial")

    assert (refused, code) == (1, 0)
    assert_sentence(sentence, "1 prediction has no references ('x'); 1 image has no prediction")
    assert "|images:2/3|" in out


def test_captions_that_were_learnt_are_not_novel(run: Run, files: Path):
    (files / "learnt.json").write_text(json.dumps({"9": [GOOD["1"], "something else"]}))
    arguments = ("score", "good.json", *PEOPLE)

    _, out, _ = run(*arguments, "--only", "diversity", "--train", "learnt.json")

    table, [signature] = split_table(out)
    assert table["novel"].split()[0] == "66.7"
    assert "|train:2|" in signature


def test_a_flickr8k_folder_gives_the_references_of_a_split(run: Run, files: Path, flickr8k: Path):
    captions = {name: {f"{name}.jpg": f"a dog 1 of {name}"} for name in "cd"}
    for name, predictions in captions.items():
        (files / f"{name}.json").write_text(json.dumps(predictions))
    only = ("--only", "BLEU", "--json")

    _, of_test, _ = run("score", "d.json", "--references", flickr8k, *only)
    _, other, _ = run("score", "c.json", "--references", flickr8k, "--split", "validation", *only)
    code, _, sentence = run("score", "c.json", "--references", flickr8k, *only)

    assert json.loads(of_test)["scores"]["BLEU-4"] == pytest.approx(1)
    assert json.loads(other)["scores"]["BLEU-4"] == pytest.approx(1)
    assert code == 1
    assert_sentence(sentence, "nothing to score; 1 prediction has no references ('c.jpg')")


def test_compare_says_which_is_better_and_shows_where(run: Run, files: Path):
    code, out, err = run("compare", "bad.json", "good.json", *PEOPLE, *QUICK)

    told, *images = out.split("\n\n")
    assert (code, err) == (0, "")
    assert [line.split(" is better by ")[0] for line in told.strip().splitlines()] == ["good"] * 6
    assert [line.split()[5] for line in told.strip().splitlines()] == NAMES
    assert all("p = " in line and "not significant" in line for line in told.strip().splitlines())
    assert [block.split()[:2] for block in images] == [["3", "CIDEr-D"], ["1", "CIDEr-D"]]
    assert images[1].splitlines()[1:3] == [f"  {BAD['1']}", f"  {GOOD['1']}"]


def test_compare_of_the_worse_names_the_better_one_first(run: Run, files: Path):
    arguments = (*PEOPLE, "--only", "BLEU,diversity", "--by", "BLEU-1")

    _, out, _ = run("compare", "good.json", "bad.json", *arguments, "--show", 1)

    told, *images = out.split("\n\n")
    assert told.splitlines()[0].startswith("good is better by ")
    low, high = told.splitlines()[0].partition("[")[2].partition("]")[0].split(", ")
    assert 0 <= float(low) < float(high)
    assert "bad has 33.3 more bad endings" in told
    assert [block.split()[:2] for block in images] == [["1", "BLEU-1"]]


def test_lengths_are_shown_in_words(run: Run, files: Path):
    arguments = (*PEOPLE, "--only", "diversity", "--by", "length", "--show", 1)

    _, out, _ = run("compare", "bad.json", "good.json", *arguments)

    assert "good has 1.3 more length" in out
    assert "1  length 2.0 -> 6.0" in out


def test_compare_with_itself_finds_no_difference(run: Run, files: Path):
    code, out, _ = run("compare", "bad.json", "bad.json", *PEOPLE, *QUICK)

    assert code == 0
    assert out.strip().splitlines() == [f"{name} is the same" for name in NAMES]


def test_compare_as_json_has_differences_intervals_and_p(run: Run, files: Path):
    _, out, _ = run("compare", "bad.json", "good.json", *PEOPLE, *QUICK, "--json")

    found = json.loads(out)
    assert list(found) == NAMES
    for each in found.values():
        assert each["interval"][0] <= each["difference"] <= each["interval"][1]
        assert 0 < each["p"] <= 1


def test_compare_takes_files_in_any_order(run: Run, files: Path):
    (files / "turned.json").write_text(json.dumps(dict(reversed(GOOD.items()))))

    code, out, err = run("compare", "good.json", "turned.json", *PEOPLE, *QUICK)

    assert (code, err) == (0, "")
    assert out.strip().splitlines() == [f"{name} is the same" for name in NAMES]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "BLEU,METEOUR"], "there is no metric 'METEOUR'; did you mean 'METEOR'?"),
        (["--df", "koko"], "--df koko: must be refs, coco or a file"),
        (["--df", "cocoo"], "--df cocoo: must be refs, coco or a file; did you mean 'coco'?"),
        (["--split", "test"], "people.json has no splits, so --split test cannot be used"),
        (["--train", "nowhere.json"], "nowhere.json cannot be read: No such file"),
        (["--per-image", "no/where/each.jsonl"], "no/where/each.jsonl"),
    ],
)
def test_an_argument_that_makes_no_sense_is_told(
    run: Run, files: Path, arguments: list[str], sentence: str
):
    only = [] if "--only" in arguments else QUICK

    code, out, err = run("score", "good.json", *PEOPLE, *only, *arguments)

    assert (code, out) == (1, "")
    assert_sentence(err, sentence)


@pytest.mark.parametrize("command", [["score", "good.json"], ["compare", "bad.json", "good.json"]])
@pytest.mark.parametrize("draws", [0, -1])
def test_few_draws_end_in_scores_or_in_a_sentence(
    run: Run, files: Path, command: list[str], draws: int
):
    code, out, err = run(*command, *PEOPLE, *QUICK, "--draws", draws)

    assert out if code == 0 else "--draws" in err


def test_a_score_to_order_by_that_is_not_measured_is_told(run: Run, files: Path):
    arguments = (*PEOPLE, "--only", "BLEU", "--by", "BLUE-1")

    code, _, err = run("compare", "bad.json", "good.json", *arguments)

    assert code == 1
    assert_sentence(err, "there is no score 'BLUE-1' here; did you mean 'BLEU-1'?")


FLOOD = "a" * 10_000_000
SPOILT = {
    '{"1": NaN}': "captions.json, entry 1: no caption for '1'",
    '{"1": null}': "captions.json, entry 1: no caption for '1'",
    '{"1": 5}': "captions.json, entry 1: no caption for '1'",
    '[{"id": 1, "caption": "a"}] [{"id": 2, "caption": "b"}]': "broken JSON, Extra data",
    '{"1": "a"} {"2": "b"}': "broken JSON, Extra data",
    '{"1": "a"}\n{"2": "b"}': "captions.json, line 1: no image id",
    '{"11": "a dog", "12": "a cat", "13": "a man"}': "nothing to score; 3 predictions have no",
    "[]": "captions.json holds no captions",
    "7": "captions.json, line 1: unknown format of a file or line",
    '"a dog"': "captions.json, line 1: unknown format of a file or line",
    "\x00": "captions.json, line 1: unknown format of a file or line",
    "[" * 100_000: "captions.json",
    f'{{"1": "{FLOOD}"}}': "entry 1: the caption for '1' has 10,000,000 characters; the limit is",
    f"1#0\t{FLOOD}": "line 1: the caption for '1' has 10,000,000 characters; the limit is 10,000",
}


@pytest.mark.parametrize("text", SPOILT, ids=lambda text: text[:20])
def test_a_spoilt_file_of_captions_is_told_in_a_sentence(run: Run, files: Path, text: str):
    (files / "captions.json").write_text(text)

    code, out, err = run("score", "captions.json", *PEOPLE, *QUICK)

    assert (code, out) == (1, "")
    assert_sentence(err, SPOILT[text])


def test_a_caption_may_be_as_long_as_the_limit_and_no_longer(run: Run, files: Path):
    for name, length in (("long", 10_000), ("longer", 10_001)):
        (files / f"{name}.json").write_text(json.dumps({**GOOD, "1": "a".rjust(length, "b")}))
    arguments = (*PEOPLE, "--only", "BLEU", "--draws", 0)

    code, _, _ = run("score", "long.json", *arguments)
    refused, _, err = run("score", "longer.json", *arguments)

    assert (code, refused) == (0, 1)
    assert_sentence(err, "has 10,001 characters; the limit is 10,000")


def test_references_are_refused_in_the_same_words(run: Run, files: Path):
    (files / "spoilt.json").write_text(json.dumps({**REFERENCES, "2": ["a cat", FLOOD]}))

    code, out, err = run("score", "good.json", "--references", "spoilt.json", *QUICK)

    assert (code, out) == (1, "")
    assert_sentence(err, "spoilt.json, entry 2: the caption for '2' has 10,000,000 characters")


def split_table(out: str) -> tuple[dict[str, str], list[str]]:
    """What stands beside each name, and the signatures."""
    lines = [line for line in out.splitlines() if not line.startswith("(")]
    signatures = [line for line in lines if "|tok:" in line]
    return {line[:12].strip(): line[12:] for line in lines if line not in signatures}, signatures


def assert_sentence(err: str, sentence: str) -> None:
    assert sentence in err
    assert err.startswith("cutline: ")
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    assert len(err) < 700

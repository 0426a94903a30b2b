"""METEOR without Java against METEOR's own program: kept answers, and the program itself."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen

import numpy as np
import pytest

from conftest import ROOT
from cutline.errors import CutlineError
from cutline.metrics.meteor import CHUNKS, COLUMNS, LENGTHS, MATCHED, Meteor
from cutline.metrics.meteor_lexicon import find_dictionaries
from cutline.metrics.ngrams import Floats

GOLDEN = json.loads((ROOT / "tests" / "golden" / "meteor.json").read_text(encoding="utf8"))
CASES = GOLDEN["cases"]

ALIKE = (
    ("a lot of", "many", "lots of", "several", "2", "two", "1,000", "3.5"),
    ("dog", "dogs", "puppy", "st. bernard"),
    ("man", "men", "person", "people", "a group of people"),
    ("couch", "sofa", "settee"),
    ("car", "cars", "automobile", "auto"),
    ("small", "little", "tiny", "smaller"),
    ("runs", "running", "run", "ran", "is running"),
    ("sits", "is sitting", "seated", "sitting"),
    ("jumps", "jumping", "leaps", "jumped"),
    ("in front of", "before", "ahead of"),
    ("next to", "beside", "near", "close to", "by"),
    ("t-shirt", "t shirt", "shirt", "tee-shirt"),
    ("wearing", "wears", "dressed in", "with"),
    ("'s", "'", "does n't", "isn't", "is not"),
    ("photo", "picture", "photograph", "black-and-white photo"),
    ("u.s.", "us", "american", "united states"),
    ("street", "st.", "road", "no. 1 road"),
    ("the", "a", "an", "one", "some"),
    ("on", "on top of", "upon", "onto"),
    ("and", "as well as", "as"),
)
"""Words that mean much the same, as stems, synonyms or paraphrases, with all that is split."""


@pytest.mark.slow
def test_the_kept_answers_are_counted_and_scored_as_the_program_did(golden_rows: Floats):
    scores = Meteor().score(golden_rows)[:, 0]

    for name, row, score in zip(CASES, golden_rows, scores, strict=True):
        assert row.tolist() == CASES[name]["statistics"], name
        assert score == pytest.approx(CASES[name]["score"], abs=1e-12), name
    assert Meteor().score(golden_rows.sum(axis=0))[0] == pytest.approx(GOLDEN["set"], abs=1e-12)


@pytest.mark.slow
def test_an_empty_caption_and_an_empty_reference_count_as_nothing(dictionaries: Path):
    rows = Meteor().statistics([[], ["a", "dog"], []], [[["a", "dog"]], [[]], [[]]])

    assert rows[:, LENGTHS].tolist() == [[0, 2], [2, 0], [0, 0]]
    assert Meteor().score(rows).tolist() == [[0], [0], [0]]


@pytest.mark.slow
def test_how_far_it_is_is_told_to_the_end(dictionaries: Path):
    told = []
    metric = Meteor(watch=lambda *how_far: told.append(how_far))

    metric.statistics([["a"]] * 60, [[["a"], ["b"]]] * 60)

    assert told == [(1, 120), (101, 120), (120, 120)]


@pytest.mark.slow
def test_generated_captions_are_counted_and_scored_as_the_program_does(dictionaries: Path):
    images = list(generate(300))
    program, program_scores, program_set = ask_program(dictionaries, images)

    rows = Meteor().statistics(
        [text.split() for text, _ in images], [[t.split() for t in own] for _, own in images]
    )

    in_one = (program[:, CHUNKS] == 1).all(axis=-1)
    whole = (program[:, LENGTHS] == program[:, MATCHED]).all(axis=-1)
    program[in_one & whole, CHUNKS] = 0  # what is not torn; the program's score knows, too
    different = [
        (*images[place], rows[place].tolist(), program[place].tolist())
        for place in np.flatnonzero((rows != program).any(axis=1))
    ]
    assert different == []
    assert Meteor().score(rows)[:, 0] == pytest.approx(program_scores, abs=1e-9)
    assert Meteor().score(rows.sum(axis=0))[0] == pytest.approx(program_set, abs=1e-9)


@pytest.fixture(scope="module")
def dictionaries() -> Path:
    """The folder of METEOR's data."""
    try:
        return find_dictionaries()[0]
    except CutlineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def golden_rows(dictionaries: Path) -> Floats:
    """The statistics of the kept cases, from one look into the dictionaries."""
    return Meteor().statistics(
        [case["prediction"].split() for case in CASES.values()],
        [[text.split() for text in case["references"]] for case in CASES.values()],
    )


def generate(count: int) -> Iterator[tuple[str, list[str]]]:
    """Captions and two references each, which say the same in other words and another order."""
    chance = Random(15)
    for _ in range(count):
        meant = chance.choices(ALIKE, k=chance.randint(3, 9))
        text, *references = (_say(meant, chance) for _ in range(3))
        yield text, references


def _say(meant: list[tuple[str, ...]], chance: Random) -> str:
    said = [chance.choice(words) for words in meant if chance.random() < 0.85] or ["a"]
    if chance.random() < 0.4:
        said.insert(chance.randrange(len(said)), chance.choice(said))
    if chance.random() < 0.3:
        turn = chance.randrange(len(said))
        said = said[turn:] + said[:turn]
    return " ".join(said) + chance.choice(["", "", " .", "."])


def ask_program(
    folder: Path, images: list[tuple[str, list[str]]]
) -> tuple[Floats, list[float], float]:
    """Statistics, scores, and the score of the set, from METEOR's own program."""
    java = shutil.which("java")
    if java is None or importlib.util.find_spec("pycocoevalcap") is None:
        pytest.skip("METEOR's own program needs java and pycocoevalcap")
    command = [java, "-jar", "-Xmx2G", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
    with Popen(command, cwd=folder, stdin=PIPE, stdout=PIPE, text=True, encoding="utf8") as process:
        assert process.stdin and process.stdout
        answers = []
        for text, references in images:
            print("SCORE", *references, text, sep=" ||| ", file=process.stdin, flush=True)
            answers.append(process.stdout.readline().strip())
        print("EVAL", *answers, sep=" ||| ", file=process.stdin, flush=True)
        scores = [float(process.stdout.readline()) for _ in images]
        whole = float(process.stdout.readline())
        process.kill()
    rows = np.array([answer.split() for answer in answers], float)
    assert rows.shape == (len(images), COLUMNS)
    return rows, scores, whole

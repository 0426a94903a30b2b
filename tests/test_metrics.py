import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutline import __version__
from cutline.caption_files import read_predictions, read_references
from cutline.errors import DataError, RecipeError
from cutline.metrics import METRICS, open_metric, score
from cutline.metrics.bleu import Bleu
from cutline.metrics.cider import CiderD
from cutline.metrics.ngrams import Words
from cutline.words import split_words
from naive_metrics import bleu, cider_d

SENTENCE = st.lists(st.sampled_from(["a", "b", "dog", "runs"]), max_size=7)
IMAGE = st.tuples(SENTENCE, st.lists(SENTENCE, min_size=1, max_size=3))
IMAGES = st.lists(IMAGE, min_size=1, max_size=5)
Images = list[tuple[list[str], list[list[str]]]]

REFERENCES = {
    "1": ["A dog runs on the grass.", "The brown dog is running outside."],
    "2": ["Two cats sleep on a sofa.", "A pair of cats lies on the couch.", "Cats asleep."],
    "3": ["A man rides a red bicycle.", "A cyclist on a road."],
}


@given(IMAGES)
def test_bleu_equals_the_definition_for_the_set_and_for_each_image(images: Images):
    predictions, references = part(images)

    rows = Bleu().statistics(predictions, references)

    assert Bleu().score(rows.sum(axis=0)).tolist() == pytest.approx(bleu(predictions, references))
    for row, words, others in zip(rows, predictions, references, strict=True):
        assert Bleu().score(row).tolist() == pytest.approx(bleu([words], [others]))


@given(IMAGES)
def test_cider_d_equals_the_definition(images: Images):
    predictions, references = part(images)

    rows = CiderD().statistics(predictions, references)

    expected = cider_d(predictions, references, documents=references)
    assert rows[:, 0].tolist() == pytest.approx(expected, abs=1e-9)
    assert CiderD().score(rows.sum(axis=0)) == pytest.approx(np.mean(expected), abs=1e-9)


@given(IMAGES, st.lists(st.lists(SENTENCE, min_size=1, max_size=2), min_size=1, max_size=4))
def test_cider_d_takes_its_document_frequencies_from_other_images(
    images: Images, documents: list[list[list[str]]]
):
    predictions, references = part(images)

    rows = CiderD.from_references(documents).statistics(predictions, references)

    expected = cider_d(predictions, references, documents)
    assert rows[:, 0].tolist() == pytest.approx(expected, abs=1e-9)


def test_given_document_frequencies_change_neither_by_scoring_nor_by_new_words():
    metric = CiderD.from_references([[["a", "dog"]], [["a", "cat"]]])
    strange = metric.statistics([["new", "words"]], [[["new", "words"], ["a", "bird"]]])

    again = metric.statistics([["new", "words"]], [[["new", "words"], ["a", "bird"]]])

    assert np.array_equal(strange, again) and strange[0, 0] > 0
    assert metric.settings["df"] == "given/2"


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_gives_one_value_a_name_for_one_row_and_for_many(name: str):
    metric = open_metric(name)
    rows = metric.statistics([["a", "dog"], []], [[["a", "cat"]], [["a"], []]])

    each, whole = metric.score(rows), metric.score(rows.sum(axis=0))

    assert each.shape == (2, len(metric.names)) and whole.shape == (len(metric.names),)


@pytest.mark.parametrize("name", METRICS)
@given(images=IMAGES, turn=st.randoms())
def test_the_order_of_images_and_references_is_irrelevant(name: str, images: Images, turn):
    metric, before = open_metric(name), dict(enumerate(images))
    after = list(before.items())
    turn.shuffle(after)

    rows = metric.statistics(*part(list(before.values())))
    turned = metric.statistics(*part([(words, others[::-1]) for _, (words, others) in after]))

    assert turned == pytest.approx(rows[[place for place, _ in after]])


@pytest.mark.parametrize("name", METRICS)
@given(images=IMAGES)
def test_no_prediction_scores_better_than_a_reference_alone_does(name: str, images: Images):
    metric = open_metric(name)
    references = [others[:1] for _, others in images]

    theirs = metric.score(metric.statistics([others[0] for others in references], references))
    ours = metric.score(metric.statistics([words for words, _ in images], references))

    assert np.all(ours <= theirs + 1e-8)  # empty references: BLEU adds constants


def test_equally_near_lengths_count_as_the_shorter():
    [row] = Bleu().statistics([["a"] * 4], [[["a"] * 6, ["a"] * 2, ["a"] * 9]])

    assert row[:2].tolist() == [4, 2]


def test_a_report_has_every_score_for_the_set_and_for_each_image_and_is_signed():
    predictions = {"3": "A man on a bicycle", "1": "the brown DOG is running", "2": "cats"}

    report = score(predictions, REFERENCES)

    assert list(report.scores) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr-D"]
    assert list(report.per_image) == ["3", "1", "2"]
    assert all(list(scores) == list(report.scores) for scores in report.per_image.values())
    mean = np.mean([scores["CIDEr-D"] for scores in report.per_image.values()])
    assert report.scores["CIDEr-D"] == pytest.approx(mean)
    assert report.per_image["1"]["BLEU-4"] == pytest.approx(np.exp(1 - 6 / 5))
    assert report.signature == (
        f"BLEU|CIDEr-D|tok:ptb-like|n:4|df:refs|sigma:6|images:3|refs:2.3|cutline:{__version__}"
    )


def test_part_of_a_set_is_scored_only_on_request_and_the_signature_says_so():
    predictions = {"1": "a dog", "2": "two cats"}

    with pytest.raises(DataError, match=r"1 image has no prediction \('3'\)"):
        score(predictions, REFERENCES)
    report = score(predictions, REFERENCES, metrics=["CIDEr-D"], partial=True)

    assert list(report.scores) == ["CIDEr-D"]
    assert "|images:2/3|" in report.signature


def test_cider_d_of_a_single_image_comes_with_a_warning():
    with pytest.warns(UserWarning, match="CIDEr-D of a single image is always 0"):
        report = score({"1": "a dog"}, REFERENCES, partial=True)

    assert report.scores["CIDEr-D"] == 0


def test_an_image_without_references_and_an_unknown_metric_are_refused():
    with pytest.raises(DataError, match="image 'x' has no references"):
        score({"x": "a dog"}, {"x": []})
    with pytest.raises(RecipeError, match="no metric 'CIDER-D'; did you mean 'CIDEr-D'"):
        score({"1": "a dog"}, REFERENCES, metrics=["CIDER-D"])


# Origin of the two tests that follow: the papers' own tables (B1-4 .806 .655 .514 .398, CIDEr 1.311
# and B1-4 .568 .358 .214 .129, CIDEr .493), to more places from pycocoevalcap 1.2 with its Java
# tokeniser on the published captions.
def test_published_captions_of_a_sparse_up_down_model_have_their_published_scores(shared: Path):
    folder = shared / "predictions"
    predictions = read_predictions(folder / "sparse-updown/caption_00156000.json")

    report = score(predictions, read_references(folder / "karpathy_test_references.json"))

    expected = [0.8063577722, 0.6550977320, 0.5139784049, 0.3975430325, 1.3105737376]
    assert list(report.scores.values()) == pytest.approx(expected, abs=1e-9)


def test_published_captions_of_magic_have_their_published_scores_and_counts(shared: Path):
    images = json.loads((shared / "predictions/magic-coco/magic_result.json").read_text())
    predictions = {image["image_name"]: image["prediction"] for image in images}
    references = {image["image_name"]: image["captions"] for image in images}

    report = score(predictions, references)
    rows = Bleu().statistics(
        [split_words(text) for text in predictions.values()],
        [[split_words(text) for text in texts] for texts in references.values()],
    )

    counts = [47153, 47168, 26801, 9496, 2857, 902, 47153, 42171, 37189, 32207]
    assert rows.sum(axis=0).tolist() == counts  # lengths, correct, guessed
    expected = [0.5682029903, 0.3576399975, 0.2141657001, 0.1287780858, 0.4928873510]
    assert list(report.scores.values()) == pytest.approx(expected, abs=1e-9)


def part(images: Images) -> tuple[list[Words], list[list[Words]]]:
    return [words for words, _ in images], [list(others) for _, others in images]

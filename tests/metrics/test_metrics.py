import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutline import __version__
from cutline.errors import CutlineError, DataError, RecipeError
from cutline.metrics import METRICS, Metric, measure, open_metric, score
from cutline.metrics.bleu import Bleu
from cutline.metrics.cider import Cider, CiderD, DocumentFrequencies
from cutline.metrics.diversity import Diversity, count_distinct
from cutline.metrics.meteor import COLUMNS, Meteor
from cutline.metrics.meteor_lexicon import find_dictionaries
from cutline.metrics.ngrams import Words
from cutline.metrics.rouge import RougeL, count_shared
from naive_metrics import (
    bleu,
    cider,
    cider_d,
    longest_common_subsequence,
    meteor_score,
    rouge_l,
)

SENTENCE = st.lists(st.sampled_from(["a", "b", "dog", "runs"]), max_size=7)
IMAGE = st.tuples(SENTENCE, st.lists(SENTENCE, min_size=1, max_size=3))
IMAGES = st.lists(IMAGE, min_size=1, max_size=5)
Images = list[tuple[list[str], list[list[str]]]]

REFERENCES = {
    "1": ["A dog runs on the grass.", "The brown dog is running outside."],
    "2": ["Two cats sleep on a sofa.", "A pair of cats lies on the couch.", "Cats asleep."],
    "3": ["A man rides a red bicycle.", "A cyclist on a road."],
}

CONTRACT = [
    pytest.param(name, marks=pytest.mark.slow) if name == "METEOR" else name
    for name in METRICS
    if name != "SPICE"
]
"""METEOR reads its paraphrases for six seconds each time; SPICE's parser is nowhere to be had."""
TO_REFERENCES = [name for name in CONTRACT if name != "diversity"]
NOT_CIDER = [name for name in CONTRACT if name not in ("CIDEr-D", "CIDEr")]


@pytest.fixture
def metric(request: pytest.FixtureRequest) -> Metric:
    """The metric of that name, if what it needs is installed."""
    if request.param == "METEOR":
        try:
            find_dictionaries()
        except CutlineError as error:
            pytest.skip(str(error))
    return open_metric(request.param)


@pytest.fixture
def images() -> Images:
    """Sixty images with one to three references and some empty captions, always the same."""
    chance = np.random.default_rng(8)
    words = ["a", "the", "dog", "dogs", "cat", "runs", "running", "on", "sofa", "couch", "small"]

    def write() -> list[str]:
        return chance.choice(words, size=chance.integers(9)).tolist()

    return [(write(), [write() for _ in range(chance.integers(1, 4))]) for _ in range(60)]


@given(IMAGES)
def test_bleu_equals_the_definition_for_the_set_and_for_each_image(images: Images):
    predictions, references = part(images)

    rows = Bleu().statistics(predictions, references)

    assert Bleu().score(rows.sum(axis=0)).tolist() == pytest.approx(bleu(predictions, references))
    for row, words, others in zip(rows, predictions, references, strict=True):
        assert Bleu().score(row).tolist() == pytest.approx(bleu([words], [others]))


@pytest.mark.slow
@given(IMAGES)
def test_cider_d_equals_the_definition(images: Images):
    predictions, references = part(images)

    rows = CiderD().statistics(predictions, references)

    expected = cider_d(predictions, references, documents=references)
    assert rows[:, 0].tolist() == pytest.approx(expected, abs=1e-9)
    assert CiderD().score(rows.sum(axis=0)) == pytest.approx(np.mean(expected), abs=1e-9)


@pytest.mark.slow
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


@pytest.mark.slow
@given(IMAGES)
def test_cider_equals_the_definition(images: Images):
    predictions, references = part(images)

    rows = Cider().statistics(predictions, references)

    expected = cider(predictions, references, documents=references)
    assert rows[:, 0].tolist() == pytest.approx(expected, abs=1e-9)


@given(IMAGES)
def test_rouge_l_equals_the_definition(images: Images):
    predictions, references = part(images)

    rows = RougeL().statistics(predictions, references)

    assert rows[:, 0].tolist() == pytest.approx(rouge_l(predictions, references))


@given(st.text("abc", max_size=70), st.text("abc", max_size=70))
def test_the_longest_common_subsequence_is_found_bit_by_bit(one: str, other: str):
    assert count_shared(list(one), list(other)) == longest_common_subsequence(one, other)


@given(st.lists(st.integers(0, 9), min_size=COLUMNS, max_size=COLUMNS))
def test_meteor_of_any_statistics_equals_the_formula(counts: list[int]):
    for place in (0, 1, 21, 22):  # more words than function words, and some matched
        counts[place] += 9

    scores = Meteor().score(np.array(counts, float))

    assert scores.tolist() == pytest.approx([meteor_score(counts)])


@pytest.mark.parametrize("metric", CONTRACT, indirect=True)
def test_one_value_a_name_leaves_for_one_row_and_for_many(metric: Metric):
    rows = metric.statistics([["a", "dog"], []], [[["a", "cat"]], [["a"], []]])

    each, whole = metric.score(rows), metric.score(rows.sum(axis=0))

    assert each.shape == (2, len(metric.names)) and whole.shape == (len(metric.names),)
    assert np.isfinite(each).all() and np.isfinite(whole).all()


@pytest.mark.parametrize("metric", CONTRACT, indirect=True)
def test_the_order_of_images_is_irrelevant(metric: Metric, images: Images):
    order = np.random.default_rng(3).permutation(len(images))

    rows = metric.statistics(*part(images))
    turned = metric.statistics(*part([images[place] for place in order]))

    assert turned == pytest.approx(rows[order])
    assert len(np.unique(metric.score(rows), axis=0)) > 10


@pytest.mark.parametrize("metric", CONTRACT, indirect=True)
def test_the_value_of_a_set_is_that_of_its_rows_summed(metric: Metric, images: Images):
    predictions = {str(place): " ".join(words) for place, (words, _) in enumerate(images)}
    references = {
        str(place): [" ".join(words) for words in own] for place, (_, own) in enumerate(images)
    }

    report = score(predictions, references, metrics=[metric], partial=True)

    rows = metric.statistics(*part(images))
    assert list(report.scores.values()) == pytest.approx(metric.score(rows.sum(axis=0)).tolist())
    each = [list(scores.values()) for scores in report.per_image.values()]
    assert np.array(each) == pytest.approx(metric.score(rows))


@pytest.mark.parametrize("metric", TO_REFERENCES, indirect=True)
def test_no_prediction_scores_better_than_a_reference_alone_does(metric: Metric, images: Images):
    references = [own[:1] for _, own in images]
    predictions = [words for words, _ in images]

    theirs = metric.score(metric.statistics([own for [own] in references], references))
    ours = metric.score(metric.statistics(predictions, references))
    strange = metric.score(metric.statistics(predictions[::-1], references))

    assert np.all(ours <= theirs + 1e-8)  # empty references: BLEU adds constants
    assert np.all(strange <= theirs + 1e-8)
    assert theirs.mean() > 1.5 * ours.mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BLEU", "ROUGE-L", "CIDEr-D", "CIDEr"])
@given(images=IMAGES)
def test_no_prediction_of_any_kind_does_either(name: str, images: Images):
    metric, references = open_metric(name), [own[:1] for _, own in images]

    theirs = metric.score(metric.statistics([own for [own] in references], references))
    ours = metric.score(metric.statistics([words for words, _ in images], references))

    assert np.all(ours <= theirs + 1e-8)


@pytest.mark.parametrize("metric", NOT_CIDER, indirect=True)
def test_a_reference_that_is_there_twice_counts_as_one(metric: Metric, images: Images):
    predictions, references = part(images)

    once = metric.statistics(predictions, references)
    twice = metric.statistics(predictions, [[*own, own[0]] for own in references])

    assert np.array_equal(once, twice)


def test_diversity_counts_what_repeats_itself_breaks_off_and_is_new():
    captions = ["a dog runs", "a dog dog runs", "a cat a cat runs", "a dog on a", "", "a bird"]
    predictions = [caption.split() for caption in captions]
    metric = Diversity([["a", "dog", "runs"], ["a", "bird"]])

    rows = metric.statistics(predictions, [[["a"]]] * 6)

    shares = dict(zip(metric.names, metric.score(rows.sum(axis=0)).tolist(), strict=True))
    assert shares == pytest.approx(
        {"length": 18 / 6, "bad endings": 2 / 6, "repeats": 2 / 6, "novel": 4 / 6}
    )
    assert count_distinct([*predictions, ["a", "bird"]]) == {"distinct": 6 / 7, "vocabulary": 6}


@pytest.mark.slow
@given(IMAGES)
def test_document_frequencies_that_were_saved_give_the_same_scores(images: Images):
    predictions, references = part(images)
    documents = DocumentFrequencies.of(references)

    with TemporaryDirectory() as folder:
        documents.save(Path(folder) / "these.df.gz")
        loaded = DocumentFrequencies.load(Path(folder) / "these.df.gz")

    for kind in (Cider, CiderD):
        mine = kind(documents).statistics(predictions, references)
        assert kind(loaded).statistics(predictions, references) == pytest.approx(mine)


@pytest.mark.parametrize("at_once", [1, 3, 4])
def test_a_set_that_is_read_in_chunks_has_the_same_statistics_to_the_bit(at_once):
    texts = ["a dog runs fast", "the cat sleeps", "a dog", "a cat", "fast dogs run over a hill"] * 2
    predictions = {str(number): text for number, text in enumerate(texts)}
    references = {n: [texts[int(n) - 1], texts[int(n) - 2], "one more dog"] for n in predictions}
    metrics = ["BLEU", "ROUGE-L", "CIDEr-D", "CIDEr", "diversity"]

    whole = measure(predictions, references, metrics=metrics)
    chunked = measure(predictions, references, metrics=metrics, at_once=at_once)

    for one, other in zip(whole.measured, chunked.measured, strict=True):
        assert one.signature == other.signature
        assert one.rows.tobytes() == other.rows.tobytes()
    assert whole.counts == chunked.counts


def test_a_saved_table_is_named_by_its_file_and_holds_what_several_images_have(tmp_path: Path):
    documents = DocumentFrequencies.of([[["a", "dog"]], [["a", "dog"], ["a", "cat"]]])

    documents.save(tmp_path / "pets.df.gz")
    loaded = DocumentFrequencies.load(tmp_path / "pets.df.gz")
    loaded.save(tmp_path / "again.df.gz")

    tables = [tmp_path / name for name in ("pets.df.gz", "again.df.gz")]
    texts = [gzip.decompress(table.read_bytes()).decode() for table in tables]
    assert texts == ["images\t2\n2\ta\n2\tdog\n2\ta dog\n"] * 2
    assert Cider(loaded).settings["df"] == "pets"


def test_cocos_document_frequencies_give_a_single_image_a_score():
    good, bad = "a brown dog is running outside", "a man at a table"
    metric = CiderD(DocumentFrequencies.coco())

    found = {
        text: score({"1": text}, REFERENCES, metrics=[metric], partial=True).scores["CIDEr-D"]
        for text in (good, bad)
    }

    assert found[good] > 1 > found[bad]
    assert metric.settings["df"] == "coco-val2017"


DAMAGED = {
    "nothing": b"",
    "not compressed": b"no table",
    "compressed nothing": gzip.compress(b""),
    "another first line": gzip.compress(b"pictures\t3\n2\ta\n"),
    "no tab": gzip.compress(b"images\t3\n2 a\n"),
    "no number": gzip.compress(b"images\t3\nmany\ta\n"),
    "a pair of unknown words": gzip.compress(b"images\t3\n2\tdog\n2\ta dog\n"),
    "pairs alone": gzip.compress(b"images\t3\n2\ta dog\n"),
    "not UTF-8": gzip.compress(b"images\t3\n2\t\xff\n"),
    "of no images": gzip.compress(b"images\t0\n2\ta\n"),
    "cut off": gzip.compress(b"images\t3\n2\ta\n")[:-12],
    "bad bits": gzip.compress(b"images\t3\n2\ta\n")[:10] + b"\xff" * 40,
}


@pytest.mark.parametrize("table", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_table_is_told_in_a_sentence(tmp_path: Path, table: bytes):
    path = tmp_path / "odd.df.gz"
    path.write_bytes(table)

    with pytest.raises(DataError) as told:
        DocumentFrequencies.load(path)

    assert str(told.value).startswith(f"{path} is not a table of document frequencies: ")
    assert "\n" not in str(told.value)


def test_spice_without_its_parser_says_what_is_missing():
    with pytest.raises(CutlineError, match=r"^SPICE (needs|lacks|is a Java program)[^\n]+$"):
        open_metric("SPICE").statistics([["a", "dog"]], [[["a", "cat"]]])


def test_equally_near_lengths_count_as_the_shorter():
    [row] = Bleu().statistics([["a"] * 4], [[["a"] * 6, ["a"] * 2, ["a"] * 9]])

    assert row[:2].tolist() == [4, 2]


def test_a_report_has_every_score_for_the_set_and_for_each_image_and_is_signed():
    predictions = {"3": "A man on a bicycle", "1": "the brown DOG is running", "2": "cats"}

    report = score(predictions, REFERENCES)

    assert list(report.scores) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D"]
    assert list(report.per_image) == ["3", "1", "2"]
    assert all(list(scores) == list(report.scores) for scores in report.per_image.values())
    mean = np.mean([scores["CIDEr-D"] for scores in report.per_image.values()])
    assert report.scores["CIDEr-D"] == pytest.approx(mean)
    assert report.per_image["1"]["BLEU-4"] == pytest.approx(np.exp(1 - 6 / 5))
    end = f"images:3|refs:2.3|cutline:{__version__}"
    assert report.signatures == (
        f"BLEU|tok:ptb|n:4|{end}",
        f"ROUGE-L|tok:ptb|beta:1.2|{end}",
        f"CIDEr-D|tok:ptb|df:refs|n:4|sigma:6|{end}",
    )


def test_part_of_a_set_is_scored_only_on_request_and_the_signature_says_so():
    predictions = {"1": "a dog", "2": "two cats"}

    with pytest.raises(DataError, match=r"1 image has no prediction \('3'\)"):
        score(predictions, REFERENCES)
    report = score(predictions, REFERENCES, metrics=["CIDEr-D"], partial=True)

    assert list(report.scores) == ["CIDEr-D"]
    assert "|images:2/3|" in report.signatures[0]


def test_cider_d_of_a_single_image_comes_with_a_warning():
    with pytest.warns(UserWarning, match="CIDEr of a single image is always 0"):
        report = score({"1": "a dog"}, REFERENCES, partial=True)

    assert report.scores["CIDEr-D"] == 0


def test_an_image_without_references_and_an_unknown_metric_are_refused():
    with pytest.raises(DataError, match="image 'x' has no references"):
        score({"x": "a dog"}, {"x": []})
    with pytest.raises(RecipeError, match="no metric 'CIDER-D'; did you mean 'CIDEr-D'"):
        score({"1": "a dog"}, REFERENCES, metrics=["CIDER-D"])


def part(images: Images) -> tuple[list[Words], list[list[Words]]]:
    return [words for words, _ in images], [list(others) for _, others in images]


def test_scores_of_other_languages_say_the_language_and_leave_english_alone():
    predictions, references = (
        {"a": "Ein Mädchen", "b": "Ein Hund"},
        {"a": ["ein mädchen."], "b": ["Ein Hund!"]},
    )
    report = score(predictions, references, language="de")

    assert report.scores["BLEU-1"] == pytest.approx(1)
    assert all("|tok:words|lang:de|" in signature for signature in report.signatures)
    for name in ("METEOR", "SPICE"):
        with pytest.raises(RecipeError, match=f"{name} cannot score captions in 'de'"):
            score(predictions, references, metrics=[name], language="de")

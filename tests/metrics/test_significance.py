"""Intervals and tests against what is known of the same numbers without drawing any."""

import numpy as np
import pytest

from cutline.errors import DataError
from cutline.metrics import compare, measure
from cutline.metrics.ngrams import Floats
from cutline.metrics.significance import bootstrap_intervals, compare_paired

CAPTIONS = {"1": "a dog runs", "2": "two cats sleep", "3": "a man rides a bicycle"}
REFERENCES = {id: [text, f"{text} outside"] for id, text in CAPTIONS.items()}


def mean(sums: Floats) -> Floats:
    return sums[..., :1] / sums[..., 1:]


def rows_of(values: Floats) -> Floats:
    """Statistics of a metric that is a mean: a value, and a 1 to count images by."""
    return np.stack([values, np.ones(len(values))], axis=-1)


def draw(images: int, *, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(0.5, 0.2, images)


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    values = draw(400, seed=1)

    [[low, high]] = bootstrap_intervals(mean, rows_of(values), draws=4000)

    margin = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert low == pytest.approx(values.mean() - margin, abs=0.1 * margin)
    assert high == pytest.approx(values.mean() + margin, abs=0.1 * margin)


def test_each_value_has_its_own_interval_around_it():
    values = draw(200, seed=2)
    rows = np.stack([values, 3 * values + 1, np.ones(200)], axis=-1)

    one, other = bootstrap_intervals(lambda sums: sums[..., :2] / sums[..., 2:], rows, draws=300)

    assert one[0] < values.mean() < one[1]
    assert other == pytest.approx(3 * one + 1)


def test_the_interval_holds_the_truth_95_times_in_a_hundred():
    found = [bootstrap_intervals(mean, rows_of(draw(80, seed=s)), draws=400)[0] for s in range(100)]

    holding = sum(low <= 0.5 <= high for low, high in found)

    assert 90 <= holding <= 99


def test_equal_captioners_differ_by_nothing():
    rows = rows_of(draw(100, seed=3))

    [found] = compare_paired(mean, rows, rows.copy(), draws=200)

    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_captioners_that_differ_by_chance_alone_are_told_apart_as_often_as_chance_allows():
    pairs = [(draw(50, seed=s), draw(50, seed=s + 100)) for s in range(100)]

    found = [compare_paired(mean, rows_of(a), rows_of(b), draws=50)[0].p for a, b in pairs]

    assert sum(p < 0.05 for p in found) <= 11
    assert np.median(found) == pytest.approx(0.5, abs=0.15)


def test_a_clearly_better_captioner_is_found():
    one = draw(100, seed=4)
    other = one + np.random.default_rng(5).normal(0.05, 0.1, 100)

    [found] = compare_paired(mean, rows_of(one), rows_of(other), draws=500)
    [turned] = compare_paired(mean, rows_of(other), rows_of(one), draws=500)

    assert found.value == pytest.approx((other - one).mean())
    assert 0 < found.low < found.value < found.high
    assert found.p < 0.01
    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )


def test_pairs_are_kept_together():
    one = draw(100, seed=6)
    other = one + 0.001

    [found] = compare_paired(mean, rows_of(one), rows_of(other), draws=200)

    assert (found.low, found.high) == pytest.approx((0.001, 0.001))
    assert found.p < 0.01


def test_the_p_value_is_that_of_all_ways_to_swap():
    one, other = np.array([0.1, 0.3, 0.2, 0.5, 0.4, 0.2]), np.array([0.2, 0.5, 0.1, 0.7, 0.5, 0.3])
    signs = 1 - 2 * ((np.arange(2**6)[:, None] >> np.arange(6)) & 1)
    differences = signs @ (other - one)

    [found] = compare_paired(mean, rows_of(one), rows_of(other), draws=1000)

    exact = np.mean(np.abs(differences) >= (other - one).sum() - 1e-9)
    assert found.p == pytest.approx(exact, abs=0.02)
    assert 0.05 < exact < 0.5


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others():
    one, other = rows_of(draw(60, seed=7)), rows_of(draw(60, seed=8))

    first, again, elsewhere = (
        (
            bootstrap_intervals(mean, one, draws=300, seed=seed),
            compare_paired(mean, one, other, draws=300, seed=seed),
        )
        for seed in (0, 0, 1)
    )

    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert not np.array_equal(first[0], elsewhere[0]) and first[1] != elsewhere[1]


def test_one_draw_and_one_image_are_enough():
    [[low, high]] = bootstrap_intervals(mean, rows_of(np.array([0.25])), draws=1)

    assert low == high == 0.25


def test_captioners_of_different_images_are_not_compared():
    part = {id: CAPTIONS[id] for id in "12"}
    one = measure(CAPTIONS, REFERENCES, metrics=["BLEU"])
    other = measure(part, REFERENCES, metrics=["BLEU"], partial=True)

    with pytest.raises(DataError, match="^the two captioners were measured on different images$"):
        compare(one, other)


def test_the_order_in_which_captioners_list_their_images_is_irrelevant():
    one = measure(CAPTIONS, REFERENCES, metrics=["BLEU", "ROUGE-L"])
    other = measure(dict(reversed(CAPTIONS.items())), REFERENCES, metrics=["BLEU", "ROUGE-L"])

    found = compare(one, other, draws=50)

    assert list(found) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L"]
    assert {difference.value for difference in found.values()} == {0}

"""The bound on wrong captions: known values, coverage by simulation, and an even sample."""

import random

import pytest

from cutline.metrics.error_bound import stratified_sample, upper_bound


@pytest.mark.parametrize(
    ("wrong", "reviewed", "bound"),
    [
        (0, 100, 1 - 0.05 ** (1 / 100)),  # closed form for none wrong
        (3, 100, 0.075716),  # 95 % quantile of Beta(4, 97)
        (0, 1, 0.95),
        (5, 5, 1.0),
    ],
)
def test_the_bound_is_the_quantile_of_the_beta_distribution(wrong, reviewed, bound):
    assert upper_bound(wrong, reviewed) == pytest.approx(bound, abs=1e-4)


def test_the_bound_holds_in_nineteen_of_twenty_reviews():
    dice = random.Random(0)
    scores = [dice.random() for _ in range(1_000)]
    is_wrong = [dice.random() > score for score in scores]  # low scores are mostly wrong
    share = sum(is_wrong) / len(is_wrong)

    held = 0
    for seed in range(400):
        sample = stratified_sample(scores, 50, seed=seed)
        held += upper_bound(sum(is_wrong[item] for item in sample), len(sample)) >= share

    assert held / 400 >= 0.95


def test_a_sample_has_low_and_high_scores_alike():
    scores = [float(score) for score in range(1_000)]

    sample = stratified_sample(scores, 10)

    assert sorted(item // 100 for item in sample) == list(range(10))
    assert sample != sorted(sample)
    assert sample == stratified_sample(scores, 10)
    assert sorted(stratified_sample([0.5, 0.1], 10)) == [0, 1]
    assert stratified_sample([], 10) == []


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="6 wrong items among 5"):
        upper_bound(6, 5)

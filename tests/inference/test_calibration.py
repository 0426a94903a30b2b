import numpy as np
import pytest

from cutline.inference.calibration import (
    Calibration,
    calibration_curve,
    cross_fit,
    expected_error,
    find_threshold,
    weigh_evidence,
)
from cutline.types import Caption, Concept


@pytest.fixture
def world():
    """Captions whose chance to be good is known: sigmoid(2 + 3 mean + 0.5 smallest)."""
    chance = np.random.default_rng(0)
    log_probs = [-chance.exponential(0.6, chance.integers(3, 15)) for _ in range(8000)]
    true = np.array([1 / (1 + np.exp(-(2 + 3 * p.mean() + 0.5 * p.min()))) for p in log_probs])
    evidence = [{"mean": float(p.mean()), "least": float(p.min())} for p in log_probs]
    return evidence, true, chance.random(8000) < true


def test_the_chance_is_found(world):
    evidence, true, good = world

    fitted = Calibration.fit(evidence, good)

    assert abs(fitted.confidence(evidence) - true).mean() < 0.02


def test_of_captions_with_a_confidence_that_share_is_good(world):
    evidence, _, good = world

    curve = calibration_curve(cross_fit(evidence, good), good)

    assert sum(each.captions for each in curve) == 8000
    assert expected_error(curve) < 0.02


def test_a_boaster_is_found_out():
    confidence, good = np.full(100, 0.95), np.arange(100) < 40

    [bin] = calibration_curve(confidence, good)

    assert (bin.captions, bin.good) == (100, 0.4)
    assert expected_error([bin]) == pytest.approx(0.55)


def test_certainty_has_a_place_on_the_curve():
    curve = calibration_curve(np.array([0.0, 1.0]), np.array([False, True]))
    assert [each.good for each in curve] == [0.0, 1.0]


def test_a_card_keeps_it(world):
    evidence, _, good = world
    fitted = Calibration.fit(evidence[:500], good[:500])

    again = Calibration.from_card({"calibration": {**fitted.as_json(), "error": 0.1}})

    assert again == fitted
    assert Calibration.from_card({}) is None


def test_captions_that_are_all_good_do_not_break_the_fit():
    fitted = Calibration.fit([{"mean": -1.5}, {"mean": -0.5}], np.array([True, True]))
    assert np.isfinite(fitted.confidence([{"mean": -1.0}])).all()


def test_a_card_of_the_first_version_still_opens():
    card = {"calibration": {"bias": 0.5, "mean": 2.0, "least": 0.25, "rule": "as it was"}}
    old = Calibration.from_card(card)
    assert old and old.confidence([{"mean": -1.0, "least": -2.0}])[0] == pytest.approx(
        1 / (1 + np.exp(2.0))
    )


def test_from_the_threshold_on_three_of_four_are_good():
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    good = np.array([True, True, True, False, False, False])
    assert find_threshold(confidence, good) == 0.6
    assert find_threshold(confidence, ~good) == 1.0


def a_caption(words: str, concepts: list[tuple[str, float]]) -> Caption:
    named = tuple(Concept(noun, chance) for noun, chance in concepts)
    return Caption(words, tuple(words.split()), -2.0, (-0.5,) * 4, concepts=named, photograph=0.9)


def test_what_the_concepts_know_speaks_for_a_caption():
    zebra = [("person", 0.02), ("zebra", 0.99), ("grass", 0.6)]
    right = weigh_evidence(a_caption("a zebra on grass", zebra))
    wrong = weigh_evidence(a_caption("a boy in a shirt", zebra))
    assert all(right[name] > wrong[name] for name in ("agreement", "person", "unsaid", "named"))
    assert right["mean"] == wrong["mean"] == -0.5


def test_a_wider_noun_leaves_nothing_unsaid():
    seen = [("person", 0.02), ("duck", 0.9)]
    assert weigh_evidence(a_caption("a bird in water", seen))["unsaid"] == pytest.approx(0.0)


def test_an_unclear_picture_lowers_the_evidence_for_any_caption():
    clear, unclear = ([("person", 0.02), ("duck", sure)] for sure in (0.9, 0.2))
    words = "a duck in water"
    assert (
        weigh_evidence(a_caption(words, clear))["surest"]
        > weigh_evidence(a_caption(words, unclear))["surest"]
    )

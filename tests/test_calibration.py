import numpy as np
import pytest

from cutline.calibration import Calibration, calibration_curve, cross_fit, expected_error


@pytest.fixture
def world():
    """Captions whose chance to be good is known: sigmoid(2 + 3 mean + 0.5 smallest)."""
    chance = np.random.default_rng(0)
    log_probs = [-chance.exponential(0.6, chance.integers(3, 15)) for _ in range(8000)]
    true = np.array([1 / (1 + np.exp(-(2 + 3 * p.mean() + 0.5 * p.min()))) for p in log_probs])
    return [p.tolist() for p in log_probs], true, chance.random(8000) < true


def test_the_chance_is_found(world):
    log_probs, true, good = world

    fitted = Calibration.fit(log_probs, good)

    assert abs(fitted.confidence(log_probs) - true).mean() < 0.02


def test_of_captions_with_a_confidence_that_share_is_good(world):
    log_probs, _, good = world

    curve = calibration_curve(cross_fit(log_probs, good), good)

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
    log_probs, _, good = world
    fitted = Calibration.fit(log_probs[:500], good[:500])

    again = Calibration.from_card({"calibration": {**fitted.as_json(), "error": 0.1}})

    assert again == fitted
    assert Calibration.from_card({}) is None


def test_captions_that_are_all_good_do_not_break_the_fit():
    fitted = Calibration.fit([[-1.0, -2.0], [-0.5]], np.array([True, True]))
    assert np.isfinite(fitted.confidence([[-1.0]])).all()

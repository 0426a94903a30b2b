"""Invented people and things, and how well confidence tells right from wrong: planted answers."""

import numpy as np
import pytest

from cutline.metrics.calibration_error import OperatingPoint, risk_area, risk_coverage, roc_area
from cutline.metrics.hallucination import count_invented, find_invented
from cutline.text.tokenizer import split_words


def invented(caption, *references):
    return find_invented(split_words(caption), [split_words(text) for text in references])


def test_a_person_that_no_reference_names_is_invented():
    found = invented("A man rides a bike.", "A bicycle on a street", "A bike and a car")

    assert found.person and found.invented_person
    assert found.invented_objects == ()


def test_any_word_for_a_person_in_any_reference_is_enough():
    assert not invented("A boy jumps.", "A skateboard", "A skateboarder in the air").invented_person
    assert not invented("A bike", "A man on a bike").person


def test_a_baby_elephant_is_nobody():
    found = invented("A man and an elephant", "A baby elephant with its mother")

    assert found.invented_person


@pytest.mark.parametrize(
    ("caption", "reference", "expected"),
    [
        ("A dog on a couch", "A cat on a sofa", ("dog",)),
        ("A puppy on a bed", "A dog sleeps", ("bed",)),
        ("A bird in the water", "A duck on a pond", ()),
        ("A duck in the water", "A bird on a pond", ()),
        ("A dog and a dog", "A horse", ("dog",)),
        ("A hot dog with ketchup", "A dog with a frisbee", ("hotdog", "sauce")),
        ("A beach at sunset", "A zebra", ()),
        ("", "A zebra", ()),
    ],
)
def test_things_that_no_reference_names_are_invented(caption, reference, expected):
    assert invented(caption, reference).invented_objects == expected


def test_a_dog_is_wrong_where_nobody_wrote_of_one():
    right, wrong = invented("A dog runs", "Two puppies"), invented("A dog runs", "A bear")

    assert (right.dog, right.wrong_dog) == (True, False)
    assert (wrong.dog, wrong.wrong_dog) == (True, True)


def test_what_was_invented_is_counted():
    found = [
        invented("A man with a dog and a ball", "A cat"),
        invented("A woman on a bench", "A lady sits"),
        invented("Water", "Water"),
    ]

    assert count_invented(found) == {
        "captions": 3,
        "person": 2,
        "invented person": 1,
        "objects": 3,
        "invented objects": 3,
        "with an invented object": 2,
        "dog": 1,
        "wrong dog": 1,
    }


def test_the_area_is_the_share_of_pairs_in_order():
    right = np.array([True, True, False, False])

    assert roc_area(np.array([0.9, 0.8, 0.2, 0.1]), right) == 1
    assert roc_area(np.array([0.9, 0.1, 0.2, 0.05]), right) == 0.75
    assert roc_area(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0.5
    assert np.isnan(roc_area(np.array([0.5]), np.array([True])))


def test_the_curve_keeps_the_surest_first_and_equals_together():
    curve = risk_coverage(np.array([0.2, 0.9, 0.5, 0.5]), np.array([False, True, True, False]))

    assert curve == [
        OperatingPoint(0.25, 0.0, 0.9),
        OperatingPoint(0.75, 1 / 3, 0.5),
        OperatingPoint(1.0, 0.5, 0.2),
    ]
    assert risk_area(curve) == pytest.approx(0.5 / 3 + 0.25 / 2)


def test_no_captions_have_no_curve():
    assert risk_coverage(np.array([]), np.array([], bool)) == []
    assert np.isnan(risk_area([]))

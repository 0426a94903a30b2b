"""What a caption says that no reference does."""

import pytest

from cutline.inventions import find_invented, read_references
from cutline.words import split_words


def invented(caption: str, *references: str):
    seen = read_references(split_words(reference) for reference in references)
    return find_invented(split_words(caption), seen)


@pytest.mark.parametrize(
    ("caption", "somebody", "things"),
    [
        ("a dog runs in the grass", False, set()),
        ("a man with a dog", True, set()),
        ("a baby with a kite", True, {"kite"}),
        ("a puppy and an animal", False, set()),
        ("", False, set()),
    ],
)
def test_people_and_things_that_no_reference_names(caption, somebody, things):
    found = invented(caption, "a brown dog on the grass", "the dog is running")

    assert (found.somebody, set(found.things)) == (somebody, things)


def test_one_word_for_a_person_is_as_good_as_another():
    assert not invented("a man on a bench", "a woman sits on a bench").somebody

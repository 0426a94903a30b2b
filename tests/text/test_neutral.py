"""Words for gender give way to neutral ones, word for word, and the sentence stays English."""

import pytest

from cutline.text.neutral import NEUTRAL, neutralize
from cutline.text.nouns import names_person
from cutline.text.style import Style


@pytest.mark.parametrize(
    ("caption", "neutral"),
    [
        ("a woman in a red shirt", "a person in a red shirt"),
        ("two men and a dog", "two people and a dog"),
        ("a man and a woman sit on a bench", "a person and another person sit on a bench"),
        ("men and women in a room", "people and others in a room"),
        ("a boy throws his ball as he runs", "a child throws their ball as they run"),
        ("she catches a ball and is happy", "they catch a ball and is happy"),
        ("a policeman on a horse", "a officer on a horse"),  # articles are mended afterwards
        ("a dog catches a ball", "a dog catches a ball"),
    ],
)
def test_words_for_gender_are_replaced(caption, neutral):
    assert " ".join(neutralize(caption.split())) == neutral


def test_no_neutral_word_says_a_gender_and_people_stay_people():
    assert not NEUTRAL.keys() & NEUTRAL.values()
    for word in ("man", "women", "boy", "girls", "policeman"):
        assert names_person([NEUTRAL[word]])


def test_with_a_length_limit_the_search_avoids_the_words():
    assert not Style(neutral=True).avoid
    assert NEUTRAL.keys() <= Style(neutral=True, max_chars=40).avoid

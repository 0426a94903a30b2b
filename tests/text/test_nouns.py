"""Plain nouns: what captions name, of what kind it is, and whether anybody is said to be there."""

import pytest

from cutline.text.nouns import (
    KINDS,
    NOTHING,
    NOUNS,
    PERSON,
    SAID,
    agree,
    find_nouns,
    kind_of,
    names_person,
    nouns_of,
    read_classes,
)
from cutline.text.tokenizer import split_words


def nouns(caption):
    return nouns_of(split_words(caption))


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Two puppies chase a kitten.", ["dog", "cat"]),
        ("A motorbike beside an airplane.", ["motorcycle", "plane"]),
        ("Men sit on a sofa and watch television.", ["man", "couch", "tv"]),
        ("A hot dog on a plate", ["hotdog", "plate"]),
        ("A teddy bear next to a fire hydrant", ["teddy", "hydrant"]),
        ("A bear in an orange shirt", ["bear", "shirt"]),
        ("A traffic light above the street", ["light", "street"]),
        ("Running quickly", []),
        ("", []),
    ],
)
def test_words_that_say_the_same_are_one_noun(caption, expected):
    assert nouns(caption) == expected


def test_a_noun_has_its_place_and_several_words_are_one_place():
    places = [(each.start, each.end) for each in find_nouns(split_words("a hot dog on a table"))]

    assert places == [(1, 3), (5, 6)]


@pytest.mark.parametrize(
    "caption",
    [
        "Someone holds a phone.",
        "A skateboarder does a trick.",
        "A lady with a dog",
        "A mother and her baby with a cat",
        "A couple sits on a bench.",
        "A crowd of people",
        "A pizza chef at work",
        "A police officer on a horse",
        "An elephant and its rider",
    ],
)
def test_a_caption_names_a_person(caption):
    assert names_person(split_words(caption))


@pytest.mark.parametrize(
    "caption",
    [
        "A baby elephant walks beside its mother.",
        "A couple of zebras in the grass",
        "A family of ducks on a pond",
        "A passenger train at a station",
        "Two fighter jets in the sky",
        "A king size bed in a bedroom",
        "A mother dog with her puppies",
        "A cowboy hat on a chair",
        "Black cowboy boots",
        "A guitar",
    ],
)
def test_a_caption_names_no_person(caption):
    assert not names_person(split_words(caption))


def test_one_noun_may_be_the_wider_of_the_other():
    assert agree("dog", "dog")
    assert agree("duck", "bird") and agree("bird", "duck")
    assert agree("duck", "animal") and agree("pizza", "food") and agree("truck", "vehicle")
    assert not agree("duck", "swan")
    assert not agree("dog", "cat")


def test_kinds():
    told = [kind_of(noun) for noun in ("man", "zebra", "bus", "couch", "banana", "beach", "x", "-")]

    assert told == ["person", "animal", "vehicle", "furniture", "food", "place", "", ""]
    assert NOTHING not in KINDS


def test_every_row_of_the_table_has_what_it_needs():
    assert {noun.wider for noun in NOUNS.values()} <= {"", *NOUNS}
    assert {SAID[words] for words in SAID} == NOUNS.keys()
    assert all(word == word.lower().strip() and word for words in SAID for word in words)
    assert not any("_" in name or " " in name for name in NOUNS)
    assert len(PERSON) > 300


def test_no_word_says_two_nouns():
    from cutline.text.nouns import _read

    words = [word for *_, own in _read("nouns.tsv") for word in own.split(" ")]

    assert len(words) == len(set(words))


def test_imagenets_classes_have_plain_nouns_of_the_table():
    classes = read_classes()

    assert len(classes) == 1000
    assert {noun for own in classes for noun in own} <= NOUNS.keys()
    assert not any(kind_of(own[0]) == "" for own in classes)
    told = {207: "dog", 281: "cat", 339: "horse", 345: "cow", 348: "sheep", 934: "hotdog"}
    assert {place: classes[place][0] for place in told} == told

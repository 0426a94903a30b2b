"""The sentence, a phrase that is surely true, or nothing."""

from dataclasses import replace

import pytest

from cutline.inference.fallback import NOT_A_PHOTOGRAPH, finish, phrase_of, shorten
from cutline.text.style import Style
from cutline.types import Caption, Concept

ZEBRA = Caption(
    "a boy in a striped shirt",
    ("a", "boy", "in", "a", "striped", "shirt"),
    -3.0,
    (-0.5,) * 6,
    chance=0.2,
    concepts=(Concept("person", 0.1), Concept("zebra", 0.98), Concept("grass", 0.7)),
    photograph=0.99,
)
AUTO = Style(form="auto")


def finished(caption: Caption, style: Style) -> Caption:
    return finish(caption, style, photograph=0.5, min_confidence=0.4)


def test_where_only_a_noun_is_sure_it_stands_in_place_of_the_sentence():
    told = finished(ZEBRA, AUTO)
    assert (told.text, told.confidence) == ("a zebra", 0.98)


def test_a_sure_sentence_stays():
    assert finished(replace(ZEBRA, chance=0.6), AUTO).text == ZEBRA.text


def test_the_narrowest_of_sure_nouns_is_said_with_its_own_probability():
    seen = (Concept("person", 0.0), Concept("animal", 0.97), Concept("bird", 0.95))
    told = finished(replace(ZEBRA, concepts=(*seen, Concept("duck", 0.8))), Style(form="phrase"))
    assert told.text == "a duck"
    assert [w["probability"] for w in told.as_json()["words"]] == [1.0, 0.8]


def test_an_unsure_sentence_that_says_what_is_sure_stays():
    words = "a zebra in a striped shirt"
    assert finished(replace(ZEBRA, text=words, words=tuple(words.split())), AUTO).text == words


def test_an_animal_that_is_hardly_there_is_doubted():
    seen = (Concept("person", 0.0), Concept("animal", 0.8), Concept("dog", 0.02))
    words = "a brown dog on the ground"
    otter = replace(ZEBRA, text=words, words=tuple(words.split()), concepts=seen)
    assert finished(otter, AUTO).text == "an animal"


def test_an_unsure_sentence_stays_where_nothing_is_sure():
    unsure = replace(ZEBRA, concepts=(Concept("person", 0.99), Concept("zebra", 0.5)))
    assert finished(unsure, AUTO).text == ZEBRA.text


def test_a_sentence_or_a_phrase_can_be_asked_for():
    assert finished(ZEBRA, Style()).text == ZEBRA.text
    assert finished(replace(ZEBRA, chance=0.9), Style(form="phrase")).text == "a zebra"


def test_a_phrase_keeps_to_the_style():
    assert finished(ZEBRA, Style(form="phrase", sentence=True)).text == "A zebra."
    avoided = Style(form="phrase", avoid=frozenset(["zebra"]))
    assert finished(ZEBRA, avoided).text == ZEBRA.text


def test_what_is_no_photograph_gets_no_caption():
    drawing = replace(ZEBRA, photograph=0.1)
    told = finished(drawing, AUTO)
    assert (told.text, told.left_out) == ("", NOT_A_PHOTOGRAPH)
    assert told.as_json()["caption"] is None
    assert finished(drawing, Style(any_picture=True)).text == ZEBRA.text


def test_a_model_that_cannot_tell_refuses_nothing():
    assert finished(replace(ZEBRA, photograph=None), Style()).text == ZEBRA.text


@pytest.mark.parametrize(
    ("noun", "phrase"),
    [("zebra", "a zebra"), ("orange", "an orange"), ("grass", "grass"), ("scissors", "scissors")],
)
def test_nouns_stand_alone_as_people_write_them(noun, phrase):
    assert phrase_of(noun) == phrase


def test_a_caption_within_a_length_limit_is_whole_or_a_phrase_or_missing():
    def said(text: str, *others: str, concepts: tuple[Concept, ...] = ()) -> Caption:
        words = tuple(text.split())
        rest = tuple(said(other) for other in others)
        return Caption(text, words, -1.0, (-1.0,), alternatives=rest, concepts=concepts)

    style = Style(max_chars=25)
    whole = shorten(said("a girl in a blue shirt is", "a girl in a blue", "a girl smiles"), style)
    phrase = shorten(said("a zebra is on a", concepts=(Concept("zebra", 0.9),)), style)
    missing = finish(
        shorten(said("a girl in a blue shirt is"), style), style, photograph=0.0, min_confidence=0.5
    )

    assert (whole.text, whole.alternatives) == ("a girl smiles", ())
    assert phrase.text == "a zebra"
    assert (missing.text, missing.left_out) == ("", "no whole caption has 25 characters or fewer")

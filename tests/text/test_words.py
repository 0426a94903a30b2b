"""Words of other languages keep their letters and capitals; nothing of English is done to them."""

import pytest

from cutline.errors import DataError
from cutline.text.vocabulary import MARKERS, Vocabulary
from cutline.text.words import primary_language, split_as_written, words_in

GERMAN = [
    "Ein Mädchen läuft über die Straße.",
    "ein mädchen läuft über die straße",  # by someone who ignores capitals
    "Mädchen spielen am Fluss.",
    "Der Junge läuft mit einem Hund.",
    "Eine junge Frau und ein Junge.",
    "Eine junge Frau läuft.",
    "Ein Mann, der eine Frau sieht.",
]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ein weißer Hund läuft über die Straße.", "Ein weißer Hund läuft über die Straße"),
        ("Das T-Shirt, 2,5 m lang; geht's?", "Das T-Shirt 2,5 m lang geht's"),
        ("„Hallo“, sagt er … (leise)", "Hallo sagt er leise"),
        ("Fu\u0308nf Hunde", "Fünf Hunde"),  # an umlaut as two characters
        ("L’homme à l’œil", "L'homme à l'œil"),
        ("كلبٌ أسود، وكلـــب أبيض؟", "كلب أسود وكلب أبيض"),
        ("двое детей — у ёлки", "двое детей у ёлки"),
        ("", ""),
    ],
)
def test_words_are_split_by_the_same_rule_in_every_language(text, words):
    assert split_as_written(text) == words.split()


def test_scripts_without_spaces_are_split_into_characters_and_joined_again():
    vocabulary = Vocabulary.of(["一只狗在跑。"], min_count=1, language="zh")

    assert split_as_written("一只狗，2 只") == ["一", "只", "狗", "2", "只"]
    assert vocabulary.join(vocabulary.decode(vocabulary.encode("一只狗。"))) == "一只狗"


def test_english_contractions_and_abbreviations_stay_english():
    assert words_in("Cannot see the dog's toy", "en") == [
        "can",
        "not",
        "see",
        "the",
        "dog",
        "'s",
        "toy",
    ]
    assert words_in("Cannot geht's", "de") == ["cannot", "geht's"]


def test_a_word_has_the_capitals_that_it_has_inside_sentences():
    vocabulary = Vocabulary.of(GERMAN, min_count=1, language="de")

    assert {"Mädchen", "Straße", "Hund", "läuft", "ein", "der"} <= set(vocabulary.words)
    assert not {"mädchen", "straße", "hund", "Ein", "Der"} & set(vocabulary.words)
    assert {"Junge", "junge"} <= set(vocabulary.words)


def test_what_people_wrote_without_capitals_is_corrected():
    vocabulary = Vocabulary.of(GERMAN, min_count=1, language="de")
    read = vocabulary.decode(vocabulary.encode("EIN mädchen und eine junge frau."))

    assert vocabulary.join(read) == "ein Mädchen und eine junge Frau"


def test_every_word_of_a_vocabulary_encodes_to_its_own_id():
    vocabulary = Vocabulary.of(GERMAN, min_count=1, language="de")

    assert vocabulary.encode(vocabulary.words[len(MARKERS) :]) == list(range(4, len(vocabulary)))


def test_a_vocabulary_does_not_grow_in_another_language():
    english = Vocabulary.of(["a dog"], min_count=1)

    with pytest.raises(DataError, match=r"writes captions in 'en', not in 'de'.*--weights"):
        english.grown(GERMAN, language="de")


def test_german_is_not_taken_for_english_because_of_its_words():
    assert not Vocabulary.of(["an a the"], min_count=1, language="de").is_english
    assert Vocabulary.of(["an a the"], min_count=1).is_english


@pytest.mark.parametrize(
    ("tag", "language"),
    [("de", "de"), ("DE-at", "de"), ("pt_BR.UTF-8", "pt"), ("yue", "yue"), ("", ""), ("x y", "")],
)
def test_regions_and_scripts_do_not_change_the_language(tag, language):
    assert primary_language(tag) == language

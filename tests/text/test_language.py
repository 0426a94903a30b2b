"""Which language captions are in, and whether they name a side, from examples by people."""

import pytest

from cutline.text.language import find_script, guess_language, names_side
from cutline.text.tokenizer import split_words


@pytest.mark.parametrize(
    ("caption", "is_sided"),
    [
        ("a dog runs", False),
        ("a dog on the left", True),
        ("his right hand", True),
        ("a left-handed pitcher", True),
        ("a right-hander throws", True),
        ("the leftmost horse", True),
        ("a righthanded batter", True),
        ("the right's flag", True),
        ("a bright and delightful cleft", False),
        ("leftover food on a plate", False),
        ("ein Hund links neben einem Mann", True),
        ("ein Mann mit der rechten Hand", True),
        ("ein Linkshänder wirft einen Ball", True),
        ("ein rechteckiger Tisch", False),
        ("un homme à gauche", True),
        ("una mujer a la izquierda", True),
        ("en hund till vänster", True),
    ],
)
def test_words_that_name_a_side_are_found(caption, is_sided):
    assert names_side(split_words(caption)) is is_sided


@pytest.mark.parametrize(
    ("language", "captions"),
    [
        ("en", ["Two dogs run on the beach", "A man is sitting at a table with a cup"]),
        ("de", ["Zwei Hunde laufen auf dem Strand", "Ein Mann sitzt mit einer Tasse im Zimmer"]),
        ("fr", ["Deux chiens courent sur la plage", "Un homme est assis dans une chambre"]),
        ("es", ["Dos perros corren por la playa", "Un hombre está sentado en una silla"]),
        ("it", ["Due cani corrono sulla spiaggia", "Un uomo è seduto su una sedia nel parco"]),
        ("nl", ["Twee honden rennen op het strand", "Een man zit aan een tafel met een kop"]),
        (None, ["Kaksi koiraa juoksee rannalla", "Mies istuu tuolilla huoneessa"]),
        (None, ["两只狗在沙滩上奔跑"]),
        (None, ["كلبان يركضان على الشاطئ"]),
        (None, []),
    ],
)
def test_the_language_of_captions_is_that_of_their_frequent_words(language, captions):
    assert guess_language(captions) == language


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("a dog", "latin"),
        ("Mädchen ☃", "latin"),
        ("كلبان يركضان", "arabic"),
        ("两只狗", "cjk"),
        ("две собаки and", "cyrillic"),
        ("12 !", ""),
    ],
)
def test_the_script_is_that_of_most_letters(text, script):
    assert find_script(text) == script

import hashlib
import json
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutline.words import DROPPED, RULES, join_words, split_words

# Origin: the words that the COCO caption evaluator sees, which is Stanford's PTBTokenizer (CoreNLP
# 3.4.1, from pycocoevalcap 1.2, run on Java 17 with -preserveLines -lowerCase) less the
# evaluator's list of punctuation. The captions are made up; each was followed by a line `x`, since
# that tokeniser looks beyond the end of the line.
JAVA_WORDS = {
    "A dog's toy, and the dogs' toys.": "a dog 's toy and the dogs toys",
    "\"Don't!\" they'll say; we can't, cannot and won't.": (
        "do n't they 'll say we ca n't can not and wo n't"
    ),
    "A T-shirt w/ red/yellow stripes -- size 3/4...": "a t-shirt w / red/yellow stripes size 3/4",
    "The clock on St. Mary's reads 10:30pm (or 22:30).": (
        "the clock on st. mary 's reads 10:30 pm -lrb- or 22:30 -rrb-"
    ),
    "Mr. Smith of the U.S. Army eats at 5 p.m.": "mr. smith of the u.s. army eats at 5 p.m.",
    "See plan B. The dog sees plan b. again.": "see plan b the dog sees plan b. again",
    "Black&white cows at AT&T, M&M's & R&B!": "black & white cows at at&t m&m 's & r&b",
    "A rock 'n' roll band o' the '70s at 7 o'clock.": (
        "a rock 'n' roll band o the '70s at 7 o'clock"
    ),
    "Toilet,sink and tub..then a fork.A knife": "toilet sink and tub then a fork.a knife",
    "It’s a “café” – naïve… isn’t it?": "it 's a café naïve is n't it",
    "He paid $5.00, 50% off, for #1 of 1,000 :-)": (
        "he paid $ 5.00 50 % off for # 1 of 1,000 :--rrb-"
    ),
    "I'm gonna gimme a 6'2\" man, y'all, 'cause ma'am said d'oeuvres": (
        "i 'm gon na gim me a 6 2 man y' all 'cause ma'am said d'oeuvres"
    ),
    "طفلةً صغيرةٌ تتسلق، إلى مسرح خشبي؟": "طفلةً صغيرةٌ تتسلق ، إلى مسرح خشبي ؟",
    "Smile 🙂 dog🐶 ???  [sic]": "smile dog ??? -lsb- sic -rsb-",
}

# Origin: as above, for every caption of the file; SHA-256 of the captions, one a line, a space
# between two words. (The captions themselves may not stand in this repository.)
JAVA_DIGESTS = {
    "Flickr8k": "040c964935b9501fcf3322c186336ba57b8a465f387952dc68969c2deb652a17",
    "COCO val2017": "2983830fa046cf7b73494013d7071f9fb19c33208c2f2c06e350bfcbc434200e",
}


@pytest.mark.parametrize("caption", JAVA_WORDS)
def test_hostile_captions_have_the_words_of_the_java_tokeniser(caption: str):
    words = split_words(caption)

    assert words == JAVA_WORDS[caption].split()


@pytest.mark.parametrize("name", JAVA_DIGESTS)
def test_every_caption_of_a_data_set_has_the_words_of_the_java_tokeniser(shared: Path, name: str):
    captions = {"Flickr8k": read_flickr8k, "COCO val2017": read_coco}[name](shared / "data")

    lines = "\n".join(" ".join(split_words(caption)) for caption in captions)

    assert hashlib.sha256(lines.encode()).hexdigest() == JAVA_DIGESTS[name]


def read_flickr8k(data: Path) -> list[str]:
    lines = (data / "flickr8k/Flickr8k.token.txt").read_text(encoding="utf-8").splitlines()
    return [line.partition("\t")[2] for line in lines]


def read_coco(data: Path) -> list[str]:
    annotations = json.loads((data / "coco/captions_val2017.json").read_text())["annotations"]
    return [annotation["caption"] for annotation in annotations]


@pytest.mark.parametrize("example", [rule for rule in RULES if "|" not in rule and rule != "dog.,"])
def test_the_example_of_each_rule_is_one_word(example: str):
    words = split_words(f"see {example}")

    assert words == ["see", *example.replace(")", "-rrb-").lower().split()]


@pytest.mark.parametrize("example", [rule for rule in RULES if "|" in rule])
def test_the_stroke_in_the_example_of_a_rule_is_where_words_part(example: str):
    words = split_words(example.replace("|", ""))

    assert words == example.split("|")


@pytest.mark.parametrize(
    "script", ["हिन्दी में कुत्ता", "ภาษาไทย", "con chó Việt", "собака й", "שָׁלוֹם כלב"]
)
def test_words_of_any_script_come_through_whole(script: str):
    words = split_words(script)

    assert words == script.lower().split()


@given(st.text())
def test_no_text_breaks_the_splitting_and_no_word_has_a_space_or_capital(text: str):
    words = split_words(text)

    for word in words:
        assert word and word.split() == [word] and word == word.lower() and word not in DROPPED


@pytest.mark.parametrize("piece", ["-", "a.-", "1.a", "a'", "a@", "<a"])
def test_the_time_grows_with_the_length_of_the_text_and_not_with_its_square(piece: str):
    start = perf_counter()

    split_words(piece * 30_000)

    assert perf_counter() - start < 4  # 0.3 s when written; with a square 7 to 30 s


@given(st.lists(st.from_regex(r"[a-z]{2,9}(-[a-z]{2,9})?", fullmatch=True)))
def test_split_words_may_be_joined_and_split_again(words: list[str]):
    once = split_words(" ".join(words))

    assert split_words(join_words(once)) == once


def test_joining_attaches_clitics_to_the_word_before_and_changes_nothing_else():
    words = ["a", "dog", "'s", "toy", "is", "n't", "what", "they", "'ll", "like", "-lrb-", "n't-x"]

    text = join_words(words)

    assert text == "a dog's toy isn't what they'll like -lrb- n't-x"


def test_joining_no_words_is_an_empty_caption():
    assert join_words([]) == ""
    assert split_words("") == []

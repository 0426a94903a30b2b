import pytest

from cutline.errors import DataError
from cutline.text.style import UNCONSTRAINED, UNLIMITED, Style, read_words
from cutline.text.tokenizer import join_words
from cutline.text.vocabulary import MARKERS, Vocabulary


def test_a_style_is_free_until_it_says_otherwise():
    assert UNCONSTRAINED.is_unconstrained
    assert Style(sentence=True).is_unconstrained
    assert not Style(max_chars=20).is_unconstrained
    assert not Style(avoid=frozenset(["man"])).is_unconstrained
    assert UNCONSTRAINED.longest == Style(max_chars=20).without_length_limit.longest == UNLIMITED


def test_a_full_stop_takes_a_character_of_its_own():
    style = Style(max_chars=12, sentence=True)

    assert style.is_short_enough("a dog barks")
    assert style.format("a dog barks") == "A dog barks."
    assert not style.is_short_enough("a dog barks!")
    assert style.format("") == ""
    assert UNCONSTRAINED.format("a dog barks") == "a dog barks"


def test_words_are_avoided_as_the_model_writes_them():
    words = (*MARKERS, "a", "man", "woman", "t-shirt")

    style = Style(avoid=frozenset(["Man", "T-shirt", "unicorn"]))

    assert style.avoided(words).tolist() == [False] * 5 + [True, False, True]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("man\nwoman\n", {"man", "woman"}),
        ("# people\r\nMan  # and boys\r\n\r\n", {"man"}),
        ("", set()),
    ],
)
def test_a_file_of_words_is_read(tmp_path, content, expected):
    path = tmp_path / "words.txt"
    path.write_bytes(content.encode())

    assert read_words(path) == expected


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("man\nhot dog\n", ":2: 'hot dog' is 2 words; give one word at a time"),
        ("...\n", ":1: '...' is no words; give one word at a time"),
        (b"\xff\xfe", ": it is not UTF-8"),
        (None, ": No such file or directory"),
    ],
)
def test_a_file_of_something_else_is_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(DataError) as caught:
        read_words(path)

    assert str(caught.value).endswith(f"{path}{sentence}")


def test_too_short_is_refused():
    with pytest.raises(DataError, match="max_chars is 3, but must be at least 10"):
        Style(max_chars=3)


def test_the_lengths_of_words_add_up_to_the_caption():
    vocabulary = Vocabulary((*MARKERS, "a", "dog", "'s", "toy", "do", "n't", "t-shirt", "-lrb-"))
    for words in (("a", "dog", "'s", "toy"), ("do", "n't"), ("t-shirt", "-lrb-", "a")):
        total = sum(vocabulary.lengths[number] for number in vocabulary.encode(words))

        assert total - 1 == len(join_words(words))
    assert vocabulary.lengths[: len(MARKERS)] == [0] * len(MARKERS)

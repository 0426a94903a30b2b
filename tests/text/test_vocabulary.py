"""Words become numbers and come back; a file that would change their meaning is refused."""

from collections import Counter
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from cutline.errors import DataError, ModelError
from cutline.text.tokenizer import split_words
from cutline.text.vocabulary import END, MARKERS, PAD, START, UNKNOWN, Vocabulary

CAPTIONS = ["A dog runs.", "A dog and a cat.", "The cat runs", "a bird"]


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.of(CAPTIONS, min_count=2)


def test_the_commonest_words_come_first_then_the_alphabet_decides(vocabulary):
    assert vocabulary.words == (*MARKERS, "a", "cat", "dog", "runs")
    assert len(vocabulary) == 8


def test_the_order_of_the_captions_does_not_matter():
    assert Vocabulary.of(reversed(CAPTIONS), min_count=1) == Vocabulary.of(CAPTIONS, min_count=1)


def test_captions_without_a_common_word_are_told_what_to_change():
    with pytest.raises(DataError, match="none of the 7 words .* 5 times; lower min_count"):
        Vocabulary.of(CAPTIONS)


def test_a_text_and_its_words_are_the_same_numbers(vocabulary):
    assert vocabulary.encode("A dog runs.") == [4, 6, 7]
    assert vocabulary.encode(["a", "dog", "runs"]) == [4, 6, 7]


def test_unknown_words_are_marked_and_stay_to_be_seen(vocabulary):
    numbers = vocabulary.encode("a zebra runs")

    assert numbers == [4, UNKNOWN, 7]
    assert vocabulary.decode(numbers) == ("a", "<unk>", "runs")


def test_a_caption_cannot_smuggle_in_a_marker(vocabulary):
    assert vocabulary.encode(["<end>", "<pad>", "<start>"]) == [UNKNOWN] * 3
    assert Vocabulary.of(["a <end> <pad> <start> b"], min_count=1).words.count("<end>") == 1


def test_what_comes_after_the_end_is_not_read(vocabulary):
    assert vocabulary.decode([START, 4, PAD, 6, END, 7, 7, PAD]) == ("a", "dog")


def test_numbers_may_come_in_an_array(vocabulary):
    assert vocabulary.decode(np.array([START, 4, 6, END])) == ("a", "dog")


@settings(max_examples=40)
@given(some.lists(some.text(max_size=30), min_size=1, max_size=3))
def test_any_text_that_has_words_can_be_learnt_and_written_back(captions):
    words = [word for caption in captions for word in split_words(caption)]
    if not set(words) - set(MARKERS):
        return

    vocabulary = Vocabulary.of(captions, min_count=1)

    for caption in captions:
        expected = tuple("<unk>" if word in MARKERS else word for word in split_words(caption))
        assert vocabulary.decode(vocabulary.encode(caption)) == expected


def test_a_file_read_back_is_the_same_vocabulary(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "vocabulary.txt")

    assert Vocabulary.load(tmp_path / "vocabulary.txt") == vocabulary


def test_the_file_has_one_word_a_line_and_the_line_is_the_number(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "vocabulary.txt")

    content = (tmp_path / "vocabulary.txt").read_bytes()
    assert content == b"<pad>\n<start>\n<end>\n<unk>\na\ncat\ndog\nruns\n"
    assert vocabulary.hash == sha256(content).hexdigest()


def test_weights_of_another_vocabulary_are_refused(vocabulary):
    other = Vocabulary.of(CAPTIONS, min_count=1)

    vocabulary.check(vocabulary.hash)
    with pytest.raises(ModelError, match=f"another vocabulary .hash {other.hash[:12]}; this one"):
        vocabulary.check(other.hash)


GOOD = b"<pad>\n<start>\n<end>\n<unk>\na\ncat\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (GOOD + b"dog\na\n", "txt:8: 'a' is on line 5 already"),
        (GOOD + b"\ndog\n", "txt:7: is empty"),
        (GOOD + b"d\xf6g\n", "txt:7: is not UTF-8"),
        (GOOD + b"hot dog\n", "txt:7: contains white space: 'hot dog'"),
        (GOOD + "hot\u2028dog\n".encode(), "txt:7: contains white space"),
        (GOOD + b"dog", "txt: the last line has no end; the file is cut short"),
        (GOOD.replace(b"\n", b"\r\n"), "txt:1: ends in a carriage return"),
        (b"\xef\xbb\xbf" + GOOD, "txt:1: begins with a byte order mark"),
        (b"a\ndog\ncat\nruns\n", "txt:1: must be the marker '<pad>', not 'a'"),
        (b"<pad>\n<start>\n", "txt:3: must be '<end>'; the file ends"),
        (b"", "txt:1: must be '<pad>'; the file ends"),
    ],
)
def test_a_damaged_file_is_refused_by_line(content, sentence, tmp_path):
    (tmp_path / "vocabulary.txt").write_bytes(content)

    with pytest.raises(ModelError, match=sentence):
        Vocabulary.load(tmp_path / "vocabulary.txt")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ModelError, match="cannot read the vocabulary .*nowhere.txt: No such file"):
        Vocabulary.load(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*MARKERS, "hot dog"), "word 4 of the vocabulary contains white space"),
        ((*MARKERS, "dog\n"), "word 4 of the vocabulary contains white space"),
        ((*MARKERS, "\ud83d"), "word 4 of the vocabulary contains a lone surrogate"),
        ((*MARKERS, ""), "word 4 of the vocabulary is empty"),
        ((*MARKERS, "dog", "dog"), "contains 'dog' twice"),
        (MARKERS[:2], "a vocabulary begins with <pad> <start> <end> <unk>"),
        (("dog",), "word 0 of the vocabulary must be the marker '<pad>'"),
    ],
)
def test_words_that_no_file_could_hold_are_refused(words, sentence):
    with pytest.raises(ModelError, match=sentence):
        Vocabulary(words)


@pytest.mark.slow
def test_arabic_captions_make_a_vocabulary_that_survives_its_file(shared, tmp_path):
    lines = (shared / "data/flickr8k/Flickr8k.arabic.full.txt").read_text("utf8").splitlines()
    captions = [line.partition("\t")[2] for line in lines][:3000]

    vocabulary = Vocabulary.of(captions)
    vocabulary.save(tmp_path / "vocabulary.txt")

    counts = Counter(word for caption in captions for word in split_words(caption))
    assert vocabulary.words[len(MARKERS)] == counts.most_common(1)[0][0] == "في"
    assert set(vocabulary.words[len(MARKERS) :]) == {w for w, n in counts.items() if n >= 5}
    assert Vocabulary.load(tmp_path / "vocabulary.txt").hash == vocabulary.hash


def test_a_grown_vocabulary_keeps_its_numbers_and_adds_the_words_that_are_new():
    known = Vocabulary.of(["a dog runs", "a dog sits"], min_count=1)

    grown = known.grown(["a cat sits", "a cat runs", "one zebra"], min_count=2)

    assert grown.words == (*known.words, "cat")
    assert grown.grown(["a cat"], min_count=1) == grown


def test_captions_without_a_new_word_leave_a_vocabulary_as_it_is():
    known = Vocabulary.of(["a dog runs"], min_count=1)

    assert known.grown(["zebra"], min_count=5) == known

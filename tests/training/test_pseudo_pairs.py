"""Sentences found for labelled photographs."""

import pytest

from cutline.text.vocabulary import MARKERS, Vocabulary
from cutline.training.pseudo_pairs import MAX_PHOTOGRAPHS, Finder

SENTENCES = [
    "a zebra is standing in the grass",
    "a zebra standing behind a fence",
    "two zebras are standing in the grass",
    "a man is looking at a zebra",
    "a puppy is lying on the grass",
    "an animal is standing in the grass",
    "a zebra eats",
    "he is looking at a zebra",
    "a zebra ruminates upon the grass",
]


@pytest.fixture
def finder() -> Finder:
    words = {word for text in SENTENCES for word in text.split()} - {"ruminates"}
    return Finder(SENTENCES, Vocabulary((*MARKERS, *sorted(words))))


def test_a_sentence_names_a_label_and_nothing_that_is_neither_label_nor_seen(finder):
    found = finder.find(["zebra"], ["grass"], 6, seed=(0,))

    assert set(found) == {SENTENCES[0], SENTENCES[2]}


def test_what_no_label_tells_comes_last(finder):
    assert finder.find(["zebra"], ["grass"], 1, seed=(0,)) == [SENTENCES[0]]  # not "two"


def test_a_wider_word_is_true_and_a_narrower_one_is_not(finder):
    assert finder.find(["grass"], ["zebra"], 6, seed=(0,)).count(SENTENCES[5]) == 1
    assert finder.find(["grass", "animal"], [], 6, seed=(0,)) == [SENTENCES[5]]


def test_nobody_is_ever_found_not_even_where_labels_name_people(finder):
    assert SENTENCES[3] not in finder.find(["zebra", "man", "person"], ["grass"], 9, seed=(0,))
    assert finder.find(["man"], ["zebra"], 9, seed=(0,)) == []


def test_photographs_of_one_thing_do_not_all_get_the_same_sentence():
    words = {word for text in SENTENCES for word in text.split()}
    finder = Finder(SENTENCES, Vocabulary((*MARKERS, *sorted(words))))

    found = [finder.find(["zebra"], ["grass", "fence"], 1, seed=(n,)) for n in range(12)]

    assert {text for [text] in found} == {SENTENCES[0], SENTENCES[1], SENTENCES[2], SENTENCES[8]}


def test_a_sentence_is_found_for_few_photographs_and_then_for_none(finder):
    found = [finder.find(["zebra"], [], 1, seed=(n,)) for n in range(2 * MAX_PHOTOGRAPHS)]
    more = [finder.find(["animal"], ["grass"], 1, seed=(n,)) for n in range(2 * MAX_PHOTOGRAPHS)]

    assert found == [[]] * len(found)  # every sentence of a zebra names something else
    assert more == [[SENTENCES[5]]] * MAX_PHOTOGRAPHS + [[]] * MAX_PHOTOGRAPHS


def test_usual_words_come_first():
    usual = [f"a bus is parked near {letter}" for letter in "abc"]
    odd = "a bus of loads up drives away"
    words = {word for text in [*usual, odd] for word in text.split()}
    finder = Finder([odd, *usual], Vocabulary((*MARKERS, *sorted(words))))

    assert odd == finder.find(["bus"], ["street"], 5, seed=(0,))[-1]


def test_what_a_label_says_is_there_counts_more_than_what_is_behind_it():
    texts = ["a wall is standing on a floor", "a bed is standing beside a wall"]
    words = {word for text in texts for word in text.split()}
    finder = Finder(texts, Vocabulary((*MARKERS, *sorted(words))))

    assert finder.find(["bed", "wall", "floor"], [], 2, seed=(0,)) == [texts[1], texts[0]]


def test_the_same_seeds_find_the_same_and_others_may_not():
    def find_all(seeds: range) -> list[tuple[str, ...]]:
        words = {word for text in SENTENCES for word in text.split()}
        finder = Finder(SENTENCES, Vocabulary((*MARKERS, *sorted(words))))
        return [tuple(finder.find(["zebra"], ["grass", "fence"], 2, seed=(n,))) for n in seeds]

    assert find_all(range(20)) == find_all(range(20))
    assert find_all(range(20)) != find_all(range(20, 40))

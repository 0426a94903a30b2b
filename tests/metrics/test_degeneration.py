from cutline.metrics.degeneration import DegenerationStats
from cutline.metrics.diversity import Diversity

DOG, CAT = ["a", "dog", "runs"], ["a", "cat", "sleeps"]


def test_captions_are_counted():
    habits = DegenerationStats.of([DOG, DOG, CAT, ["a", "a", "bird"]])

    assert (habits.captions, habits.distinct, habits.commonest) == (4, 0.75, 0.5)
    assert habits.commonest_caption == "a dog runs"
    assert habits.repeating == 0.25
    assert habits.words == 6


def test_the_same_captions_repeat_themselves_and_break_off_as_in_the_scores():
    said = [["a", "dog", "a", "dog"], ["a", "man", "in", "a", "hat", "near"], DOG, []]
    [(_, broken_off, repeated, _)] = (
        Diversity().statistics(said, [[]] * 4).sum(axis=0, keepdims=True)
    )

    habits = DegenerationStats.of(said)

    assert (habits.repeating, habits.unfinished) == (repeated / 4, broken_off / 4) == (0.25, 0.5)


def test_captions_that_stop_in_mid_sentence():
    assert DegenerationStats.of([["a", "dog", "in", "the"], [], DOG, CAT]).unfinished == 0.5


def test_good_habits_need_no_warning_and_a_few_captions_say_nothing():
    different = [["a", f"dog{n}", "runs"] for n in range(30)]
    assert DegenerationStats.of(different).warnings == ()
    assert DegenerationStats.of([DOG] * 5).warnings == ()


def test_bad_habits_are_told():
    [warning] = DegenerationStats.of([DOG] * 25 + [CAT] * 5).warnings
    assert warning == "83% of the captions are 'a dog runs'"
    stutters = [["a", "a", f"dog{n}", "the"] for n in range(30)]
    assert [w.split("captions ")[1] for w in DegenerationStats.of(stutters).warnings] == [
        "repeat themselves",
        "stop in mid-sentence",
    ]
    few = [["f", "b", "c", "d", "e"][n % 5 : n % 5 + 1] for n in range(100)]
    assert DegenerationStats.of(few).warnings == (
        "only 5% of the captions are different from all others",
    )

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cutline.errors import RecipeError
from cutline.models.search import (
    InitialState,
    Limits,
    SearchResult,
    StepOutput,
    beam,
    greedy,
    sample,
)
from cutline.text.style import UNLIMITED
from naive import END, PAD, START, UNKNOWN, every_caption

A, B = UNKNOWN + 1, UNKNOWN + 2


class TableDecoder:
    """A decoder that is a table: the next word depends on the picture and the last word alone."""

    vocabulary_size = 6

    def __init__(self, seed: int) -> None:
        table = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(seed))
        self.log_probs = table.log_softmax(dim=-1)

    def start(self, regions, max_words):
        return InitialState((), (regions[:, 0, 0].long(),), 1)

    def step(self, words, picture, state):
        return StepOutput(self.log_probs[state[0], words], torch.ones(len(words), 1), state)


class BaitDecoder:
    """The likelier first word leads nowhere: greedy takes it, a beam of two does not.

    A (.6) is followed by six equally likely words, B (.4) by its end for certain.
    """

    vocabulary_size = 10

    def start(self, regions, max_words):
        return InitialState((), (regions[:, 0, 0],), 1)

    def step(self, words, picture, state):
        table = torch.full((10, 10), 1e-9)
        table[START, A], table[START, B] = 0.6, 0.4
        table[A, A:] = 1 / 6
        table[B, END] = table[B + 1 :, END] = 1.0
        return StepOutput(table.log()[words], torch.ones(len(words), 1), state)


def pictures(*kinds: int) -> torch.Tensor:
    return torch.tensor(kinds, dtype=torch.float).view(-1, 1, 1)


def captions(found: SearchResult, picture: int = 0) -> dict[tuple[int, ...], float]:
    """Each candidate with its log-probability, best first."""
    return {
        tuple(word for word in words if word != PAD): sum(log_probs)
        for words, log_probs, score in zip(
            found.words[picture].tolist(),
            found.log_probs[picture].tolist(),
            found.scores[picture].tolist(),
            strict=True,
        )
        if score > -torch.inf
    }


@pytest.mark.parametrize("seed", range(20))
def test_a_beam_as_wide_as_the_space_finds_what_trying_everything_finds(seed):
    decoder = TableDecoder(seed)

    found = captions(beam(decoder, pictures(0), max_words=3, width=15))

    expected = every_caption(decoder, pictures(0), max_words=3)
    assert found == pytest.approx(expected, abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 6))
def test_candidates_are_what_the_decoder_thinks_of_them(seed, width):
    decoder = TableDecoder(seed)

    found = captions(beam(decoder, pictures(1), max_words=4, width=width))

    expected = every_caption(decoder, pictures(1), max_words=4)
    assert found == pytest.approx({caption: expected[caption] for caption in found}, abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_a_beam_of_one_is_greedy(seed):
    decoder, images = TableDecoder(seed), pictures(0, 1, 2)

    narrow, first = (
        beam(decoder, images, max_words=6, width=1),
        greedy(decoder, images, max_words=6),
    )

    assert torch.equal(narrow.words, first.words)
    torch.testing.assert_close(narrow.log_probs, first.log_probs)


def test_a_wider_beam_is_not_taken_in_by_a_likely_first_word():
    decoder = BaitDecoder()

    [first, *_] = captions(greedy(decoder, pictures(0), max_words=3))
    [best, *_] = captions(beam(decoder, pictures(0), max_words=3, width=2))

    assert first[0] == A
    assert best == (B, END)


@pytest.mark.parametrize("width", [1, 3, 7])
def test_a_picture_gets_the_same_captions_alone_and_in_company(width):
    decoder = TableDecoder(seed=7)

    together = beam(decoder, pictures(0, 1, 2), max_words=5, width=width)

    for kind in range(3):
        alone = beam(decoder, pictures(kind), max_words=5, width=width)
        assert captions(together, kind) == pytest.approx(captions(alone))


@pytest.mark.parametrize("find", [greedy, beam, sample])
@pytest.mark.parametrize("seed", range(5))
def test_no_marker_is_ever_written_but_the_end(find, seed):
    decoder = TableDecoder(seed)
    decoder.log_probs[:, :, [PAD, START, UNKNOWN]] = -0.01  # by far the likeliest

    found = find(decoder, pictures(0, 1, 2), max_words=8)

    for picture in range(3):
        for caption in captions(found, picture):
            assert START not in caption
            assert UNKNOWN not in caption
            assert END not in caption[:-1]


def test_the_length_penalty_divides_by_the_words_and_the_end():
    decoder = TableDecoder(seed=3)

    plain = captions(beam(decoder, pictures(0), max_words=3, width=15))
    found = beam(decoder, pictures(0), max_words=3, width=15, length_penalty=0.5)

    expected = {caption: total / len(caption) ** 0.5 for caption, total in plain.items()}
    ranked = sorted(expected, key=lambda caption: -expected[caption])
    assert list(captions(found)) == ranked
    existing = found.scores[0][found.scores[0] > -torch.inf]
    assert existing.tolist() == pytest.approx([expected[caption] for caption in ranked])


LENGTHS = {A: 4, B: 7}


def limits(longest: int = UNLIMITED, avoided: tuple[int, ...] = (), words: int = 6) -> Limits:
    ids = torch.arange(words)
    lengths = torch.tensor([LENGTHS.get(word, 99 * (word > B)) for word in range(words)])
    return Limits(torch.isin(ids, torch.tensor(avoided)), lengths, torch.tensor(longest))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("longest", [3, 6, 10, 17])
def test_a_short_caption_is_the_best_that_ends_in_time(seed, longest):
    """Best by its mean word; 3 characters have room for an A, without the space before it."""
    decoder = TableDecoder(seed)

    found = captions(
        beam(decoder, pictures(0), max_words=4, width=25, limits=limits(longest)), picture=0
    )

    fitting = {
        caption: log_prob
        for caption, log_prob in every_caption(decoder, pictures(0), max_words=4).items()
        if caption[-1] == END and sum(LENGTHS.get(word, 0) for word in caption) - 1 <= longest
    }
    best = max(fitting, key=lambda caption: fitting[caption] / len(caption))
    assert found[best] == pytest.approx(fitting[best], abs=1e-5)
    assert all(sum(LENGTHS.get(word, 0) for word in c) - 1 <= longest for c in found)


def test_a_caption_that_has_ended_is_kept_while_likelier_ones_grow_too_long():
    """Three As are likelier than B at every step, and are never allowed to end."""

    class LongWinded(BaitDecoder):
        def step(self, words, picture, state):
            table = torch.full((10, 10), 1e-9)
            table[START, A], table[START, B], table[B, END] = 0.9, 0.1, 0.5
            table[A, A], table[A, END] = 1.0, 1e-6
            return StepOutput(table.log()[words], torch.ones(len(words), 1), state)

    shortest = limits(longest=12, words=10)

    assert next(iter(captions(beam(LongWinded(), pictures(0), width=3)))) == (A,) * 20
    assert list(captions(beam(LongWinded(), pictures(0), width=3, limits=shortest))) == [(B, END)]


@pytest.mark.parametrize("find", [greedy, beam, sample])
def test_words_are_avoided_and_nothing_else_changes(find):
    decoder = TableDecoder(3)

    without = find(decoder, pictures(0, 1, 2), limits=limits(avoided=(A,)))

    assert not (without.words == A).any()
    assert (without.words == B).any()
    if find is not sample:
        free = find(decoder, pictures(0, 1, 2), limits=limits())
        assert torch.equal(free.words, find(decoder, pictures(0, 1, 2)).words)


def test_sampling_follows_the_distribution():
    decoder, images = TableDecoder(seed=3), pictures(*[0] * 20_000)

    found = sample(decoder, images, max_words=1, generator=torch.Generator().manual_seed(0))

    allowed = decoder.log_probs[0, START, [END, A, B]].exp()
    shares = [(found.words[:, 0, 0] == word).float().mean() for word in (END, A, B)]
    assert shares == pytest.approx((allowed / allowed.sum()).tolist(), abs=0.02)


def test_every_word_may_be_drawn_in_training_as_the_model_has_it():
    decoder = TableDecoder(seed=0)

    found = sample(decoder, pictures(0), samples=5000, max_words=1, every_word=True)

    words, log_probs = found.words.flatten(), found.log_probs.flatten()
    expected = decoder.log_probs[0, START].exp()
    drawn = torch.bincount(words, minlength=6) / 5000
    torch.testing.assert_close(drawn, expected, atol=0.02, rtol=0)
    torch.testing.assert_close(log_probs, decoder.log_probs[0, START][words])


def test_sampling_repeats_itself_under_the_same_generator():
    decoder, images = TableDecoder(seed=3), pictures(*[0] * 50)

    first, again, other = (
        sample(decoder, images, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )

    assert torch.equal(first.words, again.words)
    assert not torch.equal(first.words, other.words)


@pytest.mark.parametrize("option", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_sampling_only_the_likeliest_is_greedy(option):
    decoder, images = TableDecoder(seed=5), pictures(0, 1, 2)

    found = sample(decoder, images, max_words=5, **option)

    assert torch.equal(found.words, greedy(decoder, images, max_words=5).words)


def test_top_k_and_top_p_leave_out_the_unlikely():
    decoder, images = TableDecoder(seed=3), pictures(*[0] * 2_000)
    ranked = sorted((END, A, B), key=lambda word: -decoder.log_probs[0, START, word])
    shares = decoder.log_probs[0, START, ranked].exp()
    top_p = float((shares[0] + shares[1] / 2) / shares.sum())

    by_k = sample(decoder, images, max_words=1, top_k=2)
    by_p = sample(decoder, images, max_words=1, top_p=top_p)

    assert set(by_k.words.flatten().tolist()) == set(ranked[:2])
    assert set(by_p.words.flatten().tolist()) == set(ranked[:2])


def test_what_is_reported_is_the_models_own_probability_whatever_the_temperature():
    decoder = TableDecoder(seed=5)

    found = captions(sample(decoder, pictures(2), max_words=4, temperature=3.0, top_k=2))

    [(caption, total)] = found.items()
    assert total == pytest.approx(every_caption(decoder, pictures(2), 4)[caption], abs=1e-5)


# --------------------------------------------------------------------- options that are off


def best_of_all(decoder: TableDecoder, picture: int, is_allowed) -> tuple[int, ...]:
    """The likeliest finished caption of at most four words that is allowed, by trying all."""
    every = every_caption(decoder, pictures(picture), 4)
    return max((c for c in every if c[-1] == END and is_allowed(c)), key=lambda c: every[c])


@pytest.mark.parametrize("seed", range(5))
def test_captions_have_the_fewest_words_that_are_asked_for(seed):
    decoder = TableDecoder(seed)

    found = beam(decoder, pictures(0), width=200, max_words=4, min_words=3, prefer_ended=True)

    best = next(iter(captions(found)))
    assert best == best_of_all(decoder, 0, lambda c: len(c) == 4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [1, 2])
def test_no_sequence_of_words_is_repeated_if_that_is_asked_for(seed, n):
    found = beam(TableDecoder(seed), pictures(0, 1), width=4, max_words=9, no_repeat_ngram=n)

    for picture in range(2):
        for caption in captions(found, picture):
            words = [word for word in caption if word != END]
            grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
            assert len(grams) == len(set(grams))


def test_a_caption_that_ended_comes_before_those_that_were_cut_off():
    decoder = TableDecoder(0)
    decoder.log_probs[:, :, END] -= 3.0

    plain = beam(decoder, pictures(0), width=6, max_words=3)
    ended = beam(decoder, pictures(0), width=6, max_words=3, prefer_ended=True)

    assert END not in next(iter(captions(plain)))
    assert captions(ended) == captions(plain)
    order = [END in caption for caption in captions(ended)]
    assert order == sorted(order, reverse=True) and True in order


def test_groups_of_beams_choose_other_words():
    decoder = TableDecoder(3)

    one = beam(decoder, pictures(0), width=2, max_words=4)
    groups = beam(decoder, pictures(0), width=2, max_words=4, groups=2, diversity=100.0)
    same = beam(decoder, pictures(0), width=2, max_words=4, groups=2, diversity=0.0)

    first, second = captions(groups)
    assert next(iter(captions(greedy(decoder, pictures(0), max_words=4)))) in (first, second)
    assert all(a != b or a == END for a, b in zip(first, second, strict=False))
    assert len(captions(same)) == 1 and len(captions(one)) == 2
    with pytest.raises(RecipeError, match="no multiple of groups"):
        beam(decoder, pictures(0), width=3, groups=2)

"""What every decoder promises, whichever it is."""

import pytest
import torch

from cutline.models.decoders import DECODERS
from cutline.models.decoders.show_and_tell import ShowAndTell
from cutline.models.search import StepDecoder, beam, pick_rows
from cutline.recipe import find
from naive import END, PAD, START, log_prob

VOCABULARY = 11


KINDS = [(kind, {}) for kind in sorted(DECODERS)]
KINDS += [("show-attend-tell", {"gated": False}), ("show-attend-tell", {"att2in": True})]
KINDS += [("show-attend-tell", {"attention": "additive"}), ("show-attend-tell", {"hard": True})]
KINDS += [("concept-attention", {"concepts": 4, "nouns": 6})]


@pytest.fixture(params=KINDS, ids=lambda kind: " ".join([kind[0], *kind[1]]))
def decoder(request):
    torch.manual_seed(0)
    kind, options = request.param
    part = find("decoder", {"kind": kind})
    decoder = part(6, VOCABULARY, embedding=8, hidden=10, **options).eval()
    decoder.vocabulary_size = VOCABULARY
    return decoder


@pytest.fixture
def regions():
    return torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def words():
    chance = torch.Generator().manual_seed(2)
    return torch.randint(VOCABULARY, (3, 7), generator=chance)


@torch.no_grad()
def test_reading_word_by_word_agrees_with_reading_at_once(decoder, regions, words):
    at_once = decoder(regions, words)

    (picture, state, _), one_by_one = decoder.start(regions), []
    for word in words.unbind(dim=1):
        log_probs, gaze, state = decoder.step(word, picture, state)
        one_by_one.append(log_probs)
        torch.testing.assert_close(gaze.sum(dim=1), torch.ones(3))

    assert isinstance(decoder, StepDecoder)
    torch.testing.assert_close(torch.stack(one_by_one, dim=1), at_once)
    torch.testing.assert_close(at_once.exp().sum(dim=-1), torch.ones(3, 7))


@torch.no_grad()
def test_in_half_precision_the_probabilities_still_sum_to_one(decoder, regions, words):
    with torch.autocast("cpu", torch.bfloat16):
        at_once = decoder(regions, words)
        picture, state, _ = decoder.start(regions)
        step = decoder.step(words[:, 0], picture, state).log_probs

    assert at_once.dtype == step.dtype == torch.float32
    torch.testing.assert_close(at_once.exp().sum(dim=-1), torch.ones(3, 7))
    torch.testing.assert_close(step.exp().sum(dim=-1), torch.ones(3))


@torch.no_grad()
def test_the_captions_of_a_picture_share_its_regions(decoder, regions, words):
    twice = words.repeat_interleave(2, 0)
    twice[1::2] = (twice[1::2] + 3) % VOCABULARY

    shared = decoder(regions, twice)

    torch.testing.assert_close(shared, decoder(regions.repeat_interleave(2, 0), twice))


@torch.no_grad()
def test_the_future_is_not_seen(decoder, regions, words):
    changed = words.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % VOCABULARY

    before, after = decoder(regions, words), decoder(regions, changed)

    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


@torch.no_grad()
def test_the_picture_is_seen(decoder, regions, words):
    assert not torch.allclose(decoder(regions, words), decoder(regions.flip(0), words))


@torch.no_grad()
def test_rows_do_not_touch_and_can_be_picked(decoder, regions, words):
    picture, state, _ = decoder.start(regions)
    together, _, state = decoder.step(words[:, 0], picture, state)
    rows = torch.tensor([2, 0, 0])

    alone, _, _ = decoder.step(words[1:2, 0], *decoder.start(regions[1:2])[:2])
    picked, _, _ = decoder.step(words[rows, 1], pick_rows(picture, rows), pick_rows(state, rows))
    unpicked, _, _ = decoder.step(words[:, 1], picture, state)

    torch.testing.assert_close(alone, together[1:2])
    torch.testing.assert_close(picked, unpicked[rows])


@torch.no_grad()
def test_beams_report_the_log_probability_the_decoder_gives(decoder, regions):
    found = beam(decoder, regions, max_words=5, width=3)

    for picture in range(3):
        for words, log_probs in zip(found.words[picture], found.log_probs[picture], strict=True):
            caption = tuple(word for word in words.tolist() if word != PAD)
            expected = log_prob(decoder, regions[picture : picture + 1], caption)
            assert float(log_probs.sum()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_four_captions_can_be_learnt_by_heart(decoder):
    captions = torch.tensor([[4, 5, END, PAD], [6, END, PAD, PAD], [4, 7, 8, END], [8, 4, 5, END]])
    words = torch.cat([torch.full((4, 1), START), captions], dim=1)
    regions = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)

    for _ in range(150):
        likely = decoder(regions, words[:, :-1]).gather(2, words[:, 1:, None]).squeeze(2)
        loss = -(likely * (words[:, 1:] != PAD)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    learnt = beam(decoder, regions, max_words=4, width=2).words[:, 0]
    assert torch.equal(learnt, captions)


@torch.no_grad()
def test_without_a_start_marker_the_first_word_follows_the_picture(regions, words):
    decoder = ShowAndTell(regions.shape[2], VOCABULARY, embedding=8, hidden=8, reads_start=False)
    decoder.eval()
    words = torch.cat([torch.full_like(words[:, :1], START), words[:, 1:].clamp(min=4)], dim=1)

    at_once, (picture, state, _) = decoder(regions, words), decoder.start(regions)
    first = decoder._next_word(state[0])
    one_by_one = []
    for word in words.unbind(dim=1):
        log_probs, _, state = decoder.step(word, picture, state)
        one_by_one.append(log_probs)

    torch.testing.assert_close(at_once[:, 0], first)
    torch.testing.assert_close(torch.stack(one_by_one, dim=1), at_once)

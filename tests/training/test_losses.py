import numpy as np
import pytest
import torch
from torch import nn

from cutline.metrics.bleu import Bleu
from cutline.metrics.cider import CiderD
from cutline.models.concepts import Concepts, DecoderInput
from cutline.models.decoders.show_and_tell import ShowAndTell
from cutline.models.search import greedy, sample
from cutline.models.weights import CaptionModel, cross_entropy
from cutline.training.losses import (
    CrossEntropy,
    MixedBatch,
    SelfCritical,
    TextOnlyBatch,
    WithSentences,
)
from cutline.training.trainer import average
from naive import END, PAD, START, UNKNOWN

WORDS = torch.tensor([[START, 4, 5, END, PAD], [START, 6, 7, 8, END]])
CAPTIONS = [[[4, 5, 6]], [[6, 7, 8]]]
WORDS_BY_ID = ["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "runs", "man", "sits"]


@pytest.fixture
def model() -> CaptionModel:
    torch.manual_seed(0)
    return CaptionModel(nn.Identity(), ShowAndTell(6, 9, embedding=8, hidden=8, dropout=0.0))


def test_without_sampling_cross_entropy_is_of_what_people_wrote(model):
    seen = torch.randn(2, 1, 6)

    [term] = CrossEntropy(smoothing=0.1)(model, seen, WORDS, 0.5)

    log_probs, words = model(seen, WORDS[:, :-1]), WORDS[:, 1:]
    torch.testing.assert_close(average((term,)), cross_entropy(log_probs, words, smoothing=0.1))
    torch.testing.assert_close(
        term.unsmoothed / term.words, cross_entropy(log_probs, words).detach()
    )


class Recorder:
    """Always sure of word 8; remembers what it was given to read."""

    def __init__(self) -> None:
        self.encoder, self.decoder, self.read = nn.Identity(), nn.Identity(), []

    def __call__(self, seen: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        self.read.append(words)
        likely = torch.full((*words.shape, 9), -50.0)
        likely[..., 8] = 0.0
        return likely


@pytest.mark.parametrize(("done", "share"), [(0.0, 0.0), (0.5, 0.25), (1.0, 0.5)])
def test_scheduled_sampling_puts_guesses_where_words_were_read(done, share):
    words = torch.tensor([[START] + 60 * [4] + [END]]).repeat(50, 1)
    words[:, 40:] = PAD
    model = Recorder()

    CrossEntropy(sampled=0.5)(model, torch.zeros(50, 1, 1), words, done)

    given, read = model.read[0], model.read[-1]
    assert torch.equal(given, words[:, :-1])
    assert (read[:, 0] == START).all()
    assert (read[:, 40:] == PAD).all()
    assert float((read[:, 1:40] == 8).float().mean()) == pytest.approx(share, abs=0.05)


def test_rewards_are_cider_d_with_the_end_among_the_words():
    objective = SelfCritical.of(CAPTIONS, WORDS_BY_ID, samples=2)
    drawn = torch.tensor([[[4, 5, 6, END], [4, 5, END, PAD]], [[6, 7, 8, END], [6, 7, 8, 4]]])
    written = torch.tensor([[[START, 4, 5, 6, END]], [[START, 6, 7, 8, END]]])

    rewards = objective._reward(drawn, written)

    ended = [[["a", "dog", "runs", "<end>"]], [["runs", "man", "sits", "<end>"]]]
    cider = CiderD.from_references(ended)
    said = [ended[0][0], ["a", "dog", "<end>"], ended[1][0], ["runs", "man", "sits", "a"]]
    expected = cider.statistics(said, [ended[0], ended[0], ended[1], ended[1]])[:, 0]
    np.testing.assert_allclose(rewards.flatten(), expected, rtol=1e-6)
    assert rewards[0, 0] > rewards[0, 1]
    assert rewards[1, 0] > rewards[1, 1]  # the same words, but the end


def test_bleu_may_be_mixed_in():
    drawn = torch.tensor([[[4, 5, 6, END], [4, 5, END, PAD]]])
    written = torch.tensor([[[START, 4, 5, 6, END]]])
    plain = SelfCritical.of(CAPTIONS, WORDS_BY_ID, samples=2)._reward(drawn, written)

    mixed = SelfCritical.of(CAPTIONS, WORDS_BY_ID, samples=2, bleu=0.5)._reward(drawn, written)

    bleu = Bleu()
    whole = ["a", "dog", "runs", "<end>"]
    said, references = [whole, ["a", "dog", "<end>"]], 2 * [[whole]]
    fourth = bleu.score(bleu.statistics(said, references))[:, 3]
    np.testing.assert_allclose((mixed - plain).flatten(), 0.5 * fourth, rtol=1e-5, atol=1e-6)


def test_people_and_things_that_nobody_wrote_of_may_cost_something():
    words = [*WORDS_BY_ID, "ball"]
    written = torch.tensor([[[START, 4, 5, 6, END], [START, 4, 5, 9, END]]])
    drawn = torch.tensor([[[4, 5, 9, END], [4, 7, 9, END]]])

    fined = SelfCritical.of(
        [[[4, 5, 6]]], words, samples=2, invented_person=0.5, invented_object=0.25
    )
    plain = SelfCritical.of([[[4, 5, 6]]], words, samples=2)._reward(drawn, written)

    torch.testing.assert_close(plain - fined._reward(drawn, written), torch.tensor([[0.0, 0.5]]))
    alone = written[:, :1]
    lost = SelfCritical.of([[[4, 5, 6]]], words, samples=2)._reward(drawn, alone)
    lost = lost - fined._reward(drawn, alone)
    torch.testing.assert_close(lost, torch.tensor([[0.25, 0.75]]))


def test_sentences_without_pictures_add_their_own_loss(model):
    seen = torch.randn(2, 1, 6)
    alone = TextOnlyBatch(
        DecoderInput(None, Concepts(torch.zeros(2, 1, dtype=torch.long), torch.ones(2, 1))),
        WORDS,
        torch.tensor([0.5, 0.25]),
    )
    told = torch.randn(2, 4, 9).log_softmax(dim=-1)

    class Both:
        encoder, decoder = nn.Identity(), staticmethod(lambda sight, words: told)

        def __call__(self, seen, words):
            return model(seen, words)

    loss = average(WithSentences(CrossEntropy())(Both(), MixedBatch(seen, alone), WORDS, 0.0))

    surprise = -told.gather(-1, WORDS[:, 1:, None]).squeeze(-1)
    written = WORDS[:, 1:] != PAD
    beside = (surprise * written * torch.tensor([[0.5], [0.25]])).sum() / written.sum()
    torch.testing.assert_close(
        loss, cross_entropy(model(seen, WORDS[:, :-1]), WORDS[:, 1:]) + beside
    )


@pytest.mark.slow
def test_meteor_may_be_mixed_in_and_knows_words_that_mean_the_same():
    pytest.importorskip("pycocoevalcap", reason="METEOR's data is the extra [meteor]")
    words = [*WORDS_BY_ID, "dogs"]
    drawn = torch.tensor([[[4, 9, 6, END], [4, 7, 6, END]]])
    written = torch.tensor([[[START, 4, 5, 6, END]]])

    [mixed] = SelfCritical.of(CAPTIONS, words, meteor=1.0, samples=2)._reward(drawn, written)
    [plain] = SelfCritical.of(CAPTIONS, words, samples=2)._reward(drawn, written)

    assert plain[0] == plain[1]
    assert mixed[0] > mixed[1]


def test_captions_of_nothing_but_padding_are_no_references():
    written = torch.tensor([[[START, 4, 5, 6, END], [PAD] * 5]])
    drawn = torch.tensor([[[4, 5, 6, END], [4, 5, END, PAD]]])
    objective = SelfCritical.of(CAPTIONS, WORDS_BY_ID, samples=2)

    torch.testing.assert_close(
        objective._reward(drawn, written), objective._reward(drawn, written[:, :1])
    )


def learn(model: CaptionModel, objective, seen, words, *, rate: float) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(150):
        loss = average(objective(model, seen, words, 0.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.slow
def test_self_critical_training_raises_the_reward(model):
    seen = torch.eye(6)[:2, None] * 3
    objective = SelfCritical.of(CAPTIONS, WORDS_BY_ID, samples=5, max_words=6)
    words = torch.tensor([[START, 4, 5, 6, END], [START, 6, 7, 8, END]])

    def mean_reward() -> float:
        torch.manual_seed(1)
        drawn = sample(model.decoder, seen, samples=40, max_words=6).words
        return float(objective._reward(drawn, words.view(2, 1, -1)).mean())

    before = mean_reward()
    learn(model, objective, seen, words, rate=0.02)

    assert mean_reward() > before + 1


def test_a_drawn_marker_is_like_no_word_of_a_reference():
    written = torch.tensor([[[START, 4, UNKNOWN, 6, END]]])
    drawn = torch.tensor([[[4, UNKNOWN, 6, END], [4, 7, 6, END], [4, START, 6, END]]])

    [rewards] = SelfCritical.of(CAPTIONS, WORDS_BY_ID)._reward(drawn, written)

    torch.testing.assert_close(rewards, rewards[:1].expand(3))


@pytest.mark.slow
def test_markers_become_unlikely(model):
    """Were they never drawn, nothing would take back what bad words lose to them."""
    with torch.no_grad():
        model.decoder.speak.bias[UNKNOWN] += 2
    seen = torch.eye(6)[:2, None] * 3
    objective = SelfCritical.of(CAPTIONS, WORDS_BY_ID, samples=5, max_words=6)

    def share_of_markers() -> float:
        read = model.decoder.step(torch.full((2,), START), *model.decoder.start(seen)[:2])
        return read.log_probs[:, [PAD, START, UNKNOWN]].exp().sum(dim=1).mean().item()

    before = share_of_markers()
    learn(model, objective, seen, WORDS, rate=0.01)

    assert share_of_markers() < 0.2 * before


def test_the_attention_penalty_is_that_of_the_paper():
    gaze = torch.rand(2, 4, 5).softmax(dim=-1)
    decoder = nn.Module()
    decoder.attend = lambda seen, words: (torch.zeros(2, 4, 9).log_softmax(-1), gaze)
    model = CaptionModel(nn.Identity(), decoder)

    _, term = CrossEntropy(doubly_stochastic=0.5)(model, torch.zeros(2, 5, 6), WORDS, 0.0)

    expected = 0.0
    for row, words in zip(gaze.tolist(), WORDS[:, 1:].tolist(), strict=True):
        for region in range(5):
            looked = sum(row[t][region] for t in range(4) if words[t] != PAD)
            expected += 0.5 * (1 - looked) ** 2 / 2
    assert float(term.total / term.words) == pytest.approx(expected, rel=1e-5)


def test_the_greedy_baseline_is_the_reward_of_greedy_search(model):
    seen = torch.randn(2, 1, 6)
    words = torch.tensor([[START, 4, 5, 6, END], [START, 6, 7, 8, END]])
    objective = SelfCritical.of(CAPTIONS, WORDS_BY_ID, samples=3, max_words=6, greedy=True)

    torch.manual_seed(5)
    [term] = objective(model, seen, words, 0.0)

    torch.manual_seed(5)
    drawn, log_probs, *_ = sample(model.decoder, seen, samples=3, max_words=6, every_word=True)
    written = words.view(2, 1, -1)
    best = greedy(model.decoder, seen, max_words=6).words
    gain = objective._reward(drawn, written) - objective._reward(best, written)
    torch.testing.assert_close(term.total, -(gain[..., None] * log_probs).sum())
    assert model.decoder.training

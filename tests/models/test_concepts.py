"""The nouns that a picture shows: found, fitted, read by the decoder and copied."""

import pytest
import torch

from cutline.models.concepts import (
    ConceptHead,
    Concepts,
    DecoderInput,
    fit,
    fit_photograph_classifier,
)
from cutline.models.decoders.concept_attention import ConceptAttention
from cutline.models.decoders.show_attend_tell import ShowAttendTell
from cutline.models.search import beam, pick_rows

WIDTH, NOUNS, WORDS = 12, 6, 20


@pytest.fixture
def head() -> ConceptHead:
    """Class n of ImageNet is noun n, and each noun's word has the number noun + 4."""
    torch.manual_seed(0)
    head = ConceptHead(WIDTH, NOUNS, count=3)
    head.words.copy_(torch.arange(NOUNS) + 4)
    head.classes[:NOUNS] = torch.eye(NOUNS)
    return head


@pytest.fixture
def decoder(head) -> ConceptAttention:
    torch.manual_seed(1)
    decoder = ConceptAttention(WIDTH, WORDS, embedding=8, hidden=10, concepts=3, nouns=NOUNS)
    decoder.concepts = head
    return decoder.eval()


def shake(decoder: ConceptAttention) -> ConceptAttention:
    """What is new in it starts from nothing: give it weights."""
    for weight in (decoder.open.weight, decoder.copy.weight, decoder.blind):
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(2))
    decoder.again.data.fill_(-1.5)
    return decoder


def some_regions(pictures: int = 3) -> torch.Tensor:
    return torch.rand(pictures, 5, WIDTH, generator=torch.Generator().manual_seed(3))


def test_a_class_that_is_sure_names_its_noun(head):
    head.classify.weight.data.zero_()
    head.classify.bias.data.fill_(-20.0)
    head.classify.bias.data[4] = 0.0

    (words, probabilities), _ = head(some_regions(1))

    assert words[0].tolist()[:2] == [4, 8]  # person always, then noun 4
    assert probabilities[0, 1] > 0.99 > 0.01 > probabilities[0, 0]


def test_the_likeliest_follow_person_in_order(head):
    picked = head.top(torch.tensor([[0.1, 0.3, 0.9, 0.2, 0.5, 0.4]]))
    assert picked.words.tolist() == [[4, 6, 8]]
    torch.testing.assert_close(picked.probabilities, torch.tensor([[0.1, 0.9, 0.5]]))


def test_what_the_classes_lack_is_learnt(head):
    chance = torch.Generator().manual_seed(4)
    means = torch.rand(600, WIDTH, generator=chance)
    named = torch.zeros(600, NOUNS)
    named[:, 5] = (means[:, 0] > 0.5).float()
    roots = means.sqrt()
    head.middle.copy_(roots.mean(0)), head.spread.copy_(roots.std(0))

    fit(head, means, named, torch.ones_like(named), decay=1e-3, steps=300, learning_rate=0.02)
    found = head.logits(means)[:, 5] > 0

    assert ((named[:, 5] > 0) == found).float().mean() > 0.95


def test_what_is_not_known_is_not_learnt(head):
    means, named = torch.rand(50, WIDTH), torch.ones(50, NOUNS)
    known = torch.zeros_like(named)
    known[:, 0] = 1
    head.middle.copy_(means.sqrt().mean(0)), head.spread.copy_(means.sqrt().std(0))
    fit(head, means, named, known, steps=50, decay=0.0)
    assert head.correct.bias[0] > head.correct.bias[1] == -4.0


def test_photographs_are_told_from_others(head):
    chance = torch.Generator().manual_seed(5)
    means = torch.rand(500, WIDTH, generator=chance)
    photographs, others = means[means[:, 2] > 0.3], means[means[:, 2] <= 0.3]
    head.middle.copy_(means.sqrt().mean(0)), head.spread.copy_(means.sqrt().std(0))
    fit_photograph_classifier(head, photographs, others, decay=1e-4, steps=300, learning_rate=0.02)
    (_, chances), (_, drawn) = (head(some[:, None]) for some in (photographs, others))
    assert (chances > 0.5).float().mean() > 0.95
    assert (drawn < 0.5).float().mean() > 0.95


def test_it_begins_as_the_decoder_that_it_extends(decoder):
    old = ShowAttendTell(WIDTH, WORDS, embedding=8, hidden=10).eval()
    decoder.load_state_dict(old.state_dict(), strict=False)
    words = torch.randint(4, WORDS, (3, 6))
    torch.testing.assert_close(decoder(some_regions(), words), old(some_regions(), words))


@torch.no_grad()
def test_word_by_word_agrees_with_at_once_when_concepts_are_copied(decoder):
    shake(decoder)
    words = torch.tensor([[1, 4, 9, 6, 5], [1, 6, 6, 4, 4]] * 3)
    (picture, state, _), each = decoder.start(some_regions()), []
    state = pick_rows(state, torch.tensor([0, 0, 1, 1, 2, 2]))
    for word in words.unbind(dim=1):
        log_probs, _, state = decoder.step(word, picture, state)
        each.append(log_probs)
    torch.testing.assert_close(torch.stack(each, dim=1), decoder(some_regions(), words))


@torch.no_grad()
def test_a_concept_can_be_said_although_no_word_of_the_rest_is_likely(decoder):
    shake(decoder)
    decoder.copy.weight.zero_()
    decoder.copy.bias.fill_(30.0)
    decoder.name.weight.zero_(), decoder.name.bias.zero_()
    decoder.sure.weight.fill_(1.0), decoder.sure.bias.zero_()
    sight = DecoderInput(
        some_regions(1), Concepts(torch.tensor([[4, 7, 9]]), torch.tensor([[0, 0.9, 0]]))
    )
    assert beam(decoder, sight, width=3, max_words=1).words[0, 0, 0] == 7


@torch.no_grad()
def test_a_sentence_is_learnt_from_without_a_picture(decoder):
    shake(decoder)
    words = torch.tensor([[1, 4, 9], [1, 5, 2]])
    one = Concepts(torch.tensor([[4, 5, 6], [4, 8, 9]]), torch.rand(2, 3))
    other = Concepts(one.words.flip(0), one.probabilities)
    scores = decoder(DecoderInput(None, one), words)
    assert scores.shape == (2, 3, WORDS)
    assert not torch.allclose(scores, decoder(DecoderInput(None, other), words))


@torch.no_grad()
def test_where_nobody_seems_to_be_nobody_is_said(decoder):
    decoder.people[15] = 1
    decoder.speak.bias[15] = 20.0
    nouns = torch.tensor([[4, 5, 6], [4, 5, 6]])
    there, not_there = [0.9, 0.1, 0.1], [0.01, 0.1, 0.1]
    sight = DecoderInput(some_regions(2), Concepts(nouns, torch.tensor([there, not_there])))
    assert beam(decoder, sight, width=2, max_words=2).words[:, 0, 0].tolist() == [15, 15]
    decoder.veto.copy_(torch.tensor([20.0, -1.0]))
    said = beam(decoder, sight, width=2, max_words=2).words[:, 0, 0].tolist()
    assert said[0] == 15 != said[1]


def test_nothing_is_learnt_through_the_concepts(decoder):
    decoder(some_regions(), torch.randint(4, WORDS, (3, 4))).sum().backward()
    assert decoder.concepts.classify.weight.grad is None
    assert decoder.ask.weight.grad is not None

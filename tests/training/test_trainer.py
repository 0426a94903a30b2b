import math
import warnings
from itertools import pairwise

import pytest
import torch

from cutline.errors import RecipeError, TrainingError
from cutline.models.decoders.show_and_tell import ShowAndTell
from cutline.models.weights import CaptionModel, cross_entropy
from cutline.training.losses import CrossEntropy
from cutline.training.trainer import EpochEnd, Step, Trainer, Training
from naive import END, PAD, START

WORDS = torch.tensor([[START, 4, 5, END, PAD], [START, 6, END, PAD, PAD], [START, 7, 8, 4, END]])


def make_trainer(**options: object) -> Trainer:
    torch.manual_seed(0)
    model = CaptionModel(torch.nn.Identity(), ShowAndTell(6, 9, embedding=8, hidden=8, dropout=0.5))
    chosen = Training(**options)
    return Trainer(model, chosen, CrossEntropy(), steps_an_epoch=4, device="cpu")


def plan(epoch: int):
    """Four batches an epoch, all different."""
    chance = torch.Generator().manual_seed(epoch)
    pictures = [torch.randn(3, 1, 6, generator=chance) for _ in range(4)]
    return [lambda seen=seen: (seen, WORDS) for seen in pictures]


def losses(trainer: Trainer) -> list[float]:
    return [event.loss for event in trainer.run(plan) if isinstance(event, Step)]


def test_cross_entropy_is_the_mean_surprise_of_the_words_before_padding():
    log_probs = torch.randn(3, 4, 9).log_softmax(dim=-1)

    loss = cross_entropy(log_probs, WORDS[:, 1:])

    written = [(r, t, int(w)) for r, row in enumerate(WORDS[:, 1:]) for t, w in enumerate(row) if w]
    expected = -sum(float(log_probs[at]) for at in written) / len(written)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_is_that_of_torch():
    logits, words = torch.randn(3, 4, 9), WORDS[:, 1:]

    loss = cross_entropy(logits.log_softmax(dim=-1), words, smoothing=0.1)

    expected = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), words, ignore_index=PAD, label_smoothing=0.1
    )
    torch.testing.assert_close(loss, expected)


def test_a_run_ends_every_epoch_and_tells_every_step():
    events = list(make_trainer(epochs=3).run(plan))

    assert [type(event) for event in events] == 3 * [Step, Step, Step, Step, EpochEnd]
    assert [event.number for event in events if isinstance(event, Step)] == list(range(1, 13))
    for epoch in range(3):
        *steps, end = events[5 * epoch : 5 * epoch + 5]
        assert end.epoch == epoch
        assert end.loss == pytest.approx(sum(step.loss for step in steps) / 4)


def test_the_same_seed_gives_the_same_losses():
    assert losses(make_trainer(epochs=2)) == losses(make_trainer(epochs=2))


def test_without_dropout_the_loss_is_that_of_the_model_as_it_writes():
    trainer = make_trainer(epochs=1, dropout=False)
    seen, words = plan(0)[0]()
    with torch.no_grad():
        told = trainer.model.eval()(seen, words[:, :-1])
    as_it_writes = float(cross_entropy(told, words[:, 1:]))

    assert losses(trainer)[0] == pytest.approx(as_it_writes, rel=1e-6)
    assert losses(make_trainer(epochs=1))[0] != pytest.approx(as_it_writes, rel=1e-3)


@pytest.mark.parametrize("stop", range(1, 10))
def test_a_run_taken_up_again_has_the_losses_of_one_that_never_stopped(stop, tmp_path):
    whole = losses(make_trainer(epochs=2))
    first = make_trainer(epochs=2)
    events = first.run(plan)
    before = [next(events) for _ in range(stop)]
    torch.save(first.state_dict(), tmp_path / "state.pt")
    torch.manual_seed(999)  # whatever happens in between

    second = make_trainer(epochs=2)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))

    resumed = [event.loss for event in before if isinstance(event, Step)] + losses(second)
    assert resumed == whole


def test_the_average_forgets_the_first_steps_of_a_short_run_and_is_one_of_all_weights():
    trainer, expected = make_trainer(epochs=3, ema_decay=0.99, learning_rate=0.1), None

    for number, event in enumerate(event for event in trainer.run(plan) if isinstance(event, Step)):
        now = trainer.model.decoder.speak.weight.detach()
        kept = min(0.99, (1 + number) / (10 + number))
        expected = now.clone() if expected is None else kept * expected + (1 - kept) * now
        torch.testing.assert_close(trainer.validation_model.decoder.speak.weight, expected)
        assert event.number == number + 1


def test_the_learning_rate_rises_and_falls():
    trainer, paces = make_trainer(epochs=10, warmup=0.1, learning_rate=0.5), []

    for event in trainer.run(plan):
        if isinstance(event, Step):
            paces.append(trainer.optimizer.param_groups[0]["lr"])

    top = paces.index(max(paces))
    assert paces[:top] == sorted(paces[:top])
    assert paces[top:] == sorted(paces[top:], reverse=True)
    assert max(paces) == pytest.approx(0.5)
    assert paces[-1] < 0.01


def rates(trainer: Trainer) -> list[float]:
    """The learning rate of each step, as a fraction of the peak."""
    steps = [event for event in trainer.run(plan) if isinstance(event, Step)]
    return [step.learning_rate / trainer.options.learning_rate for step in steps]


def test_a_linear_schedule_rises_and_falls_in_straight_lines():
    found = rates(make_trainer(epochs=5, schedule="linear", warmup=0.2))

    assert found[4:] == pytest.approx([1 - n / 16 for n in range(16)])
    assert [b - a for a, b in pairwise(found[:5])] == pytest.approx(4 * [0.25], abs=0.01)


def test_a_plateau_halves_the_rate_until_a_score_is_better():
    trainer, found = make_trainer(epochs=6, schedule="plateau", warmup=0.0, plateau_epochs=2), []

    scores = iter([True, False, False, False, False, True])
    for event in trainer.run(plan):
        if isinstance(event, EpochEnd):
            trainer.schedule.note_epoch(is_best=next(scores))
        else:
            found.append(event.learning_rate / trainer.options.learning_rate)

    assert found[::4] == [1, 1, 1, 0.5, 0.5, 0.25]


def test_a_run_that_patience_ends_comes_down_to_zero_first():
    trainer, found = make_trainer(epochs=9, schedule="constant", patience=1, cooldown=2), []
    events = trainer.run(plan)

    while trainer.goes_on(epochs_since=trainer.epoch) and (event := next(events, None)):
        if isinstance(event, Step):
            found.append(event.learning_rate / trainer.options.learning_rate)
        saved = trainer.state_dict()

    assert len(found) == 3 * 4  # an epoch, then two to cool down
    assert found[3:] == pytest.approx([1] + [1 - n / 8 for n in range(8)])
    again = make_trainer(epochs=9, schedule="constant", patience=1, cooldown=2)
    again.load_state_dict(saved)
    assert again.goes_on(epochs_since=3) and losses(again) == []


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_a_batch_in_parts_has_the_losses_of_the_whole(parts):
    words = torch.cat([WORDS, WORDS.flip(0)])  # two captions a picture, of different lengths

    def batches(epoch: int):
        return [lambda load=load: (load()[0], words) for load in plan(epoch)]

    def run(**options: object) -> tuple[Trainer, list[Step]]:
        smoothing = CrossEntropy(smoothing=0.1)
        trainer = make_trainer(epochs=3, dropout=False, learning_rate=0.02, **options)
        trainer.objective = smoothing
        return trainer, [event for event in trainer.run(batches) if isinstance(event, Step)]

    (whole, expected), (split, found) = run(), run(accumulate=parts)

    for one, other in zip(found, expected, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.unsmoothed_loss == pytest.approx(other.unsmoothed_loss, rel=1e-5)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-4)
    for one, other in zip(split.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_weight_decay_may_spare_biases_norms_and_embeddings():
    every = make_trainer(weight_decay=0.1)
    some = make_trainer(weight_decay=0.1, weight_decay_on="matrices")

    decay = {
        id(p): group["weight_decay"]
        for group in some.optimizer.param_groups
        for p in group["params"]
    }
    spared = {n for n, p in some.model.decoder.named_parameters() if not decay[id(p)]}
    assert {group["weight_decay"] for group in every.optimizer.param_groups} == {0.1}
    assert spared == {
        "see.bias", "read.weight", "remember.bias_ih", "remember.bias_hh", "speak.bias",
    }  # fmt: skip


def test_a_loss_that_is_no_number_stops_with_a_sentence_and_changes_nothing():
    trainer = make_trainer(epochs=1)
    before = {name: t.clone() for name, t in trainer.state_dict()["model"].items()}
    seen = torch.full((3, 1, 6), math.nan)

    with pytest.raises(
        TrainingError, match="the loss at step 0 is nan; the model of the best epoch"
    ):
        list(trainer.run(lambda epoch: [lambda: (seen, WORDS)] * 4))

    for name, tensor in trainer.state_dict()["model"].items():
        assert torch.equal(tensor, before[name])


def test_a_gradient_that_is_no_number_stops_before_it_touches_the_weights():
    trainer = make_trainer(epochs=1)
    trainer.model.decoder.see.weight.register_hook(lambda gradient: gradient * math.inf)
    before = trainer.model.decoder.speak.weight.clone()

    with pytest.raises(TrainingError, match="the norm of the gradient at step 0 is"):
        list(trainer.run(plan))

    assert torch.equal(trainer.model.decoder.speak.weight, before)


def test_fp16_is_refused_on_a_cpu():
    with pytest.raises(RecipeError, match='"fp16" needs a GPU; use "bf16" or "no"'):
        make_trainer(precision="fp16")


def test_gradients_are_clipped():
    trainer = make_trainer(
        epochs=1, max_grad_norm=1e-9, optimizer="adam", learning_rate=1.0, warmup=0.0
    )
    before = trainer.model.decoder.see.weight.clone()

    next(trainer.run(plan))

    # Adam divides by the gradient's size plus 1e-8, so only tiny gradients make small steps.
    assert (trainer.model.decoder.see.weight - before).abs().max() < 0.1


def test_mixed_precision_trains():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = losses(make_trainer(epochs=30, precision="bf16", learning_rate=0.02))

    assert values[-1] < values[0]

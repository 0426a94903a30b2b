import math
import warnings

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

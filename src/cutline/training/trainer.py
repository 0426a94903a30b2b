"""The training loop, as an iterator of events.

It yields a `Step` for every optimizer step and an `EpochEnd` after every pass over the data; the
caller decides what to print or save. `Trainer.state_dict` holds everything that determines the next
step (weights, optimizer, random numbers, position), so a resumed run has the same losses, to the
last bit, as one that never stopped.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cutline.errors import RecipeError, TrainingError
from cutline.models.device import resolve_device
from cutline.models.weights import CaptionModel
from cutline.text.vocabulary import PAD
from cutline.training import distributed
from cutline.training.schedule import Kind, Schedule


@dataclass(frozen=True)
class Training:
    """The options of a training: section `[training]` of a recipe."""

    epochs: int = 20
    captions_a_step: int = 128
    batch_by: Literal["length", "picture"] = "length"
    """Batches of captions of similar length, or of all captions of some images. The latter computes
    an image's regions once for all its captions."""
    captions_per_image: int = 0
    """With `batch_by = "picture"`: how many of an image's captions to sample each time; 0 for all,
    which self-critical training needs."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-3
    """The peak: reached after `warmup`, a fraction of the run; then `schedule` applies."""
    schedule: Kind = "cosine"
    warmup: float = 0.02
    plateau_epochs: int = 1
    """With `schedule = "plateau"`: halve the learning rate after this many epochs without a better
    validation score."""
    cooldown: int = 0
    """When `patience` ends the run: this many more epochs, in which the learning rate goes to 0."""
    weight_decay: float = 0.0
    weight_decay_on: Literal["all", "matrices"] = "all"
    """`matrices` leaves out biases, norms and embeddings."""
    accumulate: int = 1
    """Compute the gradient of a step in this many parts, which needs less memory."""
    max_grad_norm: float = 5.0
    """Gradients are clipped to this norm."""
    objective: Literal["cross-entropy", "self-critical"] = "cross-entropy"
    label_smoothing: float = 0.0
    """The fraction of the target that is spread over the whole vocabulary."""
    scheduled_sampling: float = 0.0
    """The fraction of input words that are the decoder's own predictions at the end of the run."""
    doubly_stochastic: float = 0.0
    """Weight of the penalty on captions that look at some regions too little (Xu et al. 2015,
    equation 14, lambda); for `show-attend-tell`."""
    baseline: Literal["others", "greedy"] = "others"
    """Self-critical training: what a sample's reward is compared with, the other samples or the
    caption by greedy search (Rennie et al. 2017)."""
    samples: int = 5
    """Self-critical training: captions sampled for each image."""
    bleu: float = 0.0
    meteor: float = 0.0
    """Self-critical training: weights of BLEU-4 and METEOR in the reward; that of CIDEr-D is 1."""
    invented_person: float = 0.0
    """Self-critical training: what is subtracted for a person that no reference names."""
    invented_object: float = 0.0
    """The same for every other object that no reference names."""
    sentences: float = 1.0
    """Weight of sentences without images, times their source's own weight; 0 leaves them out."""
    dropout: bool = True
    """Apply the decoder's `dropout`. Self-critical training does better without: captions are then
    sampled from the model as it is used."""
    unfrozen_stages: int = 0
    """How many of the encoder's last stages learn; with 0 it is frozen, and its features cached."""
    encoder_learning_rate: float = 2e-5
    """The peak learning rate of the encoder's unfrozen stages."""
    horizontal_flip: float = 0.0
    """The fraction of images flipped, except those whose captions say left or right, if these
    captions are in a language whose words for that are known."""
    flip_any_language: bool = False
    """Flip them in whatever language the captions are."""
    random_crop: float = 0.0
    """The largest fraction of height and width to crop, if the encoder learns."""
    ema_decay: float = 0.0
    """Decay of the moving average of the weights, which is then validated and saved; 0 for none."""
    patience: int = 5
    """Stop after this many epochs without a better validation score."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    reduction: Literal["fp32", "bf16"] = "fp32"
    """The precision in which several processes add up their gradients."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.accumulate < 1 or self.plateau_epochs < 1 or self.cooldown < 0:
            raise RecipeError(
                "training.accumulate and training.plateau_epochs must be 1 or more, "
                "training.cooldown 0 or more"
            )
        if self.objective == "self-critical" and self.batch_by != "picture":
            raise RecipeError('self-critical training needs `batch_by = "picture"`')
        if self.captions_per_image < 0:
            raise RecipeError(
                f"training.captions_per_image must be 0 or more, not {self.captions_per_image}"
            )
        if self.captions_per_image and self.batch_by != "picture":
            raise RecipeError('training.captions_per_image needs `batch_by = "picture"`')
        if self.objective == "self-critical" and self.captions_per_image:
            raise RecipeError("self-critical training needs all captions: captions_per_image = 0")
        few = 1 if self.baseline == "greedy" else 2
        if self.objective == "self-critical" and self.samples < few:
            raise RecipeError(
                f"self-critical training compares samples: {few} or more, not {self.samples}"
            )
        for name in (
            "label_smoothing",
            "scheduled_sampling",
            "horizontal_flip",
            "random_crop",
            "ema_decay",
        ):
            if not 0 <= getattr(self, name) < 1 + (name == "horizontal_flip"):
                raise RecipeError(
                    f"training.{name} must be a fraction from 0 to 1, not {getattr(self, name)}"
                )


@dataclass(frozen=True)
class Step:
    """One optimizer step."""

    number: int
    epoch: int
    loss: float
    unsmoothed_loss: float | None
    """The same without label smoothing, in nats a word; None for self-critical training."""
    learning_rate: float
    """That of the decoder."""
    gradient_norm: float | None
    """Before clipping; None where a step in half precision overflowed and was skipped."""
    pictures_per_second: float
    seconds: float


@dataclass(frozen=True)
class EpochEnd:
    """The end of a pass over the data."""

    epoch: int
    loss: float | None
    """The mean over the epoch's steps; None before the first one."""
    unsmoothed_loss: float | None = None
    """The same without label smoothing."""


Batch = tuple[Any, Tensor]
"""The model's input (regions, pixels, or nested tuples of tensors) and the token ids of the
reference captions, markers included."""


Plan = Callable[[int], Sequence[Callable[[], Batch]]]
"""Epoch number → its batches, each loaded when called, while the model learns from the last."""


class Term(NamedTuple):
    """A term of a loss; as a sum and a count it can be averaged over parts of a batch."""

    total: Tensor
    """A sum over words."""
    words: Tensor
    """How many words to divide it by."""
    unsmoothed: Tensor | None = None
    """The sum without label smoothing, detached, if it is the cross-entropy of the captions."""


Loss = tuple[Term, ...]
"""The terms whose means are added up."""


Objective = Callable[[Any, Any, Tensor, float], Loss]
"""The loss: (model, its input, token ids, progress of the run from 0 to 1) → its terms."""


def average(loss: Loss) -> Tensor:
    """The value of a loss: the sum of the means of its terms."""
    return torch.stack([term.total / term.words for term in loss]).sum()


def share_terms(loss: Loss) -> tuple[Loss, Loss]:
    """This process's terms over the words of all processes, to differentiate; and all terms."""
    if distributed.size() == 1:
        return loss, loss
    sums = [[0.0 if part is None else part.item() for part in term] for term in loss]
    rows = list(zip(loss, distributed.add(torch.tensor(sums, dtype=torch.float64)), strict=True))
    own = tuple(term._replace(words=row[1].float()) for term, row in rows)
    every = (
        Term(row[0], row[1], None if term.unsmoothed is None else row[2]) for term, row in rows
    )
    return own, tuple(every)


class Trainer:
    """Trains a model, and saves and restores the state of the run.

    The parameters that learn are those with `requires_grad`: the decoder and some stages of the
    encoder. `device` is a name that `resolve_device` accepts.

    Raises `RecipeError` for `precision = "fp16"` on a CPU.
    """

    def __init__(
        self,
        model: CaptionModel,
        options: Training,
        objective: Objective,
        *,
        steps_an_epoch: int,
        device: str = "auto",
    ) -> None:
        self.options, self.steps_an_epoch = options, steps_an_epoch
        self.objective, self.device = objective, resolve_device(device)
        if options.precision == "fp16" and self.device.type == "cpu":
            raise RecipeError('training.precision = "fp16" needs a GPU; use "bf16" or "no"')
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=options.precision == "fp16")
        self.model = model.to(self.device)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[options.optimizer]
        self.optimizer = kind(
            _parameter_groups(model, options), weight_decay=options.weight_decay, fused=True
        )
        self.schedule = Schedule(
            options.schedule, self.steps, options.warmup, options.plateau_epochs
        )
        for part in model.modules():
            if isinstance(part, nn.Dropout) and not options.dropout:
                part.p = 0.0
        self._averaged = self._average(model) if options.ema_decay else None
        self.step, self.epoch = 0, 0
        self.epoch_loss, self.epoch_unsmoothed = 0.0, 0.0

    @property
    def validation_model(self) -> CaptionModel:
        """The model to validate and save: with `ema_decay` the moving average of the weights."""
        return cast(CaptionModel, self._averaged.module) if self._averaged else self.model

    @property
    def steps(self) -> int:
        """The number of steps, unless the run is stopped early."""
        return self.options.epochs * self.steps_an_epoch

    @property
    def has_cooled_down(self) -> bool:
        """Whether the cooldown is over."""
        return self.schedule.began is not None and self.step >= self.schedule.ends

    def goes_on(self, epochs_since: int) -> bool:
        """Whether to train on, this many epochs after the best one; starts the cooldown."""
        if epochs_since >= max(1, self.options.patience) and self.schedule.began is None:
            epochs = min(self.options.cooldown, self.options.epochs - self.epoch)
            if not epochs:
                return False
            self.schedule.cool_down(self.step, epochs * self.steps_an_epoch)
        return True

    def run(self, plan: Plan) -> Iterator[Step | EpochEnd]:
        """Train to the last epoch, on the batches of `plan(epoch)`.

        Raises `TrainingError` if a loss or gradient is not finite.
        """
        while self.epoch < self.options.epochs and not self.has_cooled_down:
            done = self.step - self.epoch * self.steps_an_epoch
            began = time.perf_counter()
            for batch in _read_ahead(plan(self.epoch)[done:]):
                yield self._learn(*batch, began=began)
                began = time.perf_counter()
            yield self._end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Everything that determines the next step."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "epoch_loss": self.epoch_loss,
            "epoch_unsmoothed": self.epoch_unsmoothed,
            "schedule": self.schedule.state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all(),
            "averaged": self._averaged.state_dict() if self._averaged else None,
            "scaler": self._scaler.state_dict() if self._scaler.is_enabled() else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.epoch = state["step"], state["epoch"]
        self.epoch_loss = state["epoch_loss"]
        self.epoch_unsmoothed = state.get("epoch_unsmoothed", math.nan)
        self.schedule.load_state(state.get("schedule", {}))
        torch.set_rng_state(state["random"])
        if len(state["random_cuda"]) == torch.cuda.device_count():  # else: another machine
            torch.cuda.set_rng_state_all(state["random_cuda"])
        if self._averaged is not None:
            self._averaged.load_state_dict(state["averaged"])
        if self._scaler.is_enabled() and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])

    def _end_epoch(self) -> EpochEnd:
        totals = (self.epoch_loss, self.epoch_unsmoothed)
        loss, unsmoothed = (total / self.steps_an_epoch for total in totals)
        ended = EpochEnd(self.epoch, loss, unsmoothed if math.isfinite(unsmoothed) else None)
        self.epoch, self.epoch_loss, self.epoch_unsmoothed = self.epoch + 1, 0.0, 0.0
        return ended

    def _learn(self, seen: Any, words: Tensor, *, began: float) -> Step:
        self.model.train()
        if distributed.size() > 1:  # each draws its own, and needs no state to resume
            torch.manual_seed(distributed.seed_of_step(self.options.seed, self.step))
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * self.schedule.factor(self.step)
        self.optimizer.zero_grad()
        terms = self._add_gradients(seen, words)
        value = average(terms).item()
        distributed.add_gradients(self.model.parameters(), self.options.reduction)
        self._scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.max_grad_norm)
        if not self._scaler.is_enabled():  # the scaler skips such steps
            self._require_finite(float(norm), "norm of the gradient")
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self._averaged is not None:
            self._averaged.update_parameters(self.model)
        self.step += 1
        plain = [float(t.unsmoothed / t.words) for t in terms if t.unsmoothed is not None]
        self.epoch_loss += value
        self.epoch_unsmoothed += sum(plain) if plain else math.nan
        seconds = time.perf_counter() - began
        return Step(
            self.step,
            self.epoch,
            value,
            sum(plain) if plain else None,
            self.optimizer.param_groups[-1]["lr"],
            float(norm) if math.isfinite(norm) else None,
            distributed.size() * count_pictures(seen) / seconds,
            seconds,
        )

    def _add_gradients(self, seen: Any, words: Tensor) -> Loss:
        """Add up the gradients of a batch, part by part; returns the terms of the whole loss."""
        parts = split_batch(seen, words, self._count_parts(seen))
        counts = torch.tensor([_count_words(own) for _, own in parts], dtype=torch.float64)
        shares = distributed.add(counts) if len(parts) > 1 else counts
        whole: Loss = ()
        for part, share in zip(parts, (shares / shares.sum()).tolist(), strict=True):
            own, captions = _map(part, lambda tensor: tensor.to(self.device))
            with self._autocast():
                terms = self.objective(self.model, own, captions, self.step / self.steps)
                of_process, terms = share_terms(terms)
                loss = average(of_process)
            self._require_finite(average(terms).item(), "loss")
            if len(parts) > 1:
                loss = loss * share
            self._scaler.scale(loss).backward()
            whole = tuple(map(_add, whole, terms)) if whole else terms
        return whole

    def _count_parts(self, seen: Any) -> int:
        """In how many parts to learn a batch: as many in every process."""
        wanted = self.options.accumulate
        if wanted > 1:
            wanted = min(wanted, *distributed.gather(count_pictures(seen), patient=False))
        return wanted

    def _autocast(self) -> torch.autocast:
        precision = self.options.precision
        kind = torch.float16 if precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, kind, enabled=precision != "no")

    def _average(self, model: CaptionModel) -> AveragedModel:
        return AveragedModel(model, self.device, multi_avg_fn=self._blend)

    @torch.no_grad()
    def _blend(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: Any) -> None:
        """Update the moving average with decay min(`ema_decay`, (1 + n) / (10 + n)) at step n.

        With the full decay from the start, a short run's average would still contain a quarter of
        the initial weights.
        """
        kept = min(self.options.ema_decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(list(averaged), list(current), 1 - kept)

    def _require_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} at step {self.step} is {value}; the model of the best epoch is kept; "
                "start again with a lower learning_rate and another --out"
            )


def _parameter_groups(model: CaptionModel, options: Training) -> list[dict[str, Any]]:
    """The parameters that learn, by their learning rate and, if asked for, their weight decay."""
    parts = (
        (model.encoder, options.encoder_learning_rate),
        (model.decoder, options.learning_rate),
    )
    groups = []
    for part, rate in parts:
        learnt = [parameter for parameter in part.parameters() if parameter.requires_grad]
        spared = _without_decay(part) if options.weight_decay_on == "matrices" else set()
        of_rate = {"lr": rate, "highest": rate}
        groups += [
            {"params": [p for p in learnt if id(p) in spared], "weight_decay": 0.0, **of_rate},
            {"params": [p for p in learnt if id(p) not in spared], **of_rate},
        ]
    return [group for group in groups if group["params"]]


def _without_decay(part: nn.Module) -> set[int]:
    """The identities of parameters that weight decay spares: biases, norms and embeddings."""
    embeddings = [m.weight for m in part.modules() if isinstance(m, nn.Embedding)]
    return {id(p) for p in [*embeddings, *(p for p in part.parameters() if p.ndim < 2)]}


def split_batch(seen: Any, words: Tensor, parts: int) -> list[Batch]:
    """The batch in at most `parts` parts, each of some images with all their captions."""
    pictures = count_pictures(seen)
    parts = min(parts, pictures)
    if parts == 1:
        return [(seen, words)]
    own = words.unflatten(0, (pictures, -1)).tensor_split(parts)

    def take(number: int) -> Any:
        return _map(seen, lambda rows: rows.tensor_split(parts)[number])

    return [(take(number), captions.flatten(0, 1)) for number, captions in enumerate(own)]


def _count_words(rows: Tensor) -> int:
    """The words that a loss is averaged over: all but the start markers and the padding."""
    return int((rows[:, 1:] != PAD).sum())


def _add(one: Term, other: Term) -> Term:
    plain = None if one.unsmoothed is None else one.unsmoothed + cast(Tensor, other.unsmoothed)
    return Term(one.total.detach() + other.total.detach(), one.words + other.words, plain)


def count_pictures(seen: Any) -> int:
    """The number of images of a model's input: the rows of its first tensor."""
    while not isinstance(seen, Tensor):
        seen = next(part for part in seen if part is not None)
    return len(seen)


def _map(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The batch, a tensor or nested tuples of tensors, with every tensor changed."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, tuple):
        changed = [_map(part, change) for part in batch]
        return type(batch)(*changed) if hasattr(batch, "_fields") else tuple(changed)
    return batch


def _read_ahead(batches: Sequence[Callable[[], Batch]]) -> Iterator[Batch]:
    """Load each batch in a thread while the caller uses the one before it."""
    with ThreadPoolExecutor(1) as pool:
        previous = None
        for load in batches:
            following = pool.submit(load)
            if previous:
                yield previous.result()
            previous = following
        if previous:
            yield previous.result()

"""The training loop. It yields what happened; whoever runs it decides what to print or keep.

Enters: a model, batches, options. Leaves: a `Step` for every optimizer step and an `EpochEnd`
after every pass over the data. Whatever decides the next step (weights, optimizer, random numbers,
position) is in `Trainer.state_dict`, so a run that is resumed has the losses, to the last bit, of
one that never stopped.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cutline.errors import RecipeError, TrainingError
from cutline.models.device import resolve_device
from cutline.models.weights import CaptionModel


@dataclass(frozen=True)
class Training:
    """The options of a run."""

    epochs: int = 20
    captions_a_step: int = 128
    batch_by: Literal["length", "picture"] = "length"
    """Batches of captions of one length, or of all captions of some pictures, whose regions a
    decoder with attention then sees once."""
    captions_per_image: int = 0
    """Where they come together by picture: so many of its captions, drawn anew each time; 0: all.
    Self-critical training compares with all of them."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-3
    """At its highest: it rises over `warmup` (a share of the run), then follows `schedule`."""
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.02
    weight_decay: float = 0.0
    max_grad_norm: float = 5.0
    """Gradients longer than this are shortened to it."""
    objective: Literal["cross-entropy", "self-critical"] = "cross-entropy"
    label_smoothing: float = 0.0
    """Label smoothing: the share of the target that is spread over the whole vocabulary."""
    scheduled_sampling: float = 0.0
    """Scheduled sampling: the share of words read that are the decoder's own, at the end."""
    samples: int = 5
    """Self-critical: captions drawn of each picture."""
    bleu: float = 0.0
    meteor: float = 0.0
    """Self-critical: what BLEU-4 and METEOR count in the reward, where CIDEr-D counts 1."""
    invented_person: float = 0.0
    """Self-critical: what a person whom no reference names takes from the reward."""
    invented_object: float = 0.0
    """The same for each other thing that no reference names."""
    sentences: float = 1.0
    """What sentences without pictures count, beside each source's own weight; 0: not at all."""
    dropout: bool = True
    """Drop out what the decoder's own `dropout` says. Self-critical training does better without:
    captions are then drawn as they will be written."""
    unfrozen_stages: int = 0
    """How many of the encoder's last stages learn too; 0: it is frozen, and its regions stored."""
    encoder_learning_rate: float = 2e-5
    """The encoder's own learning rate, where it learns."""
    horizontal_flip: float = 0.0
    """The share of pictures shown mirrored, unless a caption says left or right."""
    random_crop: float = 0.0
    """How much of either side of a picture may be left out, where the encoder learns."""
    ema_decay: float = 0.0
    """Validate and keep the moving average of the weights: what stays of it at every step."""
    patience: int = 5
    """Stop after this many epochs without a better validation score."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective == "self-critical" and self.batch_by != "picture":
            raise RecipeError('self-critical training needs `batch_by = "picture"`')
        if self.captions_per_image < 0:
            raise RecipeError(f"training.captions_per_image is {self.captions_per_image}")
        if self.captions_per_image and self.batch_by != "picture":
            raise RecipeError('training.captions_per_image needs `batch_by = "picture"`')
        if self.objective == "self-critical" and self.captions_per_image:
            raise RecipeError("self-critical training needs all captions: captions_per_image = 0")
        if self.objective == "self-critical" and self.samples < 2:
            raise RecipeError(
                f"self-critical training compares samples: 2 or more, not {self.samples}"
            )
        for name in (
            "label_smoothing",
            "scheduled_sampling",
            "horizontal_flip",
            "random_crop",
            "ema_decay",
        ):
            if not 0 <= getattr(self, name) < 1 + (name == "horizontal_flip"):
                raise RecipeError(f"training.{name} is a share: {getattr(self, name)} is none")


@dataclass(frozen=True)
class Step:
    """One optimizer step."""

    number: int
    epoch: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class EpochEnd:
    """One pass over the data."""

    epoch: int
    loss: float
    """Mean of the epoch's steps."""


Batch = tuple[Any, Tensor]
"""What the model sees (regions, pixels, or tuples of tensors) and the words people wrote, markers
included."""


Plan = Callable[[int], Sequence[Callable[[], Batch]]]
"""The batches of an epoch, each read when it is called, and while the one before is learnt."""


Objective = Callable[[Any, Any, Tensor, float], Tensor]
"""What is made small: of a model, what it sees, words, and the share of the run that is over."""


class Trainer:
    """A model in training: steps forward, and can be put away and taken up again.

    What of the model learns is what asks for gradients: the decoder, and stages of the encoder.
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
        parts = (
            (model.encoder, options.encoder_learning_rate),
            (model.decoder, options.learning_rate),
        )
        learnt = [([p for p in part.parameters() if p.requires_grad], rate) for part, rate in parts]
        self.optimizer = kind(
            [{"params": own, "lr": rate, "highest": rate} for own, rate in learnt if own],
            weight_decay=options.weight_decay,
            fused=True,
        )
        for part in model.modules():
            if isinstance(part, nn.Dropout) and not options.dropout:
                part.p = 0.0
        self._averaged = self._average(model) if options.ema_decay else None
        self.step, self.epoch, self.epoch_loss = 0, 0, 0.0

    @property
    def shown(self) -> CaptionModel:
        """The model to validate and to keep: the average of its weights where one is made."""
        return cast(CaptionModel, self._averaged.module) if self._averaged else self.model

    @property
    def steps(self) -> int:
        """Where the run ends if nobody stops it early."""
        return self.options.epochs * self.steps_an_epoch

    def run(self, plan: Plan) -> Iterator[Step | EpochEnd]:
        """Train to the last epoch; `plan(epoch)` gives the batches of an epoch, each on demand."""
        while self.epoch < self.options.epochs:
            done = self.step - self.epoch * self.steps_an_epoch
            began = time.perf_counter()
            for batch in _read_ahead(plan(self.epoch)[done:]):
                loss = self._learn(*batch)
                yield Step(self.step, self.epoch, loss, time.perf_counter() - began)
                began = time.perf_counter()
            ended = EpochEnd(self.epoch, self.epoch_loss / self.steps_an_epoch)
            self.epoch, self.epoch_loss = self.epoch + 1, 0.0
            yield ended

    def state_dict(self) -> dict[str, Any]:
        """All that decides the next step."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "epoch_loss": self.epoch_loss,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all(),
            "averaged": self._averaged.state_dict() if self._averaged else None,
            "scaler": self._scaler.state_dict() if self._scaler.is_enabled() else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.epoch = state["step"], state["epoch"]
        self.epoch_loss = state["epoch_loss"]
        torch.set_rng_state(state["random"])
        if len(state["random_cuda"]) == torch.cuda.device_count():  # else: another machine
            torch.cuda.set_rng_state_all(state["random_cuda"])
        if self._averaged is not None:
            self._averaged.load_state_dict(state["averaged"])
        if self._scaler.is_enabled() and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])

    def _learn(self, seen: Any, words: Tensor) -> float:
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * self._pace()
        seen, words = _move((seen, words), self.device)
        with self._autocast():
            loss = self.objective(self.model, seen, words, self.step / self.steps)
        self.optimizer.zero_grad()
        self._insist(value := loss.item(), "loss")
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.max_grad_norm)
        if not self._scaler.is_enabled():  # a scaler skips such steps by itself
            self._insist(float(norm), "length of the gradient")
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self._averaged is not None:
            self._averaged.update_parameters(self.model)
        self.step += 1
        self.epoch_loss += value
        return value

    def _autocast(self) -> torch.autocast:
        precision = self.options.precision
        kind = torch.float16 if precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, kind, enabled=precision != "no")

    def _average(self, model: CaptionModel) -> AveragedModel:
        return AveragedModel(model, self.device, multi_avg_fn=self._blend)

    @torch.no_grad()
    def _blend(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: Any) -> None:
        """Early steps weigh less than `ema_decay` would let them: (1 + n) / (10 + n) is kept at
        most, else a short run would be a quarter of what it was at its first step.
        """
        kept = min(self.options.ema_decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(list(averaged), list(current), 1 - kept)

    def _insist(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} at step {self.step} is {value}; the model of the best epoch is kept: "
                "begin again with a lower learning_rate and another --out"
            )

    def _pace(self) -> float:
        """The share of the highest learning rate that this step takes."""
        done = self.step / self.steps
        if done < self.options.warmup:
            return (done + 1e-3) / (self.options.warmup + 1e-3)
        if self.options.schedule == "constant":
            return 1.0
        return 0.5 * (
            1 + math.cos(math.pi * (done - self.options.warmup) / (1 - self.options.warmup))
        )


def _move(batch: Any, device: torch.device) -> Any:
    """The same tuple, or tuple of tuples, with all its tensors on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, tuple):
        moved = [_move(part, device) for part in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else tuple(moved)
    return batch


def _read_ahead(batches: Sequence[Callable[[], Batch]]) -> Iterator[Batch]:
    """Every batch, each read by a thread of its own while the one before is learnt."""
    with ThreadPoolExecutor(1) as pool:
        before = None
        for load in batches:
            coming = pool.submit(load)
            if before:
                yield before.result()
            before = coming
        if before:
            yield before.result()

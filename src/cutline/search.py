"""Find the captions that a decoder thinks likely: greedy, beam and sampled search.

Search knows nothing of networks. It drives anything that says which words may come next (a
`StepDecoder`), so a test can drive it with a table of probabilities. Everything is a torch
operation of fixed shape, so that `export` traces this very code into the ONNX graph.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

SEARCHES = {
    "beam": "cutline.search:beam",
    "greedy": "cutline.search:greedy",
    "sample": "cutline.search:sample",
}

State = tuple[Tensor, ...]
"""What a decoder remembers; the first axis of every tensor is one row a caption, or a picture."""

LogProbs = Float[Tensor, "rows vocabulary"]
WordIds = Int[Tensor, " rows"]


class Read(NamedTuple):
    """What a decoder says after it has read a word."""

    log_probs: LogProbs
    """Of each next word."""
    gaze: Float[Tensor, "rows regions"]
    """Where it looked: a share for each region, 1 in sum."""
    state: State
    """What it remembers now."""


@runtime_checkable
class StepDecoder(Protocol):
    """Anything that reads one word and says how likely each next word is."""

    def start(self, regions: Tensor) -> tuple[State, State]:
        """Look at the pictures: what all captions of one share, and the memory of a caption."""

    def step(self, words: WordIds, picture: State, state: State) -> Read:
        """Read one word in each row; every picture has as many rows, one after another."""


@dataclass(frozen=True)
class Markers:
    """The word ids with a meaning of their own; only `end` may ever be written."""

    pad: int = 0
    start: int = 1
    end: int = 2
    unk: int = 3


MARKERS = Markers()
"""As every vocabulary numbers them."""


class Found(NamedTuple):
    """Captions as tensors, the best candidate of each picture first."""

    words: Int[Tensor, "images candidates time"]
    """Word ids; after the end marker only padding."""
    log_probs: Float[Tensor, "images candidates time"]
    """Log-probability of each word given those before it; 0 for padding."""
    scores: Float[Tensor, "images candidates"]
    """What the candidates are ranked by; -inf for a candidate that does not exist."""
    gaze: Float[Tensor, "images candidates time regions"]
    """Where the decoder looked for each word; 0 for padding."""


@torch.no_grad()
def greedy(
    decoder: StepDecoder, regions: Tensor, *, max_words: int = 20, markers: Markers = MARKERS
) -> Found:
    """Take the likeliest word at every step: one candidate a picture."""
    return _one_path(decoder, regions, max_words, markers, lambda likely: likely.argmax(dim=-1))


def sample(
    decoder: StepDecoder,
    regions: Tensor,
    *,
    max_words: int = 20,
    markers: Markers = MARKERS,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    samples: int = 1,
    every_word: bool = False,
    generator: torch.Generator | None = None,
) -> Found:
    """Draw every word from the model's own distribution, `samples` candidates a picture.

    `temperature` below 1 prefers likely words; `top_k` draws among the k likeliest words only (0:
    among all), `top_p` among the fewest that hold this share of the probability (Holtzman et al.
    2020). With `every_word` markers may be drawn too, as the model has it, for training to see. The
    log-probabilities reported are the model's own, before all of that; gradients flow through them.
    """

    def draw(likely: LogProbs) -> WordIds:
        weights = (likely.detach() / temperature).softmax(dim=-1)
        if top_k or top_p < 1:
            weights = _keep_likeliest(weights, top_k, top_p)
        return torch.multinomial(weights, num_samples=1, generator=generator).squeeze(1)

    return _one_path(decoder, regions, max_words, markers, draw, samples, every_word=every_word)


@torch.no_grad()
def beam(
    decoder: StepDecoder,
    regions: Tensor,
    *,
    max_words: int = 20,
    markers: Markers = MARKERS,
    width: int = 3,
    length_penalty: float = 0.0,
) -> Found:
    """Keep the `width` likeliest captions of each picture at every step.

    The candidates are ranked by log-probability / length ** `length_penalty`, the end marker
    counted (0: by probability alone; 1: by the mean word's).
    """
    images = regions.shape[0]
    every = torch.arange(images, device=regions.device).repeat_interleave(width)
    picture, state = decoder.start(regions)
    state, looked = pick_rows(state, every), None
    words = torch.full_like(every, markers.start)[:, None]
    log_probs = regions.new_zeros(images * width, 0)
    totals = regions.new_full((images, width), -torch.inf)
    totals[:, 0] = 0.0  # every beam starts alike, so only the first may branch

    for _ in range(max_words):
        likely, gaze, state = decoder.step(words[:, -1], picture, state)
        likely = _allow(likely, words[:, -1], markers)
        totals, source, chosen = _best_branches(totals, likely, width)
        looked = _then(looked, gaze)
        words, log_probs, likely, looked = pick_rows((words, log_probs, likely, looked), source)
        state = pick_rows(state, source)
        words = torch.cat([words, chosen[:, None]], dim=1)
        log_probs = torch.cat([log_probs, _at(likely, chosen)], dim=1)
        if _all_ended(chosen, markers):
            break

    assert looked is not None
    split = (images, width, -1)
    found = words[:, 1:].view(split), log_probs.view(split)
    return _rank(*found, looked.unflatten(0, (images, width)), totals, length_penalty, markers)


def pick_rows(state: State, rows: Int[Tensor, " picked"]) -> State:
    """The same memory with its rows reordered, repeated or dropped."""
    return tuple(tensor.index_select(0, rows) for tensor in state)


def _one_path(
    decoder: StepDecoder,
    regions: Tensor,
    max_words: int,
    markers: Markers,
    choose: Callable[[LogProbs], WordIds],
    paths: int = 1,
    *,
    every_word: bool = False,
) -> Found:
    """`paths` candidates a picture, none of which looks at the others."""
    images = regions.shape[0]
    every = torch.arange(images, device=regions.device).repeat_interleave(paths)
    picture, state = decoder.start(regions)
    state, looked = pick_rows(state, every), None
    words = torch.full((images * paths, 1), markers.start, device=regions.device)
    log_probs = regions.new_zeros(images * paths, 0)
    for _ in range(max_words):
        likely, gaze, state = decoder.step(words[:, -1], picture, state)
        likely = _allow(likely, words[:, -1], markers, every_word=every_word)
        chosen = choose(likely)
        looked = _then(looked, gaze)
        words = torch.cat([words, chosen[:, None]], dim=1)
        log_probs = torch.cat([log_probs, _at(likely, chosen)], dim=1)
        if _all_ended(chosen, markers):
            break
    assert looked is not None
    split = (images, paths)
    found, log_probs = words[:, 1:].unflatten(0, split), log_probs.unflatten(0, split)
    gaze = _where_written(looked.unflatten(0, split), found, markers)
    return Found(found, log_probs, log_probs.sum(dim=2), gaze)


def _then(looked: Tensor | None, gaze: Tensor) -> Float[Tensor, "rows time regions"]:
    """The gazes so far and one more."""
    return gaze[:, None] if looked is None else torch.cat([looked, gaze[:, None]], dim=1)


def _allow(
    likely: LogProbs, last: WordIds, markers: Markers, *, every_word: bool = False
) -> LogProbs:
    """No marker but `end` is ever written, and after it only padding, at no cost."""
    ids = torch.arange(likely.shape[-1], device=likely.device)
    forbidden = (ids == markers.pad) | (ids == markers.start) | (ids == markers.unk)
    only_padding = torch.where(ids == markers.pad, 0.0, -torch.inf).to(likely.dtype)
    ended = (last == markers.end) | (last == markers.pad)
    allowed = likely if every_word else likely.masked_fill(forbidden, -torch.inf)
    return torch.where(ended[:, None], only_padding, allowed)


def _best_branches(
    totals: Float[Tensor, "images width"], likely: LogProbs, width: int
) -> tuple[Float[Tensor, "images width"], WordIds, WordIds]:
    """The best `width` (row, word) continuations of each picture: totals, source rows, words."""
    images, vocabulary = totals.shape[0], likely.shape[-1]
    branches = (totals.flatten()[:, None] + likely).view(images, width * vocabulary)
    best, index = branches.topk(width, dim=-1)
    first_row = torch.arange(images, device=totals.device)[:, None] * width
    source = first_row + index.div(vocabulary, rounding_mode="floor")
    return best, source.flatten(), (index % vocabulary).flatten()


def _rank(
    words: Int[Tensor, "images width time"],
    log_probs: Float[Tensor, "images width time"],
    gaze: Float[Tensor, "images width time regions"],
    totals: Float[Tensor, "images width"],
    length_penalty: float,
    markers: Markers,
) -> Found:
    lengths = (words != markers.pad).sum(dim=-1)
    scores, order = (totals / lengths**length_penalty).topk(totals.shape[1], dim=-1)
    each = order[:, :, None].expand_as(words)
    words, log_probs = words.gather(1, each), log_probs.gather(1, each)
    gaze = gaze.gather(1, order[:, :, None, None].expand_as(gaze))
    return Found(words, log_probs, scores, _where_written(gaze, words, markers))


def _where_written(
    gaze: Float[Tensor, "images width time regions"],
    words: Int[Tensor, "images width time"],
    markers: Markers,
) -> Float[Tensor, "images width time regions"]:
    return gaze * (words != markers.pad)[..., None]


def _keep_likeliest(
    weights: Float[Tensor, "rows vocabulary"], top_k: int, top_p: float
) -> Float[Tensor, "rows vocabulary"]:
    sorted_weights, order = weights.sort(dim=-1, descending=True)
    before = sorted_weights.cumsum(dim=-1) - sorted_weights
    kept = sorted_weights.masked_fill(before >= top_p, 0.0)
    if top_k:
        kept[:, top_k:] = 0.0
    return torch.zeros_like(weights).scatter(1, order, kept)


def _at(likely: LogProbs, chosen: WordIds) -> Float[Tensor, "rows 1"]:
    return likely.gather(1, chosen[:, None])


def _all_ended(chosen: WordIds, markers: Markers) -> bool:
    """Whether every caption has ended; a traced graph cannot know, and takes every step."""
    if torch.compiler.is_compiling():
        return False
    return bool(((chosen == markers.end) | (chosen == markers.pad)).all())

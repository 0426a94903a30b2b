"""Find the captions that a decoder thinks likely: greedy, beam and sampled search.

Search knows nothing of networks. It drives anything that says which words may come next (a
`StepDecoder`), so a test can drive it with a table of probabilities. What is carried from word to
word keeps its shape, so that `export` turns this very code into a loop of the ONNX graph, which
ends as early as the loop here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cutline.text.style import UNLIMITED
from cutline.text.vocabulary import END, PAD, START, UNKNOWN

SEARCHES = {
    "beam": "cutline.models.search:beam",
    "greedy": "cutline.models.search:greedy",
    "sample": "cutline.models.search:sample",
}

State = tuple[Tensor, ...]
"""What a decoder remembers; the first axis of every tensor is one row a caption, or a picture."""

LogProbs = Float[Tensor, "rows vocabulary"]
WordIds = Int[Tensor, " rows"]


class StepOutput(NamedTuple):
    """What a decoder says after it has read a word."""

    log_probs: LogProbs
    """Of each next word."""
    gaze: Float[Tensor, "rows regions"]
    """Where it looked: a share for each region, 1 in sum."""
    state: State
    """What it remembers now."""


class InitialState(NamedTuple):
    """What a decoder knows before the first word."""

    picture: State
    """What all captions of a picture share."""
    state: State
    """What it remembers of a caption."""
    regions: int
    """How many it tells apart when it says where it looked."""


@runtime_checkable
class StepDecoder(Protocol):
    """Anything that reads one word and says how likely each next word is."""

    def start(self, regions: Any, max_words: int) -> InitialState:
        """Look at the pictures; captions of at most so many words will be written.

        Usually these are the regions of pictures; whatever else a decoder reads has their `shape`
        and `device`.
        """

    def step(self, words: WordIds, picture: State, state: State) -> StepOutput:
        """Read one word in each row; every picture has as many rows, one after another.

        The tensors of a state keep their shapes from step to step.
        """


class Limits(NamedTuple):
    """What no caption may be, however likely."""

    avoided: Bool[Tensor, " vocabulary"]
    """Words that are never written."""
    lengths: Int[Tensor, " vocabulary"]
    """How many characters each word adds; 0 for markers."""
    longest: Int[Tensor, ""]
    """How many characters a caption may have; `style.UNLIMITED`: any number."""


class SearchResult(NamedTuple):
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
    decoder: StepDecoder,
    regions: Any,
    *,
    max_words: int = 20,
    limits: Limits | None = None,
) -> SearchResult:
    """Take the likeliest word at every step: one candidate a picture.

    A caption that grows too long breaks off; a `beam` of two or more has a shorter one then.
    """

    def choose(likely: LogProbs, *_: Tensor) -> NextWords:
        log_probs, words = likely.max(dim=-1)
        return NextWords(words, log_probs)

    return _search(decoder, regions, choose, max_words=max_words, limits=limits)


def sample(
    decoder: StepDecoder,
    regions: Any,
    *,
    max_words: int = 20,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    samples: int = 1,
    every_word: bool = False,
    generator: torch.Generator | None = None,
    limits: Limits | None = None,
) -> SearchResult:
    """Draw every word from the model's own distribution, `samples` candidates a picture.

    `temperature` below 1 prefers likely words; `top_k` draws among the k likeliest words only (0:
    among all), `top_p` among the fewest that hold this share of the probability (Holtzman et al.
    2020). With `every_word` markers may be drawn too, as the model has it, for training to see. The
    log-probabilities reported are the model's own, before all of that; gradients flow through them.
    """

    def choose(likely: LogProbs, *_: Tensor) -> NextWords:
        weights = (likely.detach() / temperature).softmax(dim=-1)
        if top_k or top_p < 1:
            weights = _keep_likeliest(weights, top_k, top_p)
        words = torch.multinomial(weights, num_samples=1, generator=generator)
        return NextWords(words.squeeze(1), likely.gather(1, words).squeeze(1))

    return _search(
        decoder,
        regions,
        choose,
        max_words=max_words,
        paths=samples,
        every_word=every_word,
        limits=limits,
    )


@torch.no_grad()
def beam(
    decoder: StepDecoder,
    regions: Any,
    *,
    max_words: int = 20,
    width: int = 3,
    length_penalty: float = 0.0,
    limits: Limits | None = None,
) -> SearchResult:
    """Keep the `width` likeliest captions of each picture at every step.

    The candidates are ranked by log-probability / length ** `length_penalty`, the end marker
    counted (0: by probability alone; 1: by the mean word's). Where `limits` says how long a caption
    may be, one of the `width` is the best that has ended so far, so that it is there when those
    that go on have become too long.
    """
    if width == 1:  # no path to compare with another: far cheaper
        found = greedy(decoder, regions, max_words=max_words, limits=limits)
        return _rank(found, length_penalty)

    first_rows = torch.arange(regions.shape[0], device=regions.device)[:, None] * width

    def choose(likely: LogProbs, totals: Float[Tensor, " rows"], words: Tensor) -> NextWords:
        vocabulary = likely.shape[1]
        branches = (totals[:, None] + likely).view(-1, width * vocabulary)
        if limits is None:
            _, best = branches.topk(width, dim=-1)
        else:
            lengths = (words != PAD).sum(dim=-1).view(-1, width)
            best = _choose_within(limits, branches, lengths)
        gained = likely.view_as(branches).gather(1, best).flatten()
        source = best.div(vocabulary, rounding_mode="floor")
        rows = (first_rows + source).flatten()
        return NextWords((best % vocabulary).flatten(), gained, rows)

    found = _search(
        decoder,
        regions,
        choose,
        max_words=max_words,
        paths=width,
        others=-torch.inf,  # every beam starts alike, so only the first may branch
        limits=limits,
    )
    return _rank(found, length_penalty)


def can_limit_length(search: Callable[..., SearchResult]) -> bool:
    """Whether it is a beam with a caption to fall back on when another becomes too long."""
    options = getattr(search, "keywords", {})
    return getattr(search, "func", search) is beam and options.get("width", 2) > 1


def pick_rows(state: State, rows: Int[Tensor, " picked"]) -> State:
    """The same memory with its rows reordered, repeated or dropped."""
    return tuple(tensor.index_select(0, rows) for tensor in state)


class NextWords(NamedTuple):
    """How each row goes on."""

    words: WordIds
    log_probs: Float[Tensor, " rows"]
    rows: Int[Tensor, " rows"] | None = None
    """Whose path each of these words follows; None: its own."""


ChooseWords = Callable[[LogProbs, Float[Tensor, " rows"], Int[Tensor, "rows time"]], NextWords]
"""Of how likely each next word is, of each path's log-probability so far, and of its words."""


def _search(
    decoder: StepDecoder,
    regions: Any,
    choose: ChooseWords,
    *,
    max_words: int,
    paths: int = 1,
    others: float = 0.0,
    every_word: bool = False,
    limits: Limits | None = None,
) -> SearchResult:
    """Write `paths` captions of each picture, a word at a time, until all have ended.

    `others` is the log-probability that the paths of a picture but its first begin with.
    """
    images, device = regions.shape[0], regions.device
    picture, state, looked_at = decoder.start(regions, max_words)
    every = torch.arange(images, device=device).repeat_interleave(paths)
    times, rows = torch.arange(max_words, device=device), every.shape[0]

    def goes_on(time: Tensor, last: Tensor, *_: Tensor) -> Tensor:
        return (time < max_words) & ~_has_ended(last).all()

    def write_word(
        time: Tensor, last: Tensor, totals: Tensor, words: Tensor, *path: Tensor
    ) -> State:
        likely, looked, state = decoder.step(last, picture, path[2:])
        likely = _allow(likely, last, words, limits, every_word=every_word)
        chosen, gained, followed = choose(likely, totals, words)
        chosen = chosen.masked_fill(gained == -torch.inf, PAD)  # nothing is left to say
        path = (totals, words, *path[:2], looked, *state)
        if followed is not None:
            path = pick_rows(path, followed)
        totals, words, log_probs, gaze, looked, *kept = path
        now = times == time
        words = torch.where(now, chosen[:, None], words)
        log_probs = torch.where(now, gained[:, None], log_probs)
        gaze = torch.where(now[:, None], looked[:, None], gaze)
        return (time + 1, chosen, totals + gained, words, log_probs, gaze, *kept)

    begun = (
        torch.zeros((), dtype=torch.long, device=device),
        torch.full_like(every, START),
        torch.where(torch.arange(paths, device=device) == 0, 0.0, others).repeat(images),
        torch.full((rows, max_words), PAD, device=device),
        torch.zeros(rows, max_words, device=device),
        torch.zeros(rows, max_words, looked_at, device=device),
        *pick_rows(state, every),
    )
    _, _, totals, *written = _repeat(goes_on, write_word, begun)
    words, log_probs, gaze = (tensor.unflatten(0, (images, paths)) for tensor in written[:3])
    gaze = gaze * (words != PAD)[..., None]
    return SearchResult(words, log_probs, totals.view(images, paths), gaze)


def _repeat(goes_on: Callable[..., Tensor], step: Callable[..., State], carried: State) -> State:
    """A while loop; in an exported graph it is one too."""
    if torch.compiler.is_compiling():
        from torch._higher_order_ops.while_loop import while_loop  # no public name yet

        return while_loop(goes_on, step, carried)
    while goes_on(*carried):
        carried = step(*carried)
    return carried


def _allow(
    likely: LogProbs,
    last: WordIds,
    words: Int[Tensor, "rows time"],
    limits: Limits | None,
    *,
    every_word: bool,
) -> LogProbs:
    """What may come next: no marker but `end`, nothing beyond the limits, after the end padding."""
    ids = torch.arange(likely.shape[-1], device=likely.device)
    forbidden = (ids == PAD) | (ids == START) | (ids == UNKNOWN)
    if every_word:
        forbidden = torch.zeros_like(forbidden)
    if limits is not None:
        written = limits.lengths[words].sum(dim=-1, keepdim=True) - 1  # no space before the first
        forbidden = forbidden | limits.avoided | (limits.lengths > limits.longest - written)
    only_padding = torch.where(ids == PAD, 0.0, -torch.inf).to(likely.dtype)
    allowed = likely.masked_fill(forbidden, -torch.inf)
    return torch.where(_has_ended(last)[:, None], only_padding, allowed)


def _choose_within(
    limits: Limits,
    branches: Float[Tensor, "images branches"],
    lengths: Int[Tensor, "images width"],
) -> Int[Tensor, "images width"]:
    """The likeliest branches; where lengths are limited, the best that has ended, and others.

    Best is what has the likeliest mean word: by the probability of the whole `a man` would win.
    """
    width = lengths.shape[1]
    vocabulary = branches.shape[1] // width
    likeliest, best = branches.topk(2 * width - 1, dim=-1)  # at most `width` of them have ended
    word = best % vocabulary
    ends = (word == END) | (word == PAD)
    going_on, order = likeliest.masked_fill(ends, -torch.inf).topk(width - 1, dim=-1)
    others = best.gather(1, order).masked_fill(going_on == -torch.inf, START)

    each = branches.unflatten(1, (width, vocabulary))
    over, ending = each[:, :, PAD], each[:, :, END]
    means = torch.cat([over / lengths.clamp(min=1), ending / (lengths + 1)], dim=1)
    rows = torch.arange(width, device=branches.device) * vocabulary
    ended = torch.cat([rows + PAD, rows + END])[means.argmax(dim=-1, keepdim=True)]

    limited = torch.cat([ended, others], dim=1)
    return torch.where(limits.longest < UNLIMITED, limited, best[:, :width])


def _rank(found: SearchResult, length_penalty: float) -> SearchResult:
    lengths = (found.words != PAD).sum(dim=-1)
    ranks = found.scores / lengths**length_penalty
    scores, order = ranks.topk(ranks.shape[1], dim=-1)
    each = order[:, :, None].expand_as(found.words)
    words, log_probs = found.words.gather(1, each), found.log_probs.gather(1, each)
    gaze = found.gaze.gather(1, order[:, :, None, None].expand_as(found.gaze))
    return SearchResult(words, log_probs, scores, gaze)


def _keep_likeliest(
    weights: Float[Tensor, "rows vocabulary"], top_k: int, top_p: float
) -> Float[Tensor, "rows vocabulary"]:
    sorted_weights, order = weights.sort(dim=-1, descending=True)
    before = sorted_weights.cumsum(dim=-1) - sorted_weights
    kept = sorted_weights.masked_fill(before >= top_p, 0.0)
    if top_k:
        kept[:, top_k:] = 0.0
    return torch.zeros_like(weights).scatter(1, order, kept)


def _has_ended(last: WordIds) -> Bool[Tensor, " rows"]:
    return (last == END) | (last == PAD)

"""Decoding: greedy search, beam search and sampling.

Search works with any `StepDecoder`, which predicts the next word; tests use one that reads a table
of probabilities. All tensors keep their shapes from word to word, so that `export` can turn this
same code into a loop of the ONNX graph, which ends as early as the loop here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cutline.errors import RecipeError
from cutline.text.style import UNLIMITED
from cutline.text.vocabulary import END, PAD, START, UNKNOWN

SEARCHES = {
    "beam": "cutline.models.search:beam",
    "greedy": "cutline.models.search:greedy",
    "sample": "cutline.models.search:sample",
}

State = tuple[Tensor, ...]
"""What a decoder keeps from step to step; the first axis of every tensor is caption or image."""

LogProbs = Float[Tensor, "rows vocabulary"]
WordIds = Int[Tensor, " rows"]


CUT_OFF = 1e4
"""What a caption that was cut off loses in rank, with `prefer_ended`."""


class StepOutput(NamedTuple):
    """A decoder's output after reading a word."""

    log_probs: LogProbs
    """Log-probabilities of the next word."""
    gaze: Float[Tensor, "rows regions"]
    """Attention weights over the regions; each row sums to 1."""
    state: State
    """The state after the word."""


class InitialState(NamedTuple):
    """A decoder's state before the first word."""

    picture: State
    """Tensors that all captions of an image share; one row for each image."""
    state: State
    """The state of a caption; one row for each image, repeated by search for each caption."""
    regions: int
    """The number of regions that `gaze` refers to."""


@runtime_checkable
class StepDecoder(Protocol):
    """Anything that reads one word at a time and predicts the next."""

    def start(self, regions: Any, max_words: int) -> InitialState:
        """Read the images; captions will have at most `max_words` words.

        `regions` are (images, regions, width), or another object with such a `shape` and a
        `device`.
        """

    def step(self, words: WordIds, picture: State, state: State) -> StepOutput:
        """Read one word in each row; an image's captions are consecutive rows, equally many each.

        The tensors of the state must keep their shapes.
        """


class Limits(NamedTuple):
    """Constraints on captions."""

    avoided: Bool[Tensor, " vocabulary"]
    """Words that must not occur."""
    lengths: Int[Tensor, " vocabulary"]
    """The number of characters that each word adds; 0 for markers."""
    longest: Int[Tensor, ""]
    """The largest number of characters; `style.UNLIMITED` for no limit."""


class SearchResult(NamedTuple):
    """Captions as tensors; the best candidate of each image comes first."""

    words: Int[Tensor, "images candidates time"]
    """Token ids; only padding after the end marker."""
    log_probs: Float[Tensor, "images candidates time"]
    """Log-probability of each word given those before it; 0 for padding."""
    scores: Float[Tensor, "images candidates"]
    """Ranking scores of the candidates; -inf where there are fewer."""
    gaze: Float[Tensor, "images candidates time regions"]
    """Attention weights of each word; 0 for padding."""


@torch.no_grad()
def greedy(
    decoder: StepDecoder,
    regions: Any,
    *,
    max_words: int = 20,
    limits: Limits | None = None,
) -> SearchResult:
    """Take the likeliest word at every step; one candidate for each image.

    A caption that reaches the length limit is cut off; `beam` with two beams or more avoids that.
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
    """Sample every word from the model's distribution; `samples` candidates for each image.

    A `temperature` below 1 favours likely words. `top_k` restricts sampling to the k likeliest
    words (0: no restriction), `top_p` to the smallest set of words with that probability (nucleus
    sampling, Holtzman et al. 2020, arXiv 1904.09751). With `every_word` markers can be sampled too,
    which training needs. The returned log-probabilities are the model's, before these changes, and
    are differentiable.
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
    min_words: int = 0,
    no_repeat_ngram: int = 0,
    prefer_ended: bool = False,
    groups: int = 1,
    diversity: float = 0.5,
    limits: Limits | None = None,
) -> SearchResult:
    """Keep the `width` likeliest partial captions of each image at every step.

    Finished candidates are ranked by log-probability / length ** `length_penalty`, where length
    includes the end marker (0: by probability; 1: by the mean log-probability of a word). If
    `limits` has a length limit, one of the `width` beams holds the best finished caption so far, in
    case all others exceed the limit.

    Captions have at least `min_words` words, and with `no_repeat_ngram` above 0 no two equal
    sequences of that many words. `prefer_ended` ranks captions that were cut off at `max_words`
    last. The beams are searched in `groups` of equal size, one after another; a word loses
    `diversity` for every time that an earlier group chose it at this step (diverse beam search,
    Vijayakumar et al. 2018, arXiv 1610.02424, with Hamming diversity).
    """
    _require_whole_groups(width, groups, limits)
    if width == 1 and not (min_words or no_repeat_ngram):  # the same captions, much cheaper
        found = greedy(decoder, regions, max_words=max_words, limits=limits)
        return _rank(found, length_penalty)

    first_rows = torch.arange(regions.shape[0], device=regions.device)[:, None] * width

    def choose(likely: LogProbs, totals: Float[Tensor, " rows"], words: Tensor) -> NextWords:
        vocabulary = likely.shape[1]
        likely = _constrain(likely, words, min_words, no_repeat_ngram)
        branches = (totals[:, None] + likely).view(-1, width * vocabulary)
        if groups > 1:
            best = _choose_in_groups(branches, width, groups, diversity)
        elif limits:
            best = _choose_within(limits, branches, (words != PAD).sum(dim=-1).view(-1, width))
        else:
            best = branches.topk(width, dim=-1).indices
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
        others=-torch.inf,  # all beams start equal, so only the first of a group may branch
        groups=groups,
        limits=limits,
    )
    return _rank(found, length_penalty, prefer_ended=prefer_ended)


def _require_whole_groups(width: int, groups: int, limits: Limits | None) -> None:
    if width % groups:
        raise RecipeError(f"search.width is {width}, which is no multiple of groups, {groups}")
    if groups > 1 and limits is not None:
        raise RecipeError("a search in groups cannot limit the words of captions")


def can_limit_length(search: Callable[..., SearchResult]) -> bool:
    """Whether a search can keep captions short: whether it is a beam search of width 2 or more."""
    options = getattr(search, "keywords", {})
    return getattr(search, "func", search) is beam and options.get("width", 2) > 1


def pick_rows(state: State, rows: Int[Tensor, " picked"]) -> State:
    """Select rows of every tensor of a state."""
    return tuple(tensor.index_select(0, rows) for tensor in state)


class NextWords(NamedTuple):
    """The next word of each row."""

    words: WordIds
    log_probs: Float[Tensor, " rows"]
    rows: Int[Tensor, " rows"] | None = None
    """The row that each word continues; None: its own."""


ChooseWords = Callable[[LogProbs, Float[Tensor, " rows"], Int[Tensor, "rows time"]], NextWords]
"""(log-probabilities of the next words, total log-probability of each row, its words) → words."""


def _search(
    decoder: StepDecoder,
    regions: Any,
    choose: ChooseWords,
    *,
    max_words: int,
    paths: int = 1,
    others: float = 0.0,
    groups: int = 1,
    every_word: bool = False,
    limits: Limits | None = None,
) -> SearchResult:
    """Generate `paths` captions of each image, one word at a time, until all have ended.

    `others` is the initial log-probability of all paths of a group but the first.
    """
    images, device = regions.shape[0], regions.device
    picture, state, looked_at = decoder.start(regions, max_words)
    every = torch.arange(images, device=device).repeat_interleave(paths)
    times, rows = torch.arange(max_words, device=device), every.shape[0]
    is_first = torch.arange(paths, device=device) % (paths // groups) == 0

    def goes_on(time: Tensor, last: Tensor, *_: Tensor) -> Tensor:
        return (time < max_words) & ~_has_ended(last).all()

    def write_word(
        time: Tensor, last: Tensor, totals: Tensor, words: Tensor, *path: Tensor
    ) -> State:
        likely, looked, state = decoder.step(last, picture, path[2:])
        likely = _allow(likely, last, words, limits, every_word=every_word)
        chosen, gained, followed = choose(likely, totals, words)
        chosen = chosen.masked_fill(gained == -torch.inf, PAD)  # no word is allowed
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
        torch.where(is_first, 0.0, others).repeat(images),
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
    """A while loop, which becomes a loop of the graph when it is exported."""
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
    """Mask what must not follow: other markers than the end, words beyond the limits or the end."""
    ids = torch.arange(likely.shape[-1], device=likely.device)
    forbidden = (ids == PAD) | (ids == START) | (ids == UNKNOWN)
    if every_word:
        forbidden = torch.zeros_like(forbidden)
    if limits is not None:
        written = (
            limits.lengths[words].sum(dim=-1, keepdim=True) - 1
        )  # the first word has no space before it
        forbidden = forbidden | limits.avoided | (limits.lengths > limits.longest - written)
    only_padding = torch.where(ids == PAD, 0.0, -torch.inf).to(likely.dtype)
    allowed = likely.masked_fill(forbidden, -torch.inf)
    return torch.where(_has_ended(last)[:, None], only_padding, allowed)


def _choose_within(
    limits: Limits,
    branches: Float[Tensor, "images branches"],
    lengths: Int[Tensor, "images width"],
) -> Int[Tensor, "images width"]:
    """The likeliest branches; with a length limit, the best finished one and unfinished ones.

    The best has the highest mean log-probability of a word: by total probability, `a man` would
    always win.
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


def _constrain(
    likely: LogProbs, words: Int[Tensor, "rows time"], min_words: int, no_repeat_ngram: int
) -> LogProbs:
    """Mask the end of captions that are too short, and words that would repeat an n-gram."""
    lengths = (words != PAD).sum(dim=-1, keepdim=True)
    ids = torch.arange(likely.shape[1], device=likely.device)
    if min_words:
        likely = likely.masked_fill((ids == END) & (lengths < min_words), -torch.inf)
    if 0 < no_repeat_ngram <= words.shape[1]:
        windows = words.unfold(1, no_repeat_ngram, 1)
        before = (
            lengths - no_repeat_ngram + 1 + torch.arange(no_repeat_ngram - 1, device=words.device)
        )
        last = words.gather(1, before.clamp(min=0))
        is_same = (windows[:, :, :-1] == last[:, None]).all(dim=-1) & (windows[:, :, -1] != PAD)
        found = is_same.to(likely.dtype)
        repeats = torch.zeros_like(likely).scatter_add(1, windows[:, :, -1], found)
        likely = likely.masked_fill((repeats > 0) & (ids > UNKNOWN), -torch.inf)
    return likely


def _choose_in_groups(
    branches: Float[Tensor, "images branches"], width: int, groups: int, diversity: float
) -> Int[Tensor, "images width"]:
    """The best branches of each group, after a penalty on words that earlier groups chose."""
    vocabulary, size = branches.shape[1] // width, width // groups
    chosen: list[Tensor] = []
    taken = branches.new_zeros(len(branches), vocabulary)
    for number, own in enumerate(branches.split(size * vocabulary, dim=1)):
        _, best = (own - diversity * taken.repeat(1, size)).topk(size, dim=-1)
        word = best % vocabulary
        taken = taken.scatter_add(1, word, (word > UNKNOWN).to(taken.dtype))
        chosen.append(best + number * size * vocabulary)
    return torch.cat(chosen, dim=1)


def _rank(
    found: SearchResult, length_penalty: float, *, prefer_ended: bool = False
) -> SearchResult:
    lengths = (found.words != PAD).sum(dim=-1)
    ranks = found.scores / lengths**length_penalty
    if prefer_ended:
        has_ended = (found.words == END).any(dim=-1)
        ranks = torch.where(has_ended, ranks, ranks - CUT_OFF)
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

"""The Transformer's decoder (Vaswani et al. 2017, arXiv 1706.03762) over the image's regions.

There is no recurrent state: every word attends to all earlier words and to the regions. With the
words y, the embedding E of width d and the positional encoding PE, the paper's sections are these
layers:

x  = sqrt(d) E y + PE           (3.4, 3.5)    `read` and `place`
x += MultiHead(x, earlier x)    (3.2.2)       in every layer: masked self-attention,
x += MultiHead(x, regions)      (3.2.3)       attention to the regions,
x += FFN(x)                     (3.3)         and a feed-forward network (equation 2)
p  = softmax(E x)               (3.4)         the output layer shares the embedding's weights

MultiHead is scaled dot-product attention (equation 1) in several heads.

Two differences from the paper. Each sublayer normalises its input, not its output ("pre-norm",
Xiong et al. 2020, arXiv 2002.04745), which trains without a long warm-up. And search keeps the keys
and values of earlier words (a key-value cache), so that a step computes one word only.
"""

from collections.abc import Iterator
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from cutline.errors import RecipeError
from cutline.models.decoders.normalization import Standardised
from cutline.models.search import InitialState, State, StepOutput

LONGEST = 64
"""The longest caption, in words: positions with an encoding."""


class Transformer(Standardised):
    """`layers` layers of self-attention, attention to the regions and a feed-forward network.

    `embedding` is the width of the model, d in the paper, and `hidden` that of the feed-forward
    network.
    """

    def __init__(
        self,
        regions_width: int,
        vocabulary_size: int,
        *,
        embedding: int = 512,
        hidden: int = 1024,
        layers: int = 3,
        heads: int = 8,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(regions_width)
        self.see = nn.Linear(regions_width, embedding)
        self.seen = nn.LayerNorm(embedding)
        self.read = nn.Embedding(vocabulary_size, embedding)
        self.layers = nn.ModuleList(
            _Layer(embedding, hidden, heads, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(embedding)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("place", _places(LONGEST, embedding), persistent=False)
        nn.init.normal_(self.read.weight, std=embedding**-0.5)

    place: Tensor

    def forward(
        self, regions: Float[Tensor, "pictures regions width"], words: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "rows time vocabulary"]:
        """Log-probabilities of the next word at every position (teacher forcing).

        Every image has the same number of captions, in consecutive rows: rows = pictures x
        captions per picture.
        """
        x = self._enter(words, self.place[: words.shape[1]])
        for layer, (keys, values) in self._with_regions(self._look(regions)):
            x = layer(x, keys, values)
        return self._next_word(x)

    def start(
        self, regions: Float[Tensor, "pictures regions width"], max_words: int = LONGEST
    ) -> InitialState:
        """Keys and values of the regions for every layer, and an empty cache for the words.

        Raises `RecipeError` for more than `LONGEST` words.
        """
        if max_words > LONGEST:
            raise RecipeError(f"this decoder writes at most {LONGEST} words, not {max_words}")
        pictures, count, _ = regions.shape
        written = torch.zeros(pictures, dtype=torch.long, device=regions.device)
        empty = regions.new_zeros(pictures, max_words, self.norm.weight.shape[0])
        state = (written, *(empty,) * (2 * len(self.layers)))
        return InitialState(self._look(regions), state, count)

    def step(self, words: Int[Tensor, " rows"], picture: State, state: State) -> StepOutput:
        """Read one word in every row and predict the next."""
        written, *memory = state
        x = self._enter(words, self.place[written])
        remembered: list[Tensor] = []
        before = zip(memory[::2], memory[1::2], strict=True)
        for (layer, regions), (keys, values) in zip(
            self._with_regions(picture), before, strict=True
        ):
            x, gaze, *own = layer.step(x, *regions, keys, values, written)
            remembered += own
        return StepOutput(self._next_word(x), gaze, (written + 1, *remembered))

    def _look(self, regions: Float[Tensor, "pictures regions width"]) -> State:
        standard = self.standardise(regions).flatten(0, 1)
        # flattened: for a linear layer on three axes the exporter stores a transposed copy
        seen = self.dropout(self.seen(self.see(standard).relu()))
        shape = (*regions.shape[:2], -1)
        return tuple(
            tensor.reshape(shape)
            for layer in self._layers()
            for tensor in (layer.region_key(seen), layer.region_value(seen))
        )

    def _with_regions(self, picture: State) -> Iterator[tuple["_Layer", tuple[Tensor, Tensor]]]:
        pairs = zip(picture[::2], picture[1::2], strict=True)
        return zip(self._layers(), pairs, strict=True)

    def _layers(self) -> list["_Layer"]:
        return cast(list[_Layer], list(self.layers))

    def _enter(
        self, words: Int[Tensor, "*rows"], place: Float[Tensor, "*places embedding"]
    ) -> Float[Tensor, "*rows embedding"]:
        return self.dropout(self.read(words) * self.read.embedding_dim**0.5 + place)

    def _next_word(self, x: Float[Tensor, "*rows embedding"]) -> Float[Tensor, "*rows vocabulary"]:
        spoken = linear(self.dropout(self.norm(x)), self.read.weight, self.bias)
        return spoken.float().log_softmax(dim=-1)


class _Layer(nn.Module):
    """Self-attention, attention to the regions and a feed-forward network, each with a residual."""

    def __init__(self, width: int, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_written, self.norm_looked, self.norm_thought = (
            nn.LayerNorm(width) for _ in range(3)
        )
        self.query, self.key, self.value, self.written = (nn.Linear(width, width) for _ in range(4))
        self.region_query, self.region_key, self.region_value, self.looked = (
            nn.Linear(width, width) for _ in range(4)
        )
        self.think = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "rows time width"],
        keys: Float[Tensor, "pictures regions width"],
        values: Float[Tensor, "pictures regions width"],
    ) -> Float[Tensor, "rows time width"]:
        """All words of the captions at once; each attends to itself and those before it."""
        near = self.norm_written(x)
        query, key, value = (self._split(part(near)) for part in (self.query, self.key, self.value))
        found = scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.dropout(self.written(_join(found)))
        wanted = self.region_query(self.norm_looked(x))
        shared = wanted.reshape(
            keys.shape[0], -1, wanted.shape[2]
        )  # the captions of one image attend together
        query, key, value = map(self._split, (shared, keys, values))
        found = scaled_dot_product_attention(query, key, value)
        x = x + self.dropout(self.looked(_join(found).view_as(x)))
        return x + self.dropout(self.think(self.norm_thought(x)))

    def step(
        self,
        x: Float[Tensor, "rows width"],
        region_keys: Float[Tensor, "pictures regions width"],
        region_values: Float[Tensor, "pictures regions width"],
        keys: Float[Tensor, "rows longest width"],
        values: Float[Tensor, "rows longest width"],
        written: Int[Tensor, " rows"],
    ) -> tuple[
        Float[Tensor, "rows width"],
        Float[Tensor, "rows regions"],
        Float[Tensor, "rows longest width"],
        Float[Tensor, "rows longest width"],
    ]:
        """One word a row: its output, its attention to the regions, and the extended cache.

        `written` is the number of words before it in each row.
        """
        near = self.norm_written(x)
        places = torch.arange(keys.shape[1], device=x.device)
        here = (places == written[:, None])[..., None]
        keys = torch.where(here, self.key(near)[:, None], keys)
        values = torch.where(here, self.value(near)[:, None], values)
        ahead = (places > written[:, None])[:, None, None]
        found, _ = self._attend(self.query(near)[:, None], keys, values, ahead)
        x = x + self.dropout(self.written(found.reshape_as(x)))
        wanted = self.region_query(self.norm_looked(x))
        shared = wanted.view(region_keys.shape[0], -1, wanted.shape[1])
        found, weights = self._attend(shared, region_keys, region_values)
        x = x + self.dropout(self.looked(found.reshape_as(x)))
        x = x + self.dropout(self.think(self.norm_thought(x)))
        return x, weights.mean(dim=1).reshape(x.shape[0], -1), keys, values

    def _attend(
        self,
        queries: Float[Tensor, "pictures rows width"],
        keys: Float[Tensor, "pictures places width"],
        values: Float[Tensor, "pictures places width"],
        hidden: Bool[Tensor, "pictures 1 1 places"] | None = None,
    ) -> tuple[Float[Tensor, "pictures rows width"], Float[Tensor, "pictures heads rows places"]]:
        query, key, value = map(self._split, (queries, keys, values))
        alike = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        weights = (alike if hidden is None else alike.masked_fill(hidden, -torch.inf)).softmax(-1)
        return _join(weights @ value), weights

    def _split(self, x: Float[Tensor, "rows time width"]) -> Float[Tensor, "rows heads time part"]:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _join(x: Float[Tensor, "rows heads time part"]) -> Float[Tensor, "rows time width"]:
    return x.transpose(1, 2).flatten(2)


def _places(count: int, width: int) -> Float[Tensor, "count width"]:
    """Positional encodings (3.5): sines and cosines of increasing wavelength."""
    turns = torch.arange(count)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([turns.sin(), turns.cos()], dim=2).flatten(1)[:, :width]

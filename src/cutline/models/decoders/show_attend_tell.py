"""Show, Attend and Tell (Xu et al. 2015, arXiv 1502.03044): an LSTM with attention to regions.

Before every word the decoder looks at the image again: it weighs the image's regions by how well
they match its state (soft attention) and reads their weighted mean. With the regions a[i], the
words y[t] and the state h[t], the paper's equations are these layers:

e[t,i]     = f(a[i], h[t-1])                     (4)    `look_for`, the query of the state
alpha[t,i] = softmax over i of e[t,i]            (5)    `_look`, the attention weights
z[t]       = beta[t] sum of alpha[t,i] a[i]      (13)   `_look`, with the gate beta of 4.2.1, `gate`
h[t]       = LSTM(E y[t-1], h[t-1], z[t])        (1-3)  `read`, the embedding E, and `remember`
p[t]       ~ exp(Lo(E y[t-1] + Lh h[t] + Lz z[t]))  (7) `tell`, Lh and Lz together; `speak`, Lo

The state before the first word comes from the mean of the regions (3.1.2, `begin`).

Five differences from the paper:

1. f is a scaled dot product of query and region (Vaswani et al. 2017, arXiv 1706.03762, equation 1)
   instead of a small network applied to every pair: attention is then two matrix products, and all
   captions of an image share its regions. `attention = "additive"` is the paper's network.
2. The regions are those of a ResNet instead of a VGG, standardised, and projected to the width of
   the state with a ReLU (`see`). Attention reads the projected regions, the paper's the raw ones.
3. The state before the first word comes from one layer and a tanh over the mean of the projected
   regions, the paper's from two networks over the mean of the raw ones.
4. The loss has no doubly stochastic term (equation 14); `training.doubly_stochastic` adds it.
5. Attention is soft (4.2). With `hard` every word looks at one sampled region (4.1), whose gradient
   is that of the soft attention (straight-through, Bengio et al. 2013, arXiv 1308.3432) instead of
   the paper's REINFORCE with a moving-average baseline; captions are written with the likeliest.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import one_hot

from cutline.models.decoders.normalization import Standardised, open_forget_gate
from cutline.models.search import InitialState, State, StepOutput


class ShowAttendTell(Standardised):
    """An LSTM that attends to the image's regions before every word.

    `gated` multiplies the attended features by the gate beta (4.2.1). With `att2in` they enter the
    LSTM's cell input only, not its gates (Rennie et al. 2017, arXiv 1612.00563, equation 6).
    `embedding` and `hidden` are the widths of the word embedding and of the LSTM.
    `attention` and `hard` are the paper's variants, described above.
    """

    def __init__(
        self,
        regions_width: int,
        vocabulary_size: int,
        *,
        embedding: int = 512,
        hidden: int = 512,
        dropout: float = 0.5,
        gated: bool = True,
        att2in: bool = False,
        attention: Literal["dot", "additive"] = "dot",
        hard: bool = False,
    ) -> None:
        super().__init__(regions_width)
        self.see = nn.Linear(regions_width, hidden)
        self.begin = nn.Linear(hidden, 2 * hidden)
        self.read = nn.Embedding(vocabulary_size, embedding)
        self.look_for = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, 1) if gated else None
        remember = Att2In if att2in else nn.LSTMCell
        self.remember = remember(embedding + hidden, hidden)
        self.tell = nn.Linear(2 * hidden, embedding)
        self.speak = nn.Linear(embedding, vocabulary_size)
        self.dropout, self.hard = nn.Dropout(dropout), hard
        if attention == "additive":
            self.compare = nn.Linear(hidden, hidden, bias=False)
            self.match = nn.Linear(hidden, 1, bias=False)
        self.is_additive = attention == "additive"
        if isinstance(self.remember, nn.LSTMCell):
            open_forget_gate(self.remember)

    def forward(
        self, regions: Float[Tensor, "pictures regions width"], words: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "rows time vocabulary"]:
        """Log-probabilities of the next word at every position (teacher forcing).

        Every image has the same number of captions, in consecutive rows: rows = pictures x
        captions per picture.
        """
        return self.attend(regions, words)[0]

    def attend(
        self, regions: Float[Tensor, "pictures regions width"], words: Int[Tensor, "rows time"]
    ) -> tuple[Float[Tensor, "rows time vocabulary"], Float[Tensor, "rows time regions"]]:
        """What `forward` returns, and the attention weights of every word."""
        (seen,), (hidden, cell), _ = self.start(regions)
        each = len(words) // len(regions)
        hidden, cell = hidden.repeat_interleave(each, 0), cell.repeat_interleave(each, 0)
        told, gazes, read = [], [], self.dropout(self.read(words))
        for word in read.unbind(dim=1):
            looked, gaze = self._look(seen, hidden)
            gazes.append(gaze)
            hidden, cell = self.remember(torch.cat([word, looked], dim=1), (hidden, cell))
            told.append(torch.cat([hidden, looked], dim=1))
        return self._next_word(torch.stack(told, dim=1), read), torch.stack(gazes, dim=1)

    def start(
        self, regions: Float[Tensor, "rows regions width"], max_words: int = 0
    ) -> InitialState:
        """The projected regions, and the LSTM's state from their mean."""
        standard = self.standardise(regions).flatten(0, 1)
        # flattened: for a linear layer on three axes the exporter stores a transposed copy
        seen = self.dropout(self.see(standard).view(*regions.shape[:2], -1).relu())
        hidden, cell = self.begin(seen.mean(dim=1)).tanh().chunk(2, dim=1)
        return InitialState((seen,), (hidden, cell), seen.shape[1])

    def step(self, words: Int[Tensor, " rows"], picture: State, state: State) -> StepOutput:
        """Read one word in every row and predict the next."""
        (seen,), (hidden, cell) = picture, state
        word, (looked, gaze) = self.dropout(self.read(words)), self._look(seen, hidden)
        hidden, cell = self.remember(torch.cat([word, looked], dim=1), (hidden, cell))
        log_probs = self._next_word(torch.cat([hidden, looked], dim=1), word)
        return StepOutput(log_probs, gaze, (hidden, cell))

    def _look(
        self, seen: Float[Tensor, "pictures regions hidden"], hidden: Float[Tensor, "rows hidden"]
    ) -> tuple[Float[Tensor, "rows hidden"], Float[Tensor, "rows regions"]]:
        """The attended features of every row and its attention weights over the regions."""
        wanted = self.look_for(hidden).view(seen.shape[0], -1, seen.shape[2])
        if self.is_additive:
            pairs = (self.compare(seen)[:, None] + wanted[:, :, None]).tanh()
            alike = self.match(pairs).squeeze(-1)
        else:
            alike = wanted @ seen.transpose(1, 2) / seen.shape[2] ** 0.5
        gaze = alike.softmax(dim=-1)
        if self.hard:
            gaze = self._choose_region(gaze)
        found = (gaze @ seen).view_as(hidden)
        gated = found if self.gate is None else found * self.gate(hidden).sigmoid()
        return gated, gaze.view(hidden.shape[0], -1)

    def _choose_region(
        self, gaze: Float[Tensor, "pictures each regions"]
    ) -> Float[Tensor, "pictures each regions"]:
        """One region for each word: sampled in training, with the gradient of the weights."""
        if not self.training:
            return one_hot(gaze.argmax(dim=-1), gaze.shape[-1]).to(gaze.dtype)
        drawn = torch.multinomial(gaze.flatten(0, 1).float(), 1).view(gaze.shape[:2])
        return one_hot(drawn, gaze.shape[-1]) + gaze - gaze.detach()

    def _next_word(
        self, told: Float[Tensor, "... both"], read: Float[Tensor, "... embedding"]
    ) -> Float[Tensor, "... vocabulary"]:
        return self.speak(self.dropout(read + self.tell(told))).float().log_softmax(dim=-1)


class Att2In(nn.Module):
    """The LSTM cell of Att2in (Rennie et al. 2017, arXiv 1612.00563, equation 6).

    The gates see the word and the previous state. The attended features enter the cell input only,
    which is the larger of two candidates (maxout).
    """

    def __init__(self, entry: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.word = nn.Linear(entry - hidden, 5 * hidden)
        self.found = nn.Linear(hidden, 2 * hidden)
        self.before = nn.Linear(hidden, 5 * hidden)
        nn.init.ones_(self.word.bias[hidden : 2 * hidden])  # open the forget gate at first

    def forward(
        self,
        entry: Float[Tensor, "rows word_and_found"],
        memory: tuple[Float[Tensor, "rows hidden"], Float[Tensor, "rows hidden"]],
    ) -> tuple[Float[Tensor, "rows hidden"], Float[Tensor, "rows hidden"]]:
        """The next state; an input row is the word's embedding, then the attended features."""
        hidden, cell = memory
        word, found = entry.split([entry.shape[1] - self.hidden, self.hidden], dim=1)
        gates = self.word(word) + self.before(hidden)
        keep, forget, show = gates[:, : 3 * self.hidden].sigmoid().chunk(3, dim=1)
        one, other = (gates[:, 3 * self.hidden :] + self.found(found)).chunk(2, dim=1)
        cell = forget * cell + keep * torch.maximum(one, other)
        return show * cell.tanh(), cell

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

One difference from the paper: f is a scaled dot product of query and region (Vaswani et al. 2017,
arXiv 1706.03762, equation 1) instead of a small network applied to every pair. Attention is then
two matrix products, and all captions of an image share its regions. `see` projects the regions to
the width of the state.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cutline.models.decoders.normalization import Standardised, open_forget_gate
from cutline.models.search import InitialState, State, StepOutput


class ShowAttendTell(Standardised):
    """An LSTM that attends to the image's regions before every word.

    `gated` multiplies the attended features by the gate beta (4.2.1). With `att2in` they enter the
    LSTM's cell input only, not its gates (Rennie et al. 2017, arXiv 1612.00563, equation 6).
    `embedding` and `hidden` are the widths of the word embedding and of the LSTM.
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
        self.dropout = nn.Dropout(dropout)
        if isinstance(self.remember, nn.LSTMCell):
            open_forget_gate(self.remember)

    def forward(
        self, regions: Float[Tensor, "pictures regions width"], words: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "rows time vocabulary"]:
        """Log-probabilities of the next word at every position (teacher forcing).

        Every image has the same number of captions, in consecutive rows: rows = pictures x
        captions per picture.
        """
        (seen,), (hidden, cell), _ = self.start(regions)
        each = len(words) // len(regions)
        hidden, cell = hidden.repeat_interleave(each, 0), cell.repeat_interleave(each, 0)
        told, read = [], self.dropout(self.read(words))
        for word in read.unbind(dim=1):
            looked, _ = self._look(seen, hidden)
            hidden, cell = self.remember(torch.cat([word, looked], dim=1), (hidden, cell))
            told.append(torch.cat([hidden, looked], dim=1))
        return self._next_word(torch.stack(told, dim=1), read)

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
        alike = wanted @ seen.transpose(1, 2) / seen.shape[2] ** 0.5
        gaze = alike.softmax(dim=-1)
        found = (gaze @ seen).view_as(hidden)
        gated = found if self.gate is None else found * self.gate(hidden).sigmoid()
        return gated, gaze.view(hidden.shape[0], -1)

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

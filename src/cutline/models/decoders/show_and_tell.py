"""Show and Tell (Vinyals et al. 2015, arXiv 1411.4555): an LSTM whose first input is the picture.

x[-1]  = CNN(I)         (10)  `see`: the picture enters once, before the first word
x[t]   = We S[t]        (11)  `read`: then the words, beginning with the start marker
p[t+1] = LSTM(x[t])     (12)  `remember`, and `speak` says how likely each next word is
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cutline.models.decoders.normalization import Standardised, open_forget_gate
from cutline.models.search import InitialState, State, StepOutput

Memory = tuple[Float[Tensor, "rows hidden"], Float[Tensor, "rows hidden"]]


class ShowAndTell(Standardised):
    """One LSTM layer between an embedding and a linear layer (figure 3)."""

    def __init__(
        self,
        regions_width: int,
        vocabulary_size: int,
        *,
        embedding: int = 512,
        hidden: int = 512,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(regions_width)
        self.see = nn.Linear(regions_width, embedding)
        self.read = nn.Embedding(vocabulary_size, embedding)
        self.remember = nn.LSTMCell(embedding, hidden)
        self.speak = nn.Linear(hidden, vocabulary_size)
        self.dropout = nn.Dropout(dropout)
        open_forget_gate(self.remember)
        nn.init.normal_(self.see.weight, std=regions_width**-0.5)  # as loud as a word
        nn.init.zeros_(self.see.bias)

    def forward(
        self, regions: Float[Tensor, "pictures regions width"], words: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "rows time vocabulary"]:
        """Log-probabilities of each next word, given the picture and all the words before it.

        Every picture has as many captions, one after another: rows = pictures x captions.
        """
        each = len(words) // len(regions)
        hidden, cell = (part.repeat_interleave(each, 0) for part in self._remember(regions))
        state, remembered = (hidden, cell), []
        for word in self.dropout(self.read(words)).unbind(dim=1):
            state = self.remember(word, state)
            remembered.append(state[0])
        return self._next_word(torch.stack(remembered, dim=1))

    def adapt(self, regions: Float[Tensor, "pictures regions width"]) -> None:
        """Measure the training pictures' features once, so that `see` learns from standard ones.

        Subtracting and dividing is linear, and so is `see`: equation 10 stays what it is.
        """
        self.measure(regions.mean(dim=1, dtype=torch.float32))

    def start(
        self, regions: Float[Tensor, "rows regions width"], max_words: int = 0
    ) -> InitialState:
        """The memory after the picture, before the first word; it is not looked at again."""
        return InitialState((), self._remember(regions), 1)

    def step(self, words: Int[Tensor, " rows"], picture: State, state: State) -> StepOutput:
        """Read one word a row; log-probabilities of the next, and the memory after it."""
        state = self.remember(self.dropout(self.read(words)), state)
        return StepOutput(self._next_word(state[0]), torch.ones_like(state[0][:, :1]), state)

    def _remember(self, regions: Float[Tensor, "rows regions width"]) -> Memory:
        picture = self.standardise(regions.mean(dim=1))
        memory: Memory = self.remember(self.dropout(self.see(picture)))
        return memory

    def _next_word(self, hidden: Float[Tensor, "... hidden"]) -> Float[Tensor, "... vocabulary"]:
        return self.speak(self.dropout(hidden)).log_softmax(dim=-1)

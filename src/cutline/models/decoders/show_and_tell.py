"""Show and Tell (Vinyals et al. 2015, arXiv 1411.4555): an LSTM that sees the image once.

The image takes the place of a word: it is the LSTM's first input, and the words of the caption
follow. After each of them the LSTM's output gives the distribution of the next word. With the image
I, the words S[1], S[2], ... and the start marker S[0], the paper's equations are these layers:

x[-1]  = CNN(I)         (10)  `see`, a linear layer over the mean of the encoder's regions
x[t]   = We S[t]        (11)  `read`, the word embedding
p[t+1] = LSTM(x[t])     (12)  `remember`, the LSTM (4-8), then `speak` and a softmax (9)

Everything the decoder knows of the image must pass through the LSTM's memory. Show, Attend and Tell
(`show_attend_tell`) removes that bottleneck.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cutline.models.decoders.normalization import Standardised, open_forget_gate
from cutline.models.search import InitialState, State, StepOutput
from cutline.text.vocabulary import START

Memory = tuple[Float[Tensor, "rows hidden"], Float[Tensor, "rows hidden"]]


class ShowAndTell(Standardised):
    """An embedding, one LSTM layer and a linear layer (figure 3 of the paper).

    `embedding` and `hidden` are the widths of the word embedding and of the LSTM. Without
    `reads_start` the first word follows the image directly, as in models that know no start marker.
    """

    def __init__(
        self,
        regions_width: int,
        vocabulary_size: int,
        *,
        embedding: int = 512,
        hidden: int = 512,
        dropout: float = 0.5,
        reads_start: bool = True,
    ) -> None:
        super().__init__(regions_width)
        self.reads_start = reads_start
        self.see = nn.Linear(regions_width, embedding)
        self.read = nn.Embedding(vocabulary_size, embedding)
        self.remember = nn.LSTMCell(embedding, hidden)
        self.speak = nn.Linear(hidden, vocabulary_size)
        self.dropout = nn.Dropout(dropout)
        open_forget_gate(self.remember)
        nn.init.normal_(self.see.weight, std=regions_width**-0.5)  # as large as a word's embedding
        nn.init.zeros_(self.see.bias)

    def forward(
        self, regions: Float[Tensor, "pictures regions width"], words: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "rows time vocabulary"]:
        """Log-probabilities of the next word at every position (teacher forcing).

        Every image has the same number of captions, in consecutive rows: rows = pictures x
        captions per picture.
        """
        each = len(words) // len(regions)
        hidden, cell = (part.repeat_interleave(each, 0) for part in self._remember(regions))
        state, remembered = (hidden, cell), []
        read = self.dropout(self.read(words)).unbind(dim=1)
        if not self.reads_start:
            remembered, read = [hidden], read[1:]
        for word in read:
            state = self.remember(word, state)
            remembered.append(state[0])
        return self._next_word(torch.stack(remembered, dim=1))

    def adapt(self, regions: Float[Tensor, "pictures regions width"]) -> None:
        """Take mean and standard deviation from the training images, for `standardise`.

        Equation 10 stays the same: standardising is linear, and so is `see`.
        """
        self.measure(regions.mean(dim=1, dtype=torch.float32))

    def start(
        self, regions: Float[Tensor, "rows regions width"], max_words: int = 0
    ) -> InitialState:
        """The LSTM's state after the image; the image itself is not needed again."""
        return InitialState((), self._remember(regions), 1)

    def step(self, words: Int[Tensor, " rows"], picture: State, state: State) -> StepOutput:
        """Read one word in every row and predict the next."""
        after: Memory = self.remember(self.dropout(self.read(words)), state)
        if not self.reads_start:
            is_start = (words == START)[:, None]
            after = (
                torch.where(is_start, state[0], after[0]),
                torch.where(is_start, state[1], after[1]),
            )
        state = after
        return StepOutput(self._next_word(state[0]), torch.ones_like(state[0][:, :1]), state)

    def _remember(self, regions: Float[Tensor, "rows regions width"]) -> Memory:
        picture = self.standardise(regions.mean(dim=1))
        memory: Memory = self.remember(self.dropout(self.see(picture)))
        return memory

    def _next_word(self, hidden: Float[Tensor, "... hidden"]) -> Float[Tensor, "... vocabulary"]:
        return self.speak(self.dropout(hidden)).float().log_softmax(dim=-1)

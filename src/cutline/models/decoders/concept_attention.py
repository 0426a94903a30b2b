"""Show, Attend and Tell with attention to predicted nouns, which it may also copy.

A classifier (`models.concepts`) predicts nouns of the image, the concepts c[i] with probabilities
p[i]. The decoder attends to them as it attends to regions (You et al. 2016, arXiv 1603.03925), and
may copy one as the next word (Yao et al. 2017, arXiv 1708.05271), so it can use nouns that it never
saw together with an image. With the symbols of `show_attend_tell`:

k[i]   = Wn E c[i] sqrt(p[i]) + Wp [p[i], sqrt(p[i])]   `name` and `sure`: a concept as a vector
d[t]   = tanh(Wd h[t-1]) sum of beta[t,i] k[i]          `ask`, soft attention to concepts; `open`
h[t]   = LSTM(E y[t-1], h[t-1], z[t] + d[t])            `remember`
o[t]   = E y[t-1] + Lt [h[t], z[t] + d[t]]              `tell`

The scores, whose softmax gives the next word, are the sum of

Lo o[t]                                 for every word: `speak`
(Wc o[t]) . k[i] / sqrt(width) + r      for each concept's word: `copy`; r (`again`) counts only if
                                        the caption has the word already
-s max(0, l - logit p[0])               for each word for a person, except in training

The last term keeps people out of captions of images without any: p[0] is the probability of a
person, and s and l (`veto`) are chosen on the validation split. The layers that Show, Attend and
Tell does not have start with no effect, so a trained one can be continued. A sentence without an
image is learnt through the concepts it names, with one learnt vector (`blind`) as its only region.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cutline.models.concepts import CERTAIN, ConceptHead, Concepts, DecoderInput
from cutline.models.decoders.show_attend_tell import ShowAttendTell
from cutline.models.search import InitialState, State, StepOutput


class ConceptAttention(ShowAttendTell):
    """Reads the `concepts` likeliest of the `nouns` that the model knows.

    The buffer `people` is 1 for words that name a person; `veto` holds s and l, given as `nobody`
    and `nobody_below`. Except in training, `repeated` is subtracted from the learnt r.
    """

    people: Tensor
    veto: Tensor

    def __init__(
        self,
        regions_width: int,
        vocabulary_size: int,
        *,
        embedding: int = 512,
        hidden: int = 512,
        dropout: float = 0.5,
        concepts: int = 8,
        nouns: int = 1,
        nobody: float = 0.0,
        nobody_below: float = 0.0,
        repeated: float = 0.0,
    ) -> None:
        super().__init__(
            regions_width, vocabulary_size, embedding=embedding, hidden=hidden, dropout=dropout
        )
        self.concepts = ConceptHead(regions_width, nouns, count=concepts)
        self.name = nn.Linear(embedding, hidden)
        self.sure = nn.Linear(2, hidden)
        self.ask = nn.Linear(hidden, hidden)
        self.open = nn.Linear(hidden, hidden)
        self.copy = nn.Linear(embedding, hidden)
        self.again, self.repeated = nn.Parameter(torch.zeros(())), repeated
        self.blind = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("people", torch.zeros(vocabulary_size))
        self.register_buffer("veto", torch.tensor([nobody, nobody_below]))
        nn.init.eye_(self.name.weight).data.mul_(0.5)  # a concept is near its word's embedding
        for layer in (self.open, self.copy):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        regions: Float[Tensor, "pictures regions width"] | DecoderInput,
        words: Int[Tensor, "rows time"],
    ) -> Float[Tensor, "rows time vocabulary"]:
        """Log-probabilities of the next word at every position (teacher forcing).

        Every image has the same number of captions, in consecutive rows: rows = pictures x
        captions per picture.
        """
        (seen, named, concepts, nobody), (hidden, cell, _), _ = self.start(regions)
        each = len(words) // concepts.shape[0]
        hidden, cell = hidden.repeat_interleave(each, 0), cell.repeat_interleave(each, 0)
        told, read = [], self.dropout(self.read(words))
        for word in read.unbind(dim=1):
            looked, _ = self._find(seen, named, hidden)
            hidden, cell = self.remember(torch.cat([word, looked], dim=1), (hidden, cell))
            told.append(torch.cat([hidden, looked], dim=1))
        said = words[:, :, None] == concepts.repeat_interleave(each, 0)[:, None]
        said = said.long().cummax(dim=1).values.float()
        scores = self._score(torch.stack(told, dim=1), read, named, concepts, said)
        return self._choose(scores, nobody)

    def start(
        self, regions: Float[Tensor, "rows regions width"] | DecoderInput, max_words: int = 0
    ) -> InitialState:
        """The projected regions, the concepts as vectors, and the LSTM's state."""
        given = (
            regions
            if isinstance(regions, DecoderInput)
            else DecoderInput(regions, self.predict_concepts(regions))
        )
        words, probabilities = given.concepts
        if given.regions is None:
            seen = self.blind.expand(words.shape[0], 1, -1)
            hidden, cell = self.begin(seen.mean(dim=1)).tanh().chunk(2, dim=1)
        else:
            (seen,), (hidden, cell), _ = super().start(given.regions)
        root = probabilities[..., None].sqrt()
        sure = self.sure(torch.cat([probabilities[..., None], root], dim=2).flatten(0, 1))
        name = self.name((self.read(words) * root).flatten(0, 1))
        named = self.dropout((name + sure).view(*words.shape, -1))
        said = torch.zeros_like(probabilities)
        person = probabilities[:, 0].logit(eps=CERTAIN)
        nobody = self.veto[0] * (self.veto[1] - person).relu() * (not self.training)
        return InitialState((seen, named, words, nobody), (hidden, cell, said), seen.shape[1])

    def predict_concepts(self, regions: Float[Tensor, "rows regions width"]) -> Concepts:
        """The likeliest concepts of the images, without gradients."""
        with torch.no_grad():
            return self.concepts(regions)[0]

    def step(self, words: Int[Tensor, " rows"], picture: State, state: State) -> StepOutput:
        """Read one word in every row and predict the next."""
        (seen, named, concepts, nobody), (hidden, cell, said) = picture, state
        word, (looked, gaze) = self.dropout(self.read(words)), self._find(seen, named, hidden)
        hidden, cell = self.remember(torch.cat([word, looked], dim=1), (hidden, cell))
        now = words.view(concepts.shape[0], -1, 1) == concepts[:, None]
        said = torch.maximum(said, now.view_as(said).to(said.dtype))
        told = torch.cat([hidden, looked], dim=1)
        scores = self._score(told[:, None], word[:, None], named, concepts, said[:, None])
        return StepOutput(self._choose(scores, nobody)[:, 0], gaze, (hidden, cell, said))

    def _find(
        self,
        seen: Float[Tensor, "pictures regions hidden"],
        named: Float[Tensor, "pictures concepts hidden"],
        hidden: Float[Tensor, "rows hidden"],
    ) -> tuple[Float[Tensor, "rows hidden"], Float[Tensor, "rows regions"]]:
        """The attended features of every row, and its attention weights over the regions."""
        looked, gaze = self._look(seen, hidden)
        wanted = self.ask(hidden).view(named.shape[0], -1, named.shape[2])
        alike = wanted @ named.transpose(1, 2) / named.shape[2] ** 0.5
        found = (alike.softmax(dim=-1) @ named).view_as(hidden)
        return looked + found * self.open(hidden).tanh(), gaze

    def _score(
        self,
        told: Float[Tensor, "rows time both"],
        read: Float[Tensor, "rows time embedding"],
        named: Float[Tensor, "pictures concepts hidden"],
        concepts: Int[Tensor, "pictures concepts"],
        said: Float[Tensor, "rows time concepts"],
    ) -> Float[Tensor, "rows time vocabulary"]:
        """The scores of every next word, with those of copying a concept added."""
        rows, time, _ = read.shape  # flattened, as in `start`
        known = self.dropout(read.flatten(0, 1) + self.tell(told.flatten(0, 1)))
        scores = self.speak(known).float().view(rows, time, -1)
        wanted = self.copy(known).view(named.shape[0], -1, named.shape[2])
        copied = (wanted @ named.transpose(1, 2) / named.shape[2] ** 0.5).float()
        again = self.again - self.repeated * (not self.training)
        copied = copied + again * said.reshape(named.shape[0], -1, concepts.shape[1])
        places = concepts[:, None].expand_as(copied)
        flat = scores.view(named.shape[0], -1, scores.shape[-1]).scatter_add(2, places, copied)
        return flat.view_as(scores)

    def _choose(
        self, scores: Float[Tensor, "rows time vocabulary"], nobody: Float[Tensor, " pictures"]
    ) -> Float[Tensor, "rows time vocabulary"]:
        """Log-probabilities of the next word, after the penalty on words for people."""
        less = nobody[:, None, None] * self.people
        likely = scores.view(nobody.shape[0], -1, scores.shape[-1]) - less
        return likely.view_as(scores).log_softmax(dim=-1)

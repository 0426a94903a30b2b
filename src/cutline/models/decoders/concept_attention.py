"""Show, Attend and Tell that also reads what the picture shows, in words, and may copy them.

k[i]   = Wn E c[i] sqrt(p[i]) + Wp p[i]        `name`: concept i, a noun c[i] of probability p[i]
d[t]   = gate(h) sum of beta[t, i] k[i]        soft attention over concepts, as z[t] over regions
h[t]   = LSTM(E y[t-1], h[t-1], z[t] + d[t])
o[t]   = E y[t-1] + Lt [h[t], z[t] + d[t]]     what the next word is told from
score  = Lo o[t], for each concept's word also (Wc o[t]) . k[i] + r (whether it was said), and
         for each word for a person also -s max(0, l - logit p[0])

Attention over concepts is You et al. 2016 (arXiv 1603.03925), copying Yao et al. 2017 (arXiv
1708.05271). The last term, not there in training, keeps people out of captions of pictures that
show none: p[0] is the probability of a person; s and l are chosen on validation pictures. All that
is new starts from nothing, so that a trained Show, Attend and Tell begins as it was. A sentence
without a picture is learnt from through its concepts; one learnt vector then stands for all
regions.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cutline.models.concepts import CERTAIN, ConceptHead, Concepts, DecoderInput
from cutline.models.decoders.show_attend_tell import ShowAttendTell
from cutline.models.search import InitialState, State, StepOutput


class ConceptAttention(ShowAttendTell):
    """`concepts` nouns of each picture, out of `nouns` that the model can name.

    `people` is 1 for words that say a person; `veto` holds s and l, which are `nobody` and
    `nobody_below`. What is learnt for r is made less by `repeated`, when it is not learnt.
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
        nn.init.eye_(self.name.weight).data.mul_(0.5)  # a concept is found where its word is
        for layer in (self.open, self.copy):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        regions: Float[Tensor, "pictures regions width"] | DecoderInput,
        words: Int[Tensor, "rows time"],
    ) -> Float[Tensor, "rows time vocabulary"]:
        """Log-probabilities of each next word, given the picture and all the words before it.

        Every picture has as many captions, one after another: rows = pictures x captions.
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
        """The regions as seen, the concepts by name, and a memory of the regions' mean."""
        sight = (
            regions
            if isinstance(regions, DecoderInput)
            else DecoderInput(regions, self.predict_concepts(regions))
        )
        words, probabilities = sight.concepts
        if sight.regions is None:
            seen = self.blind.expand(words.shape[0], 1, -1)
            hidden, cell = self.begin(seen.mean(dim=1)).tanh().chunk(2, dim=1)
        else:
            (seen,), (hidden, cell), _ = super().start(sight.regions)
        root = probabilities[..., None].sqrt()
        sure = self.sure(torch.cat([probabilities[..., None], root], dim=2).flatten(0, 1))
        name = self.name((self.read(words) * root).flatten(0, 1))
        named = self.dropout((name + sure).view(*words.shape, -1))
        said = torch.zeros_like(probabilities)
        person = probabilities[:, 0].logit(eps=CERTAIN)
        nobody = self.veto[0] * (self.veto[1] - person).relu() * (not self.training)
        return InitialState((seen, named, words, nobody), (hidden, cell, said), seen.shape[1])

    def predict_concepts(self, regions: Float[Tensor, "rows regions width"]) -> Concepts:
        """What the pictures show; nothing is learnt through it."""
        with torch.no_grad():
            return self.concepts(regions)[0]

    def step(self, words: Int[Tensor, " rows"], picture: State, state: State) -> StepOutput:
        """Read one word a row; log-probabilities of the next, and the memory after it."""
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
        """What each row finds in its picture's regions and concepts, and in which regions."""
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
        """How well each word would go on; a concept's word may be copied."""
        rows, time, _ = read.shape  # flat, as in `start`
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
        """Log-probabilities of the next word; people are unlikely where nobody seems to be."""
        less = nobody[:, None, None] * self.people
        likely = scores.view(nobody.shape[0], -1, scores.shape[-1]) - less
        return likely.view_as(scores).log_softmax(dim=-1)

"""The concepts of a run: which nouns it names, how likely each is in every training picture.

Enters: training pictures with captions, labelled pictures, ImageNet's classifier. Leaves: a fitted
`ConceptHead`, for each training picture the probabilities that a head gives which has not seen
it (cross-fitting): those of its own head would be surer than any that the decoder meets later; and
labelled photographs with the sentences that were found for them. All of it is kept in the run's
folder, so a run that goes on reads the very same.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cutline.datasets.labels import Labelled, Labels
from cutline.errors import DataError, ModelError
from cutline.io.atomic import atomic_write, write_text_file
from cutline.io.jsonl import format_jsonl, read_jsonl
from cutline.models.concepts import CLASSES, ConceptHead, fit, fit_photograph_classifier
from cutline.models.weights import load_weights, part_of
from cutline.text.nouns import KINDS, is_wider, names_person, nouns_of, read_classes, widen
from cutline.text.tokenizer import split_words
from cutline.text.vocabulary import MARKERS, Vocabulary
from cutline.training.pseudo_pairs import Finder
from cutline.types import Example

FILE, FOUND = "concepts.safetensors", "found.jsonl"
PERSON = "person"
NAMED_IN = 12
"""A noun that captions of so many training pictures name is one to look for."""
CERTAIN_CAPTIONS = 2
"""What so many of a picture's captions say is there for certain."""
ALSO = 0.5
"""What a class counts for a noun that is not its first."""
FOLDS, STEPS, DECAY = 4, 300, 0.1
PERHAPS, SURE = 0.3, 0.5
"""More likely, a person may be there, and a noun is."""
REFUSED_WRONGLY = 1e-3
"""The share of unseen photographs that the refusal's threshold takes for something else."""
Classifier = tuple[Tensor, Tensor]
"""Weight and bias of ImageNet's 1,000 classes."""


@dataclass(frozen=True)
class FittedConcepts:
    """What is known of the training pictures' concepts."""

    head: ConceptHead
    nouns: tuple[str, ...]
    probabilities: Float[Tensor, "pictures nouns"]
    """Of the captioned pictures, then of those that `found` has."""
    named: Float[Tensor, "captioned nouns"]
    """The share of a picture's captions that name the noun, 1 where two do."""
    found: tuple[Example, ...] = ()
    """Labelled photographs with sentences that were written of others."""
    refusal: float | None = None
    """Below this probability a picture is refused as no photograph."""


def noun_scores(example: Example) -> dict[str, float]:
    """How certainly its captions say each noun; `person` for any word that says somebody."""
    counts: Counter[str] = Counter()
    for words in map(split_words, example.captions):
        counts.update(set(nouns_of(words)) | ({PERSON} if names_person(words) else set()))
    enough = min(CERTAIN_CAPTIONS, len(example.captions))
    return {noun: min(1.0, count / enough) for noun, count in counts.items()}


def select_nouns(said: Sequence[Mapping[str, float]], vocabulary: Vocabulary) -> tuple[str, ...]:
    """`person`, then by alphabet what enough pictures name and what ImageNet's classes are, of
    words that the vocabulary has.
    """
    counts = Counter(noun for each in said for noun in each)
    candidates = {noun for noun in counts if counts[noun] >= NAMED_IN}
    candidates |= {noun for nouns in read_classes() for noun in nouns}
    known = candidates.intersection(vocabulary.words[len(MARKERS) :])
    return (PERSON, *sorted(known - {PERSON}))


def tabulate(
    said: Sequence[Mapping[str, float]], nouns: Sequence[str]
) -> Float[Tensor, "pictures nouns"]:
    """What is said of each picture, a column a noun."""
    places = {noun: place for place, noun in enumerate(nouns)}
    table = torch.zeros(len(said), len(nouns))
    for row, each in enumerate(said):
        for noun, certainty in each.items():
            if noun in places:
                table[row, places[noun]] = certainty
    return table


def build_head(
    nouns: Sequence[str], vocabulary: Vocabulary, width: int, count: int, known: Classifier | None
) -> ConceptHead:
    """A head that knows ImageNet's classes, if it is given them, and nothing else yet."""
    head = ConceptHead(width, len(nouns), count=count)
    head.words.copy_(torch.tensor(vocabulary.encode(nouns)))
    if known:
        head.classify.weight.data.copy_(known[0])
        head.classify.bias.data.copy_(known[1])
        head.classes.copy_(_connect(nouns))
    return head


def _connect(nouns: Sequence[str]) -> Tensor:
    """Which classes each noun has: 1 where it is the class's first, less for others and wider."""
    table = torch.zeros(CLASSES, len(nouns))
    columns = {noun: column for column, noun in enumerate(nouns)}
    for row, own in enumerate(read_classes()):
        wider = {n for n in nouns if n not in KINDS and any(is_wider(n, each) for each in own)}
        for noun in columns.keys() & {*own, *wider}:
            table[row, columns[noun]] = 1.0 if noun == own[0] else ALSO
    return table


def read_classifier(tensors: Mapping[str, Tensor], width: int) -> Classifier | None:
    """ImageNet's classifier in the tensors of an encoder (`fc`) or of a model with concepts."""
    for name in ("fc", "decoder.concepts.classify"):
        weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
        if weight is not None and bias is not None and weight.shape == (CLASSES, width):
            return weight.float(), bias.float()
    return None


class ConceptTargets(NamedTuple):
    """Pictures to fit a head to: pooled regions, what they show, and how much each entry counts."""

    means: Float[Tensor, "pictures width"]
    named: Float[Tensor, "pictures nouns"]
    known: Float[Tensor, "pictures nouns"]


def label_targets(
    labelled: Sequence[Labelled], means: Tensor, nouns: Sequence[str], *, silence: float
) -> ConceptTargets:
    """What labels teach: what they name is there, also in wider words; a noun of theirs that is not
    said counts `silence` of an absence if it is said of another picture of the same folder, other
    nouns and people of whom nothing is said nothing.
    """
    wider = [frozenset().union(*map(widen, each.nouns)) for each in labelled]
    named = tabulate([dict.fromkeys(own, 1.0) for own in wider], nouns)
    people = torch.tensor([-1.0 if e.person is None else float(e.person) for e in labelled])
    named[:, 0] = people.clamp(min=0)
    known = torch.zeros_like(named)
    folders = [each.folder for each in labelled]
    for folder in set(folders):
        rows = torch.tensor([own == folder for own in folders])
        known[rows] = (named[rows].sum(dim=0) > 0) * silence
    known[named > 0] = 1.0
    known[:, 0] = (people >= 0).float()
    return ConceptTargets(means, named, known)


def fit_concept_head(
    blank: ConceptHead,
    nouns: Sequence[str],
    pairs: ConceptTargets,
    others: Sequence[ConceptTargets],
    *,
    seed: int,
) -> FittedConcepts:
    """Fit a head to all pictures, and for each quarter of the pairs one to all others."""
    every = ConceptTargets(*(torch.cat(parts) for parts in zip(pairs, *others, strict=True)))
    root = every.means.clamp(min=0).sqrt()
    blank.middle.copy_(root.mean(dim=0))
    blank.spread.copy_(root.std(dim=0, correction=0).clamp(min=1e-3))
    count = len(pairs.means)
    folds = torch.full((len(every.means),), FOLDS)
    folds[:count] = torch.arange(count) % FOLDS
    probabilities = torch.zeros_like(pairs.named)
    for fold in range(min(FOLDS, count)):
        kept, mine = folds != fold, folds[:count] == fold
        head = _fit(blank, ConceptTargets(*(part[kept] for part in every)), seed)
        probabilities[mine] = predict_nouns(head, pairs.means[mine])
    return FittedConcepts(_fit(blank, every, seed), tuple(nouns), probabilities, pairs.named)


def _fit(blank: ConceptHead, lesson: ConceptTargets, seed: int) -> ConceptHead:
    if not len(lesson.means):
        return blank
    head = deepcopy(blank)
    batch = min(1024, len(lesson.means))
    fit(head, *lesson, decay=DECAY, steps=STEPS, batch=batch, seed=seed)
    return head.requires_grad_(False)


@torch.no_grad()
def predict_nouns(head: ConceptHead, means: Tensor) -> Tensor:
    """The probability of every noun in pictures of which the regions' mean is given."""
    return torch.cat([head.logits(some).sigmoid() for some in means.split(4096)])


def reuse_concepts(
    tensors: Mapping[str, Tensor],
    vocabulary: Vocabulary,
    count: int,
    means: Tensor,
    said: Sequence[Mapping[str, float]],
) -> FittedConcepts:
    """The nouns and the head of a model that names concepts, and what it says of these pictures."""
    own = part_of(tensors, "decoder.concepts")
    number, width = own["correct.weight"].shape
    head = ConceptHead(width, number, count=count).requires_grad_(False)
    load_weights(head, own, "the model to start from")
    nouns = tuple(vocabulary.words[number] for number in head.words.tolist())
    return FittedConcepts(head, nouns, predict_nouns(head, means), tabulate(said, nouns))


def find_pseudo_pairs(
    sources: Sequence[tuple[Labels, Sequence[Labelled], Tensor]],
    head: ConceptHead,
    nouns: Sequence[str],
    finder: Finder,
    *,
    seed: int,
) -> tuple[tuple[Example, ...], Float[Tensor, "found nouns"]]:
    """The labelled photographs without people for which two sentences or more are found, and the
    probabilities of their nouns. A person is taken to be absent where a label says so, or else
    where the head does.
    """
    found, rows = [], []
    for source, labelled, means in sources:
        for number, (each, likely) in enumerate(
            zip(labelled, predict_nouns(head, means), strict=True)
        ):
            somebody = likely[0] > PERHAPS if each.person is None else each.person
            if somebody or not each.nouns:
                continue
            sure = {nouns[place] for place in (likely[1:] > SURE).nonzero().flatten() + 1}
            captions = finder.find(each.nouns, sure, source.sentences, seed=(seed, number))
            if len(captions) >= min(CERTAIN_CAPTIONS, source.sentences):
                found.append(Example(f"found/{each.image}", each.image, tuple(captions), "train"))
                rows.append(likely)
    return tuple(found), torch.stack(rows) if rows else torch.zeros(0, len(nouns))


def fit_refusal(
    head: ConceptHead, photographs: Tensor, others: Tensor, unseen: Tensor, *, seed: int
) -> float:
    """Fit what tells photographs from other pictures, given the means of their regions. Returns the
    probability below which a picture is refused: one in a thousand of the `unseen` photographs is.
    """
    head.photograph.requires_grad_(True)
    fit_photograph_classifier(head, photographs, others, seed=seed)
    head.photograph.requires_grad_(False)
    with torch.no_grad():
        likely = head.photograph(head.standardise(unseen)).sigmoid()[:, 0]
    least = float(likely.quantile(REFUSED_WRONGLY)) if len(unseen) else 0.5
    return min(max(least, 0.05), 0.5)


def save_concepts(naming: FittedConcepts, folder: Path, data: str) -> None:
    """Keep it in a run's folder; `data` is the fingerprint of what it was learnt from."""
    lines = [{"image": str(each.image), "captions": each.captions} for each in naming.found]
    write_text_file(format_jsonl(lines), folder / FOUND)
    tensors = {f"head.{name}": t.contiguous() for name, t in naming.head.state_dict().items()}
    tensors |= {"probabilities": naming.probabilities, "named": naming.named}
    metadata = {"nouns": "\n".join(naming.nouns), "data": data, "count": str(naming.head.count)}
    metadata |= {} if naming.refusal is None else {"refusal": repr(naming.refusal)}
    with atomic_write(folder / FILE) as file:
        file.write(save(tensors, metadata))


def read_concepts(folder: Path, data: str) -> FittedConcepts | None:
    """What a run's folder keeps, if it does; `DataError` if it learnt it from other data."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged: {error} (without it, it is made anew)") from None
    if metadata["data"] != data:
        raise DataError(f"the data has changed since {folder} began")
    own = part_of(tensors, "head")
    number, width = own["correct.weight"].shape
    head = ConceptHead(width, number, count=int(metadata["count"])).requires_grad_(False)
    load_weights(head, own, path)
    return FittedConcepts(
        head,
        tuple(metadata["nouns"].split("\n")),
        tensors["probabilities"],
        tensors["named"],
        tuple(_read_found(folder / FOUND)),
        float(metadata["refusal"]) if "refusal" in metadata else None,
    )


def _read_found(file: Path) -> Iterator[Example]:
    for _, said in read_jsonl(file) if file.exists() else ():
        image = Path(said["image"])
        yield Example(f"found/{image}", image, tuple(said["captions"]), "train")

"""Fitting the concept head of a run: which nouns it knows, and their probabilities.

The head is fitted to captions, labels and ImageNet's classifier. The probabilities that the decoder
is trained with come from cross-fitting: each training image is judged by a head that was fitted
without it, since a head is overconfident on its own training images. Labelled photographs are
paired with sentences (`pseudo_pairs`). The results are saved in the run's folder, so that a resumed
run uses the same.
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
"""Minimum number of training images whose captions name a noun for it to become a concept."""
CERTAIN_CAPTIONS = 2
"""Number of an image's captions that must name a noun for it to count as certainly present."""
ALSO = 0.5
"""The weight of a class for a noun other than its first."""
FOLDS, STEPS, DECAY = 4, 300, 0.1
"""Folds of the cross-fitting, optimizer steps and weight decay of each fit."""
PERHAPS, SURE = 0.3, 0.5
"""Probabilities above which a person is possible, and a noun certain enough to be named."""
REFUSED_WRONGLY = 1e-3
"""The fraction of held-out photographs that the threshold wrongly refuses."""
Classifier = tuple[Tensor, Tensor]
"""Weight and bias of the linear layer for ImageNet's 1,000 classes."""


@dataclass(frozen=True)
class FittedConcepts:
    """The fitted head, and the concepts of the training images."""

    head: ConceptHead
    nouns: tuple[str, ...]
    probabilities: Float[Tensor, "pictures nouns"]
    """First those of the captioned images, then those of the images in `found`."""
    named: Float[Tensor, "captioned nouns"]
    """How certainly each image's captions name each noun, from 0 to 1."""
    found: tuple[Example, ...] = ()
    """Labelled photographs with sentences written about other images."""
    refusal: float | None = None
    """Images whose probability of being a photograph is below this are refused."""


def noun_scores(example: Example) -> dict[str, float]:
    """How certainly an example's captions name each noun; `person` for any word for a person."""
    counts: Counter[str] = Counter()
    for words in map(split_words, example.captions):
        counts.update(set(nouns_of(words)) | ({PERSON} if names_person(words) else set()))
    enough = min(CERTAIN_CAPTIONS, len(example.captions))
    return {noun: min(1.0, count / enough) for noun, count in counts.items()}


def select_nouns(said: Sequence[Mapping[str, float]], vocabulary: Vocabulary) -> tuple[str, ...]:
    """`person`, then in alphabetical order the nouns to predict.

    These are the nouns of `NAMED_IN` images and of ImageNet's classes that are in the vocabulary.
    """
    counts = Counter(noun for each in said for noun in each)
    candidates = {noun for noun in counts if counts[noun] >= NAMED_IN}
    candidates |= {noun for nouns in read_classes() for noun in nouns}
    known = candidates.intersection(vocabulary.words[len(MARKERS) :])
    return (PERSON, *sorted(known - {PERSON}))


def tabulate(
    said: Sequence[Mapping[str, float]], nouns: Sequence[str]
) -> Float[Tensor, "pictures nouns"]:
    """The scores of `noun_scores` as a table, a row for each image."""
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
    """An unfitted head, with the layer for ImageNet's classes if it is given."""
    head = ConceptHead(width, len(nouns), count=count)
    head.words.copy_(torch.tensor(vocabulary.encode(nouns)))
    if known:
        head.classify.weight.data.copy_(known[0])
        head.classify.bias.data.copy_(known[1])
        head.classes.copy_(_connect(nouns))
    return head


def _connect(nouns: Sequence[str]) -> Tensor:
    """Each class's weight for each noun: 1 for its first noun, less for others and hypernyms."""
    table = torch.zeros(CLASSES, len(nouns))
    columns = {noun: column for column, noun in enumerate(nouns)}
    for row, own in enumerate(read_classes()):
        wider = {n for n in nouns if n not in KINDS and any(is_wider(n, each) for each in own)}
        for noun in columns.keys() & {*own, *wider}:
            table[row, columns[noun]] = 1.0 if noun == own[0] else ALSO
    return table


def read_classifier(tensors: Mapping[str, Tensor], width: int) -> Classifier | None:
    """ImageNet's classifier from an encoder's tensors (`fc`) or a model with concepts, if any."""
    for name in ("fc", "decoder.concepts.classify"):
        weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
        if weight is not None and bias is not None and weight.shape == (CLASSES, width):
            return weight.float(), bias.float()
    return None


class ConceptTargets(NamedTuple):
    """Images to fit a head to: mean regions, targets, and the weight of each target."""

    means: Float[Tensor, "pictures width"]
    named: Float[Tensor, "pictures nouns"]
    known: Float[Tensor, "pictures nouns"]


def label_targets(
    labelled: Sequence[Labelled], means: Tensor, nouns: Sequence[str], *, silence: float
) -> ConceptTargets:
    """Targets from labels.

    Labelled nouns and their hypernyms are present, with weight 1. A noun that labels of the same
    folder name for other images is absent with weight `silence`. Other nouns have weight 0, and so
    has `person` where the label does not say.
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
    """Fit a head to all images, and for each of `FOLDS` parts of the pairs one to all others."""
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


def _fit(blank: ConceptHead, targets: ConceptTargets, seed: int) -> ConceptHead:
    if not len(targets.means):
        return blank
    head = deepcopy(blank)
    batch = min(1024, len(targets.means))
    fit(head, *targets, decay=DECAY, steps=STEPS, batch=batch, seed=seed)
    return head.requires_grad_(False)


@torch.no_grad()
def predict_nouns(head: ConceptHead, means: Tensor) -> Tensor:
    """The probability of every noun, from the mean of each image's regions."""
    return torch.cat([head.logits(some).sigmoid() for some in means.split(4096)])


def reuse_concepts(
    tensors: Mapping[str, Tensor],
    vocabulary: Vocabulary,
    count: int,
    means: Tensor,
    said: Sequence[Mapping[str, float]],
) -> FittedConcepts:
    """The nouns and the head of a model with concepts, and its predictions for these images."""
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
    """Pair labelled photographs without people with sentences.

    Returns the photographs for which at least two sentences are found, and the probabilities of
    their nouns. Whether a person is there is decided by the label, or else by the head.
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
    """Fit the classifier of photographs against other images, and return its threshold.

    All three tensors hold the mean of each image's regions. The threshold is the probability below
    which one in a thousand of the held-out photographs `unseen` lies, between 0.05 and 0.5.
    """
    head.photograph.requires_grad_(True)
    fit_photograph_classifier(head, photographs, others, seed=seed)
    head.photograph.requires_grad_(False)
    with torch.no_grad():
        likely = head.photograph(head.standardise(unseen)).sigmoid()[:, 0]
    least = float(likely.quantile(REFUSED_WRONGLY)) if len(unseen) else 0.5
    return min(max(least, 0.05), 0.5)


def save_concepts(concepts: FittedConcepts, folder: Path, data: str) -> None:
    """Save to a run's folder; `data` identifies the data that the head was fitted to."""
    lines = [{"image": str(each.image), "captions": each.captions} for each in concepts.found]
    write_text_file(format_jsonl(lines), folder / FOUND)
    tensors = {f"head.{name}": t.contiguous() for name, t in concepts.head.state_dict().items()}
    tensors |= {"probabilities": concepts.probabilities, "named": concepts.named}
    metadata = {"nouns": "\n".join(concepts.nouns), "data": data, "count": str(concepts.head.count)}
    metadata |= {} if concepts.refusal is None else {"refusal": repr(concepts.refusal)}
    with atomic_write(folder / FILE) as file:
        file.write(save(tensors, metadata))


def read_concepts(folder: Path, data: str) -> FittedConcepts | None:
    """What `save_concepts` wrote, or None; `DataError` if it was fitted to other data."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(
            f"{path} is damaged: {error} (if you delete it, it is computed again)"
        ) from None
    if metadata["data"] != data:
        raise DataError(f"the data has changed since the run in {folder} started")
    own = part_of(tensors, "head")
    number, width = own["correct.weight"].shape
    head = ConceptHead(width, number, count=int(metadata["count"])).requires_grad_(False)
    load_weights(head, own, path)
    return FittedConcepts(
        head,
        tuple(metadata["nouns"].split("\n")),
        tensors["probabilities"],
        tensors["named"],
        tuple(_read_pseudo_pairs(folder / FOUND)),
        float(metadata["refusal"]) if "refusal" in metadata else None,
    )


def _read_pseudo_pairs(file: Path) -> Iterator[Example]:
    for _, said in read_jsonl(file) if file.exists() else ():
        image = Path(said["image"])
        yield Example(f"found/{image}", image, tuple(said["captions"]), "train")

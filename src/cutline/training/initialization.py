"""The start of a training: the encoder's weights, the vocabulary, the concepts and the decoder.

They come from the recipe and, where given, from a file of weights or from a model to continue from.
If that model has another kind of decoder, the tensors that both kinds share are taken over.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cutline.datasets.labels import Labelled, Labels
from cutline.datasets.mixture import Mixture
from cutline.errors import DataError, ModelError, RecipeError
from cutline.inference.captioner import PACKAGED
from cutline.models.checkpoint import Checkpoint
from cutline.models.weights import (
    add_missing_tensors,
    extend_vocabulary,
    load_weights,
    part_of,
    read_tensors,
)
from cutline.recipe import Recipe
from cutline.text.nouns import PERSON as PERSON_WORDS
from cutline.text.vocabulary import Vocabulary
from cutline.text.words import ENGLISH
from cutline.training.batch_inputs import EncoderInput, TrainingInputs
from cutline.training.concept_fitting import (
    PERSON,
    Classifier,
    ConceptTargets,
    FittedConcepts,
    build_head,
    find_pseudo_pairs,
    fit_concept_head,
    fit_refusal,
    label_targets,
    noun_scores,
    read_classifier,
    reuse_concepts,
    select_nouns,
    tabulate,
)
from cutline.training.events import Notice
from cutline.training.feature_store import Encoded, FeatureStore, Pooled
from cutline.training.pseudo_pairs import Finder
from cutline.training.trainer import Training
from cutline.types import Example

AT_ONCE = 64
"""Training images whose regions are read together."""


class InitialDecoder(NamedTuple):
    """A decoder before its first step, and a sentence on which of its tensors are new, if any."""

    decoder: Any
    notice: str


class FeaturePooler:
    """The mean of an image's regions, for images of which only the mean is needed."""

    def __init__(
        self, inputs: TrainingInputs, encoder_input: EncoderInput, options: Training
    ) -> None:
        self.inputs, self.source, self.precision = inputs, encoder_input, options.precision
        self.encoder: Any = encoder_input.encoder

    def pool(self, examples: Sequence[Example]) -> Tensor:
        """The mean of the regions of training images, (images, width)."""
        starts = range(0, len(examples), AT_ONCE)
        seen = (self.inputs.encode(examples[at : at + AT_ONCE], self.encoder) for at in starts)
        means = [regions.float().mean(dim=1) for regions in seen]
        return torch.cat(means) if means else torch.zeros(0, self.encoder.width)

    def pool_labelled(
        self, labels: Labels
    ) -> Generator[Encoded | Notice, None, tuple[list[Labelled], Tensor]]:
        """The readable images of a source, and the mean of their regions, which is cached on disk.

        If the source asks for sentences, all regions are cached, because the decoder needs them.
        """
        labelled = list(labels)
        images = [each.image for each in labelled]
        if labels.sentences:
            examples = [Example(str(image), image, (), "train") for image in images]
            yield from self.inputs.prepare(examples, ())
            readable = self.inputs.keep_readable(examples)
            seen = {example.image for example in readable}
            kept, means = [each for each in labelled if each.image in seen], self.pool(readable)
        else:
            pooled, view = Pooled(self.encoder), self.source.view
            store = FeatureStore(self.source.cache, pooled, view, precision=self.precision)
            yield from store.encode(images)
            both = list(zip(labelled, store.load(images), strict=True))
            kept = [each for each, mean in both if mean is not None]
            rows = [mean[0].float() for _, mean in both if mean is not None]
            means = torch.stack(rows) if rows else torch.zeros(0, self.encoder.width)
        if not kept:
            raise DataError(f"{labels.file} has no picture that can be read")
        return kept, means


def uses_concepts(recipe: Recipe) -> bool:
    """Whether the recipe's decoder has concepts, by its options."""
    return "nouns" in recipe.sections["decoder"]


def is_same_recipe(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes are equal, except for the number of nouns, which the run determines."""
    one, other = (
        recipe.with_options("decoder", nouns=0) if uses_concepts(recipe) else recipe
        for recipe in (one, other)
    )
    return (one.sections, one.then, one.mixed) == (other.sections, other.then, other.mixed)


def extend_epochs(before: Recipe, now: Recipe) -> Recipe | None:
    """The recipe `before` with the epochs that `now` has, if its last training gets more."""
    epochs = int(now.trainings[-1].epochs)
    return before.with_epochs(epochs) if epochs > before.trainings[-1].epochs else None


def describe_data(
    mixture: Mixture,
    fingerprint: str,
    counts: Mapping[str, int],
    concepts: FittedConcepts | None,
) -> dict[str, Any]:
    """What the model's card says of the data, whose hash is `fingerprint`."""
    found = {"found": len(concepts.found)} if concepts and concepts.found else {}
    card: dict[str, Any] = {"data": {**counts, **found, "sha256": fingerprint}}
    if concepts and concepts.refusal:
        card["refusal"] = {"threshold": concepts.refusal}
    if mixture.sources:
        card["sources"] = list(mixture.sources)
    return card


def check_parts(recipe: Recipe) -> None:
    """Raise `RecipeError` if parts of a recipe are valid alone but not together."""
    for options in (recipe.sections["source"], *recipe.mixed):
        if options.get("language", recipe.language) != recipe.language:
            raise RecipeError(
                f"the captions of the source are in {options['language']!r}, but vocabulary."
                f"language is {recipe.language!r}"
            )
    if uses_concepts(recipe) and recipe.language != ENGLISH:
        raise RecipeError(
            "a decoder with concepts needs English captions, whose nouns are known: "
            'decoder.kind = "show-attend-tell" works in every language'
        )
    alone = any(options["kind"] == "sentences" for options in recipe.mixed)
    if alone and any(options.accumulate > 1 for options in recipe.trainings):
        raise RecipeError("training.accumulate needs a recipe without sentences alone")
    if recipe.sections["decoder"]["kind"] != "show-attend-tell" and any(
        options.doubly_stochastic for options in recipe.trainings
    ):
        raise RecipeError('training.doubly_stochastic needs decoder.kind = "show-attend-tell"')
    if uses_concepts(recipe):
        if any(options.unfrozen_stages for options in recipe.trainings):
            raise RecipeError(
                "a decoder with concepts needs a frozen encoder: training.unfrozen_stages must be 0"
            )
        return
    for options in recipe.mixed:
        if options["kind"] in ("sentences", "labels"):
            raise RecipeError(
                f"the source {options['name']!r} has only {options['kind']}, which need a decoder "
                'with concepts: decoder.kind = "concept-attention"'
            )


def load_encoder(recipe: Recipe, weights: Path | None, start: Checkpoint | None) -> nn.Module:
    """The recipe's encoder with its weights, frozen."""
    encoder = recipe.build("encoder").requires_grad_(False).eval()
    if _has_weights(encoder):
        path = weights or PACKAGED
        tensors = start.tensors if start and not weights else read_tensors(path)
        load_weights(encoder, part_of(tensors, "encoder") or tensors, path)
    return encoder.to(memory_format=torch.channels_last)


def describe_weights(
    encoder: nn.Module, weights: Path | None, start: Checkpoint | None
) -> str | None:
    """The name of the file that the encoder's weights came from, for the model's card."""
    if not _has_weights(encoder):
        return None
    if start and not weights:
        return start.card.get("encoder", {}).get("weights")
    return (weights or PACKAGED).name


def find_classifier(
    encoder: Any, *, named: Path | None, weights: Path | None, start: Checkpoint | None
) -> Classifier | None:
    """ImageNet's classifier, from the file `named`, from the encoder's weights, or from the model.

    Raises `ModelError` if the file `named` has none.
    """
    width = encoder.width
    if named:
        found = read_classifier(read_tensors(named), width)
        if not found:
            raise ModelError(
                f"{named} has no classifier of ImageNet's 1,000 classes for {width} features, "
                "which are the tensors fc.weight and fc.bias of an ImageNet model"
            )
        return found
    if weights:
        return read_classifier(read_tensors(weights), width)
    return read_classifier(start.tensors if start else read_tensors(PACKAGED), width)


def build_vocabulary(
    recipe: Recipe, train: Sequence[Example], mixture: Mixture, start: Checkpoint | None
) -> Vocabulary:
    """The words of the model to continue from, then new ones of the captions and sentences."""
    captions = (caption for example in train for caption in example.captions)
    if start:
        vocabulary = start.vocabulary.grown(captions, **recipe.sections["vocabulary"])
    else:
        vocabulary = recipe.partial("vocabulary")(captions)
    for sentences in mixture.sentences:
        vocabulary = vocabulary.grown(sentences, min_count=sentences.min_count)
    if uses_concepts(recipe):
        vocabulary = vocabulary.grown([PERSON], min_count=1)
    return vocabulary


def prepare_concepts(
    recipe: Recipe,
    train: Sequence[Example],
    validation: Sequence[Example],
    vocabulary: Vocabulary,
    mixture: Mixture,
    pooler: FeaturePooler,
    options: Training,
    *,
    classifier: Callable[[], Classifier | None],
    start: Checkpoint | None,
) -> Generator[Encoded | Notice, None, FittedConcepts]:
    """Concepts of the training images, by the head of the model to continue from or a new one."""
    said, means = [noun_scores(example) for example in train], pooler.pool(train)
    number = recipe.sections["decoder"]["concepts"]
    adopted = start if start and "decoder.concepts.words" in start.tensors else None
    labelled = []
    for source in mixture.labels:
        if not adopted or source.sentences or not source.photographs:
            labelled.append((source, *(yield from pooler.pool_labelled(source))))
    real = [(source, *_pick(own, means, True)) for source, own, means in labelled]
    others = [_pick(own, means, False)[1] for _, own, means in labelled]
    if adopted:
        concepts = reuse_concepts(adopted.tensors, adopted.vocabulary, number, means, said)
        concepts = replace(concepts, refusal=adopted.card.get("refusal", {}).get("threshold"))
        yield Notice(
            f"the concepts stay those of the model to start from: {len(concepts.nouns)} nouns"
        )
    else:
        known = classifier()
        if known is None:
            yield Notice(
                "there is no ImageNet classifier (--classifier WEIGHTS), so nouns are learnt from "
                "captions and labels alone"
            )
        concepts = _fit_new_concepts(said, means, real, vocabulary, known, number, options.seed)
        more = sum(len(some) for _, _, some in real)
        yield Notice(
            f"{len(concepts.nouns)} nouns, learnt from {len(train)} captioned and {more} labelled "
            "pictures"
        )
    if count := sum(map(len, others)):
        photographs = torch.cat([means, *(some for _, _, some in real)])
        unseen = pooler.pool(validation)
        threshold = fit_refusal(
            concepts.head, photographs, torch.cat(others), unseen, seed=options.seed
        )
        concepts = replace(concepts, refusal=threshold)
        yield Notice(f"images that are not photographs are refused, as learnt from {count} of them")
    if pairing := [each for each in real if each[0].sentences]:
        texts = (text for each in mixture.sentences if each.for_labels for text in each)
        finder = Finder(texts, vocabulary)
        concepts = _add_pseudo_pairs(concepts, pairing, finder, seed=options.seed)
        count = len(concepts.found)
        yield Notice(f"{count} labelled photographs are paired with sentences of other pictures")
    return concepts


def _fit_new_concepts(
    said: Sequence[Mapping[str, float]],
    means: Tensor,
    labelled: Sequence[tuple[Labels, Sequence[Labelled], Tensor]],
    vocabulary: Vocabulary,
    known: Classifier | None,
    count: int,
    seed: int,
) -> FittedConcepts:
    nouns = select_nouns(said, vocabulary)
    blank = build_head(nouns, vocabulary, means.shape[1], count, known)
    targets = [
        label_targets(own, some, nouns, silence=source.silence) for source, own, some in labelled
    ]
    table = tabulate(said, nouns)
    pairs = ConceptTargets(means, table, torch.ones_like(table))
    return fit_concept_head(blank, nouns, pairs, targets, seed=seed)


def _add_pseudo_pairs(
    concepts: FittedConcepts,
    sources: Sequence[tuple[Labels, Sequence[Labelled], Tensor]],
    finder: Finder,
    *,
    seed: int,
) -> FittedConcepts:
    found, likely = find_pseudo_pairs(sources, concepts.head, concepts.nouns, finder, seed=seed)
    probabilities = torch.cat([concepts.probabilities, likely])
    return replace(concepts, found=found, probabilities=probabilities)


def _pick(
    labelled: Sequence[Labelled], means: Tensor, photographs: bool
) -> tuple[list[Labelled], Tensor]:
    """The photographs of a source, or its other images."""
    chosen = [each.photograph == photographs for each in labelled]
    return [each for each, is_one in zip(labelled, chosen, strict=True) if is_one], means[chosen]


def build_decoder(
    recipe: Recipe,
    encoder: Any,
    vocabulary: Vocabulary,
    *,
    concepts: FittedConcepts | None,
    start: Checkpoint | None,
) -> InitialDecoder:
    """The recipe's decoder, with the tensors that it can take from the model to continue from."""
    decoder = recipe.build("decoder", encoder.width, len(vocabulary))
    fitted = {}
    if concepts:
        load_weights(decoder.concepts, concepts.head.state_dict(), "the concepts of this run")
        decoder.concepts.requires_grad_(False)
        decoder.people.copy_(torch.tensor([word in PERSON_WORDS for word in vocabulary.words]))
        fitted = {f"concepts.{name}": t for name, t in concepts.head.state_dict().items()}
        fitted["people"] = decoder.people
        if decoder.veto.any():
            fitted["veto"] = decoder.veto
    if not start:
        return InitialDecoder(decoder, "")
    notice, origin = "", "the model to start from"
    before, now = start.recipe.sections["decoder"]["kind"], recipe.sections["decoder"]["kind"]
    known = extend_vocabulary(part_of(start.tensors, "decoder"), decoder, len(vocabulary)) | fitted
    if before != now:
        known, new = add_missing_tensors(known, decoder, origin)
        taken = len(known) - len(new) - len(fitted)
        notice = f"all {taken} tensors of the {before} are reused; {len(new)} of this {now} are new"
    load_weights(decoder, known, origin)
    return InitialDecoder(decoder, notice)


def _has_weights(encoder: nn.Module) -> bool:
    return next(encoder.parameters(), None) is not None

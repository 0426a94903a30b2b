"""A training that mixes sources: pairs, sentences alone and labelled pictures, with concepts."""

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cutline.datasets.labels import Labelled
from cutline.datasets.mixture import read_mixture
from cutline.errors import DataError, ModelError, RecipeError
from cutline.inference.captioner import load
from cutline.models.checkpoint import read_model
from cutline.models.concepts import DecoderInput
from cutline.recipe import Recipe
from cutline.text.vocabulary import MARKERS, Vocabulary
from cutline.training import concept_fitting as naming_of_a_run
from cutline.training.batch_inputs import CachedFeatures, EncoderInput
from cutline.training.concept_fitting import (
    ConceptTargets,
    build_head,
    fit_concept_head,
    label_targets,
    noun_scores,
    read_concepts,
    select_nouns,
    tabulate,
)
from cutline.training.events import Notice, TrainingStarted, Validated
from cutline.training.experiment import Experiment
from cutline.training.initialization import build_decoder, find_classifier
from cutline.training.multi_source import plan_mixture
from cutline.training.trainer import Step
from cutline.types import Example

COLOURS = {"dog": (150, 90, 30), "cat": (90, 90, 90), "horse": (60, 20, 200), "ball": (250, 0, 0)}
WIDTH = 12  # of a mosaic of 2 x 2 tiles
TABLE: dict[str, Any] = {
    "source": [
        {"name": "own", "kind": "folder", "repeat_without_people": 2},
        {"name": "talk", "kind": "sentences", "share": 0.5, "min_count": 2},
        {"name": "zoo", "kind": "labels", "sentences": 2},
        {"name": "drawn", "kind": "labels", "photographs": False},
    ],
    "view": {"size": 32},
    "vocabulary": {"min_count": 1},
    "encoder": {"kind": "mosaic", "tiles": 2},
    "decoder": {"kind": "concept-attention", "embedding": 16, "hidden": 16, "concepts": 3},
    "training": {
        "epochs": 2,
        "captions_a_step": 16,
        "batch_by": "picture",
        "learning_rate": 0.01,
        "ema_decay": 0.5,
    },
    "then": [
        {
            "objective": "self-critical",
            "epochs": 1,
            "samples": 2,
            "sentences": 0.0,
            "invented_person": 0.5,
            "invented_object": 0.2,
        }
    ],
    "search": {"kind": "beam", "width": 2, "max_words": 9},
}


def draw(path: Path, thing: str, *, corner: tuple[int, int, int] = (255, 255, 255)) -> None:
    picture = Image.new("RGB", (32, 32), COLOURS[thing])
    picture.paste(corner, (0, 0, 8, 8))
    picture.save(path)


def write_all(home: Path) -> dict[str, Path]:
    """Pictures with captions, sentences of which some name what no picture shows, labelled ones."""
    things = list(COLOURS)
    for folder in ("own", "zoo", "drawn"):
        (home / folder).mkdir(parents=True)
    lines = []
    for number in range(40):
        thing, somebody = things[number % 4], number % 3 == 0
        draw(
            home / "own" / f"{number:02}.png", thing, corner=(0, 0, 0) if somebody else (9, 9, 200)
        )
        said = [f"a {thing} stands on the grass", f"there is a {thing} here"]
        said = (
            [f"a man sits by a {thing}", f"a man and a {thing} on the grass"] if somebody else said
        )
        split = "validation" if number % 8 == 7 else "train"
        lines.append({"image": f"{number:02}.png", "captions": said, "split": split})
    (home / "own" / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    talk = [f"{n}\ta zebra and a {things[n % 4]} on the grass" for n in range(30)]
    talk += ["too short", "31\ta woman feeds the zebra near a dog"]
    talk += [
        f"a {thing} is standing on {where} grass" for thing in things for where in ("the", "a")
    ]
    (home / "talk.tsv.gz").write_bytes(gzip.compress("\n".join(talk).encode()))
    labels = []
    for number in range(8):
        thing = things[number % 4]
        draw(home / "zoo" / f"{number}.png", thing)
        labels.append({"file": f"{number}.png", "labels": [thing, "grass"], "person": False})
    (home / "zoo" / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    for number in range(4):
        Image.new("L", (32, 32), 60 * number).save(home / "drawn" / f"{number}.png")
    lines = [{"file": f"{n}.png", "split": "train" if n else "test"} for n in range(4)]
    (home / "drawn" / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return locations(home)


def locations(home: Path) -> dict[str, Path]:
    return {
        "own": home / "own",
        "talk": home / "talk.tsv.gz",
        "zoo": home / "zoo" / "labels.jsonl",
        "drawn": home / "drawn" / "manifest.jsonl",
    }


@pytest.fixture(scope="module", autouse=True)
def hasty() -> Iterator[None]:
    """Heads are fitted in a moment: what they learn matters to no test here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(naming_of_a_run, "STEPS", 20)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    write_all(folder)
    torch.manual_seed(5)
    tensors = {"fc.weight": 0.1 * torch.randn(1000, WIDTH), "fc.bias": torch.zeros(1000)}
    save_file(tensors, folder / "imagenet.safetensors")
    return folder


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.of(TABLE)


@pytest.fixture(scope="module")
def whole(home: Path, recipe: Recipe) -> tuple[Path, list[Any]]:
    """A run that nobody stopped: its folder, and all that happened."""
    return home / "whole", list(begin(home, "whole", recipe).run())


def begin(home: Path, out: str, recipe: Recipe, **options: Any) -> Experiment:
    options = {"classifier": home / "imagenet.safetensors", "save_every": 3600.0, **options}
    return Experiment(
        recipe, locations(home), home / out, cache=home / "cache", device="cpu", **options
    )


def pick(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def read_losses(folder: Path) -> list[float]:
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


# ------------------------------------------------------------------------------- a whole run


def test_a_mixed_run_says_what_it_names_and_leaves_a_model_that_captions(whole, home):
    folder, events = whole

    told = [event.sentence for event in pick(Notice, events)]
    begun = pick(TrainingStarted, events)
    caption = load(folder).caption(home / "own" / "04.png")

    assert "learnt from 35 captioned and 8 labelled pictures" in told[0]
    assert told[1:] == [
        "images that are not photographs are refused, as learnt from 3 of them",
        "8 labelled photographs are paired with sentences of other pictures",
    ]
    assert begun[0].pictures == {"train": 35, "validation": 5, "test": 0}
    assert [each.training for each in begun] == [1, 2]
    assert len(pick(Validated, events)) == 3
    assert caption.words


def test_the_words_and_nouns_of_sentences_are_known_and_the_nouns_are_kept(whole):
    folder, _ = whole
    vocabulary = Vocabulary.load(folder / "vocabulary.txt")
    card = read_model(folder).card
    metadata = f"35 of {card['data']['sha256']}"

    naming = read_concepts(folder, metadata)

    assert {"zebra", "person", "man"} <= set(vocabulary.words)
    assert "feeds" not in vocabulary.words  # once only
    assert naming is not None and naming.nouns[0] == "person"
    assert {"zebra", "dog", "cat", "man"} <= set(naming.nouns)
    assert naming.named.shape == (35, len(naming.nouns))
    assert naming.probabilities.shape == (35 + 8, len(naming.nouns))
    kept = read_model(folder)
    assert kept.recipe.sections["decoder"]["nouns"] == len(naming.nouns)
    head = naming.head.state_dict()
    assert all(torch.equal(kept.tensors[f"decoder.concepts.{n}"], head[n]) for n in head)


def test_the_card_names_every_source_and_how_much_of_it_there_was(whole):
    card = read_model(whole[0]).card

    assert [(each["name"], each["count"]) for each in card["sources"]] == [
        ("own", 35),
        ("talk", 40),
        ("zoo", 8),
        ("drawn", 3),
    ]
    assert card["data"]["found"] == 8
    assert 0.05 <= card["refusal"]["threshold"] <= 0.5


def test_sentences_of_others_are_kept_beside_the_labelled_photographs_they_were_found_for(whole):
    lines = [json.loads(line) for line in (whole[0] / "found.jsonl").read_text().splitlines()]

    assert [Path(line["image"]).name for line in lines] == [f"{n}.png" for n in range(8)]
    for line, thing in zip(lines, 2 * list(COLOURS), strict=True):
        assert sorted(line["captions"]) == [
            f"a {thing} is standing on {a} grass" for a in ("a", "the")
        ]


def test_what_was_found_for_labels_is_learnt_from_in_words_and_not_in_rewards(whole):
    _, second = (n for n, event in enumerate(whole[1]) if isinstance(event, TrainingStarted))
    in_words, in_rewards = pick(Step, whole[1][:second]), pick(Step, whole[1][second:])
    lines = map(json.loads, (whole[0].parent / "own" / "captions.jsonl").read_text().splitlines())
    own = sum(
        1 if "man" in each["captions"][0] else 2 for each in lines if each["split"] == "train"
    )

    assert len(in_words) == 2 * math.ceil((own + 8) / 8)  # two epochs, eight pictures a step
    assert len(in_rewards) == math.ceil(own / 8)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 9, 17])
def test_a_mixed_run_closed_and_begun_again_has_the_losses_of_one_that_never_stopped(
    stop, whole, home, recipe
):
    folder, events = whole
    running = begin(home, f"stopped-{stop}", recipe).run()
    for _ in islice((event for event in running if isinstance(event, Step)), stop):
        pass
    running.close()
    torch.manual_seed(999)  # whatever happens in between

    stopped = begin(home, f"stopped-{stop}", recipe)
    after = list(stopped.run())

    assert not [told for told in pick(Notice, after) if "learnt from" in told.sentence]
    assert len(read_losses(folder)) == len(pick(Step, events)) > stop
    assert read_losses(stopped.folder) == read_losses(folder)
    one, other = read_model(stopped.folder), read_model(folder)
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


TRAINS = """
import json, sys
from pathlib import Path
from cutline.training.experiment import Experiment
from cutline.recipe import Recipe

home, out = Path(sys.argv[1]), sys.argv[2]
recipe = Recipe.of(json.loads((home / "recipe.json").read_text()))
places = {"own": home / "own", "talk": home / "talk.tsv.gz", "zoo": home / "zoo" / "labels.jsonl"}
places["drawn"] = home / "drawn" / "manifest.jsonl"
names = home / "imagenet.safetensors"
run = Experiment(
    recipe, places, home / out, classifier=names, cache=home / "cache", device="cpu", save_every=0.0
)
for event in run.run():
    pass
"""


@pytest.mark.slow
def test_a_mixed_run_killed_again_and_again_has_the_losses_of_one_that_was_not(home):
    (home / "recipe.json").write_text(json.dumps(TABLE))
    command = [sys.executable, "-c", TRAINS, str(home)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "unkilled"], env=environment, check=True)
    history = home / "killed" / "history.jsonl"

    for moment in (2, 8, 18):
        process = subprocess.Popen([*command, "killed"], env=environment)
        while not history.exists() or history.read_bytes().count(b"\n") < moment:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "killed"], env=environment, check=True)

    assert read_losses(home / "killed") == read_losses(home / "unkilled")


@pytest.mark.slow
def test_a_mixed_run_goes_on_with_the_same_sentences_and_labels_only(tmp_path, recipe, home):
    places = write_all(tmp_path)
    options = {"classifier": home / "imagenet.safetensors", "cache": home / "cache"}
    run = Experiment(recipe, places, tmp_path / "model", device="cpu", **options).run()
    next(event for event in run if isinstance(event, Step))
    run.close()
    lines = places["zoo"].read_text().replace('"cat"', '"dog"')
    places["zoo"].write_text(lines)

    with pytest.raises(DataError, match="the data has changed since"):
        list(Experiment(recipe, places, tmp_path / "model", device="cpu", **options).run())


# --------------------------------------------------------------------------- from another model


@pytest.fixture(scope="module")
def attending(home: Path) -> Path:
    """A show-attend-tell that was trained on the pictures alone."""
    table = {**TABLE, "source": {"kind": "folder"}, "then": []}
    table["decoder"] = {"kind": "show-attend-tell", "embedding": 16, "hidden": 16}
    folder = home / "attending"
    run = Experiment(
        Recipe.of(table), home / "own", folder, cache=home / "cache", device="cpu"
    ).run()
    list(run)
    return folder


def test_a_model_of_another_decoder_begins_as_it_was(attending, home, recipe, whole):
    start = read_model(attending)
    naming = read_concepts(whole[0], f"35 of {read_model(whole[0]).card['data']['sha256']}")
    before = start.recipe.build("decoder", WIDTH, len(start.vocabulary)).eval()
    before.load_state_dict(
        {
            n.removeprefix("decoder."): t
            for n, t in start.tensors.items()
            if n.startswith("decoder.")
        }
    )
    encoder = recipe.build("encoder")
    counted = recipe.with_options("decoder", nouns=len(naming.nouns))

    vocabulary = Vocabulary.load(whole[0] / "vocabulary.txt")
    count = len(start.vocabulary)
    assert vocabulary.words[:count] == start.vocabulary.words

    decoder, told = build_decoder(counted, encoder, vocabulary, concepts=naming, start=start)

    assert (
        told.startswith("all ")
        and "of the show-attend-tell are reused" in told
        and "of this concept-attention" in told
    )
    regions = torch.rand(2, 1, WIDTH)
    words = torch.tensor([[1, 5, 6, 4], [1, 8, 4, 7]])
    said = decoder.eval()(regions, words)[..., :count].log_softmax(dim=-1)
    torch.testing.assert_close(said, before(regions, words))
    people = [vocabulary.words[n] for n in decoder.people.nonzero().flatten().tolist()]
    assert set(people) == {"man", "person"}
    assert not any(p.requires_grad for p in decoder.concepts.parameters())


def test_a_run_from_another_decoder_says_so_in_one_line(attending, home, recipe):
    run = begin(home, "further", recipe, start=read_model(attending)).run()

    events = []
    for event in run:
        events.append(event)
        if isinstance(event, Step):
            run.close()
            break

    told = [event.sentence for event in pick(Notice, events)]
    assert (
        told[-1].startswith("all ")
        and "show-attend-tell are reused" in told[-1]
        and "\n" not in told[-1]
    )


def test_a_decoder_that_has_what_the_new_one_lacks_is_an_error(home, recipe, whole):
    table = recipe.as_json()
    table["decoder"] = {
        "kind": "transformer",
        "embedding": 16,
        "hidden": 16,
        "heads": 2,
        "layers": 1,
    }
    other = Recipe.of({**table, "source": {"kind": "folder"}})
    model = other.build("decoder", WIDTH, 30)
    start = read_model(whole[0])
    tensors = {f"decoder.{name}": tensor for name, tensor in model.state_dict().items()}
    foreign = type(start)(other, start.vocabulary, tensors, {})

    with pytest.raises(ModelError, match="the model to start from has .* this network lacks"):
        build_decoder(
            recipe, recipe.build("encoder"), start.vocabulary, concepts=None, start=foreign
        )


def test_a_model_with_concepts_goes_on_with_its_own_nouns(whole, home, recipe):
    start = read_model(whole[0])
    run = begin(home, "again", recipe, start=start).run()

    events = []
    for event in run:
        events.append(event)
        if isinstance(event, Step):
            run.close()
            break

    told = pick(Notice, events)
    assert "stay those of the model to start from" in told[0].sentence
    words = read_concepts(home / "again", f"35 of {start.card['data']['sha256']}").head.words
    assert torch.equal(words, start.tensors["decoder.concepts.words"])


def test_without_a_classifier_nouns_are_learnt_from_captions_alone_and_it_is_said(home, recipe):
    run = begin(home, "unclassified", recipe, classifier=None).run()

    first = next(event for event in run if isinstance(event, Notice))
    run.close()

    assert first.sentence.startswith("there is no ImageNet classifier")


def test_a_file_without_a_classifier_is_told(home, recipe, tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "eyes.safetensors")

    with pytest.raises(ModelError, match=r"eyes.safetensors has no classifier of ImageNet's 1,000"):
        find_classifier(
            recipe.build("encoder"), named=tmp_path / "eyes.safetensors", weights=None, start=None
        )


# ----------------------------------------------------------------------------- what is shown


@pytest.fixture
def planned(home, recipe, whole):
    """The plan of the first training, with the vocabulary and what is known of concepts."""
    mixture = read_mixture(recipe, locations(home))
    [options, _] = recipe.trainings
    material = CachedFeatures(
        EncoderInput(recipe.build("encoder"), recipe.build("view"), home / "cache"), options
    )
    train = [example for example in mixture.examples if example.split == "train"]
    list(material.prepare(train, []))
    vocabulary = Vocabulary.load(whole[0] / "vocabulary.txt")
    naming = read_concepts(whole[0], f"35 of {mixture.fingerprint()}")
    naming = replace(naming, probabilities=0.1 + 0.8 * naming.named)  # as of a head that is right
    return plan_mixture(material, train, vocabulary, options, mixture, naming), vocabulary, naming


def test_a_step_shows_pictures_with_concepts_and_sentences_whose_concepts_are_their_nouns(planned):
    plan, vocabulary, naming = planned

    seen, words = plan(0)[0]()

    assert isinstance(seen.pictures, DecoderInput)
    assert len(words) == 2 * len(seen.pictures.regions)
    assert seen.pictures.concepts.words.shape == (len(seen.pictures.regions), 3)
    assert seen.sentences.inputs.regions is None
    assert len(seen.sentences.words) == 8  # half as many as captions
    assert seen.sentences.weights.tolist() == 8 * [0.5]
    for row, concepts in zip(
        seen.sentences.words, seen.sentences.inputs.concepts.words, strict=True
    ):
        said = set(vocabulary.decode(row.tolist())) & set(naming.nouns)
        assert len(said) == 3
        assert len(said & {vocabulary.words[number] for number in concepts.tolist()}) == 2


def test_pictures_without_people_are_shown_twice_an_epoch(planned, home, recipe):
    plan, vocabulary, _ = planned

    times = Counter()
    for show in plan(0):
        _, words = show()
        times.update(" ".join(vocabulary.decode(row.tolist())) for row in words)

    assert sum(n for said, n in times.items() if "man" in said) == 2 * 12
    assert sum(n for said, n in times.items() if "man" not in said) == 2 * 2 * 23


def test_the_same_step_shows_the_same_and_another_epoch_something_else(planned):
    plan, *_ = planned

    def flat(epoch: int) -> list[torch.Tensor]:
        (pictures, alone), words = plan(epoch)[1]()
        return [pictures.regions, words, alone.words, *pictures.concepts, *alone.inputs.concepts]

    assert all(torch.equal(one, other) for one, other in zip(flat(0), flat(0), strict=True))
    assert not all(
        one.shape == other.shape and torch.equal(one, other)
        for one, other in zip(flat(0), flat(1), strict=True)
    )


# ------------------------------------------------------------------------------- the head


def test_what_captions_say_of_a_picture_is_certain_when_two_say_it():
    said = ("a man and a dog", "a guy with a ball", "a puppy runs")

    named = noun_scores(Example("1", Path("1.jpg"), said, "train"))

    assert named == {"person": 1.0, "man": 1.0, "dog": 1.0, "ball": 0.5}


def test_nouns_are_what_many_pictures_name_or_imagenet_has_and_the_vocabulary_knows():
    vocabulary = Vocabulary((*MARKERS, "person", "giraffe", "grass", "zebra", "frisbee"))
    said = [{"giraffe": 1.0, "grass": 0.5}] * 12 + [{"tree": 1.0}] * 12

    assert select_nouns(said, vocabulary) == ("person", "giraffe", "grass", "zebra")


def test_labels_say_nothing_of_nouns_that_none_of_them_names():
    labelled = [
        Labelled(Path("a"), frozenset(["dog"]), None),
        Labelled(Path("b"), frozenset(["cat"]), True),
        Labelled(Path("c"), frozenset(), False),
    ]

    lesson = label_targets(
        labelled, torch.zeros(3, 2), ["person", "cat", "dog", "zebra"], silence=0.5
    )

    assert lesson.named.tolist() == [[0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert lesson.known.tolist() == [[0, 0.5, 1, 0], [1, 1, 0.5, 0], [1, 0.5, 0.5, 0]]


def test_what_captions_say_of_a_picture_does_not_touch_its_own_probabilities():
    """They are those of a head that has not seen it, nor any other of its quarter."""
    nouns = ("person", "cat", "dog")
    vocabulary = Vocabulary((*MARKERS, *nouns))
    means, named = torch.rand(12, 5), torch.randint(0, 2, (12, 3)).float()
    turned = named.clone()
    turned[::4] = 1 - turned[::4]

    def probabilities(named: torch.Tensor) -> torch.Tensor:
        blank = build_head(nouns, vocabulary, 5, 2, None)
        lesson = ConceptTargets(means, named, torch.ones_like(named))
        return fit_concept_head(blank, nouns, lesson, [], seed=0).probabilities

    one, other = probabilities(named), probabilities(turned)

    assert torch.equal(one[::4], other[::4])
    assert not torch.equal(one[1::4], other[1::4])


def test_a_class_counts_for_its_noun_and_less_for_what_is_wider():
    nouns = ("person", "bird", "dog", "duck", "animal")
    vocabulary = Vocabulary((*MARKERS, *nouns))
    known = (torch.zeros(1000, 4), torch.zeros(1000))

    head = build_head(nouns, vocabulary, 4, 2, known)

    assert head.classes[207].tolist() == [0, 0, 1, 0, 0]  # golden retriever
    assert head.classes[97, 3] == 1 and head.classes[97, 1] == 0.5  # drake
    assert head.words.tolist() == [4, 5, 6, 7, 8]


def test_tables_leave_out_what_is_not_among_the_nouns():
    table = tabulate([{"dog": 0.5, "tree": 1.0}], ["person", "dog"])

    np.testing.assert_array_equal(table, [[0, 0.5]])


# ---------------------------------------------------------------------- what does not go together


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"decoder": {"kind": "show-and-tell"}}, "the source 'talk' has only sentences"),
        ({"training": {"unfrozen_stages": 1}}, "training.unfrozen_stages must be 0"),
    ],
)
def test_parts_that_do_not_go_together_are_told_before_anything_is_read(change, sentence, tmp_path):
    recipe = Recipe.of({**TABLE, **change, "then": []})

    with pytest.raises(RecipeError, match=sentence):
        Experiment(recipe, {}, tmp_path / "model", device="cpu")

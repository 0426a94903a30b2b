import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from cutline import metrics
from cutline.datasets.shapes import Shapes
from cutline.errors import DataError, ModelError, RecipeError, TrainingError
from cutline.images.load import open_image
from cutline.inference.captioner import load
from cutline.inference.network import captions_of
from cutline.inference.torch import TorchEngine
from cutline.models.checkpoint import read_model, read_recipe, read_resume
from cutline.models.encoders.resnet import ResNet
from cutline.models.weights import encode, extend_vocabulary, load_weights, part_of, read_tensors
from cutline.recipe import Recipe
from cutline.training.events import Notice
from cutline.training.experiment import Event, Experiment, TrainingStarted, Validated
from cutline.training.feature_store import Encoded, FeatureStore
from cutline.training.history import read_epochs
from cutline.training.trainer import Step

TABLE: dict[str, dict[str, Any]] = {
    "source": {"kind": "shapes", "count": 40, "size": 32},
    "view": {"size": 32},
    "vocabulary": {"min_count": 1},
    "encoder": {"kind": "mosaic", "tiles": 4},
    "decoder": {"kind": "show-and-tell", "embedding": 16, "hidden": 32, "dropout": 0.5},
    "training": {"epochs": 3, "captions_a_step": 20, "learning_rate": 0.01},
    "search": {"kind": "beam", "width": 2, "max_words": 12},
}
STEPS_AN_EPOCH = 5  # 32 training pictures with 3 captions each


def make_recipe(**sections: dict[str, Any]) -> Recipe:
    """The recipe of all tests here, but for these options; a new `kind` takes its own."""
    changed = {
        name: options if "kind" in options else {**TABLE[name], **options}
        for name, options in sections.items()
    }
    return Recipe.of({**TABLE, **changed}, trust=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the drawn pictures and their features are kept, so that a run is only its training."""
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="module")
def whole(drawn: Path) -> Path:
    """The folder of a run that nobody stopped."""
    folder = drawn / "whole"
    folders = {"data": drawn / "data", "folder": folder, "cache": drawn / "cache"}
    list(Experiment(make_recipe(), **folders, device="cpu").run())
    return folder


@pytest.fixture
def begin(drawn: Path, tmp_path: Path):
    """An experiment in `tmp_path`; called again it is the same command again."""

    def open_experiment(recipe: Recipe | None = None, **options: Any) -> Experiment:
        options = {"cache": drawn / "cache", "device": "cpu", "save_every": 3600.0, **options}
        data, folder = options.pop("data", drawn / "data"), tmp_path / options.pop("out", "model")
        return Experiment(recipe or make_recipe(), data, folder, **options)

    return open_experiment


def pick(kind: type, events: Iterable[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's history without the time they took."""
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    timed = ("seconds", "pictures_per_second")
    return [{name: line[name] for name in line if name not in timed} for line in lines]


def write_folder(
    folder: Path, *, splits: str, edit: Callable[[list[str]], list[str]] = list
) -> list[Path]:
    """Pictures and captions as a user has them; `edit` is what was done to the captions since."""
    examples = list(Shapes(folder, count=len(splits), size=32))
    captions = edit([example.captions[0] for example in examples])
    named = {"t": "train", "v": "validation"}
    lines = [
        {"image": example.id, "caption": caption, "split": named[split]}
        for example, caption, split in zip(examples, captions, splits, strict=True)
    ]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return [example.image for example in examples]


FOLDER = {"kind": "folder"}


# ----------------------------------------------------------------------------- a whole run


def test_a_run_tells_what_happens_in_order(begin, tmp_path):
    events = list(begin(cache=tmp_path / "cache").run())

    encoded, rest = events[:5], events[5:]
    assert [event.done for event in encoded] == [
        8,
        16,
        24,
        32,
        36,
    ]  # the test pictures are not learnt
    epoch = STEPS_AN_EPOCH * [Step] + [Validated]
    assert [type(event) for event in rest] == [TrainingStarted, *epoch, *epoch, *epoch]
    assert rest[0].pictures == {"train": 32, "validation": 4, "test": 4}
    assert (rest[0].step, rest[0].steps) == (0, 3 * STEPS_AN_EPOCH)
    assert [step.number for step in pick(Step, events)] == list(range(1, 16))
    assert [validated.epoch for validated in pick(Validated, events)] == [0, 1, 2]


def test_an_experiment_has_all_its_attributes_before_it_runs(begin):
    experiment = begin()
    before = set(vars(experiment))

    list(experiment.run())

    assert set(vars(experiment)) == before


@pytest.mark.parametrize(("processes", "is_refused"), [("1", False), ("2", True), ("16", True)])
def test_several_processes_that_have_not_joined_are_refused(
    processes, is_refused, begin, monkeypatch
):
    monkeypatch.setenv("WORLD_SIZE", processes)

    if is_refused:
        with pytest.raises(TrainingError, match=f"a launcher started {processes} .*joined"):
            begin()
    else:
        begin()


def test_a_run_leaves_a_model_that_writes_captions(begin):
    experiment = begin()
    events = list(experiment.run())

    captioner = load(experiment.folder)
    caption = captioner.caption(experiment.data / "seed0-32px-00008.png")

    assert isinstance(captioner.engine, TorchEngine)
    assert set(caption.words) <= set(captioner.engine.vocabulary.words)
    assert len(captioner.engine.vocabulary) == pick(TrainingStarted, events)[0].words
    assert captioner.card["data"]["train"] == 32


def test_every_step_is_in_the_history(begin):
    experiment = begin()

    steps = pick(Step, experiment.run())

    lines = (experiment.folder / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [asdict(step) for step in steps]
    pictures = [round(step.pictures_per_second * step.seconds) for step in steps]
    assert sorted(pictures[:5]) == [16, 20, 20, 20, 20]  # a picture for each caption
    for step in steps:
        assert step.unsmoothed_loss == step.loss
        assert 0 < step.learning_rate <= 0.01 and step.gradient_norm > 0


def test_the_loss_without_smoothing_is_recorded_for_training_and_validation(begin):
    smooth = {"label_smoothing": 0.2, "epochs": 1}
    experiment = begin(make_recipe(training=smooth))

    events = list(experiment.run())

    [end], steps = pick(Validated, events), pick(Step, events)
    assert all(step.unsmoothed_loss != step.loss for step in steps)
    assert end.unsmoothed_loss == pytest.approx(sum(s.unsmoothed_loss for s in steps) / len(steps))
    [epoch] = read_epochs(experiment.folder)
    assert (epoch.unsmoothed_loss, epoch.validation_loss) == (
        end.unsmoothed_loss,
        end.validation_loss,
    )
    engine, every = TorchEngine.open(experiment.folder), []
    for example in experiment.recipe.build("source", experiment.data):
        if example.split == "validation":
            pixels = open_image(example.image, engine.view)[None]
            regions = encode(engine.model.encoder, pixels)
            for caption in example.captions:
                words = torch.tensor([[1, *engine.vocabulary.encode(caption), 2]])
                log_probs = engine.model.decoder(regions, words[:, :-1])
                every += log_probs.gather(-1, words[:, 1:, None]).flatten().tolist()
    assert end.validation_loss == pytest.approx(-sum(every) / len(every), rel=1e-3)


def test_training_lowers_the_loss(begin):
    first, *_, last = pick(Validated, begin(make_recipe(training={"epochs": 8})).run())

    assert last.loss < 0.8 * first.loss


def test_samples_are_captions_of_validation_pictures(begin):
    for validated in pick(Validated, begin().run()):
        assert len(validated.samples) == 3
        for example, caption in validated.samples:
            assert example.split == "validation"
            assert set(validated.report.per_image) > {example.id}
            assert caption.word_log_probs


def test_the_best_epoch_by_cider_is_the_one_kept(begin, drawn):
    wild = {"epochs": 30, "learning_rate": 1.0, "schedule": "constant", "patience": 1}
    experiment = begin(make_recipe(training=wild))

    validated = pick(Validated, experiment.run())

    scores = [event.report.scores["CIDEr-D"] for event in validated]
    assert [event.is_best for event in validated] == [True] * (len(scores) - 1) + [False]
    best = validated[-2]
    assert best.report.scores["CIDEr-D"] == max(scores) > scores[-1]
    card = read_model(experiment.folder).card
    assert card["scores"]["validation"] == best.report.as_json()
    assert (card["epoch"], card["training_loss"]) == (best.epoch + 1, best.loss)
    assert score_again(experiment, drawn / "cache") == max(scores)


def score_again(experiment: Experiment, cache: Path) -> float:
    """CIDEr-D of the model in the folder, from its weights and the stored features."""
    engine = TorchEngine.open(experiment.folder)
    source = experiment.recipe.build("source", experiment.data)
    examples = [example for example in source if example.split == "validation"]
    store = FeatureStore(cache, engine.model.encoder, engine.view)
    written = engine.read(torch.stack(store.load([example.image for example in examples])))
    captions = captions_of(written, engine.vocabulary)
    predictions = {e.id: c.text for e, c in zip(examples, captions, strict=True)}
    return metrics.score(predictions, {e.id: e.captions for e in examples}).scores["CIDEr-D"]


@pytest.mark.slow
@pytest.mark.parametrize("patience", [1, 2, 4])
def test_a_run_stops_after_so_many_epochs_without_a_better_score(patience, begin):
    still = {"epochs": 20, "learning_rate": 0.0, "patience": patience}  # it learns nothing
    experiment = begin(make_recipe(training=still))

    validated = pick(Validated, experiment.run())

    assert [event.is_best for event in validated] == [True] + patience * [False]
    assert read_model(experiment.folder).card["epoch"] == 1
    assert [type(event) for event in experiment.run()] == [TrainingStarted]


def test_a_finished_run_says_so_and_does_nothing(begin):
    list(begin().run())
    before = {path.name: path.read_bytes() for path in begin().folder.iterdir()}

    events = list(begin().run())

    assert [type(event) for event in events] == [TrainingStarted]
    assert events[0].step == events[0].steps
    assert {path.name: path.read_bytes() for path in begin().folder.iterdir()} == before


def test_a_finished_run_goes_on_with_more_epochs(begin):
    options = {"schedule": "constant", "warmup": 0.0}
    longer = make_recipe(training={"epochs": 4, **options})
    whole = begin(longer, out="whole")
    steps = pick(Step, whole.run())
    short = make_recipe(training={"epochs": 2, **options})
    before = list(begin(short).run())

    after = list(begin(longer).run())

    assert [step.loss for step in pick(Step, before + after)] == [step.loss for step in steps]
    assert read_recipe(begin(longer).folder) == longer
    with pytest.raises(ModelError, match="another recipe"):
        begin(short)


def test_more_epochs_go_on_with_a_run_that_patience_ended(begin):
    still = {"learning_rate": 0.0, "patience": 1}  # it learns nothing
    list(begin(make_recipe(training={**still, "epochs": 9})).run())

    again = pick(Validated, begin(make_recipe(training={**still, "epochs": 10})).run())

    assert len(again) == 1


# ------------------------------------------------------------------------------- going on


def test_the_same_seed_gives_the_same_losses_whatever_happened_before(begin, whole):
    experiment = begin()
    torch.randn(7)

    list(experiment.run())

    assert read_history(experiment.folder) == read_history(whole)


def test_another_seed_gives_other_losses(begin, whole):
    experiment = begin(make_recipe(training={"seed": 1}))

    list(experiment.run())

    assert read_history(experiment.folder) != read_history(whole)


@pytest.mark.parametrize("stop", [1, 2, 6, 7, 13, 19])
def test_a_run_closed_and_begun_again_has_the_losses_of_one_that_never_stopped(stop, begin, whole):
    events = begin().run()
    before = pick(Step, list(islice(events, stop)))
    events.close()

    torch.manual_seed(999)  # whatever happens in between
    after = pick(Step, begin().run())

    history = read_history(whole)
    assert [step.loss for step in before + after] == [line["loss"] for line in history]
    assert read_history(begin().folder) == history
    assert_same_model(begin().folder, whole)


def test_a_run_closed_after_every_step_has_the_losses_of_one_that_never_stopped(begin, whole):
    for _ in range(3 * STEPS_AN_EPOCH):
        events = begin().run()
        next(event for event in events if isinstance(event, Step))
        events.close()
    list(begin().run())

    assert read_history(begin().folder) == read_history(whole)
    assert_same_model(begin().folder, whole)


def assert_same_model(one: Path, other: Path) -> None:
    first, second = read_model(one), read_model(other)
    assert first.card == second.card
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name])


def test_steps_that_were_told_and_not_saved_happen_again(begin, whole):
    stopped = begin()
    events = stopped.run()
    list(islice(events, 4))
    events.close()
    with (stopped.folder / "history.jsonl").open("a") as file:  # what a kill may leave behind
        file.write('{"number": 4, "epoch": 0, "loss": 9.9, "seconds": 1}\n{"number": 5, "ep')
    (stopped.folder / ".cutline-0123456789abcdef.part").write_bytes(b"half")

    list(begin().run())

    assert read_history(stopped.folder) == read_history(whole)
    assert not list(stopped.folder.glob(".*.part"))


def test_of_two_trainings_in_one_folder_the_second_is_refused(begin, whole, tmp_path):
    first = begin()
    events = first.run()
    list(islice(events, 4))

    with pytest.raises(TrainingError, match="process is training in .*model: ") as error:
        list(begin().run())
    events.close()
    assert_is_a_sentence(error.value)
    list(begin().run())

    assert read_history(first.folder) == read_history(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_run_is_saved_every_so_often_and_at_the_end_of_an_epoch(begin):
    often, seldom = begin(out="often", save_every=0.0), begin(out="seldom")

    assert steps_saved(often) == list(range(15))
    assert steps_saved(seldom) == [0] * 5 + [5] * 5 + [10] * 5


@pytest.mark.parametrize("room", ["weights", "resume"])
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    room, begin, whole, small_disk
):
    sizes = {path.name: path.stat().st_size for path in whole.iterdir()}
    for_weights, for_resume = sizes["weights.safetensors"] // 1024, sizes["resume.pt"] // 1024
    small_disk(f"{for_weights // 2 if room == 'weights' else for_weights + for_resume // 2}k")

    with pytest.raises(TrainingError, match=r"(No space left|lack of space).* resumes") as error:
        list(begin(out="disk/model").run())
    small_disk("64m")
    list(begin(out="disk/model").run())

    assert_is_a_sentence(error.value)
    experiment = begin(out="disk/model")
    assert read_history(experiment.folder) == read_history(whole)
    assert not list(experiment.folder.glob(".*.part"))


def steps_saved(experiment: Experiment) -> list[int]:
    """At every step, how many of the steps before a kill would not undo."""
    states = [read_resume(experiment.folder) for event in experiment.run() if type(event) is Step]
    return [state["trainer"]["step"] if state else 0 for state in states]


# ------------------------------------------------------------------- what does not go on


def assert_is_a_sentence(error: BaseException, *mentioned: object) -> None:
    assert "\n" not in str(error)
    for each in mentioned:
        assert str(each) in str(error)


def test_an_epoch_that_cannot_be_recorded_stops_no_training(begin, whole):
    experiment = begin()
    events = experiment.run()
    seen = [next(events) for _ in range(10)]
    (experiment.folder / "epochs.jsonl").unlink(missing_ok=True)
    (experiment.folder / "epochs.jsonl").mkdir()

    ends = pick(Validated, [*seen, *events])

    assert [end.epoch for end in ends] == [0, 1, 2]
    assert ends[-1].warnings[-1].startswith("the epoch is not recorded: ")
    assert read_history(experiment.folder) == read_history(whole)
    assert list(experiment.folder.glob(".*.part")) == []


def test_a_folder_with_a_run_of_another_recipe_is_refused(begin):
    list(begin().run())

    with pytest.raises(ModelError, match="another recipe") as raised:
        begin(make_recipe(decoder={"hidden": 48}))

    assert_is_a_sentence(raised.value, begin().folder, "--out")


def test_a_folder_with_something_else_in_it_is_refused(begin, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "diary.txt").write_text("dear diary")

    with pytest.raises(ModelError, match="not a model folder") as raised:
        begin()

    assert_is_a_sentence(raised.value, tmp_path / "model")


@pytest.mark.parametrize(
    "edit",
    [
        lambda captions: ["a purple dog", *captions[1:]],
        lambda captions: [captions[1], captions[0], *captions[2:]],
    ],
    ids=["a-new-word", "the-same-words"],
)
def test_a_run_does_not_go_on_with_other_captions(edit, begin, tmp_path):
    recipe = make_recipe(source=FOLDER)
    write_folder(tmp_path / "data", splits=20 * "t" + 4 * "v")
    events = begin(recipe, data=tmp_path / "data").run()
    next(event for event in events if isinstance(event, Step))
    events.close()

    write_folder(tmp_path / "data", splits=20 * "t" + 4 * "v", edit=edit)

    with pytest.raises(DataError, match="changed since") as raised:
        list(begin(recipe, data=tmp_path / "data").run())
    assert_is_a_sentence(raised.value, tmp_path / "data", begin(recipe).folder)


def test_a_run_does_not_go_on_without_a_picture_it_began_with(begin, tmp_path):
    recipe = make_recipe(source=FOLDER)
    pictures = write_folder(tmp_path / "data", splits=20 * "t" + 4 * "v")
    events = begin(recipe, data=tmp_path / "data").run()
    next(event for event in events if isinstance(event, Step))
    events.close()

    pictures[21].write_bytes(b"not a picture")

    with pytest.raises(DataError, match="changed since"):
        list(begin(recipe, data=tmp_path / "data").run())


class Learnt(nn.Module):
    """An encoder with a weight, so that a file of weights is needed."""

    width = 3

    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.float().mean((2, 3))[:, None] * self.scale * self.weight


def test_a_run_goes_on_only_with_the_weights_it_began_with(begin, tmp_path):
    recipe = make_recipe(encoder={"kind": f"{__name__}:Learnt"})
    for name, value in {"one": 0.01, "two": 0.02}.items():
        save_file({"weight": torch.full((3,), value)}, tmp_path / f"{name}.safetensors")
    events = begin(recipe, weights=tmp_path / "one.safetensors").run()
    next(event for event in events if isinstance(event, Step))
    events.close()

    with pytest.raises(ModelError, match="other weights"):
        list(begin(recipe, weights=tmp_path / "two.safetensors").run())

    experiment = begin(recipe, weights=tmp_path / "one.safetensors")
    list(experiment.run())
    kept = read_model(experiment.folder, trust=True).tensors["encoder.weight"]
    assert torch.equal(kept, torch.full((3,), 0.01))


# ------------------------------------------------------------------------ data as it comes


def test_data_without_a_validation_split_trains_to_the_end(begin, tmp_path):
    write_folder(tmp_path / "data", splits=20 * "t")
    experiment = begin(make_recipe(source=FOLDER, training={"patience": 1}), data=tmp_path / "data")

    validated = pick(Validated, experiment.run())

    assert [(v.report, v.samples, v.is_best) for v in validated] == 3 * [(None, (), True)]
    card = load(experiment.folder).card
    assert (card["scores"], card["epoch"]) == ({}, 3)


def test_scores_of_zero_are_no_best_epoch_to_stop_at(begin, tmp_path):
    """In a language of which nothing is learnt yet, the first epoch would be the best for ever."""
    strange = 4 * ["zwei Mädchen im Schnee"]
    write_folder(tmp_path / "data", splits=8 * "t" + 4 * "v", edit=lambda c: [*c[:8], *strange])
    recipe = make_recipe(source=FOLDER, training={"epochs": 3, "patience": 1})

    validated = pick(Validated, begin(recipe, data=tmp_path / "data").run())

    assert [(v.report.scores["CIDEr-D"], v.is_best) for v in validated] == 3 * [(0, True)]


@pytest.mark.slow
@pytest.mark.parametrize(("tuned", "mirrored"), [(0, 0.0), (0, 0.5), (1, 0.0)])
def test_a_damaged_training_picture_is_told_once_and_left_out(
    tuned, mirrored, begin, eyes, tmp_path
):
    pictures = write_folder(tmp_path / "data", splits=20 * "t" + 4 * "v")
    pictures[2].write_bytes(b"not a picture")
    pictures[22].write_bytes(b"not a picture")
    parts = {"encoder": LEARNT} if tuned else {}
    training = {**PICTURES, "unfrozen_stages": 1} if tuned else {"horizontal_flip": mirrored}
    recipe = make_recipe(source=FOLDER, training=training, **parts)
    experiment = begin(recipe, data=tmp_path / "data", weights=eyes if tuned else None)

    events = list(experiment.run())

    told = [sentence for event in pick(Encoded, events) for sentence in event.damaged]
    assert len(told) == 2
    assert [pictures[n].name in told[at] for at, n in enumerate((2, 22))] == [True, True]
    assert pick(TrainingStarted, events)[0].pictures == {"train": 19, "validation": 3, "test": 0}
    assert len(pick(Validated, events)) == 3


def test_invalid_data_is_left_out_and_listed_if_that_is_asked_for(begin, tmp_path):
    write_folder(tmp_path / "data", splits=20 * "t" + 4 * "v")
    with (tmp_path / "data" / "captions.jsonl").open("a") as file:
        file.write('\n{"image": "none.png", "caption": "a dog"}\nnonsense\n')
    recipe, options = make_recipe(source=FOLDER), {"data": tmp_path / "data"}

    with pytest.raises(DataError, match="and 1 more"):
        list(begin(recipe, **options).run())
    experiment = begin(recipe, skip_bad=True, **options)
    events = list(experiment.run())

    assert pick(TrainingStarted, events)[0].pictures["train"] == 20
    assert "2 problems of the data, such as" in pick(Notice, events)[0].sentence
    listed = (experiment.folder / "left-out.txt").read_text().splitlines()
    assert ["no picture 'none.png'" in listed[0], "broken JSON" in listed[1]] == [True, True]


def test_no_picture_is_flipped_if_the_language_of_the_captions_is_not_known(begin, tmp_path):
    strange = 24 * ["kaksi koiraa juoksee rannalla"]
    write_folder(tmp_path / "data", splits=20 * "t" + 4 * "v", edit=lambda _: strange)
    losses = []
    for flip in (0.0, 1.0):
        training = {"epochs": 1, "horizontal_flip": flip}
        options = {"data": tmp_path / "data", "out": str(flip)}
        events = list(begin(make_recipe(source=FOLDER, training=training), **options).run())
        losses.append([step.loss for step in pick(Step, events)])

    assert losses[0] == losses[1]
    assert "no picture is flipped" in pick(Notice, events)[0].sentence


def test_data_with_no_readable_training_picture_is_told_in_a_sentence(begin, tmp_path):
    for picture in write_folder(tmp_path / "data", splits="tttvv")[:3]:
        picture.write_bytes(b"not a picture")

    with pytest.raises(DataError, match="no training pictures") as raised:
        list(begin(make_recipe(source=FOLDER), data=tmp_path / "data").run())

    assert_is_a_sentence(raised.value, tmp_path / "data")


# ----------------------------------------------------------------------------------- killed

TRAINS = """
import json, sys
from pathlib import Path
from cutline.training.experiment import Experiment
from cutline.recipe import Recipe

home, out, save_every = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
recipe = Recipe.of(json.loads((home / "recipe.json").read_text()))
folders = {"data": home / "data", "folder": home / out, "cache": home / "cache"}
for event in Experiment(recipe, **folders, device="cpu", save_every=save_every).run():
    pass
"""


def start(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", TRAINS, *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("save_every", [0.0, 0.05])
def test_a_run_killed_again_and_again_has_the_losses_of_one_that_was_not(save_every, tmp_path):
    table = {**TABLE, "training": {"epochs": 8, "captions_a_step": 6, "learning_rate": 0.01}}
    (tmp_path / "recipe.json").write_text(json.dumps(table))
    assert start(tmp_path, "whole", 3600).wait() == 0
    killed, steps = tmp_path / "killed", 8 * 16

    for moment in (2, steps // 3, 2 * steps // 3):
        process = start(tmp_path, "killed", save_every)
        while count_lines(killed / "history.jsonl") < moment:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        if (killed / "weights.safetensors").exists():
            read_model(killed)
    assert start(tmp_path, "killed", save_every).wait() == 0

    assert len(read_history(killed)) == steps
    assert read_history(killed) == read_history(tmp_path / "whole")
    assert_same_model(killed, tmp_path / "whole")


# ------------------------------------------------------------------- several trainings, an encoder


LEARNT = {"kind": "resnet", "depth": 18, "pool": False}
PICTURES = {"batch_by": "picture", "captions_a_step": 24}


@pytest.fixture(scope="module")
def eyes(drawn: Path) -> Path:
    """Weights of a small ResNet, as anybody's checkpoint has them."""
    torch.manual_seed(3)
    path = drawn / "resnet18.safetensors"
    save_file({n: t.contiguous() for n, t in ResNet(18).state_dict().items()}, path)
    return path


@pytest.mark.slow
def test_the_last_stages_of_an_encoder_learn_and_the_others_do_not(begin, eyes):
    options = {
        **PICTURES,
        "epochs": 2,
        "unfrozen_stages": 2,
        "encoder_learning_rate": 1e-3,
        "random_crop": 0.2,
    }
    experiment = begin(make_recipe(encoder=LEARNT, training=options), weights=eyes)

    list(experiment.run())

    before, after = read_tensors(eyes), part_of(read_model(experiment.folder).tensors, "encoder")
    changed = {n.split(".")[0] for n in before if not torch.equal(before[n], after[n])}
    assert changed == {"layer3", "layer4"}
    statistics = [name for name in before if "running" in name]
    assert all(torch.equal(before[name], after[name]) for name in statistics)


def test_an_encoder_without_so_many_stages_is_told(begin):
    experiment = begin(make_recipe(training={**PICTURES, "unfrozen_stages": 1}))

    with pytest.raises(
        ModelError, match="training.unfrozen_stages is 1, but this encoder has 0 stages"
    ):
        list(experiment.run())


CHAIN = {
    "training": {**PICTURES, "epochs": 6, "horizontal_flip": 0.5, "ema_decay": 0.5},
    "then": [{"objective": "self-critical", "epochs": 2, "samples": 3, "learning_rate": 1e-3}],
}


@pytest.fixture(scope="module")
def chained(drawn: Path) -> tuple[Path, list[Event]]:
    """A run of two trainings that nobody stopped."""
    folder = drawn / "chained"
    experiment = Experiment(
        Recipe.of({**TABLE, **CHAIN, "training": {**TABLE["training"], **CHAIN["training"]}}),
        drawn / "data",
        folder,
        cache=drawn / "cache",
        device="cpu",
    )
    return folder, list(experiment.run())


def test_a_training_goes_on_from_the_best_of_the_one_before(chained):
    begun = pick(TrainingStarted, chained[1])
    validated = pick(Validated, chained[1])

    assert [(each.training, each.trainings) for each in begun] == [(1, 2), (2, 2)]
    assert [each.epoch for each in validated] == list(range(len(validated)))
    assert [step.number for step in pick(Step, chained[1])] == list(range(1, begun[1].steps + 1))
    best = max(each.report.scores["CIDEr-D"] for each in validated)
    kept = read_model(chained[0]).card
    assert kept["scores"]["validation"]["scores"]["CIDEr-D"] == best


def test_what_a_later_training_does_not_say_is_as_in_the_first():
    recipe = Recipe.of({**TABLE, **CHAIN})

    first, then = recipe.trainings

    assert (first.objective, then.objective) == ("cross-entropy", "self-critical")
    assert (then.horizontal_flip, then.ema_decay) == (0.5, 0.5)
    assert Recipe.of(recipe.as_json()) == recipe


@pytest.mark.parametrize(
    "stop", [3, 24, 25, *(pytest.param(step, marks=pytest.mark.slow) for step in (2, 26, 30))]
)
def test_a_run_of_two_trainings_closed_and_begun_again_has_the_same_losses(stop, begin, chained):
    folder, whole = chained
    recipe = read_recipe(folder)
    events = begin(recipe).run()
    for _ in islice((e for e in events if isinstance(e, Step)), stop):
        pass
    events.close()

    experiment = begin(recipe)
    list(experiment.run())

    assert read_history(experiment.folder) == read_history(folder)
    assert read_model(experiment.folder).card["scores"] == read_model(folder).card["scores"]


def test_a_run_can_start_from_a_model(begin, whole):
    experiment = begin(
        make_recipe(training={"epochs": 1, "learning_rate": 1e-9}), start=read_model(whole)
    )

    first, validated = pick(Validated, experiment.run())

    card = read_model(whole).card
    assert (first.epoch, first.loss, validated.epoch) == (-1, None, 0)
    assert first.report.as_json() == validated.report.as_json() == card["scores"]["validation"]
    assert read_model(experiment.folder).card["started_from"] == card["fingerprint"]


def test_a_model_that_training_does_not_improve_is_kept_and_the_run_says_so(begin):
    good = begin(make_recipe(training={"epochs": 20}), out="good")
    list(good.run())
    start = read_model(good.folder)
    harmful = {"epochs": 2, "learning_rate": 9.0, "schedule": "constant", "warmup": 0.0}
    recipe = make_recipe(training=harmful)
    experiment = begin(recipe, start=start)
    events = experiment.run()
    before = list(takewhile(lambda event: not isinstance(event, Step), events))
    events.close()

    after = list(begin(recipe, start=start).run())

    validated = pick(Validated, [*before, *after])
    assert [(v.epoch, v.is_best) for v in validated] == [(-1, True), (0, False), (1, False)]
    assert [epoch.epoch for epoch in read_epochs(experiment.folder)] == [-1, 0, 1]
    score = 100 * validated[0].report.scores["CIDEr-D"]
    assert f"(CIDEr-D {score:.1f} on validation), so that model is kept" in after[-1].sentence
    kept = read_model(experiment.folder)
    assert kept.card["epoch"] == 0
    assert all(torch.equal(kept.tensors[name], start.tensors[name]) for name in start.tensors)


@pytest.fixture
def zebras(tmp_path):
    """Pictures whose captions have words that no drawn shape has."""
    folder = tmp_path / "zebras"
    folder.mkdir()
    lines = []
    for number in range(20):
        Image.new("RGB", (32, 32), (200, 10 * number, 0)).save(folder / f"{number}.png")
        split = "validation" if number < 4 else "train"
        said = "a striped zebra stands" if number % 2 else "a red zebra grazes"
        lines.append(json.dumps({"image": f"{number}.png", "caption": said, "split": split}))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return folder


NEW = {
    "training": {"epochs": 30, "captions_a_step": 8, "learning_rate": 0.02},
    "source": {"kind": "folder"},
}


@pytest.mark.slow
def test_a_model_learns_the_words_that_are_new_and_forgets_none(begin, whole, zebras):
    start = read_model(whole)
    experiment = begin(make_recipe(**NEW), data=zebras, start=start)

    validated = pick(Validated, experiment.run())

    known = read_model(experiment.folder).vocabulary.words
    assert known[: len(start.vocabulary)] == start.vocabulary.words
    assert set(known) - set(start.vocabulary.words) == {"zebra", "striped", "stands", "grazes"}
    assert "zebra" in validated[-1].samples[0][1].words


@pytest.mark.parametrize("kind", ["show-and-tell", "show-attend-tell", "transformer"])
def test_a_model_with_more_words_says_at_first_what_it_said_before(kind, zebras, begin):
    recipe = make_recipe(decoder={"kind": kind, "embedding": 16, "hidden": 32})
    few = recipe.build("decoder", 3, 20).eval()
    many = recipe.build("decoder", 3, 24).eval()
    load_weights(many, extend_vocabulary(few.state_dict(), many, 24), "a test")
    regions, words = torch.randn(2, 4, 3), torch.tensor([[1, 5, 7], [1, 19, 4]])

    told, before = many(regions, words), few(regions, words)

    assert torch.allclose(told[..., :20].log_softmax(-1), before, atol=1e-5)
    assert (told[..., 20:].exp() <= told[..., :20].exp().mean(-1, keepdim=True) + 1e-6).all()


@pytest.mark.slow
def test_a_second_training_adds_no_words_again(begin, whole, zebras):
    recipe = Recipe.of({**make_recipe(**NEW).as_json(), "then": [{"epochs": 1}]}, trust=True)
    experiment = begin(recipe, data=zebras, start=read_model(whole))

    begun = pick(TrainingStarted, experiment.run())

    assert [each.words for each in begun] == [begun[0].words] * 2


def test_a_recipe_may_be_silent_about_what_the_model_to_start_from_says(whole, tmp_path):
    (tmp_path / "short.toml").write_text('[source]\nkind = "folder"\n[training]\nepochs = 2\n')
    model = read_model(whole).recipe

    recipe = Recipe.read(tmp_path / "short.toml", model=model)

    assert recipe.sections["decoder"] == model.sections["decoder"]
    assert recipe.sections["training"]["epochs"] == 2
    with pytest.raises(RecipeError, match="or start --from a model"):
        Recipe.read(tmp_path / "short.toml")

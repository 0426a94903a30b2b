"""Training in several processes: the same steps as in one, and what happens when one fails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cutline.datasets.shapes import Shapes
from cutline.errors import TrainingError
from cutline.models.checkpoint import read_model, read_resume
from cutline.models.encoders.resnet import ResNet
from cutline.recipe import Recipe
from cutline.training import distributed
from cutline.training.events import Validated
from cutline.training.experiment import Experiment
from cutline.training.feature_store import Encoded
from cutline.training.history import read_epochs
from cutline.training.trainer import Step
from training.processes import in_processes
from training.test_multi_source import TABLE as MIXED
from training.test_multi_source import hasty, write_all

__all__ = ["hasty"]  # a fixture

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

TABLE: dict[str, dict[str, Any]] = {
    "source": {"kind": "shapes", "count": 40, "size": 32},
    "view": {"size": 32},
    "vocabulary": {"min_count": 1},
    "encoder": {"kind": "mosaic", "tiles": 4},
    "decoder": {"kind": "show-and-tell", "embedding": 16, "hidden": 32, "dropout": 0.0},
    "training": {"epochs": 5, "captions_a_step": 5, "learning_rate": 0.01},
    "search": {"kind": "beam", "width": 2, "max_words": 12},
}
STEPS = 100  # 32 training pictures with 3 captions each, the last batch of an epoch of one caption


def make_recipe(**sections: dict[str, Any]) -> Recipe:
    return Recipe.of({n: {**own, **sections.get(n, {})} for n, own in TABLE.items()})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("several")


def train(
    home: Path,
    out: str,
    recipe: Recipe,
    *,
    stop: int | None = None,
    fault: Callable[[int], None] = lambda step: None,
    **options: Any,
) -> list[Any]:
    """Train for `stop` events or to the end; `fault` is called with every step's number."""
    options = {"cache": home / "cache", "device": "cpu", **options}
    experiment = Experiment(recipe, home / "data", home / out, **options)
    events, seen = experiment.run(), []
    for event in islice(events, stop):
        seen.append(event)
        if isinstance(event, Step):
            fault(event.number)
    events.close()
    return seen


def read_losses(folder: Path) -> list[float]:
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (read_resume(folder)["trainer"] for folder in (one, other))
    for name, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][name])


@pytest.fixture(scope="module")
def alone(home: Path) -> list[float]:
    """The losses of a run without randomness in one process."""
    train(home, "alone", make_recipe())
    return read_losses(home / "alone")


@pytest.fixture(scope="module")
def together(home: Path) -> list[list[Any]]:
    """The events of the same run in each of two processes."""
    return in_processes(2, train, home, "together", make_recipe())


# --------------------------------------------------------------------------- the same steps


def test_two_processes_take_the_steps_of_one(home, alone, together):
    losses = read_losses(home / "together")

    assert len(losses) == STEPS
    assert losses == pytest.approx(alone, abs=1e-6)
    for events in together:  # each process has the losses of all rows
        assert [event.loss for event in events if isinstance(event, Step)] == losses


def test_process_0_alone_scores_and_all_agree_which_epoch_is_the_best(home, alone, together):
    first, second = ([e for e in events if isinstance(e, Validated)] for events in together)

    assert [event.is_best for event in first] == [event.is_best for event in second]
    assert all(event.report for event in first)
    assert not any(event.report for event in second)
    cards = [read_model(home / out).card for out in ("together", "alone")]
    scores = [card["scores"]["validation"]["scores"] for card in cards]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_weights_that_differ_in_one_bit_are_told():
    def differ() -> None:
        torch.manual_seed(0)
        layer = nn.Linear(3, 3)
        distributed.require_equal_weights(layer, 0)
        if distributed.rank() == 1:
            layer.weight.data[0, 0] = torch.nextafter(layer.weight[0, 0], torch.tensor(9.0))
        distributed.require_equal_weights(layer, 1)

    errors = in_processes(2, differ)

    told = [error for error in errors if isinstance(error, TrainingError)]
    assert len(told) == 1
    assert "a weight after epoch 2 differs" in str(told[0])


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_a_run_taken_up_by_as_many_processes_has_the_losses_of_one_that_never_stopped(
    processes, home
):
    noisy = make_recipe(
        decoder={"dropout": 0.5},
        training={"epochs": 2, "scheduled_sampling": 0.5, "ema_decay": 0.9},
    )
    whole, stopped = f"whole-{processes}", f"stopped-{processes}"
    in_processes(processes, train, home, whole, noisy)

    for stop in (9, 15, None):
        in_processes(processes, lambda: train(home, stopped, noisy, stop=stop))  # noqa: B023

    assert read_losses(home / stopped) == read_losses(home / whole)
    assert_same_weights(home / stopped, home / whole)


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_in_one_up_to_rounding(home, alone):
    in_processes(2, lambda: train(home, "fewer", make_recipe(), stop=60))
    train(home, "fewer", make_recipe())

    assert read_losses(home / "fewer") == pytest.approx(alone, abs=1e-6)


@pytest.mark.slow
def test_a_batch_in_parts_is_the_same_step_in_two_processes(home, alone):
    parts = make_recipe(training={"accumulate": 2})  # the last batch of an epoch is one caption

    in_processes(2, train, home, "parts", parts)

    assert read_losses(home / "parts") == pytest.approx(alone, abs=1e-5)


@pytest.mark.slow
def test_a_tuned_encoder_learns_the_same_in_two_processes_from_the_same_flips_and_crops(home):
    torch.manual_seed(3)
    weights = home / "resnet18.safetensors"
    save_file({n: t.contiguous() for n, t in ResNet(18).state_dict().items()}, weights)
    encoder = {"encoder": {"kind": "resnet", "depth": 18, "pool": False}}
    options = {"epochs": 1, "batch_by": "picture", "captions_a_step": 12, "unfrozen_stages": 1}
    varied = {"horizontal_flip": 0.5, "random_crop": 0.3, "encoder_learning_rate": 1e-4}
    recipe = Recipe.of({**make_recipe(training={**options, **varied}).as_json(), **encoder})

    train(home, "tuned", recipe, weights=weights)
    in_processes(2, lambda: train(home, "tuned-by-two", recipe, weights=weights))

    assert read_losses(home / "tuned-by-two") == pytest.approx(
        read_losses(home / "tuned"), abs=1e-5
    )


@pytest.mark.slow
def test_mixed_sources_and_then_rewards_resume_in_two_processes(tmp_path):
    places = write_all(tmp_path)
    table = {**MIXED, "decoder": {**MIXED["decoder"], "dropout": 0.0}}
    recipe = Recipe.of(table)

    def run(out: str, stop: int | None = None) -> None:
        experiment = Experiment(
            recipe, places, tmp_path / out, cache=tmp_path / "cache", device="cpu"
        )
        events = experiment.run()
        list(islice(events, stop))
        events.close()

    run("alone")
    in_processes(2, run, "whole")
    for stop in (12, 30, None):
        in_processes(2, run, "stopped", stop)

    [alone, whole, stopped] = (read_losses(tmp_path / o) for o in ("alone", "whole", "stopped"))
    drawn = recipe.trainings[0].epochs * (len(alone) // 3)  # then self-critical training begins
    assert whole[:drawn] == pytest.approx(alone[:drawn], abs=1e-5)
    assert len(whole) == len(alone) > drawn
    assert stopped == whole
    assert_same_weights(tmp_path / "stopped", tmp_path / "whole")


def test_gradients_added_up_in_bf16_are_half_the_bytes_and_the_same_in_all_processes():
    def reduce() -> tuple[list[float], int]:
        layer = nn.Linear(4, 1, bias=False)
        layer.weight.grad = torch.tensor([[1.0, 2.0, 3.0, 0.1]]) * (1 + distributed.rank())
        sent = distributed.add_gradients(layer.parameters(), "bf16")
        return layer.weight.grad.flatten().tolist(), sent

    [one, other] = in_processes(2, reduce)

    assert one == other
    assert one[0] == pytest.approx([3.0, 6.0, 9.0, 0.3], rel=1e-2)
    assert one[1] == 8


def test_shares_come_back_in_the_order_of_the_items():
    def square() -> list[int]:
        own = distributed.share(range(7))
        return distributed.collect([number * number for number in own])

    assert in_processes(3, square) == [[0, 1, 4, 9, 16, 25, 36]] * 3


@pytest.mark.slow
def test_features_are_encoded_once_and_damaged_pictures_told_to_all(tmp_path):
    list(Shapes(tmp_path / "data", count=40, size=32))
    lines = [
        {"image": f"{e.id}", "captions": e.captions, "split": e.split}
        for e in Shapes(tmp_path / "data", count=40, size=32)
    ]
    (tmp_path / "data" / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for number in (3, 12):
        (tmp_path / "data" / f"seed0-32px-{number:05}.png").write_bytes(b"no picture")
    recipe = Recipe.of({**TABLE, "source": {"kind": "folder"}})

    answers = in_processes(2, lambda: train(tmp_path, "model", recipe, stop=8))

    [index] = (tmp_path / "cache").glob("*/index.jsonl")
    images = [json.loads(line)["image"] for line in index.read_text().splitlines()]
    assert len(images) == len(set(images)) == 36
    for events in answers:
        encoded = [event for event in events if isinstance(event, Encoded)]
        assert [event.done for event in encoded] == [16, 32, 36]
        assert len([sentence for event in encoded for sentence in event.damaged]) == 2


# ------------------------------------------------------------------------------- one fails


def fail_at(number: int, rank: int, fault: Callable[[], None]) -> Callable[[int], None]:
    """A fault of one process at one step."""

    def fail(step: int) -> None:
        if step == number and distributed.rank() == rank:
            fault()

    return fail


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0, 1])
def test_when_a_process_dies_the_others_say_which_and_the_run_goes_on(dead, home, monkeypatch):
    monkeypatch.setattr(distributed, "ROLL_CALL", 0.3)
    out, noisy = f"dead-{dead}", make_recipe(decoder={"dropout": 0.5}, training={"epochs": 2})
    die = fail_at(30, dead, lambda: os._exit(9))
    in_processes(2, train, home, "undisturbed", noisy)

    answers = in_processes(2, lambda: train(home, out, noisy, fault=die))
    in_processes(2, train, home, out, noisy)

    assert answers[dead] is None
    assert isinstance(answers[1 - dead], TrainingError)
    assert str(answers[1 - dead]).startswith(f"process {dead} of the 2 processes of this training")
    assert read_losses(home / out) == read_losses(home / "undisturbed")
    assert_same_weights(home / out, home / "undisturbed")


@pytest.mark.slow
def test_a_process_that_hangs_is_named_in_one_sentence(home, monkeypatch):
    monkeypatch.setattr(distributed, "STRAGGLES", timedelta(seconds=1.5))
    monkeypatch.setattr(distributed, "ROLL_CALL", 0.5)
    hang = fail_at(10, 2, lambda: time.sleep(6))

    answers = in_processes(3, lambda: train(home, "hanging", make_recipe(), fault=hang))

    told = [answer for answer in answers if isinstance(answer, TrainingError)]
    assert [str(error).partition(" ended")[0] for error in told] == [
        "process 2 of the 3 processes of this training (counted from 0)"
    ]
    assert [type(answer) for answer in answers].count(SystemExit) == 2


def test_processes_that_cannot_reach_each_other_are_told(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)

    with (
        pytest.raises(TrainingError, match="the 2 processes .* cannot reach each other: .*RANK"),
        distributed.joined(),
    ):
        pass


def test_an_error_of_one_process_is_the_only_one_that_is_told(home):
    def fail() -> None:
        raise TrainingError("something of process 1")

    answers = in_processes(3, lambda: train(home, "told", make_recipe(), fault=fail_at(5, 1, fail)))

    assert [type(answer) for answer in answers] == [SystemExit, TrainingError, SystemExit]
    assert str(answers[1]) == "something of process 1"


@pytest.mark.slow
def test_a_full_disk_of_process_0_is_one_sentence_and_the_run_goes_on(home, alone, small_disk):
    sizes = {path.name: path.stat().st_size for path in (home / "alone").iterdir()}
    folder = small_disk(f"{(sizes['weights.safetensors'] + sizes['resume.pt'] // 2) // 1024}k")
    start = lambda: train(home, str(folder / "model"), make_recipe())  # noqa: E731

    answers = in_processes(2, start)
    small_disk("64m")
    in_processes(2, start)

    assert [type(answer) for answer in answers] == [TrainingError, SystemExit]
    assert "space" in str(answers[0]) and str(answers[0]).endswith("resumes the run")
    assert read_losses(folder / "model") == pytest.approx(alone, abs=1e-6)
    assert not list((folder / "model").glob(".*.part"))


# ------------------------------------------------------------------------------- the launcher


def launch(home: Path, out: str) -> subprocess.Popen[str]:
    """`torchrun … -m cutline train …`, for a run without an end."""
    (home / "endless.toml").write_text(
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(own[key])}" for key in own)
            for name, own in {**TABLE, "training": {**TABLE["training"], "epochs": 500}}.items()
        )
    )
    options = ["--data", home / "data", "--cache", home / "cache", "--out", home / out]
    options += ["--device", "cpu", "--save-every", "0.5", "--set", "training.patience=500"]
    train = ["-m", "cutline", "train", home / "endless.toml", *options]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", *train]
    return subprocess.Popen(
        [str(part) for part in command], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_epochs(folder: Path, count: int) -> None:
    while len(read_epochs(folder)) < count:
        time.sleep(0.05)


def find_process(launcher: int, rank: int) -> int:
    """The process id of a rank, by its environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if f"RANK={rank}".encode() in variables and parent == str(launcher):
                return int(folder.name)
    raise ProcessLookupError(rank)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_torchrun_killed_and_interrupted_says_one_sentence_and_goes_on(home):
    folder = home / "launched"
    launcher = launch(home, "launched")
    wait_for_epochs(folder, 1)
    os.kill(find_process(launcher.pid, 1), signal.SIGKILL)
    _, said = launcher.communicate(timeout=120)

    sentences = [line for line in said.splitlines() if line.startswith("cutline: ")]
    assert len(sentences) == 1
    assert sentences[0].startswith("cutline: process 1 of the 2 processes of this training")
    assert launcher.returncode == 1

    before = len(read_epochs(folder))
    launcher = launch(home, "launched")
    wait_for_epochs(folder, before + 1)
    launcher.send_signal(signal.SIGINT)
    _, said = launcher.communicate(timeout=120)

    assert said.count("stopped: run the same command to resume") == 1
    assert "cutline: " not in said
    losses = read_losses(folder)
    recipe = make_recipe(training={"epochs": 500, "patience": 500})
    in_processes(2, lambda: train(home, "not-launched", recipe, stop=len(losses) + 40))
    count = min(len(losses), len(read_losses(home / "not-launched")))
    assert read_losses(home / "not-launched")[:count] == losses[:count]
    assert not list(folder.glob(".*.part"))

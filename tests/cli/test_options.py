"""Options that all commands share, and the spellings of 0.1.0."""

import json
import shutil

import pytest
from PIL import Image

from conftest import ROOT


@pytest.fixture
def album(tmp_path):
    """A picture, and a file that is none."""
    Image.new("RGB", (64, 48), "red").save(tmp_path / "one.png")
    (tmp_path / "bad.jpg").write_bytes(b"")
    return tmp_path


def test_quiet_leaves_errors_and_the_exit_code(run, tiny, album, drawn):
    library = ("caption", album, "-m", tiny, "-o", album / "all.jsonl")
    code, out, err = run(*library)
    assert (code, out) == (1, "")
    assert "1 caption, 1 failed" in err

    quiet = run(*library, "--retry-failed", "--quiet")
    assert quiet == (1, "", f"cutline: {album / 'bad.jpg'} is empty (0 bytes)\n")
    checked = run("data", "check", drawn, "--kind", "shapes", "-q")
    assert checked == (0, "", "")
    written = run("write", album / "all.jsonl", "--as", "txt", "-q", "--apply")
    assert (written[0], written[1].split("\t")[0]) == (0, "written")
    assert "left out: " in written[2] and "1 written" not in written[2]


def test_a_one_file_model_runs_on_the_cpu_only(run, tiny, album):
    code, _, err = run("caption", "-m", tiny / "model.onnx", "--device", "cuda", album / "one.png")
    assert code == 1
    assert "model.onnx is a one-file model, which runs on the CPU" in err

    same = [run("caption", "-m", tiny, "--device", d, album / "one.png") for d in ("auto", "cpu")]
    assert same[0] == same[1] and same[0][0] == 0


def test_a_device_that_is_not_there_is_one_sentence(run, tiny, album, drawn):
    for command in (
        ("caption", "-m", tiny, album / "one.png"),
        ("evaluate", "-m", tiny, "--with", tiny, "--data", drawn),
        ("inspect", "-m", tiny, "--data", drawn),
        ("train", "shapes", "--data", drawn, "-o", album / "run"),
    ):
        code, _, err = run(*command, "--device", "cuda:99")
        assert code == 1
        assert "torch has no device 'cuda:99' on this machine" in err

    code, _, err = run("caption", "--device", "tpu", album / "one.png")
    assert (code, "'tpu' is not auto, cpu, cuda, cuda:N or mps" in err) == (2, True)


def test_a_model_folder_without_its_one_file_form_runs_on_a_device(run, tiny, album):
    shutil.copytree(tiny, album / "folder", ignore=shutil.ignore_patterns("model.onnx"))
    one = album / "one.png"

    folder = run("caption", "-m", album / "folder", "--device", "cpu", one)

    assert folder == run("caption", "-m", tiny, one)


def test_spellings_of_the_first_version_still_work(run, tiny, album):
    now = run("caption", album / "one.png", "-m", tiny, "--as", "txt", "-o", album / "a.jsonl")
    before = run(
        "caption", album / "one.png", "-m", tiny, "--write", "txt", "-o", album / "b.jsonl"
    )
    assert (before[0], before[1]) == (now[0], now[1]) and "would write" in now[1]

    assert run("card", tiny) == run("card", "-m", tiny)
    code, _, err = run("card", tiny, "-m", tiny)
    assert (code, "two models are named" in err) == (2, True)
    assert run("export", "-m", "none")[2] == run("export", "none")[2]
    assert "Missing argument 'MODEL'" in run("export")[2]
    for command, former in (("caption", "--write"), ("train", "--start")):
        assert former not in run(command, "--help")[1]


def test_gaze_prints_the_attention_as_json(run, album):
    code, out, _ = run("gaze", ROOT / "examples" / "cat.jpg", "-o", album / "gaze.png", "--json")

    words = json.loads(out)["words"]
    assert code == 0
    assert all(len(word["gaze"]) == 49 for word in words)

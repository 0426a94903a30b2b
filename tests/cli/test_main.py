"""The command line from the outside, in a separate process where pipes or file names matter."""

import json
import os
import re
import shutil
import subprocess
import sys
from math import log
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from cutline.cli.main import commands
from cutline.inference.captioner import PACKAGED
from cutline.text.tokenizer import join_words


@pytest.fixture
def album(tmp_path) -> Path:
    """Two pictures, one of them in a subfolder."""
    (tmp_path / "album" / "deep").mkdir(parents=True)
    Image.new("RGB", (64, 48), "red").save(tmp_path / "album" / "one.png")
    Image.new("RGB", (48, 64), "blue").save(tmp_path / "album" / "deep" / "two.jpg")
    (tmp_path / "album" / "notes.txt").write_text("no picture")
    return tmp_path / "album"


def test_one_picture_is_one_caption_and_no_path(run, tiny, album):
    code, out, err = run("caption", "--model", tiny, album / "one.png")

    assert (code, err) == (0, "")
    [line] = out.splitlines()
    assert "one.png" not in line
    assert len(line.split()) >= 3


def test_a_folder_is_captioned_with_paths_and_recursive_goes_deeper(run, tiny, album):
    code, out, _ = run("caption", "--model", tiny, "--recursive", album)

    paths = [line.split("\t")[0] for line in out.splitlines()]
    assert code == 0
    assert paths == [str(album / "deep" / "two.jpg"), str(album / "one.png")]
    _, flat, _ = run("caption", "--model", tiny, album, album / "deep")
    assert len(flat.splitlines()) == 2
    _, alone, _ = run("caption", "--model", tiny, album)
    assert "\t" not in alone


def test_glob_patterns_and_standard_input_name_pictures(run, tiny, album, monkeypatch):
    import io

    _, globbed, _ = run("caption", "--model", tiny, album / "**" / "*.*g")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{album}/one.png\n\n{album}/deep/two.jpg\n"))
    _, piped, _ = run("caption", "--model", tiny, "-")

    assert sorted(globbed.splitlines()) == sorted(piped.splitlines())
    assert len(piped.splitlines()) == 2


def test_json_is_one_object_per_line_with_optional_candidates(run, tiny, album):
    _, out, _ = run("caption", "--model", tiny, "--json", "--best", 2, album / "one.png")

    answer = json.loads(out)
    assert set(answer) == {"path", "caption", "confidence", "log_prob", "words", "best"}
    assert answer["path"] == str(album / "one.png")
    assert 0 < answer["confidence"] <= 1
    assert [each["caption"] for each in answer["best"]][0] == answer["caption"]
    assert len(answer["best"]) == 2


def test_style_options_constrain_the_caption(run, tiny, album, tmp_path):
    one = album / "one.png"
    _, free, _ = run("caption", "--model", tiny, one)
    (tmp_path / "words.txt").write_text(f"{free.split()[1]}  # as an example\n")

    _, short, _ = run("caption", "--model", tiny, "--max-chars", 14, "--sentence", one)
    _, without, _ = run("caption", "--model", tiny, "--avoid", tmp_path / "words.txt", one)

    assert 0 < len(short.strip()) <= 14 < len(free.strip())
    assert re.fullmatch(r"[A-Z].*\.", short.strip())
    assert free.split()[1] not in without.split()


def test_json_has_word_probabilities_and_optional_attention(run, album):
    arguments = ("caption", "--model", PACKAGED, "--json", "--any-picture", album / "one.png")
    plain, looked = (json.loads(run(*arguments, *more)[1]) for more in ([], ["--gaze"]))

    words = [word["word"] for word in plain["words"]]
    assert join_words(words) == plain["caption"]
    assert all(set(word) == {"word", "probability"} for word in plain["words"])
    assert sum(log(word["probability"]) for word in plain["words"]) >= plain["log_prob"] - 0.01
    assert all(len(word["gaze"]) == 49 for word in looked["words"])
    assert all(abs(sum(word["gaze"]) - 1000) < 25 for word in looked["words"])


def test_a_damaged_file_is_reported_and_the_others_are_captioned(run, tiny, album):
    bad = album / "bad.jpg"
    bad.write_bytes(b"")

    code, out, err = run("caption", "--model", tiny, bad, album / "one.png", album / "none.png")

    assert code == 1
    assert len(out.splitlines()) == 1
    assert out.startswith(f"{album}/one.png\t")
    assert f"{bad} is empty" in err.splitlines()[0]
    assert "none.png does not exist" in err.splitlines()[1]


def test_a_damaged_file_is_a_json_object_with_its_error(run, tiny, album):
    code, out, err = run(
        "caption", "--model", tiny, "--json", album / "none.png", album / "one.png"
    )

    first, second = map(json.loads, out.splitlines())
    assert (code, err) == (1, "")
    assert set(first) == {"path", "error"}
    assert "caption" in second


def test_an_invalid_path_is_reported_and_the_others_are_captioned(run, tiny, album):
    code, out, err = run("caption", "--model", tiny, "a" * 300 + ".jpg", album / "one.png")

    assert code == 1
    assert len(out.splitlines()) == 1
    assert "File name too long" in err


def test_file_names_may_hold_any_bytes(tiny, album):
    odd = os.fsencode(album) + b"/caf\xe9.png"
    shutil.copy(album / "one.png", odd)
    environment = {**os.environ, "PYTHONIOENCODING": "utf8:strict"}
    command = [sys.executable, "-m", "cutline", "caption", "--model", tiny, "-"]

    told = subprocess.run(
        command, input=odd + b"\n" + odd, capture_output=True, env=environment, check=True
    )

    assert told.stdout.startswith(odd + b"\t")
    assert len(told.stdout.splitlines()) == 2


def test_captions_as_json_can_be_scored(run, tiny, album, tmp_path):
    _, out, _ = run("caption", "--model", tiny, "--json", "-r", album, album / "none.jpg")
    (tmp_path / "captions.jsonl").write_text(out)
    people = {"one.png": ["a red thing"], "two.jpg": ["a blue thing"], "none.jpg": ["nothing"]}
    (tmp_path / "people.json").write_text(json.dumps(people))

    captions, people = tmp_path / "captions.jsonl", tmp_path / "people.json"
    refused, _, why = run("score", captions, "--references", people, "--only", "BLEU,CIDEr-D")
    code, told, _ = run(
        "score", captions, "--references", people, "--only", "BLEU,CIDEr-D", "--partial"
    )

    assert refused == 1
    assert "1 prediction has no words ('none.jpg')" in why
    assert code == 0
    assert "images:3" in told


def test_an_empty_folder_is_reported_and_the_others_are_captioned(run, tiny, album, tmp_path):
    (tmp_path / "empty").mkdir()

    code, out, err = run("caption", "--model", tiny, tmp_path / "empty", album / "one.png", "x*.q")

    assert code == 1
    assert len(out.splitlines()) == 1
    assert "empty has no pictures in it (--recursive looks deeper)" in err
    assert "x*.q matches nothing" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["caption", "--model", "nowhere", "x.jpg"], "cutline: there is no model nowhere"),
        (["caption"], "name pictures, folders or patterns"),
        (["captoin"], "No such command 'captoin'"),
        (["score", "a.json", "--references", "b.json"], "a.json"),
        (["caption", "a.png", "--max-chars", "3"], "max_chars is 3, but must be at least 10"),
        (["caption", "a.png", "--avoid", "no.txt"], "cannot read the words no.txt: No such file"),
        (["train", "no.toml", "--data", "."], "there is no recipe no.toml"),
        (["export", "nowhere"], "nowhere is not a model folder"),
        (["evaluate", "nowhere.onnx", "--data", "."], "there is no model nowhere.onnx"),
        (["data", "check", "nowhere", "--kind", "flikr8k"], "did you mean 'flickr8k'?"),
    ],
)
def test_a_user_error_is_one_sentence_without_a_traceback(run, arguments, sentence):
    code, out, err = run(*arguments)

    assert code in (1, 2)
    assert sentence in err
    assert "Traceback" not in err + out


def test_score_prints_scores_and_signatures(run, tmp_path):
    references = {"1": ["a dog runs", "the dog is running"], "2": ["a cat sleeps", "a cat"]}
    (tmp_path / "references.json").write_text(json.dumps(references))
    (tmp_path / "predictions.json").write_text(json.dumps({"1": "a dog runs", "2": "a cat sleeps"}))

    code, out, _ = run(
        "score",
        tmp_path / "predictions.json",
        "--references",
        tmp_path / "references.json",
        "--only",
        "BLEU,CIDEr-D",
    )

    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["BLEU-1", "100.0", "[100.0,", "100.0]"]
    assert [line.split()[0] for line in lines[:5]] == [
        "BLEU-1",
        "BLEU-2",
        "BLEU-3",
        "BLEU-4",
        "CIDEr-D",
    ]
    assert lines[5].startswith("(CIDEr's word weights come from only 2 images")
    assert all("|images:2|" in line for line in lines[6:8])


def test_evaluate_captions_and_scores_a_split_and_saves_the_captions(run, tiny, drawn, tmp_path):
    code, out, _ = run(
        "evaluate", tiny, "--data", drawn, "--out", tmp_path / "captions.json", "--json"
    )

    found = json.loads((tmp_path / "captions.json").read_text())
    assert code == 0
    assert json.loads(out)["scores"]["BLEU-1"] > 0.3
    assert len(found) == 12
    assert set(found[0]) == {"image_id", "caption"}


def test_data_check_lists_problems_by_file_and_line(run, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text("image,caption\na.png,a thing\nb.png,nothing\n")

    code, out, err = run("data", "check", tmp_path)

    assert code == 1
    assert "captions.csv:3" in out
    assert "1 error, 0 warnings" in err


def test_data_check_decodes_pictures_and_lists_fatal_problems_last(run, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    rows = "image,caption\nnone.png,nothing\na.png,a thing\nb.png,a thing\n"
    (tmp_path / "captions.csv").write_text(rows)

    code, out, err = run("data", "check", tmp_path)

    damaged, missing = out.splitlines()
    assert code == 1
    assert damaged.startswith(f"{tmp_path}/b.png: left out: it is ")
    assert missing == f"{tmp_path}/captions.csv:2: there is no picture 'none.png'"
    assert "1 error, 1 warning" in err


def test_a_data_set_folder_can_provide_references(run, tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    rows = "image,caption,split\na.png,a red dog runs,test\nb.png,two cats sleep,test\n"
    (tmp_path / "captions.csv").write_text(rows)
    (tmp_path / "said.json").write_text('{"a.png": "a red dog runs", "b.png": "two cats sleep"}')

    code, out, _ = run(
        "score", tmp_path / "said.json", "--references", tmp_path, "--only", "BLEU", "--json"
    )

    assert code == 0
    assert json.loads(out)["scores"]["BLEU-1"] == pytest.approx(1)


def test_every_command_has_help():
    context = click.Context(commands)
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        told = CliRunner().invoke(commands, [name, "--help"])
        assert told.exit_code == 0
        assert command.help


def test_a_closed_pipe_ends_the_program_quietly(tiny, album):
    command = f"{sys.executable} -m cutline caption --model {tiny} {album}/one.png"
    listed = " ".join([f"{album}/one.png"] * 50)

    piped = subprocess.run(
        f"{command} {listed} | head -n 1", shell=True, capture_output=True, text=True, check=False
    )

    assert len(piped.stdout.splitlines()) == 1
    assert piped.stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["card"], ["caption", "--any-picture", "one.png"]]
)
def test_a_full_disk_on_standard_output_is_one_error(arguments, album):
    command = [sys.executable, "-m", "cutline", *arguments]

    with Path("/dev/full").open("wb") as full:
        told = subprocess.run(
            command, cwd=album, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert told.returncode == 1
    assert told.stderr == "cutline: the output: No space left on device\n"


def test_a_number_with_thousands_of_digits_is_one_error(run, tmp_path):
    digits = "9" * 5_000
    (tmp_path / "a.json").write_text(f'{{"1": {digits}}}')
    (tmp_path / "a.jsonl").write_text(f'{{"path": "a", "caption": "b", "confidence": {digits}}}\n')
    (tmp_path / "a.toml").write_text(f"[training]\nepochs = {digits}\n")
    (tmp_path / "page.html").write_text(f'<img src="a.png" width="{digits}">')
    for arguments in (
        ["score", tmp_path / "a.json", "--references", tmp_path / "a.json"],
        ["report", tmp_path / "a.jsonl", "-o", tmp_path / "report.html"],
        ["train", tmp_path / "a.toml", "--data", tmp_path],
        ["alt", "--check", tmp_path / "page.html"],
    ):
        code, out, err = run(*arguments)

        assert code == 1
        assert "Traceback" not in err
        assert len(err.strip().splitlines()) == 1, err


def test_code_named_by_a_recipe_runs_only_with_trust(run, tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text("from pathlib import Path; Path('ran').touch()\n")
    recipe = RECIPE.replace('kind = "mosaic"', 'kind = "stranger:Encoder"')
    (tmp_path / "recipe.toml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    asked = ["train", "recipe.toml", "--data", "data", "--out", "model"]

    code, _, err = run(*asked)

    assert code == 1
    assert "its encoder is 'stranger:Encoder', custom code" in err
    assert "--trust" in err
    assert not (tmp_path / "ran").exists()
    _, _, err = run(*asked, "--trust")
    assert "cannot import 'stranger:Encoder'" in err  # it has no such class, but it was run
    assert (tmp_path / "ran").exists()


RECIPE = """
[source]
kind = "shapes"
[encoder]
kind = "mosaic"
[decoder]
kind = "show-and-tell"
[search]
kind = "beam"
"""

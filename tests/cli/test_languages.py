"""Captions in other languages: the model is chosen by the language that is asked for."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cutline.inference.captioner import load
from cutline.models.onnx_export import record


@pytest.fixture
def german(tiny, tmp_path):
    """A one-file model whose card says that it writes German."""
    model = tmp_path / "de.onnx"
    shutil.copy(tiny / "model.onnx", model)
    record(model, {"language": "de", "title": "Ein Modell"})
    return model


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "one.png")
    return tmp_path / "one.png"


def test_the_card_of_a_model_says_its_language(tiny, german):
    assert (load(tiny).language, load(german).language) == ("en", "de")
    assert load(german).engine.vocabulary.language == "de"


def test_the_model_of_the_language_captions(run, german, picture):
    both = ("caption", picture, "-m", "/nowhere", "-m", f"de={german}")

    assert run(*both, "--language", "de-AT")[:2] == (0, f"{load(german).caption(picture).text}\n")
    assert run(*both, "--language", "en") == (1, "", "cutline: there is no model /nowhere")
    assert run("caption", picture, "-m", f"de={german}")[0] == 0


def test_a_language_without_a_model_is_one_sentence(run, german, picture):
    code, _, err = run("caption", picture, "--language", "fr", "-m", f"de={german}")
    assert code == 1
    assert "those named are for de: name a model for captions in 'fr' with --model fr=PATH" in err

    code, _, err = run("caption", picture, "--language", "fr", "-m", german)
    assert (code, "Ein Modell writes captions in 'de', not in 'fr'" in err) == (1, True)
    code, _, err = run("caption", picture, "--language", "in German")
    assert (code, "is not a language tag such as en, de or pt-BR" in err) == (2, True)
    code, _, err = run("caption", picture, "-m", f"de={german}", "-m", f"de={german}")
    assert (code, "two models are named for the same language" in err) == (2, True)


def test_alt_captions_each_page_in_its_language(run, tiny, german, picture):
    for page, language in (("a.html", "en"), ("b.html", "de-CH"), ("c.html", "fr")):
        content = f'<html lang="{language}"><img src="one.png"></html>'
        (picture.parent / page).write_text(content, encoding="utf8")

    code, out, err = run(
        "alt", *sorted(picture.parent.glob("*.html")), "-m", tiny, "-m", f"de={german}",
        "--any-picture", "--min-confidence", 0, "--json",
    )  # fmt: skip

    assert code == 0
    whys = {
        Path(line["page"]).name: line.get("why", "") for line in map(json.loads, out.splitlines())
    }
    assert whys["a.html"] == whys["b.html"] == ""
    assert "the text is in en, the page in fr" in whys["c.html"]
    assert "1 text in another language than the page (fr)" in err


def test_german_is_scored_by_its_own_rules(run, tmp_path):
    said = [{"image_id": 1, "caption": "Ein Mädchen"}, {"image_id": 2, "caption": "Ein Hund"}]
    (tmp_path / "said.json").write_text(json.dumps(said), encoding="utf8")
    (tmp_path / "known.json").write_text('{"1": ["ein mädchen."], "2": ["ein Hund"]}', "utf8")
    given = ("score", tmp_path / "said.json", "--references", tmp_path / "known.json")

    code, out, err = run(*given, "--language", "de", "--draws", 0)

    assert (code, "|tok:words|lang:de|" in out) == (0, True)
    assert "METEOR is left out: its stems, synonyms, paraphrases and weights are of English" in err
    code, _, err = run(*given, "--language", "de", "--df", "coco")
    assert (code, "has the frequencies of English words" in err) == (1, True)

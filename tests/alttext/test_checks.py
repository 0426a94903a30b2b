"""What a site's owner and CI rely on: languages, baselines, annotations, undo, honest counts."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
import yaml

from conftest import ROOT
from cutline.alttext.edit import Change, check, fill
from cutline.alttext.pages import Skipped
from cutline.cli.main import commands
from cutline.text.neutral import NEUTRAL
from sites import Double, draw_site

ANY = ("--any-picture", "--min-confidence", 0, "--style", "sentence")


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder with pictures, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return draw_site(tmp_path)


def filled(page: str, name: str = "a.html", **options) -> Change:
    Path(name).write_text(page, encoding="utf-8")
    *_, change = fill([name], Double().caption_each, **options)
    return change


# ------------------------------------------------------------------------------------- languages


@pytest.mark.parametrize(
    ("page", "inserted"),
    [
        ("<html lang=de><img src=dog.png>", ' alt="A dog." lang="en"'),
        ("<html lang='pt-BR'><img src='dog.png'>", " alt='A dog.' lang='en'"),
        ("<html lang=en-GB><img src=dog.png>", ' alt="A dog."'),
        ("<html><img src=dog.png>", ' alt="A dog."'),
        ("<html lang={{ lang }}><img src=dog.png>", ' alt="A dog."'),
        ("<html lang=de><body lang=en><img src=dog.png>", ' alt="A dog."'),
        ("<html lang=de><img lang=en src=dog.png>", ' alt="A dog."'),
        ("<html lang=en><img lang=de src=dog.png>", ' alt="A dog."'),
        ("---\nlang: fr\n---\n<img src=dog.png>", ' alt="A dog." lang="en"'),
    ],
)
def test_an_english_text_is_marked_in_a_page_of_another_language(site, page, inserted):
    source = "'dog.png'" if "'dog.png'" in page else "dog.png"

    assert filled(page).content.decode() == page.replace(source, f"{source}{inserted}")


def test_what_cannot_be_marked_is_reported(site, run, tiny):
    change = filled("---\ntitle: x\nlanguage: 'de-AT'\n---\n![](dog.png)\n", "a.md")
    assert b"lang=" not in change.content
    assert change.pictures[0].why == "the text is in en, the page in de-AT: not marked"
    Path("b.html").write_text("<html lang=de><img src=dog.png>")

    _, _, err = run("alt", "a.md", "b.html", "-m", tiny, *ANY)

    assert "2 texts in another language than the page (de, de-AT): 1 of them without a lang" in err


def test_the_language_of_the_captions_can_be_another(site):
    assert filled("<html lang=de><img src=dog.png>", language="de").pictures[0].why == ""
    assert b'lang="de"' in filled("<html lang=en><img src=dog.png>", language="de").content


# --------------------------------------------------------------------------- what is not read


def test_what_is_not_read_is_counted_so_that_a_check_is_no_false_green(site, run):
    for name in (
        "a.pug",
        "b.PUG",
        "c.odt",
        "d.slim",
        "x.txt",
        "node_modules/y.pug",
        "dist/z.html",
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("<img src=dog.png>")
    Path("ok.html").write_text("<img src=dog.png alt='A dog'>")

    code, out, err = run("alt", ".", "--check")

    assert (code, out) == (0, "")
    assert "cutline does not read such files: 1 .odt, 2 .pug, 1 .slim\n" in err
    assert "not read, because generated, unless named: dist\n" in err
    assert {found.path.name for found in check(["."]) if isinstance(found, Skipped)} == {
        "a.pug", "b.PUG", "c.odt", "d.slim", "dist"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "page", "count"),
    [
        ("a.jsp", "<%-- <% x %> <img src=dog.png> --%><% if (a > b) %><img src=dog.png>", 1),
        ("a.jsp", "<img src=\"<c:url value='/dog.png'/>\"><img src=\"${dog}\">", 0),
        ("a.asp", "<% Response.Write(\"<img src=dog.png>\") %><img src=dog.png>", 1),
        ("a.cshtml", "@* <img src=dog.png> *@\n@if (a) {\n  <img src=dog.png>\n}\n", 1),
        ("a.cshtml", "@{\n  var x = \"<img src='dog.png'>\";\n}\n@Html.Raw(x)\n", 0),
        ("a.cshtml", "<img src=dog.png alt=\"@Model.Alt\"><img src=\"@Model.Url\">", 0),
        ("a.cshtml", "<img src=dog.png @attributes>", 0),
        ("a.gohtml", "{{range .}}<img src=dog.png><img src={{.Url}}>{{end}}", 1),
        ("a.qmd", "```{r}\n![](dog.png)\n```\n\n![](dog.png) ![](dog.png){fig-alt='A dog'}\n", 1),
        ("a.Rmd", "---\ntitle: x\n---\n\n![](dog.png)\n", 1),
    ],
)  # fmt: skip
def test_templates_of_servers_and_notebooks_in_markdown_are_read(site, name, page, count):
    change = filled(page, name)

    assert sum(picture.state == "filled" for picture in change.pictures) == count
    without = change.content.decode().replace(' alt="A dog."', "").replace("![A dog.]", "![]")
    assert without == page


# -------------------------------------------------------------------------------- the baseline


def test_only_gaps_that_a_baseline_does_not_know_fail(site, run):
    Path("sub").mkdir()
    Path("sub/a.html").write_text("<img src=/dog.png>\n<img src=/dog.png><img src=/cat.png>\n")
    options = ("alt", "sub", "--check", "--baseline", "known.json")

    assert "the baseline known.json cannot be read: No such file" in run(*options)[2]
    code, out, err = run(*options, "--update-baseline")
    assert (code, out, err) == (0, "", "3 missing alt texts in known.json\n")
    assert json.loads(Path("known.json").read_text())["gaps"] == [
        {"page": "sub/a.html", "path": "/cat.png"},
        {"page": "sub/a.html", "path": "/dog.png", "count": 2},
    ]
    assert run(*options)[::2] == (0, "0 new missing alt texts, 3 in the baseline\n")

    lines = "<p>new line</p>\n<img src=/dog.png><img src=/dog.png>\n<img src=/dog.png>\n"
    Path("sub/a.html").write_text(lines)
    code, out, err = run(*options)
    assert (code, out) == (1, "sub/a.html:3: /dog.png\n")
    told = "1 new missing alt text, 2 in the baseline; 1 known gap fixed: run --update-baseline\n"
    assert err == told


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "cutline alt baseline 1", "gaps": [1]}', "[" * 100_000]
)
def test_a_file_that_is_no_baseline_is_refused_in_a_sentence(site, run, content):
    Path("known.json").write_text(content)
    Path("a.html").write_text("")

    code, out, err = run("alt", "a.html", "--check", "--baseline", "known.json")

    assert (code, out, err) == (1, "", "cutline: known.json is not a baseline of `cutline alt`")


def test_options_that_need_another_say_so(site, run):
    assert "need --check" in run("alt", "a.html", "--baseline", "x")[2]
    assert "needs --baseline" in run("alt", "a.html", "--check", "--update-baseline")[2]
    assert "cannot be combined" in run("alt", "a.html", "--check", "--json", "--format", "sarif")[2]


# ------------------------------------------------------------------------------- annotations


def test_github_gets_an_annotation_for_every_gap(site, run):
    Path("a,b.html").write_text("\n<img src='100%.png'>\n<img src=dog.png alt=image>\n")

    code, out, _ = run("alt", "a,b.html", "--check", "--format", "github")

    assert code == 1
    assert out.splitlines() == [
        "::error file=a%2Cb.html,line=2,title=A picture has no alt text"
        "::100%25.png has no alt text",
        "::error file=a%2Cb.html,line=3,title=The alt text of a picture says nothing"
        '::dog.png: its alt text is a placeholder: "image"',
    ]


def test_sarif_names_rule_file_and_line(site, run):
    Path("ä b.html").write_text("<img src=dog.png>\n<a href=/><img src=dog.png></a>\n")

    code, out, _ = run("alt", "ä b.html", "--check", "--format", "sarif")

    log = json.loads(out)
    [found] = log["runs"]
    places = [result["locations"][0]["physicalLocation"] for result in found["results"]]
    assert (code, log["version"]) == (1, "2.1.0")
    assert [result["ruleId"] for result in found["results"]] == ["missing-alt", "functional-alt"]
    assert {unquote(place["artifactLocation"]["uri"]) for place in places} == {"ä b.html"}
    assert all(place["artifactLocation"]["uri"].isascii() for place in places)
    assert [place["region"]["startLine"] for place in places] == [1, 2]
    assert {r["ruleId"] for r in found["results"]} <= {
        rule["id"] for rule in found["tool"]["driver"]["rules"]
    }
    Path("ä b.html").write_text("")
    assert (
        json.loads(run("alt", "ä b.html", "--check", "--format", "sarif")[1])["runs"][0]["results"]
        == []
    )


def run_program(folder: Path, *command: object, **environment: str) -> subprocess.CompletedProcess:
    binaries = folder / "bin"
    binaries.mkdir(exist_ok=True)
    program = binaries / "cutline"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cutline "$@"\n')
    program.chmod(0o755)
    path = f"{binaries}:{os.environ['PATH']}"
    return subprocess.run(
        [*map(str, command)], cwd=folder, env={**os.environ, "PATH": path, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_pre_commit_hook_fails_on_a_gap_in_the_files_that_it_is_given(site):
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    Path("a.html").write_text("<img src=dog.png>\n")
    Path("b.md").write_text("![A dog](dog.png)\n")

    bad = run_program(site, *hook["entry"].split(), "a.html", "b.md")
    good = run_program(site, *hook["entry"].split(), "b.md")

    assert (bad.returncode, bad.stdout, good.returncode) == (1, "a.html:1: dog.png\n", 0)
    assert hook["language"] == "python"
    for name in ("a.html", "x/b.md", "c.HTM", "d.cshtml", "e.md.erb"):
        assert re.search(hook["files"], name), name
    assert not re.search(hook["files"], "a.py")


def test_the_action_annotates_gaps_and_takes_its_inputs_as_data(site):
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    step = next(step for step in action["runs"]["steps"] if "--check" in step.get("run", ""))
    Path("a b.html").write_text("<img src=dog.png>\n")
    Path("$(touch hacked).html").write_text("<img src=dog.png alt='A dog'>\n")
    assert action["runs"]["using"] == "composite"
    assert "${{" not in step["run"]
    names = dict.fromkeys(step["env"], "")

    done = run_program(
        site, "bash", "-c", step["run"],
        **{**names, "ALT_PATHS": "a b.html\n$(touch hacked).html", "ALT_ROOT": "."},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, "1 missing alt text\n")
    assert done.stdout.startswith("::error file=a b.html,line=1,")
    assert not Path("hacked").exists()


# ------------------------------------------------------------------------- undo, honest counts


def test_applied_texts_can_be_undone_byte_for_byte(site, run, tiny):
    before = {"a.html": b"<img src=dog.png>\r\n\xff", "b.md": b"![](dog.png)"}
    for name, content in before.items():
        Path(name).write_bytes(content)

    assert run("alt", ".", "--apply", "-m", tiny, *ANY)[0] == 0
    assert all(Path(name).read_bytes() != content for name, content in before.items())
    code, out, _ = run("undo", "alt.undo.jsonl", "--apply")

    assert (code, sorted(out.splitlines())) == (0, ["restored\ta.html", "restored\tb.md"])
    assert {name: Path(name).read_bytes() for name in before} == before
    assert not Path("alt.undo.jsonl").exists()


def test_the_journal_lies_above_pages_that_lie_elsewhere(site, run, tiny, monkeypatch):
    (site / "here").mkdir()
    (site / "there").mkdir()
    (site / "there/a.html").write_text("<img src=../dog.png>")
    monkeypatch.chdir(site / "here")
    options = ("--root", site, "-m", tiny, *ANY)

    assert run("alt", site / "there", "--apply", *options)[0] == 0
    assert (site / "there/alt.undo.jsonl").exists()
    assert not list((site / "here").iterdir())
    assert run("undo", site / "there/alt.undo.jsonl", "--apply")[0] == 0
    assert (site / "there/a.html").read_text() == "<img src=../dog.png>"


def test_what_could_not_be_written_is_not_counted_as_filled(site, run, tiny):
    Path("a.html").write_text("<img src=dog.png>")
    Path("b.html").write_text("<img src=dog.png>")
    Path("a.html").chmod(0o444)

    code, out, err = run("alt", ".", "--apply", "--json", "-m", tiny, *ANY)

    assert code == 1
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["unwritten", "filled"]
    assert "2 pictures on 2 pages: 1 filled, 1 not written" in err
    assert "a.html is read-only" in err


# --------------------------------------------------------------------------- wording of captions


def test_a_hedge_stands_before_every_text(site, run, tiny):
    assert b'alt="Maybe: A dog."' in filled("<img src=dog.png>", hedge="Maybe: ").content

    _, out, _ = run("alt", "a.html", "--hedge", "Perhaps: ", "-m", tiny, *ANY)
    assert 'alt="Perhaps: ' in out


def test_gender_is_not_guessed_in_alt_texts_unless_asked(site, run):
    """On photographs that the built-in model captions with a man and a woman."""
    pages = [f"{ROOT}/examples/{name}.jpg" for name in ("astronaut", "tourist")]
    Path("a.html").write_text("".join(f"<img src={Path(page).name}>" for page in pages))
    for page in pages:
        shutil.copy(page, ".")

    def words(*options: str) -> set[str]:
        _, out, _ = run("alt", "a.html", "--json", "--threads", 1, *ANY, *options)
        texts = [json.loads(line)["alt"].lower() for line in out.splitlines()]
        assert len(texts) == 2
        return set(re.findall(r"\w+", " ".join(texts)))

    assert words("--gendered") & NEUTRAL.keys()
    assert not words() & NEUTRAL.keys()


def test_only_alt_texts_are_neutral_by_default():
    context = click.Context(commands)
    defaults = {
        name: option.default
        for name in ("alt", "caption", "submit", "serve")
        for option in commands.get_command(context, name).params
        if option.name == "is_neutral"
    }

    assert defaults == {"alt": True, "caption": False, "submit": False, "serve": False}
    assert not {"person", "people", "child", "children"} & NEUTRAL.keys()


def test_a_notebook_keeps_every_byte_but_those_of_new_texts(site):
    page = r"""{"metadata": {"cells": [{"cell_type": "markdown", "source": "![](dog.png)"}]},
 "cells": [
  {"cell_type": "markdown", "source": ["# \u00fc \ud83d\ude00 ü\n", "\n", "x ![](dog.png)\n"],
   "id" : "a"},
  {"cell_type":"code","source":"'![](dog.png)'", "outputs": [{"text": "![](dog.png)"}]},
  { "source" : "<img src=\"dog.png\"> ![image](cat.png)" , "cell_type": "markdown"}
 ]}
"""

    change = filled(page, "a.ipynb", placeholders=True)

    after = change.content.decode()
    assert after == (
        page.replace("x ![](dog", "x ![A dog.](dog")
        .replace(r"src=\"dog.png\"", r"src=\"dog.png\" alt=\"A dog.\"")
        .replace("![image]", "![A cat.]")
    )
    json.loads(after)
    assert [picture.line for picture in change.pictures] == [3, 6, 6]
    double = Double("a [b] \\")
    *_, change = fill(["a.ipynb"], double.caption_each)
    sources = ["".join(cell["source"]) for cell in json.loads(change.content)["cells"]]
    assert "x ![A \\[b\\] \\\\.](dog.png)\n" in sources[0]


def test_a_notebook_that_is_none_is_refused_in_a_sentence(site, run):
    Path("a.ipynb").write_text("{")

    assert "a.ipynb is not a notebook" in run("alt", "a.ipynb", "--check")[2]
    Path("a.ipynb").write_text('{"cells": []}', encoding="utf-16")
    assert "a.ipynb is not a notebook" in run("alt", "a.ipynb", "--check")[2]
    Path("a.ipynb").write_text('[{"cells": ["\\ud83d", 1, null, {}, []]}]')
    assert run("alt", "a.ipynb", "--check")[0] == 0

"""Generated and ignored folders are left alone, as Git sees them, unless they are named."""

import random
import subprocess
from pathlib import Path

import pytest

from cutline.alttext.ignore_rules import IgnoreRules
from cutline.alttext.pages import Page, Skipped, find_pages


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("<img src='/dog.png'>")


def outcome(*paths: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """The pages that were read and what was skipped, by name below the first folder."""
    read, skipped = list[str](), list[tuple[str, str]]()
    for found in find_pages(paths):
        if isinstance(found, Page):
            read.append(found.path.relative_to(paths[0]).as_posix())
        elif isinstance(found, Skipped):
            skipped.append((found.path.relative_to(paths[0]).as_posix(), found.why))
    return read, skipped


@pytest.mark.parametrize("name", ["public", "dist", "build", "_site", "vendor"])
def test_a_generated_folder_is_left_alone_unless_it_is_named(tmp_path, name):
    write(tmp_path, "a.html", f"{name}/b.html", f"docs/{name}/c.html", f"{name}.html")

    read, skipped = outcome(tmp_path)

    assert read == ["a.html", f"{name}.html"] or read == [f"{name}.html", "a.html"]
    assert sorted(skipped) == sorted([(name, "generated"), (f"docs/{name}", "generated")])
    assert outcome(tmp_path / name)[0] == ["b.html"]


def test_what_git_ignores_is_left_alone_unless_it_is_named(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("/out/\n*.tmp.html\n!keep.tmp.html\n# a.html\n")
    write(tmp_path, "a.html", "out/b.html", "docs/out/c.html", "docs/d.tmp.html",
          "docs/keep.tmp.html")  # fmt: skip

    assert outcome(tmp_path) == (
        ["a.html", "docs/keep.tmp.html", "docs/out/c.html"],
        [("docs/d.tmp.html", "ignored"), ("out", "ignored")],
    )
    assert outcome(tmp_path / "out")[0] == ["b.html"]
    assert outcome(tmp_path / "docs") == (
        ["keep.tmp.html", "out/c.html"], [("d.tmp.html", "ignored")]
    )  # fmt: skip
    assert outcome(tmp_path / "docs/d.tmp.html", tmp_path / "docs/d.tmp.html")[0] == ["."]


def test_folders_above_the_repository_do_not_count(tmp_path):
    (tmp_path / ".gitignore").write_text("*.html\n")
    (tmp_path / "site" / ".git").mkdir(parents=True)
    write(tmp_path / "site", "a.html")

    assert outcome(tmp_path / "site") == (["a.html"], [])


def test_patterns_mean_what_they_mean_to_git(tmp_path):
    """60 drawn sets of rules over a drawn tree."""
    dice = random.Random(11)
    git = ["git", "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q", tmp_path], check=True)
    names = ["a", "b", "ab", "a.c", "[x]", "b c"]
    parts = [*names, "*", "**", "?", "a*", "*b", "[ab]", "[!a]", "[a-b]*", "\\[x]", "*.c", "b\\ c"]
    files = {"/".join(dice.choices(names, k=dice.randint(1, 4))) for _ in range(60)}
    files = {f for f in files if not any(o.startswith(f"{f}/") for o in files)}
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    folders = [
        path for path in sorted(tmp_path.rglob("*")) if path.is_dir() and ".git" not in path.parts
    ]
    seen = 0
    for _ in range(60):
        for folder in (tmp_path, dice.choice(folders)):
            lines = [
                dice.choice(["", "", "!"]) + dice.choice(["", "", "/"])
                + "/".join(dice.choices(parts, k=dice.randint(1, 3)))
                + dice.choice(["", "", "/", " "])
                for _ in range(dice.randint(1, 4))
            ]  # fmt: skip
            (folder / ".gitignore").write_text("\n".join(lines))
        listed = subprocess.run(
            [*git, "ls-files", "-z", "--others", "--exclude-standard"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout.split("\0")  # fmt: skip
        kept = {name for name in listed if name and not name.endswith(".gitignore")}

        assert set(_walk(tmp_path, [], IgnoreRules.above(tmp_path))) == kept
        seen += len(files) - len(kept)
        for path in tmp_path.rglob(".gitignore"):
            path.unlink()
    assert seen > 300


def _walk(folder: Path, names: list[str], rules: IgnoreRules):
    rules = rules.enter(folder, names)
    for path in folder.iterdir():
        if path.name in (".git", ".gitignore"):
            continue
        if rules.ignores([*names, path.name], is_folder=path.is_dir()):
            continue
        if path.is_dir():
            yield from _walk(path, [*names, path.name], rules)
        else:
            yield "/".join([*names, path.name])

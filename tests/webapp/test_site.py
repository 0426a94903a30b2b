"""`cutline web OUT`: the contents of the folder, refusals, updates."""

import gzip
import json
import re
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from conftest import ROOT
from cutline.inference.captioner import load
from cutline.webapp import runtime
from cutline.webapp.description import describe
from cutline.webapp.runtime import BINARY, NAME, SCRIPT, read_runtime

SCRIPT_BYTES, BINARY_BYTES = b"export {};\n", bytes(range(256)) * 40_000


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder like the npm package, with small files of the same names."""
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": NAME, "version": "1.2.3"}))
    (folder / "dist" / SCRIPT).write_bytes(SCRIPT_BYTES)
    (folder / "dist" / BINARY).write_bytes(BINARY_BYTES)
    return folder


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_the_page_and_the_model_and_runtime_in_parts(run, tiny, package, tmp_path):
    out = tmp_path / "site"

    code, _, err = run("web", out, "-m", tiny, "--runtime", package)

    assert code == 0 and str(out) in err
    told = json.loads((out / "captioner.json").read_text(encoding="utf8"))
    assert joined(out, told["files"]["model"]) == (tiny / "model.onnx").read_bytes()
    assert joined(out, told["files"]["runtime"]) == BINARY_BYTES
    assert len(told["files"]["runtime"]["parts"]) == 3
    assert (out / "runtime" / "ort.mjs").read_bytes() == SCRIPT_BYTES
    assert "Microsoft" in (out / "runtime" / "LICENSE").read_text()
    assert told["runtime"] == "1.2.3"
    listed = json.loads((out / "files.js").read_text()[len("self.SITE = ") : -2])["files"]
    assert set(listed) == names_in(out) - {"files.js"}
    assert all(sha256((out / name).read_bytes()).hexdigest() == sha for name, sha in listed.items())


def joined(out: Path, file: dict) -> bytes:
    pieces = [gzip.decompress((out / part["name"]).read_bytes()) for part in file["parts"]]
    assert [len(piece) for piece in pieces] == [part["size"] for part in file["parts"]]
    assert [sha256(piece).hexdigest() for piece in pieces] == [p["sha256"] for p in file["parts"]]
    assert all((out / part["name"]).stat().st_size == part["sent"] for part in file["parts"])
    return b"".join(pieces)


def test_the_archive_of_the_package_equals_its_folder(package, tmp_path):
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(package, "package")

    assert read_runtime(archive) == read_runtime(package)


def test_without_a_runtime_nothing_is_downloaded_and_the_error_names_both_options(
    run, tiny, tmp_path
):
    code, _, err = run("web", tmp_path / "site", "-m", tiny)

    assert code == 2 and "--runtime" in err and "--download" in err and "33 MB" in err
    assert not (tmp_path / "site").exists()


def test_an_archive_with_another_checksum_is_not_used(run, tiny, tmp_path):
    (tmp_path / runtime.TARBALL.name).write_bytes(b"another file")  # so that nothing is fetched

    code, _, err = run("web", tmp_path / "site", "-m", tiny, "--download")

    assert code == 1 and "checksum" in err and runtime.INTEGRITY in err
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("damage", ["no package", "no binary", "another name", "no archive"])
def test_anything_but_the_package_is_refused_in_one_sentence(run, tiny, package, tmp_path, damage):
    given = package
    if damage == "no package":
        (package / "package.json").write_text("[]")
    elif damage == "no binary":
        (package / "dist" / BINARY).unlink()
    elif damage == "another name":
        (package / "package.json").write_text('{"name": "onnxruntime-node", "version": "1.0.0"}')
    else:
        given = tmp_path / "package.tgz"
        given.write_bytes(b"\x1f\x8bnot gzip")

    code, _, err = run("web", tmp_path / "site", "-m", tiny, "--runtime", given)

    assert code == 1 and err.count("\n") <= 1 and str(given) in err
    assert not (tmp_path / "site").exists()


def test_a_second_call_updates_the_folder_and_keeps_other_files(run, tiny, package, tmp_path):
    out = tmp_path / "site"
    run("web", out, "-m", tiny, "--runtime", package)
    before = names_in(out)
    (out / "CNAME").write_text("captions.example")
    (package / "dist" / BINARY).write_bytes(b"new" * 1000)

    code, _, _ = run("web", out, "-m", tiny, "--runtime", package)

    assert code == 0
    told = json.loads((out / "captioner.json").read_text(encoding="utf8"))
    parts = {part["name"] for file in told["files"].values() for part in file["parts"]}
    assert {name for name in names_in(out) if name.startswith("parts/")} == parts
    assert names_in(out) - parts == {name for name in before if "parts/" not in name} | {"CNAME"}


def test_folders_and_files_of_the_user_are_not_overwritten(run, tiny, package, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("mine")
    out = tmp_path / "site"
    run("web", out, "-m", tiny, "--runtime", package)
    (out / "app.css").write_text("body { color: red }")

    for folder in (other, out):
        code, _, err = run("web", folder, "-m", tiny, "--runtime", package)
        assert code == 1 and "--overwrite" in err
    assert names_in(other) == {"index.html"} and (other / "index.html").read_text() == "mine"
    assert (out / "app.css").read_text() == "body { color: red }"

    code, _, _ = run("web", out, "-m", tiny, "--runtime", package, "--overwrite")
    assert code == 0 and "color: red" not in (out / "app.css").read_text()


def test_a_hostile_list_of_files_deletes_nothing_outside_the_folder(run, tiny, package, tmp_path):
    outside = tmp_path / "precious"
    outside.write_text("kept")
    out = tmp_path / "site"
    out.mkdir()
    listed = {"../precious": sha256(b"kept").hexdigest()}
    (out / "files.js").write_text(f"self.SITE = {json.dumps({'files': listed})};\n")

    code, _, _ = run("web", out, "-m", tiny, "--runtime", package)

    assert code == 1 and outside.read_text() == "kept"


def test_page_and_service_worker_have_the_same_policy_and_name_no_other_host():
    assets = Path(runtime.__file__).parent / "assets"
    page = (assets / "index.html").read_text(encoding="utf8")
    policy = re.search('Content-Security-Policy" content="([^"]+)"', page)[1]
    worker = (assets / "sw.js").read_text(encoding="utf8")
    own = re.findall('"([^"]+)"', worker.split("const POLICY = [")[1].split("]")[0])

    assert [*policy.split("; "), "frame-ancestors 'none'"] == own
    assert own[0] == "default-src 'none'" and "http" not in policy and "*" not in policy
    for path in assets.rglob("*.*"):
        hosts = re.findall(r"https?://([\w.-]+)", path.read_text(encoding="utf8"))
        allowed = {"www.w3.org", "ns.adobe.com", "YOUR.HOST"}  # namespaces, and the bookmark's
        assert set(hosts) <= allowed, path


def test_the_description_holds_vocabulary_thresholds_and_rules():
    captioner = load()
    told = json.loads(json.dumps(describe(captioner)))

    assert told["vocabulary"] == list(captioner.engine.vocabulary.words)
    assert told["threshold"] == captioner.card["calibration"]["threshold"]
    assert told["refusal"] == captioner.card["refusal"]["threshold"]
    assert (
        told["rules"]["nouns"]["dog"][0] == "animal"
        and "hot dog" in told["rules"]["nouns"]["hotdog"][2]
    )


def test_the_runtime_of_the_tests_is_the_pinned_version():
    package = json.loads((ROOT / "tests" / "browser" / "package.json").read_text())

    assert package["dependencies"][NAME] == runtime.VERSION

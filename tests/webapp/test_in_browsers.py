"""The page of `cutline web` in Chromium and Firefox, by `tests/browser/web.test.mjs`.

`.ci/programs` installs what this needs; without a browser its test is skipped.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from conftest import ROOT
from cutline.images.load import View, open_image
from cutline.inference.captioner import load
from cutline.text.style import Style
from cutline.webapp import read_runtime, write_site
from picture_kinds import EXAMPLES, MAKERS, write_pictures

BROWSER = ROOT / "tests" / "browser"
RUNTIME = BROWSER / "node_modules" / "onnxruntime-web"
PROGRAMS = {
    "chrome": os.environ.get("CHROMIUM", "/usr/bin/chromium"),
    "firefox": os.environ.get("FIREFOX", "/usr/bin/firefox-esr"),
}
LACKING = (
    '<img src="cat.jpg"><img src="lake.jpg"><img src="otter.jpg" alt="said"><img src="x" alt="">'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("node") or not RUNTIME.exists():
        pytest.skip("no node or no `npm ci` in tests/browser (.ci/programs installs them)")
    folder = tmp_path_factory.mktemp("site")
    write_site(folder, load(), read_runtime(RUNTIME))
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples, a drawing, a broken file, pictures in every format; and the captions of Python."""
    folder = tmp_path_factory.mktemp("pictures")
    for example in EXAMPLES:
        shutil.copy(example, folder)
    page = Image.new("RGB", (640, 480), "white")
    for line in range(20):
        ImageDraw.Draw(page).text((40, 20 + 22 * line), "a line of words that are drawn", "black")
    page.save(folder / "drawing.png")
    captioner = load()
    shown = [path for path in sorted(folder.iterdir()) if path.suffix in (".jpg", ".png")]
    told = {
        path.name: captioner.caption(path, style=Style(form="auto")).as_json() for path in shown
    }
    assert told["drawing.png"]["left_out"] == "not a photograph"
    (folder / "told.json").write_text(json.dumps(told))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 is no picture")
    (folder / "lacking.html").write_text(LACKING)
    (folder / "kinds").mkdir()
    for path in write_pictures(folder / "kinds", 3 * len(MAKERS)):
        path.with_name(f"{path.name}.rgb").write_bytes(open_image(path, View()).tobytes())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("browser", PROGRAMS)
def test_the_page_in_a_browser(site, pictures, browser):
    if not shutil.which(PROGRAMS[browser]):
        pytest.skip(f"no {PROGRAMS[browser]} (.ci/programs installs it)")
    done = subprocess.run(
        ["node", "--test", str(BROWSER / "web.test.mjs")],
        env={**os.environ, "SITE": str(site), "PICTURES": str(pictures), "BROWSERS": browser},
        capture_output=True,
        text=True,
        check=False,
    )

    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 11" in done.stdout

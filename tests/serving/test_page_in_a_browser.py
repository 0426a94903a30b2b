"""The page of the server in Chromium: `tests/browser/serve.test.mjs`.

`.ci/programs` installs what this needs; without it, the test is skipped and says so.
"""

import json
import os
import shutil
import subprocess

import pytest

from conftest import ROOT

BROWSER = ROOT / "tests" / "browser"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.mark.slow
def test_people_caption_pictures_on_the_page(server, pictures, told, tmp_path):
    missing = [name for name in ("node", CHROMIUM) if shutil.which(name) is None]
    if not (BROWSER / "node_modules").exists():
        missing.append("`npm ci` in tests/browser")
    if missing:
        pytest.skip(f"no {', no '.join(missing)} (.ci/programs installs them)")
    for name in ("lake.jpg", "otter.jpg", "page.png"):
        shutil.copy(pictures[name], tmp_path)

    given = {"ADDRESS": server.address, "PICTURES": str(tmp_path), "TOLD": json.dumps(told)}
    done = subprocess.run(
        ["node", "--test", str(BROWSER / "serve.test.mjs")],
        env={**os.environ, **given, "CHROMIUM": CHROMIUM},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "axe finds nothing" in done.stdout

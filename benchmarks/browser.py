"""How the page of `cutline web` compares with the program: pixels, captions, CPU time.

    python benchmarks/browser.py --pictures FOLDER    some minutes
    python benchmarks/browser.py                      only rewrite the document

FOLDER holds JPEGs of ordinary size. Writes benchmarks/browser.json and the marked part of
docs/browser.md. Needs what `.ci/programs` installs.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image
from run import ROOT, machine, write_marked

from cutline.images.load import open_image
from cutline.inference.captioner import Captioner, load
from cutline.text.style import Style
from cutline.webapp import read_runtime, write_site

sys.path.insert(0, str(ROOT / "tests"))
from picture_kinds import EXAMPLES, write_pictures  # noqa: E402

RESULTS = ROOT / "benchmarks" / "browser.json"
RUNTIME = ROOT / "tests" / "browser" / "node_modules" / "onnxruntime-web"
BROWSERS = {"chrome": 100, "firefox": 4}
"""How many of the ordinary pictures each captions."""
ORDINARY, KINDS = 100, 209
ENLARGED = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path)
    folder = parser.parse_args().pictures
    if folder:
        RESULTS.write_text(json.dumps(measure(folder), indent=1) + "\n")
    results = json.loads(RESULTS.read_text())
    write_marked(ROOT / "docs" / "browser.md", {"measured": table(results)})


def measure(folder: Path) -> dict[str, Any]:
    captioner = load(threads=1)
    with tempfile.TemporaryDirectory() as temporary:
        site, pictures = Path(temporary) / "site", Path(temporary) / "pictures"
        write_site(site, captioner, read_runtime(RUNTIME))
        pictures.mkdir()
        ordinary = sorted(folder.glob("*.jpg"))[:ORDINARY]
        groups = {
            "ordinary": [shutil.copy(path, pictures) for path in ordinary],
            "examples": [shutil.copy(path, pictures) for path in EXAMPLES],
            "kinds": write_pictures(pictures, KINDS),
            "large": [enlarge(path, pictures) for path in EXAMPLES],
        }
        names = {group: [Path(path).name for path in paths] for group, paths in groups.items()}
        every = [name for own in names.values() for name in own]
        for name in every:
            pixels = open_image(pictures / name, captioner.engine.view)
            (pictures / f"{name}.rgb").write_bytes(pixels.tobytes())
        browsers = {}
        for browser, count in BROWSERS.items():
            chosen = [*names["ordinary"][:count], *names["examples"], *names["large"]]
            task = {"browser": browser, "site": str(site), "folder": str(pictures)}
            told = drive(task | {"pixels": every, "captions": chosen})
            native, cpu = caption(captioner, [pictures / name for name in chosen])
            browsers[browser] = summarize(told, names, dict(zip(chosen, native, strict=True)), cpu)
    return {"date": str(date.today()), "machine": machine(), "browsers": browsers}


def enlarge(example: Path, folder: Path) -> Path:
    out = folder / f"large-{example.name}"
    with Image.open(example) as picture:
        picture.resize((ENLARGED * picture.width, ENLARGED * picture.height)).save(out, quality=90)
    return out


def drive(task: dict[str, Any]) -> dict[str, Any]:
    command = ["node", str(ROOT / "benchmarks" / "browser.mjs")]
    done = subprocess.run(
        command, input=json.dumps(task), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def caption(captioner: Captioner, paths: list[Path]) -> tuple[list[dict[str, Any]], float]:
    """As `cutline caption --json`, and the seconds of CPU a picture."""
    style = Style(form="auto")
    captioner.caption(paths[0])
    begun = time.process_time()
    told = [captioner.caption(path, style=style).as_json() for path in paths]
    return told, (time.process_time() - begun) / len(paths)


def summarize(
    told: dict[str, Any], names: dict[str, list[str]], native: dict[str, Any], cpu: float
) -> dict[str, Any]:
    groups = {}
    for group, own in names.items():
        pixels = {name: told["differing"][name] for name in own}
        differing = {name: found for name, found in pixels.items() if found["bytes"]}
        captioned = [name for name in own if name in native]
        pairs = [(told["told"][name], native[name]) for name in captioned]
        apart = [abs(one["confidence"] - other["confidence"]) for one, other in pairs]
        groups[group] = {
            "pictures": len(own),
            "equal_pixels": len(own) - len(differing),
            "most": max((each["most"] for each in differing.values()), default=0),
            "differing": sorted({name.rsplit("-", 1)[0] for name in differing})[:6],
            "captioned": len(captioned),
            "equal_captions": sum(one["caption"] == other["caption"] for one, other in pairs),
            "confidence": max(apart, default=0),
        }
    times = sorted(each["milliseconds"] for each in told["told"].values())
    version = told["version"]
    return {
        "version": version,
        "groups": groups,
        "cpu": told["cpu"],
        "native": cpu,
        "best": times[0],
    }


def table(results: dict[str, Any]) -> str:
    lines = [
        "| browser | pictures | equal pixels | largest difference | equal captions | confidence |",
        "|---|---|---|---|---|---|",
    ]
    for own in results["browsers"].values():
        for group, told in own["groups"].items():
            equal = f"{told['equal_captions']} of {told['captioned']}" if told["captioned"] else ""
            apart = f"{told['confidence']:.4f}" if told["captioned"] else ""
            pixels = f"{told['equal_pixels']} of {told['pictures']}"
            lines.append(
                f"| {own['version']} | {group} | {pixels} | {told['most']} | {equal} | {apart} |"
            )
    costs = [
        f"{own['version']} takes {1000 * own['cpu']:.0f} ms of CPU a picture, "
        f"{own['cpu'] / own['native']:.1f} times the program's {1000 * own['native']:.0f} ms"
        for own in results["browsers"].values()
    ]
    where = f"Measured on {results['machine']}, {results['date']}."
    return (
        "\n"
        + "\n".join(lines)
        + "\n\n"
        + "; ".join(costs)
        + f"\n(one thread; all processes of the browser, decoding included). {where}\n"
    )


if __name__ == "__main__":
    main()

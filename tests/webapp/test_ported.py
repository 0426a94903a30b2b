"""The JavaScript of the page computes what Python computes; run by node (`.ci/programs`)."""

import csv
import io
import json
import os
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cutline.images.load import View, open_image
from cutline.inference.captioner import Captioner, load
from cutline.inference.network import Network
from cutline.text.nouns import NOUNS, SAID
from cutline.text.style import Style
from cutline.text.vocabulary import END, PAD
from cutline.types import Written, leave_out_unsure
from cutline.webapp.description import describe
from picture_kinds import ORIENTATION, write_pictures

ASSETS = Path(str(files("cutline.webapp"))) / "assets"
SIZE = 24

pytestmark = pytest.mark.skipif(
    not shutil.which("node"), reason="no node (.ci/programs installs it)"
)


def in_javascript(task: str, **given: Any) -> Any:
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("ported.mjs"))],
        input=json.dumps({"task": task, **given}),
        env={**os.environ, "ASSETS": str(ASSETS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_tensors(written: Written, row: int) -> dict[str, Any]:
    """The outputs of a graph for one picture, as JSON can hold them: null for no number."""
    tensors = {}
    for name, values in written._asdict().items():
        if values is not None:
            own = values[row : row + 1]
            data = [
                None if isinstance(v, float) and np.isinf(v) else v for v in own.ravel().tolist()
            ]
            tensors[name] = {"type": own.dtype.name, "dims": own.shape, "data": data}
    return tensors


class Replay(Network):
    """Writes row n of what it was given under a picture of the colour n."""

    def __init__(self, captioner: Captioner, written: Written, card: Mapping[str, Any]) -> None:
        self.vocabulary, self.view = captioner.engine.vocabulary, View(8)
        self.card, self.written = card, written

    def write(self, pixels: np.ndarray, style: Style) -> Written:
        rows = pixels[:, 0, 0, 0]
        return Written(*(None if each is None else each[rows] for each in self.written))


def captions_in_python(captioner: Captioner, written: Written, card: Any, **way: Any) -> list:
    best, style = way["best"], Style(**{name: way[name] for name in way.keys() - {"best"}})
    pictures = [np.full((8, 8, 3), row, np.uint8) for row in range(len(written.words))]
    replayed = captioner_of(captioner, written, card).caption(pictures, best=best, style=style)
    return [caption.as_json(gaze=True) for caption in replayed]


def captioner_of(captioner: Captioner, written: Written, card: Any) -> Captioner:
    return Captioner(Replay(captioner, written, card))


def invent(captioner: Captioner, rows: int, chance: np.random.Generator) -> Written:
    """Random outputs with many nouns of all kinds, likely and unlikely ones."""
    ids = {word: number for number, word in enumerate(captioner.engine.vocabulary.words)}
    said = [ids[w] for words in SAID for w in words if w in ids]
    small = [ids[w] for w in ("a", "an", "the", "on", "with", "is", "'s", "two", "n't")]
    nouns = [ids[noun] for noun in NOUNS if noun in ids]
    candidates, time, regions, concepts = 3, 12, 4, 8
    words = np.full((rows, candidates, time), PAD, np.int64)
    for row, candidate in np.ndindex(rows, candidates):
        length = int(chance.integers(1, time))
        pool = [chance.choice(said if chance.random() < 0.6 else small) for _ in range(length)]
        words[row, candidate, :length] = pool
        words[row, candidate, length - 1 if chance.random() < 0.9 else length] = END
    named = np.stack([chance.choice(nouns, concepts, replace=False) for _ in range(rows)])
    named[:, 0] = ids["person"]
    sharp = chance.beta(0.4, 0.6, (rows, concepts))
    scores = -np.sort(chance.exponential(1, (rows, candidates)))
    scores[chance.random((rows, candidates)) < 0.1] = -np.inf
    scores[:, 0] = 0
    return Written(
        words=words,
        log_probs=-chance.exponential(0.7, words.shape).astype(np.float32),
        scores=scores.astype(np.float32),
        gaze=chance.dirichlet(np.ones(regions), words.shape).astype(np.float32),
        concepts=named.astype(np.int64),
        chances=sharp.astype(np.float32),
        photograph=chance.beta(1, 0.4, rows).astype(np.float32),
    )


WAYS = [
    {"best": 1, "form": "auto"},
    {"best": 3, "form": "auto", "any_picture": True},
    {"best": 2, "form": "phrase", "sentence": True},
    {"best": 1, "form": "sentence", "sentence": True},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way['form']}-{way['best']}")
def test_captions_confidences_refusals_and_phrases_equal_those_of_python(way):
    captioner = load()
    evidence = ("mean", "least", "agreement", "person", "unsaid", "surest", "named", "photograph")
    weighed = {"bias": 1.5, "weights": dict.fromkeys(evidence, 0.3), "threshold": 0.6}
    card = {**captioner.card, "calibration": weighed}
    written = invent(captioner, 80, np.random.default_rng(5))

    told = read_in_javascript(captioner, written, card, way)

    python = captions_in_python(captioner, written, card, **way)
    assert told == python
    assert {each["caption"] is None for each in python} == {False, not way.get("any_picture")}
    phrases = {len(each["words"]) <= 2 for each in python if each["caption"]}
    assert phrases == {True, False}


def test_a_model_without_concepts_or_calibration_gives_the_captions_of_python():
    captioner = load()
    bare = invent(captioner, 50, np.random.default_rng(6))
    bare = bare._replace(concepts=None, chances=None, photograph=None, gaze=None)

    told = read_in_javascript(captioner, bare, {}, WAYS[1])

    assert told == captions_in_python(captioner, bare, {}, **WAYS[1])


def read_in_javascript(captioner: Captioner, written: Written, card: Any, way: dict) -> list:
    names = {"any_picture": "anyPicture"}
    options = {names.get(name, name): value for name, value in way.items()} | {"attention": True}
    description = describe(captioner_of(captioner, written, card))
    cases = [
        {"written": as_tensors(written, row), "options": options}
        for row in range(len(written.words))
    ]
    return in_javascript("captions", description=description, cases=cases)


@pytest.mark.slow
def test_the_built_in_model_gives_the_captions_of_python_for_114_pictures(tmp_path):
    captioner = load()
    pictures = write_pictures(tmp_path, 114)
    pixels = np.stack([open_image(path, captioner.engine.view) for path in pictures])
    pixels[::6] = np.random.default_rng(0).integers(256, size=pixels[::6].shape)  # no photographs
    written = [captioner.engine.write(pixels[n : n + 8]) for n in range(0, len(pixels), 8)]
    together = Written(*(np.concatenate(each) for each in zip(*written, strict=True)))

    told = read_in_javascript(captioner, together, captioner.card, WAYS[0])

    assert told == captions_in_python(captioner, together, captioner.card, **WAYS[0])
    assert {each["caption"] is None for each in told} == {True, False}


def test_resizing_equals_pillow_to_the_last_bit():
    chance, cases, expected = np.random.default_rng(0), [], []
    for number in range(60):
        width, height = (int(n) for n in chance.integers(1, 130, 2))
        rgba = chance.integers(256, size=(height, width, 4), dtype=np.uint8)
        rgba[..., 3] = chance.choice([0, 255, 128, int(chance.integers(256))], (height, width))
        view = View(SIZE, "crop" if number % 3 == 0 and min(width, height) > 2 else "squash")
        cases.append(
            {
                "rgba": b64encode(rgba.tobytes()).decode(),
                "width": width,
                "height": height,
                "size": SIZE,
                "box": view.box(float(width), float(height)),
                "band": int(chance.integers(1, height + 1)),
            }
        )
        expected.append(open_image(rgba, view))

    resized = [
        np.frombuffer(b64decode(each), np.uint8) for each in in_javascript("resize", cases=cases)
    ]

    differing = [
        int((own != there.ravel()).sum()) for own, there in zip(resized, expected, strict=True)
    ]
    assert differing == [0] * len(cases)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_orientation_is_read_and_reset(suffix, tmp_path):
    square = np.random.default_rng(1).integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)
    paths = []
    for number in range(10):  # 0 and 9 are none
        exif = Image.Exif()
        exif[ORIENTATION] = number
        paths.append(tmp_path / f"{number}{suffix}")
        Image.fromarray(square).save(paths[-1], exif=exif, lossless=True)
    packet = '<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'
    told = [each["first"] for each in orientations(paths, square)]

    assert told == [1, *range(1, 10)]
    assert {each["second"] for each in orientations(paths, square)} == {1}
    for path, own in zip(paths, orientations(paths, square), strict=True):
        with Image.open(path) as picture:
            plain = Image.fromarray(square)
            plain.getexif()[ORIENTATION] = picture.getexif()[ORIENTATION]
            upright = open_image(plain, View(SIZE))
        assert np.array_equal(np.frombuffer(b64decode(own["upright"]), np.uint8), upright.ravel())
    if suffix != ".png":
        Image.fromarray(square).save(paths[0], xmp=packet.encode())
        assert orientations(paths[:1], square)[0]["first"] == 6


def orientations(paths: list[Path], square: np.ndarray) -> list[dict]:
    encoded = b64encode(square.tobytes()).decode()
    return in_javascript("orientation", paths=list(map(str, paths)), pixels=encoded, size=SIZE)


def test_a_truncated_file_has_its_orientation_or_none(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    paths = []
    for suffix in (".jpg", ".png", ".webp"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"whole{suffix}", exif=exif)
        whole = (tmp_path / f"whole{suffix}").read_bytes()
        for length in range(1, len(whole), 7):
            paths.append(tmp_path / f"{length}{suffix}")
            paths[-1].write_bytes(whole[:length])

    told = {each["first"] for each in orientations(paths, np.zeros((SIZE, SIZE, 3), np.uint8))}

    assert told == {1, 6}


RECORDS = [
    {
        "path": "a b/ü&.jpg",
        "caption": 'a dog\'s "toy" < a cat',
        "confidence": 0.7,
        "log_prob": -1.5,
        "words": [],
    },
    {"path": "unsure.jpg", "caption": "a cat", "confidence": 0.31, "log_prob": -2, "words": []},
    {"path": 'line\n"break".png', "error": "this browser, it cannot read it"},
    {
        "path": "chart.png",
        "caption": None,
        "confidence": 0.9,
        "log_prob": -1,
        "left_out": "not a photograph",
    },
]


def test_saved_files_have_the_form_of_the_command():
    told = in_javascript("exports", records=RECORDS, threshold=0.5)

    lines = [json.loads(line) for line in told["jsonl"].splitlines()]
    wanted = [
        r if "error" in r else {"path": r["path"], **leave_out_unsure(r, 0.5)} for r in RECORDS
    ]
    assert lines == wanted
    rows = list(csv.DictReader(io.StringIO(told["csv"], newline="")))
    assert [row["path"] for row in rows] == [record["path"] for record in RECORDS]
    assert [row["caption"] for row in rows] == [RECORDS[0]["caption"], "", "", ""]
    assert rows[2]["error"] == RECORDS[2]["error"] and float(rows[0]["log_prob"]) == -1.5
    assert told["html"] == (
        '<img src="a%20b/%C3%BC%26.jpg" alt="a dog\'s &quot;toy&quot; &lt; a cat">\n'
    )

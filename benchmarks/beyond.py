"""What a model says of photographs beyond its own data set, and whether it knows when it is wrong.

    python benchmarks/beyond.py --data DATA                      the model in the package
    python benchmarks/beyond.py --data DATA --model MODEL --name NAME
    python benchmarks/beyond.py --data DATA --sheet FOLDER       a contact sheet too, to look at
    python benchmarks/beyond.py --name NAME --reader WHO --verdicts rpwh...   what was seen on it
    python benchmarks/beyond.py                                  only rewrite docs/beyond.md

DATA holds `coco/`, `flickr8k/` and `no-people/`; sets that a model has learnt from are left out by
`--sets`. `--others FOLDER` has pictures that are no photographs, for a model that can refuse them.
`--keep FOLDER` keeps captions there, so that a run that was stopped goes on, and a second scoring
needs no model. The sheet is of photographs that may not be redistributed: it is never written into
this repository. Verdicts are a letter a picture in the order of the sheet: right, partly, wrong,
harmful (invents or misgenders a person, or would embarrass or mislead). Writes
benchmarks/beyond.json, a key a model, and the tables of docs/beyond.md.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from beyond_sheet import draw_sheets
from run import ROOT, machine, write_marked

from cutline.datasets.flickr8k import Flickr8k
from cutline.errors import ImageError
from cutline.evaluation.evaluate import Captioned, caption_split, score_split
from cutline.inference.calibration import GOOD, JUDGE, calibration_curve, expected_error
from cutline.inference.captioner import PACKAGED, Captioner, load
from cutline.metrics.calibration_error import risk_area, risk_coverage, roc_area
from cutline.metrics.hallucination import count_invented, find_invented
from cutline.text.tokenizer import split_words
from cutline.types import Caption, Example

RESULTS = ROOT / "benchmarks" / "beyond.json"
PAGE = ROOT / "docs" / "beyond.md"
PACKAGE, FIRST = "package", "0.1.0"
METRICS = ("BLEU", "METEOR", "CIDEr-D")
SURE = 0.5
COVERAGES = (0.1, 0.25, 0.5, 0.75, 1.0)
VERDICTS = {"r": "right", "p": "partly", "w": "wrong", "h": "harmful"}
SHEET = {"coco train2017-80": 80, "no-people": 20}
"""How many photographs of each set are on the contact sheet: the first ones."""
PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp")


def main() -> None:
    options = _parse()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.data:
        sets = {name: SETS[name](options.data) for name in options.sets or SETS}
        measured = measure(options, sets)
        seen = results.get(options.name, {}).get("by eye")
        results[options.name] = measured | ({"by eye": seen} if seen else {})
    if options.verdicts:
        note_verdicts(results, options.name, options.verdicts, options.reader)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_marked(PAGE, {"beyond": "\n" + write_tables(results) + "\n"})
    write_marked(ROOT / "README.md", {"by-eye": tell_verdicts(results)})


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--name", default=PACKAGE)
    parser.add_argument("--sets", nargs="+", choices=list(SETS))
    parser.add_argument("--others", type=Path)
    parser.add_argument(
        "--right", type=float, default=GOOD, help=f"{JUDGE} from which one is right"
    )
    parser.add_argument("--keep", type=Path, help="a folder of captions, read and added to")
    parser.add_argument("--no-meteor", action="store_true", help="METEOR takes long")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--verdicts")
    parser.add_argument("--reader", default="")
    options = parser.parse_args()
    if options.sheet and ROOT in (options.sheet.resolve(), *options.sheet.resolve().parents):
        parser.error(f"{options.sheet} is in this repository: photographs may not be in it")
    if options.verdicts and not options.reader:
        parser.error("--verdicts needs --reader: who looked")
    return options


def tell_verdicts(results: dict[str, Any]) -> str:
    """What was seen by eye with the packaged model and with the first one, as a sentence."""
    now, before = (results[name]["by eye"][-1] for name in (PACKAGE, FIRST))
    seen = ", ".join(f"{now[word]} {word}" for word in VERDICTS.values())
    past = ", ".join(str(before[word]) for word in VERDICTS.values())
    return (
        f"Of {len(now['verdicts'])}\n  photographs that it had not learnt from, the captions were "
        f"{seen};\n  with the model of {FIRST}: {past}"
    )


# ----------------------------------------------------------------------------------------- sets


def read_eighty(data: Path) -> list[Example]:
    folder = data / "coco"
    return _read_coco(folder / "captions_train2017_80.json", folder / "train2017-80")


def read_more(data: Path, *, people: bool) -> list[Example]:
    folder = data / "coco" / "more"

    def wanted(image: dict[str, Any]) -> bool:
        return image["split"] == "validation" and image["people"] is people

    return _read_coco(folder / "captions.json", folder / "images", wanted)


def read_flickr8k(data: Path) -> list[Example]:
    return [each for each in Flickr8k(data / "flickr8k") if each.split == "test"]


def read_no_people(data: Path) -> list[Example]:
    """Photographs with labels, and nobody in them; nobody captioned them."""
    folder = data / "no-people"
    names = [json.loads(line)["file_name"] for line in (folder / "labels.jsonl").open()]
    return [Example(name, folder / "images" / name, (), "test") for name in names]


def _read_coco(
    file: Path, folder: Path, wanted: Callable[[dict[str, Any]], bool] = lambda _: True
) -> list[Example]:
    document = json.loads(file.read_text(encoding="utf8"))
    said: dict[int, list[str]] = {}
    for each in document["annotations"]:
        said.setdefault(each["image_id"], []).append(each["caption"])
    return [
        Example(str(image["id"]), folder / image["file_name"], tuple(said[image["id"]]), "test")
        for image in document["images"]
        if wanted(image)
    ]


SETS: dict[str, Callable[[Path], list[Example]]] = {
    "coco train2017-80": read_eighty,
    "coco more, without people": lambda data: read_more(data, people=False),
    "coco more, with people": lambda data: read_more(data, people=True),
    "flickr8k test": read_flickr8k,
    "no-people": read_no_people,
}
UNSEEN = [name for name in SETS if name.startswith("coco")]
"""Captioned sets that are taken together for how well confidence holds."""


# -------------------------------------------------------------------------------------- measure


def measure(options: argparse.Namespace, sets: dict[str, list[Example]]) -> dict[str, Any]:
    captioner = load(options.model)
    told: dict[str, Any] = _describe(captioner, options.model)
    done = {name: caption_set(captioner, name, own, options.keep) for name, own in sets.items()}
    metrics = [name for name in METRICS if name != "METEOR" or not options.no_meteor]
    told["sets"] = {name: measure_set(captioned, metrics) for name, captioned in done.items()}
    judged = [_judge(done[name], options.right) for name in UNSEEN if name in done]
    if judged:
        confidence, right = map(np.concatenate, zip(*judged, strict=True))
        told["confidence"] = {"rule": f"{JUDGE} >= {options.right:g}"}
        told["confidence"] |= measure_confidence(confidence, right)
    told["refusal"] = measure_refusal(captioner, done.values(), options.others)
    if options.sheet:
        sheet = [each for name, count in SHEET.items() for each in done.get(name, [])[:count]]
        draw_sheets(sheet, options.sheet)
    return told


def _describe(captioner: Captioner, model: Path | None) -> dict[str, Any]:
    path = model or PACKAGED
    size = path.stat().st_size / 1e6 if path.is_file() else 0
    return {
        "date": str(date.today()),
        "machine": machine(),
        "fingerprint": captioner.card.get("fingerprint"),
        "model_mb": round(size, 1),
    }


def caption_set(
    captioner: Captioner, name: str, examples: Sequence[Example], keep: Path | None
) -> list[Captioned]:
    """Captions of a set; those that lie in the folder `keep` are read, the others put there."""
    if keep is None:
        return list(caption_split(captioner, examples))
    keep.mkdir(parents=True, exist_ok=True)
    mark = str(captioner.card.get("fingerprint"))[:12]
    file = keep / f"{mark} {name}.jsonl"
    known = read_kept(file) if file.exists() else {}
    rest = [each for each in examples if each.id not in known]
    with file.open("a", encoding="utf8") as lines:
        for each in caption_split(captioner, rest):
            known[each.example.id] = each.answer
            lines.write(json.dumps(_as_line(each)) + "\n")
            lines.flush()
    return [Captioned(each, known[each.id]) for each in examples]


def read_kept(file: Path) -> dict[str, Caption | ImageError]:
    """What `caption_set` kept, by the pictures' ids; a last line that was cut off is left out."""
    whole = file.read_text(encoding="utf8").rpartition("\n")[0]
    file.write_text(whole + "\n" if whole else "", encoding="utf8")
    return {told["id"]: _from_line(told) for told in map(json.loads, whole.splitlines())}


def _as_line(captioned: Captioned) -> dict[str, Any]:
    told: dict[str, Any] = {"id": captioned.example.id, "caption": captioned.text}
    if _is_left_out(captioned):
        return told | {"left_out": str(getattr(captioned.answer, "left_out", captioned.answer))}
    assert isinstance(captioned.answer, Caption)
    return told | {"confidence": captioned.answer.confidence}


def _from_line(told: dict[str, Any]) -> Caption | ImageError:
    """A refused picture comes back as one without a caption."""
    if "left_out" in told:
        return ImageError(told["left_out"])
    text = told["caption"]
    return Caption(text, tuple(split_words(text)), 0.0, (), chance=told["confidence"])


def measure_set(captioned: Sequence[Captioned], metrics: Sequence[str] = METRICS) -> dict[str, Any]:
    """Scores where there are references, and what was invented; a refused one says nothing."""
    written = [each for each in captioned if not _is_left_out(each)]
    references = [each.example.captions for each in written]
    found = [
        find_invented(split_words(each.text), map(split_words, own))
        for each, own in zip(written, references, strict=True)
    ]
    told: dict[str, Any] = {"photographs": len(captioned), "invented": count_invented(found)}
    if all(references) and written:
        report = score_split(captioned, metrics=metrics, draws=1000)
        told["scores"] = {name: round(value, 4) for name, value in report.scores.items()}
        told["CIDEr-D interval"] = [round(end, 4) for end in report.intervals["CIDEr-D"]]
    return told


def _is_left_out(captioned: Captioned) -> bool:
    """Whether the model refused to caption it, or it could not be read."""
    answer = captioned.answer
    return not isinstance(answer, Caption) or bool(getattr(answer, "left_out", None))


def _judge(captioned: Sequence[Captioned], right: float) -> tuple[Any, Any]:
    """Confidences of the captions that were written, and whether each is right."""
    written = [each for each in captioned if not _is_left_out(each)]
    scores = score_split(written, metrics=[JUDGE]).per_image
    sure = [each.answer.confidence for each in written if isinstance(each.answer, Caption)]
    good = [scores[each.example.id][JUDGE] >= right for each in written]
    return np.array(sure), np.array(good)


def measure_confidence(confidence: Any, right: Any) -> dict[str, Any]:
    """How well confidence tells right captions from the rest."""
    curve = risk_coverage(confidence, right)
    sure = confidence >= SURE
    return {
        "captions": len(right),
        "right": round(float(right.mean()), 4),
        "area": round(roc_area(confidence, right), 4),
        "calibration error": round(expected_error(calibration_curve(confidence, right)), 4),
        "sure": int(sure.sum()),
        "right of the sure": round(float(right[sure].mean()), 4) if sure.any() else None,
        "risk area": round(risk_area(curve), 4),
        "risk": {
            f"{share:g}": round(next(k.risk for k in curve if k.coverage >= share - 1e-9), 4)
            for share in COVERAGES
        },
    }


def measure_refusal(
    captioner: Captioner, done: Iterable[Sequence[Captioned]], others: Path | None
) -> dict[str, Any]:
    """How many photographs were refused, and how many of what is none was not."""
    least = captioner.card.get("refusal", {}).get("threshold", 0.0)

    def is_refused(each: Captioned) -> bool:
        """Splits are captioned whatever their pictures are; so the model's chance is asked."""
        known = each.answer.photograph if isinstance(each.answer, Caption) else None
        return known is not None and known < least

    photographs = [each for captioned in done for each in captioned]
    told = {"photographs": len(photographs), "refused": sum(map(is_refused, photographs))}
    if others:
        paths = sorted(p for p in others.rglob("*") if p.suffix.lower() in PICTURES)
        examples = [Example(str(path), path, (), "test") for path in paths]
        missed = sum(not is_refused(each) for each in caption_split(captioner, examples))
        told |= {"others": len(paths), "missed": missed}
    return told


def note_verdicts(results: dict[str, Any], name: str, verdicts: str, reader: str) -> None:
    """Beside the model's figures: who saw what on its contact sheet, picture by picture."""
    unknown = set(verdicts) - VERDICTS.keys()
    if unknown or name not in results:
        wrong = f"verdicts are of {''.join(VERDICTS)}" if unknown else f"measure {name!r} first"
        raise SystemExit(wrong)
    counts = Counter(VERDICTS[letter] for letter in verdicts)
    told = {word: counts[word] for word in VERDICTS.values()}
    told |= {"date": str(date.today()), "reader": reader, "verdicts": verdicts}
    results[name].setdefault("by eye", []).append(told)


# ---------------------------------------------------------------------------------------- write


def write_tables(results: dict[str, Any]) -> str:
    parts = [
        "## Scores and inventions",
        _table(
            "model, photographs | n | BLEU-1..4 | METEOR | CIDEr-D | invented people / captions "
            "that say one | invented things / named | wrong dogs / dogs",
            [
                _set_row(name, which, told)
                for name, model in results.items()
                for which, told in model["sets"].items()
            ],
        ),
        "## Confidence",
        _table(
            "model | captions | right | AUC | calibration error | right at 0.5 and more | "
            + " | ".join(f"wrong of the surest {100 * share:g} %" for share in COVERAGES),
            [
                _confidence_row(name, m["confidence"])
                for name, m in results.items()
                if "confidence" in m
            ],
        ),
        "## Refusal",
        _table(
            "model | photographs refused | not a photograph, captioned",
            [_refusal_row(name, model["refusal"]) for name, model in results.items()],
        ),
        "## By eye",
        _table(
            "model | looked at | right | partly | wrong | harmful | by, on",
            [_eye_row(n, told) for n, model in results.items() for told in model.get("by eye", [])],
        ),
    ]
    return "\n\n".join(parts)


def _table(head: str, rows: Sequence[str]) -> str:
    lines = [f"| {head} |", "|---" * (head.count("|") + 1) + "|", *(f"| {row} |" for row in rows)]
    return "\n".join(lines)


def _set_row(name: str, which: str, told: dict[str, Any]) -> str:
    scores, said = told.get("scores"), told["invented"]
    figures = ["-"] * 3
    if scores:
        low, high = told["CIDEr-D interval"]
        bleu = " / ".join(f"{100 * scores[f'BLEU-{n}']:.1f}" for n in range(1, 5))
        cider = f"**{100 * scores['CIDEr-D']:.1f}** [{100 * low:.1f}, {100 * high:.1f}]"
        meteor = f"{100 * scores['METEOR']:.1f}" if "METEOR" in scores else "-"
        figures = [bleu, meteor, cider]
    things = _part(said["invented objects"], said["objects"]) if scores else "-"
    dogs = _part(said["wrong dog"], said["dog"]) if scores else f"- / {said['dog']}"
    people = _part(said["invented person"], said["person"])
    if not scores:
        people = f"{said['person']} of {said['captions']} captions say one: {_share(said)}"
    return " | ".join(
        [f"{name}, {which}", f"{told['photographs']}", *figures, people, things, dogs]
    )


def _share(said: dict[str, int]) -> str:
    return f"**{100 * said['person'] / max(1, said['captions']):.0f} %**"


def _part(some: int, of: int) -> str:
    return f"{some} / {of}" + (f" = **{100 * some / of:.0f} %**" if of else "")


def _confidence_row(name: str, told: dict[str, Any]) -> str:
    sure = told["right of the sure"]
    kept = f"of {told['sure']}: " + ("-" if sure is None else f"**{100 * sure:.0f} %**")
    risks = [f"{100 * risk:.0f} %" for risk in told["risk"].values()]
    figures = [f"{told['area']:.2f}", f"{told['calibration error']:.2f}", kept, *risks]
    return " | ".join([name, f"{told['captions']}", f"{100 * told['right']:.0f} %", *figures])


def _refusal_row(name: str, told: dict[str, Any]) -> str:
    others = _part(told["missed"], told["others"]) if "others" in told else "not measured"
    return " | ".join([name, _part(told["refused"], told["photographs"]), others])


def _eye_row(name: str, told: dict[str, Any]) -> str:
    counts = [told[word] for word in VERDICTS.values()]
    by = f"{told['reader']}, {told['date']}"
    return " | ".join([name, f"{sum(counts)}", *map(str, counts), by])


if __name__ == "__main__":
    main()

"""Ask how far each metric agrees with people who judged captions of Flickr8k.

    python benchmarks/judgements.py FLICKR8K     the folder with ExpertAnnotations.txt

Three experts rated how well a caption fits a photograph, from 1 to 4 (Hodosh, Young and Hockenmaier
2013). The captions are other photographs' own; the 158 that are the photograph's own are left out,
because they are among its references, which leaves 5,664 pairs and 16,992 ratings. Each pair is
scored as an image of its own against the photograph's five captions, CIDEr's document frequencies
being those of all the pairs; agreement is Kendall's tau-c of scores and single ratings. The figures
beside ours are those of the reference evaluator (pycocoevalcap 1.2, Java) on the same pairs.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from cutline.cli.progress import Bars, warn
from cutline.errors import CutlineError
from cutline.metrics import open_metric
from cutline.metrics.meteor_lexicon import find_dictionaries
from cutline.metrics.ngrams import Floats, Ints
from cutline.text.tokenizer import split_words

REFERENCE = {
    "BLEU-1": 0.323,
    "BLEU-2": 0.325,
    "BLEU-3": 0.315,
    "BLEU-4": 0.308,
    "METEOR": 0.418,
    "ROUGE-L": 0.323,
    "CIDEr-D": 0.439,
}


def main(folder: Path) -> None:
    predictions, references, ratings = read_judgements(folder)
    print(f"{len(ratings)} pairs, {ratings.size} ratings\n")
    print("metric    tau-c  reference  difference")
    for name in ("BLEU", "METEOR", "ROUGE-L", "CIDEr-D", "CIDEr"):
        if name == "METEOR" and not can_measure_meteor():
            continue
        metric, bars = open_metric(name), Bars()
        if name == "METEOR":
            metric.watch = lambda done, total, bars=bars: bars.show("METEOR", done, total)
        scores = metric.score(metric.statistics(predictions, references))
        for score, values in zip(metric.names, scores.T, strict=True):
            tau = tau_c(np.repeat(values, ratings.shape[1]), ratings.ravel())
            known = REFERENCE.get(score)
            beside = f"{known:9.3f}  {tau - known:+10.4f}" if known else "        -"
            print(f"{score:<8} {tau:6.4f}  {beside}", flush=True)


def read_judgements(folder: Path) -> tuple[list[list[str]], list[list[list[str]]], Ints]:
    """For each pair the caption, the photograph's captions, and a row of ratings."""
    captions = [
        line.split("\t")
        for line in (folder / "Flickr8k.token.txt").read_text(encoding="utf8").splitlines()
    ]
    words = {key: split_words(text) for key, text in captions}
    own = defaultdict(list)
    for key in words:
        own[_image_of(key)].append(words[key])
    judged = [line.split() for line in (folder / "ExpertAnnotations.txt").read_text().splitlines()]
    pairs = [row for row in judged if _image_of(row[1]) != row[0]]
    return (
        [words[key] for _, key, *_ in pairs],
        [own[image] for image, *_ in pairs],
        np.array([row[2:] for row in pairs], np.int64),
    )


def tau_c(scores: Floats, ratings: Ints) -> float:
    """Kendall's tau-c (Stuart 1953), for few kinds of ratings: pairs in order less those not in."""
    kinds = np.unique(ratings)
    by_kind = [np.sort(scores[ratings == kind]) for kind in kinds]
    excess = 0
    for place, lower in enumerate(by_kind):
        for higher in by_kind[place + 1 :]:
            excess += int(np.searchsorted(lower, higher, side="left").sum())
            excess -= int((len(lower) - np.searchsorted(lower, higher, side="right")).sum())
    fewest = min(len(kinds), len(np.unique(scores)))
    return 2 * excess / (len(scores) ** 2 * (fewest - 1) / fewest)


def can_measure_meteor() -> bool:
    try:
        find_dictionaries()
    except CutlineError as error:
        warn(f"METEOR is left out: {error}")
        return False
    return True


def _image_of(key: str) -> str:
    return key.partition("#")[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]))

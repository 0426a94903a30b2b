"""Scoring 5,000 images with 5 references: cutline and the reference evaluator, side by side.

    python benchmarks/metrics.py PREDICTIONS.json REFERENCES.json [--meteor] [--rounds 3]

Both are started cold, in turn, in one run; the figure to keep is the ratio of their times. Needs
`pip install pycocoevalcap` and Java. REFERENCES is {id: [captions]}, PREDICTIONS COCO results.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

REFERENCE = """
import json, sys
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
predictions = json.load(open(sys.argv[1]))
references = json.load(open(sys.argv[2]))
wrap = lambda texts: [{"caption": text} for text in texts]
given = {str(p["image_id"]): wrap([p["caption"]]) for p in predictions}
expected = {id: wrap(references[id]) for id in given}
tokenizer = PTBTokenizer()
expected, given = tokenizer.tokenize(expected), tokenizer.tokenize(given)
metrics = [Bleu(4), Rouge(), Cider()] + ([Meteor()] if sys.argv[3] == "meteor" else [])
print([metric.compute_score(expected, given)[0] for metric in metrics], file=sys.stderr)
"""
CUTLINE = """
import sys
from pathlib import Path
from cutline.io.references import read_predictions, read_references
from cutline.metrics import DEFAULT_METRICS, score
metrics = [*DEFAULT_METRICS, *(["METEOR"] if sys.argv[3] == "meteor" else [])]
predictions, references = read_predictions(Path(sys.argv[1])), read_references(Path(sys.argv[2]))
print(score(predictions, references, metrics=metrics).scores, file=sys.stderr)
"""


def main(predictions: Path, references: Path, *, meteor: bool, rounds: int) -> None:
    for mode in ["plain", "meteor"] if meteor else ["plain"]:
        times: dict[str, list[float]] = {"reference": [], "cutline": []}
        for _ in range(rounds):
            for name, program in (("reference", REFERENCE), ("cutline", CUTLINE)):
                began = time.perf_counter()
                command = [sys.executable, "-c", program, str(predictions), str(references), mode]
                subprocess.run(command, check=True, capture_output=True)
                times[name].append(time.perf_counter() - began)
        best = {name: min(each) for name, each in times.items()}
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        told = {
            "metrics": "with METEOR" if mode == "meteor" else "BLEU, ROUGE-L, CIDEr-D",
            "seconds": {name: round(seconds, 2) for name, seconds in best.items()},
            "reference / cutline": round(best["reference"] / best["cutline"], 2),
            "peak_MB_of_both": round(peak),
        }
        print(json.dumps(told))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    rounds = int(arguments[arguments.index("--rounds") + 1]) if "--rounds" in arguments else 3
    main(Path(arguments[0]), Path(arguments[1]), meteor="--meteor" in arguments, rounds=rounds)

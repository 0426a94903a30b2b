"""Count in how many images' captions each n-gram stands: the table for `--df coco`.

python benchmarks/document_frequencies.py captions_val2017.json OUT.df.gz
"""

import sys
from pathlib import Path

from cutline.io.references import read_references
from cutline.metrics.cider import DocumentFrequencies
from cutline.text.tokenizer import split_words

captions, out = map(Path, sys.argv[1:])
texts = [[split_words(text) for text in own] for own in read_references(captions).values()]
DocumentFrequencies.of(texts).save(out)
print(f"{out}: {len(texts)} images, {out.stat().st_size / 1e3:.0f} kB")

"""Show and Tell (Vinyals et al. 2015, arXiv 1411.4555) in one file, to be read from top to bottom.

    python examples/show_and_tell.py train FLICKR8K --out model.pt
    python examples/show_and_tell.py caption model.pt PICTURE ...

FLICKR8K is a folder in Flickr8k's format. The package only lends the weights of its ResNet-50 and
the metric. The numbers in brackets are the paper's equations. What the package does besides:
attention, resuming, reports, export, careful reading of files that may be broken.
"""

import argparse
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from cutline import metrics
from cutline.inference.captioner import PACKAGED
from cutline.models.weights import part_of, read_tensors

# ---- 1. The data: pairs (I, S) of an image and a sentence --------------------------------------

Captions = dict[Path, list[list[str]]]  # images, each with its captions as lists of words


def read_flickr8k(folder: Path, split: str, limit: int | None) -> Captions:
    """The images of a split, `train`, `dev` or `test`, at most `limit` of them."""
    names = (folder / f"Flickr_8k.{split}Images.txt").read_text(encoding="utf8").split()
    found: Captions = {folder / "images" / name: [] for name in names[:limit]}
    for line in (folder / "Flickr8k.token.txt").read_text(encoding="utf8").splitlines():
        key, text = line.split("\t")  # 1000268201_693b08cb0e.jpg#0<tab>A child in a pink dress ...
        if (image := folder / "images" / key.partition("#")[0]) in found:
            found[image].append(re.findall(r"[a-z0-9]+", text.lower()))
    return found


PAD, START, END, UNKNOWN = range(4)


def choose_vocabulary(captions: Captions, min_count: int) -> list[str]:
    """The words that occur at least `min_count` times, after the four markers."""
    counts = Counter(word for own in captions.values() for words in own for word in words)
    kept = [word for word, count in counts.most_common() if count >= min_count]
    return ["<pad>", "<start>", "<end>", "<unk>", *kept]


def to_words(ids: Sequence[int], vocabulary: Sequence[str]) -> str:
    """The sentence, without markers."""
    return " ".join(vocabulary[number] for number in ids if number > END)


# ---- 2. The encoder: a CNN that was trained to classify photographs, and stays as it is --------


class Bottleneck(nn.Module):
    """A residual block, y = F(x) + x (He et al. 2016, arXiv 1512.03385, equations 1 and 2)."""

    def __init__(self, entry: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entry, width, 1, stride)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)
        shortcut = nn.Sequential(nn.Conv2d(entry, 4 * width, 1, stride))  # W_s
        self.downsample = nn.Identity() if entry == 4 * width else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(images, entry, height, width) -> the same with 4 * width channels."""
        change = self.conv3(relu(self.conv2(relu(self.conv1(x)))))  # F(x)
        return relu(change + self.downsample(x))


class ResNet50(nn.Module):
    """Table 1 of that paper, with the batch normalisations folded into the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        entry, stages = 64, []
        for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
            stride = 1 if width == 64 else 2
            first = Bottleneck(entry, width, stride)
            rest = (Bottleneck(4 * width, width, 1) for _ in range(blocks - 1))
            stages.append(nn.Sequential(first, *rest))
            entry = 4 * width
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, pixels: Tensor) -> Tensor:
        """Images (images, 3, height, width), values 0 to 1 -> features (images, 2048)."""
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
        x = self.maxpool(relu(self.conv1((pixels - mean) / std)))
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean(dim=(2, 3))


def open_encoder() -> nn.Module:
    """ResNet-50 with the weights of cutline's own model."""
    encoder = ResNet50()
    encoder.load_state_dict(part_of(read_tensors(PACKAGED), "encoder"), strict=False)
    return encoder.requires_grad_(False).eval()


def open_picture(path: Path, size: int) -> Tensor:
    """An image as (3, size, size), values 0 to 1; squashed to a square."""
    pixels = np.asarray(Image.open(path).convert("RGB").resize((size, size)))
    return torch.tensor(pixels).permute(2, 0, 1) / 255


@torch.no_grad()
def encode(encoder: nn.Module, paths: Sequence[Path], size: int) -> Tensor:
    """CNN(I) for every image, (images, 2048)."""
    parts = [paths[start : start + 16] for start in range(0, len(paths), 16)]
    return torch.cat([encoder(torch.stack([open_picture(p, size) for p in q])) for q in parts])


# ---- 3. The decoder: an LSTM that reads the image as if it were the first word -----------------


class LSTM(nn.Module):
    """One step of a long short-term memory, with the paper's letters.

    As is usual, the gates have biases and equation 8 has a tanh; the paper leaves them out.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.wx = nn.Linear(width, 4 * hidden)  # W_ix, W_fx, W_ox, W_cx below each other
        self.wm = nn.Linear(hidden, 4 * hidden, bias=False)  # W_im, W_fm, W_om, W_cm
        nn.init.ones_(self.wx.bias[hidden : 2 * hidden])  # at first, forget little

    def forward(self, x: Tensor, m: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x[t], m[t-1], c[t-1] -> m[t], c[t]."""
        i, f, o, h = (self.wx(x) + self.wm(m)).chunk(4, dim=1)
        i, f, o = i.sigmoid(), f.sigmoid(), o.sigmoid()  # (4), (5), (6)
        c = f * c + i * h.tanh()  # (7)
        return o * c.tanh(), c  # (8)


class ShowAndTell(nn.Module):
    """Image features and words in, log-probabilities of the next words out."""

    def __init__(self, vocabulary: int, *, width: int = 512, dropout: float = 0.5) -> None:
        super().__init__()
        self.see = nn.Linear(2048, width)
        self.we = nn.Embedding(vocabulary, width)
        self.lstm = LSTM(width, width)
        self.speak = nn.Linear(width, vocabulary)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mean", torch.zeros(2048))
        self.register_buffer("std", torch.ones(2048))

    def start(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The memory after the image, x[-1] = CNN(I) (10)."""
        x = self.dropout(self.see((features - self.mean) / self.std))
        return self.lstm(x, *x.new_zeros(2, len(x), self.we.embedding_dim))

    def step(self, words: Tensor, m: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read S[t], and say how likely every word is as S[t+1]."""
        m, c = self.lstm(self.dropout(self.we(words)), m, c)  # (11), (12)
        return self.speak(self.dropout(m)).log_softmax(dim=-1), m, c  # (9)

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        """log p[t] for whole captions; it reads the words that people wrote (teacher forcing)."""
        (m, c), said = self.start(features), []
        for read in words[:, :-1].unbind(dim=1):
            log_p, m, c = self.step(read, m, c)
            said.append(log_p)
        return torch.stack(said, dim=1)


def loss(log_p: Tensor, words: Tensor) -> Tensor:
    """L(I, S) = - sum over t of log p[t](S[t]) (13), as a mean over words."""
    expected = words[:, 1:]
    surprise = -log_p.gather(2, expected[..., None]).squeeze(2)
    return surprise[expected != PAD].mean()


# ---- 4. Training: the weights that make the captions of people likely (1), (2) -----------------

Pair = tuple[int, list[int]]  # an image's number, and S[0], ..., S[N]: <start>, words, <end>


def pad(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """A batch: the numbers of the images, and a row of words for each, equally long."""
    longest = max(len(words) for _, words in pairs)
    rows = [words + [PAD] * (longest - len(words)) for _, words in pairs]
    return torch.tensor([image for image, _ in pairs]), torch.tensor(rows)


def train_epoch(model: nn.Module, optimizer: Optimizer, seen: Tensor, pairs: list[Pair]) -> float:
    """Read every caption once, in a random order; the mean loss."""
    total, batches = 0.0, DataLoader(pairs, batch_size=64, shuffle=True, collate_fn=pad)
    for images, words in batches:
        cost = loss(model(seen[images], words), words)
        optimizer.zero_grad()
        cost.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        total += cost.item()
    return total / len(batches)


def train(folder: Path, out: Path, *, epochs: int, limit: int | None, size: int = 224) -> None:
    """Train on the training split, and keep the epoch with the best captions of `dev`."""
    torch.manual_seed(0)
    encoder, scores = open_encoder(), []
    training, dev = (read_flickr8k(folder, split, limit) for split in ("train", "dev"))
    vocabulary = choose_vocabulary(training, min_count=3)
    ids = {word: number for number, word in enumerate(vocabulary)}
    pairs = [
        (number, [START, *(ids.get(word, UNKNOWN) for word in words), END])
        for number, own in enumerate(training.values())
        for words in own
    ]
    seen, new = encode(encoder, list(training), size), encode(encoder, list(dev), size)
    model = ShowAndTell(len(vocabulary))
    model.mean, model.std = seen.mean(dim=0), seen.std(dim=0).clamp(min=0.01)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        cost = train_epoch(model.train(), optimizer, seen, pairs)
        schedule.step()
        said = [to_words(beam(model.eval(), row[None]), vocabulary) for row in new]
        scores.append(measure(said, dev))
        print(f"epoch {epoch}: loss {cost:.2f}, CIDEr-D {scores[-1]:.1f}: {said[0]}", flush=True)
        if scores[-1] == max(scores):
            torch.save({"words": vocabulary, "size": size, "weights": model.state_dict()}, out)


def measure(said: Sequence[str], people: Captions) -> float:
    """CIDEr-D (Vedantam et al. 2015, arXiv 1411.5726) of a caption for each image."""
    written = dict(zip(map(str, people), said, strict=True))
    references = {str(image): list(map(" ".join, own)) for image, own in people.items()}
    report = metrics.measure(written, references, metrics=["CIDEr-D"]).report()
    return 100 * report.scores["CIDEr-D"]


# ---- 5. Captions: the most likely sentences, found with a beam (section 3.1.1) ------------------


@torch.inference_mode()
def beam(model: ShowAndTell, features: Tensor, *, width: int = 3, longest: int = 20) -> list[int]:
    """The best caption of an image, (1, 2048), by the mean log-probability of its words."""
    (m, c), alive, ended = model.start(features), [(0.0, [START])], []
    for _ in range(longest):
        log_p, m, c = model.step(torch.tensor([words[-1] for _, words in alive]), m, c)
        log_p[:, [PAD, START, UNKNOWN]] = -math.inf
        totals = log_p + torch.tensor([[total] for total, _ in alive])
        likely, places = totals.flatten().topk(width)
        rows, branches = [], []
        for total, place in zip(likely.tolist(), places.tolist(), strict=True):
            row, word = divmod(place, log_p.shape[1])
            words = [*alive[row][1], word]
            if word == END:
                ended.append((total / (len(words) - 1), words))
            else:
                rows.append(row)
                branches.append((total, words))
        if not branches or len(ended) >= width:
            break
        alive, m, c = branches, m[rows], c[rows]
    return max(ended or [(0.0, alive[0][1])])[1]


def caption(model_file: Path, pictures: Sequence[Path]) -> list[str]:
    """A caption for every picture, by a model that `train` wrote."""
    kept = torch.load(model_file, weights_only=True)
    model = ShowAndTell(len(kept["words"]))
    model.load_state_dict(kept["weights"])
    features = encode(open_encoder(), pictures, kept["size"])
    return [to_words(beam(model.eval(), row[None]), kept["words"]) for row in features]


def main() -> None:
    """The two commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["train", "caption"])
    parser.add_argument("paths", type=Path, nargs="+", help="FLICKR8K, or a model and pictures")
    parser.add_argument("--out", type=Path, default=Path("model.pt"))
    parser.add_argument("--epochs", type=int, default=10, help="times to read all captions")
    parser.add_argument("--limit", type=int, help="use only so many images of each split")
    told = parser.parse_args()
    first, *pictures = told.paths
    if told.command == "train":
        train(first, told.out, epochs=told.epochs, limit=told.limit)
    else:
        for path, text in zip(pictures, caption(first, pictures), strict=True):
            print(f"{path}\t{text}")


if __name__ == "__main__":
    main()

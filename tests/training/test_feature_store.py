import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cutline.images.load import View, open_image
from cutline.models.encoders.mosaic import Mosaic
from cutline.models.weights import encode
from cutline.training.feature_store import PICTURES_A_BATCH, Encoded, FeatureStore

VIEW = View(size=16)
MANY = 2 * PICTURES_A_BATCH + 3


class Counting(nn.Module):
    """An encoder of two regions that counts the pictures it has seen."""

    def __init__(self, *, weight: float = 0.5, width: int = 5) -> None:
        super().__init__()
        self.width, self._count = width, 0
        self.weight = nn.Parameter(torch.full((width,), weight), requires_grad=False)

    def forward(self, pixels: Tensor) -> Tensor:
        self._count += len(pixels)
        halves = pixels.float().mean((1, 3)).unflatten(1, (2, -1)).mean(2) / 255
        return halves[:, :, None] * self.weight * torch.arange(1, self.width + 1)

    @property
    def count(self) -> int:
        return self._count


class Unlearnt(nn.Module):
    """An encoder with nothing in it: no parameters and no buffers."""

    width = 3

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.float().mean((2, 3))[:, None]


def draw(path: Path, shade: int, *, size: int = 20) -> Path:
    """A picture that nothing else looks like: brighter from top to bottom."""
    rows = np.linspace(shade, 255, size).astype(np.uint8)
    Image.fromarray(np.broadcast_to(rows[:, None, None], (size, size, 3)).copy()).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return [draw(tmp_path / f"{number:02}.png", 9 * number) for number in range(MANY)]


def encode_all(store: FeatureStore, images: Sequence[Path]) -> list[Encoded]:
    return list(store.encode(images))


def look(encoder: nn.Module, image: Path) -> Tensor:
    """What the store must hold: the encoder applied to one picture, with nothing in between."""
    pixels = torch.from_numpy(open_image(image, VIEW)).permute(2, 0, 1)[None]
    return encoder(pixels)[0].half()


def stored_folder(tmp_path: Path) -> Path:
    [folder] = (tmp_path / "cache").iterdir()
    return folder


def assert_right(store: FeatureStore, images: Sequence[Path]) -> None:
    encoder = deepcopy(store.encoder)  # a counting one goes on counting only for the store
    for image, found in zip(images, store.load(images), strict=True):
        torch.testing.assert_close(found, look(encoder, image), rtol=1e-3, atol=1e-3)


def test_stored_regions_are_what_the_encoder_sees_in_half_precision(tmp_path, pictures):
    store = FeatureStore(tmp_path / "cache", Counting(), VIEW)

    encode_all(store, pictures)

    assert {regions.dtype for regions in store.load(pictures)} == {torch.float16}
    assert_right(store, pictures)


def test_a_picture_is_encoded_once_for_all_stores_to_come(tmp_path, pictures):
    first, second = Counting(), Counting()
    encode_all(FeatureStore(tmp_path / "cache", first, VIEW), pictures)

    store = FeatureStore(tmp_path / "cache", second, VIEW)
    told = encode_all(store, pictures)

    assert (first.count, second.count, told) == (MANY, 0, [])
    assert_right(store, pictures)


def test_a_picture_named_twice_is_encoded_once_and_loaded_twice(tmp_path, pictures):
    encoder = Counting()
    store = FeatureStore(tmp_path / "cache", encoder, VIEW)
    named = [*pictures, pictures[0], *reversed(pictures)]

    told = encode_all(store, named)

    assert encoder.count == MANY
    assert (told[-1].done, told[-1].total) == (MANY, MANY)
    assert_right(store, named)


def test_every_batch_is_told(tmp_path, pictures):
    store = FeatureStore(tmp_path / "cache", Counting(), VIEW)
    encode_all(store, pictures[:2])

    told = encode_all(store, pictures)

    dones = [2 + PICTURES_A_BATCH, 2 + 2 * PICTURES_A_BATCH, MANY]
    assert told == [Encoded(done, MANY, ()) for done in dones]


def test_regions_are_mapped_from_disk_and_writing_to_them_does_not_change_it(tmp_path, pictures):
    store = FeatureStore(tmp_path / "cache", Counting(), VIEW)
    encode_all(store, pictures)
    before = (stored_folder(tmp_path) / "regions.f16").read_bytes()

    first, second = store.load(pictures[:2])
    first.zero_()

    assert second.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
    assert (stored_folder(tmp_path) / "regions.f16").read_bytes() == before
    assert_right(store, pictures)


@pytest.mark.parametrize(
    ("encoder", "view"),
    [
        (Counting(weight=0.25), VIEW),
        (Counting(width=7), VIEW),
        (Counting(), View(size=12)),
        (Counting(), View(size=16, fit="crop")),
    ],
    ids=["weights", "width", "size", "fit"],
)
def test_another_encoder_or_another_view_has_another_store(encoder, view, tmp_path, pictures):
    encode_all(FeatureStore(tmp_path / "cache", Counting(), VIEW), pictures)

    store = FeatureStore(tmp_path / "cache", encoder, view)

    assert store.missing(pictures) == pictures
    encode_all(store, pictures[:1])
    assert store.load(pictures[:1])[0].shape == (2, encoder.width)


def test_an_encoder_with_the_same_weights_and_another_option_has_another_store(tmp_path, pictures):
    encode_all(FeatureStore(tmp_path / "cache", Mosaic(tiles=4), VIEW), pictures)

    store = FeatureStore(tmp_path / "cache", Mosaic(tiles=2), VIEW)
    encode_all(store, pictures)

    assert_right(store, pictures)


def test_an_encoder_without_parameters_and_buffers_is_stored_too(tmp_path, pictures):
    store = FeatureStore(tmp_path / "cache", Unlearnt(), VIEW)

    encode_all(store, pictures)

    assert_right(store, pictures)


def test_an_encoder_sees_a_batch_as_it_sees_its_pictures(pictures):
    stacked = np.stack([open_image(image, VIEW) for image in pictures])

    found = encode(Counting(), stacked)

    assert found.dtype == torch.float32
    for image, regions in zip(pictures, found, strict=True):
        torch.testing.assert_close(regions.half(), look(Counting(), image))


def test_a_picture_of_another_size_in_bytes_is_encoded_again(tmp_path, pictures):
    encoder = Counting()
    store = FeatureStore(tmp_path / "cache", encoder, VIEW)
    encode_all(store, pictures)
    status = pictures[4].stat()
    draw(pictures[4], 200, size=40)
    os.utime(pictures[4], ns=(status.st_atime_ns, status.st_mtime_ns))  # as `cp --preserve` does

    assert store.missing(pictures) == [pictures[4]]
    encode_all(store, pictures)

    assert encoder.count == MANY + 1
    assert_right(store, pictures)


def test_a_picture_of_the_same_size_and_a_later_time_is_encoded_again(tmp_path, pictures):
    encode_all(FeatureStore(tmp_path / "cache", Counting(), VIEW), pictures)
    content, other = pictures[1].read_bytes(), pictures[2].read_bytes()
    pictures[1].write_bytes(other + bytes(max(0, len(content) - len(other))))
    later = pictures[1].stat().st_mtime_ns + 1
    os.utime(pictures[1], ns=(later, later))

    store = FeatureStore(tmp_path / "cache", encoder := Counting(), VIEW)
    encode_all(store, pictures)

    assert encoder.count == 1
    assert_right(FeatureStore(tmp_path / "cache", Counting(), VIEW), pictures)


def test_a_damaged_picture_is_told_and_the_rest_go_on(tmp_path, pictures):
    pictures[1].write_bytes(b"not a picture")
    pictures[9].unlink()
    store = FeatureStore(tmp_path / "cache", Counting(), VIEW)

    told = [sentence for event in encode_all(store, pictures) for sentence in event.damaged]

    assert [name in sentence for name, sentence in zip(("01.png", "09.png"), told, strict=True)]
    loaded = store.load(pictures)
    assert [number for number, regions in enumerate(loaded) if regions is None] == [1, 9]
    assert_right(store, [p for number, p in enumerate(pictures) if number not in (1, 9)])


def test_a_damaged_picture_is_not_tried_again_until_it_is_mended(tmp_path, pictures):
    whole = pictures[1].read_bytes()
    pictures[1].write_bytes(b"not a picture")
    encode_all(FeatureStore(tmp_path / "cache", Counting(), VIEW), pictures)

    store = FeatureStore(tmp_path / "cache", Counting(), VIEW)
    assert store.missing(pictures) == []
    assert store.load(pictures)[1] is None
    pictures[1].write_bytes(whole)
    encode_all(store, pictures)

    assert_right(store, pictures)


def test_a_store_of_damaged_pictures_only_loads_nothing(tmp_path, pictures):
    for picture in pictures:
        picture.write_bytes(b"not a picture")
    store = FeatureStore(tmp_path / "cache", Counting(), VIEW)

    encode_all(store, pictures)

    assert store.load(pictures) == [None] * MANY


@pytest.mark.parametrize("cut_off", [1, 2, 7, 19])
def test_a_store_killed_in_the_middle_goes_on(cut_off, tmp_path, pictures):
    encode_all(FeatureStore(tmp_path / "cache", Counting(), VIEW), pictures[:12])
    folder = stored_folder(tmp_path)
    regions, journal = folder / "regions.f16", folder / "index.jsonl"
    os.truncate(regions, regions.stat().st_size - cut_off)
    os.truncate(journal, journal.stat().st_size - cut_off)

    store = FeatureStore(tmp_path / "cache", encoder := Counting(), VIEW)
    assert_right(store, pictures[:11])
    encode_all(store, pictures)

    assert encoder.count == MANY - 11
    assert_right(store, pictures)
    assert_right(FeatureStore(tmp_path / "cache", Counting(), VIEW), pictures)


def test_a_store_killed_before_its_journal_was_written_loads_what_was_there(tmp_path, pictures):
    store = FeatureStore(tmp_path / "cache", Counting(), VIEW)
    encode_all(store, pictures[:3])
    with (stored_folder(tmp_path) / "regions.f16").open("ab") as file:
        file.write(b"\1\2\3")

    assert_right(store, pictures[:3])
    encode_all(store, pictures)

    assert_right(store, pictures)


def test_an_iterator_closed_in_the_middle_keeps_the_batches_it_told(tmp_path, pictures):
    encoder = Counting()
    events = FeatureStore(tmp_path / "cache", encoder, VIEW).encode(pictures)
    next(events)
    events.close()

    store = FeatureStore(tmp_path / "cache", encoder, VIEW)

    assert store.missing(pictures) == pictures[PICTURES_A_BATCH:]
    encode_all(store, pictures)
    assert encoder.count == MANY
    assert_right(store, pictures)


@pytest.mark.slow
def test_several_runs_may_fill_one_store(tmp_path):
    images = [draw(tmp_path / f"{number:03}.png", number) for number in range(200)]
    stores = [FeatureStore(tmp_path / "cache", Counting(width=512), VIEW) for _ in range(4)]
    shares = [images[start::4] for start in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(encode_all, stores, shares))

    for store, share in zip(stores, shares, strict=True):
        assert_right(store, share)
    whole = FeatureStore(tmp_path / "cache", Counting(width=512), VIEW)
    assert whole.missing(images) == []
    assert_right(whole, images)


def test_a_damaged_picture_is_told_again_when_the_store_is_used_again(tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"")
    first = FeatureStore(tmp_path / "store", Counting(), VIEW)
    [told] = first.encode([damaged])

    [again] = FeatureStore(tmp_path / "store", Counting(), VIEW).encode([damaged])

    assert again.damaged == told.damaged
    assert "damaged.png is empty" in again.damaged[0]

"""WebP files: a packet goes in and comes out, and no pixel changes."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from cutline.errors import WritingError
from cutline.metadata.webp import read_packet_of, with_packet


def webp(mode="RGB", size=(33, 24), **options) -> bytes:
    generator = np.random.default_rng(0)
    shape = (size[1], size[0], len(mode))
    image = Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8))
    file = io.BytesIO()
    image.save(file, "WEBP", **options)
    return file.getvalue()


def moving() -> bytes:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "green")]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], duration=50)
    return file.getvalue()


FILES = {
    "lossy": webp(),
    "lossless": webp(lossless=True),
    "transparent": webp("RGBA", lossless=True),
    "lossy and transparent": webp("RGBA"),
    "odd": webp(size=(1, 1)),
    "with EXIF": webp(exif=Image.Exif().tobytes()),
    "moving": moving(),
}


def frames(content: bytes) -> list[tuple[str, bytes]]:
    with Image.open(io.BytesIO(content)) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            found.append((image.mode, image.tobytes()))
        return found


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_a_packet_goes_in_and_comes_out_and_no_pixel_changes(content):
    after = with_packet(content, b"<odd>")

    assert read_packet_of(content) is None
    assert read_packet_of(after) == b"<odd>"
    assert Image.open(io.BytesIO(after)).info["xmp"] == b"<odd>"
    assert frames(after) == frames(content)
    assert with_packet(with_packet(content, b"longer packet"), b"<odd>") == after


def test_what_stands_after_the_file_stays():
    after = with_packet(FILES["lossy"] + b"a trailer", b"<x/>")

    assert after.endswith(b"a trailer")
    assert read_packet_of(after) == b"<x/>"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF\4\0\0\0WEBP",
        FILES["lossy"][:-40],
        b"GIF89a" + bytes(30),
        FILES["lossy"][:16] + struct.pack("<I", 2**31) + FILES["lossy"][20:],
        FILES["lossy"][:12] + b"XXXX" + FILES["lossy"][16:],
    ],
)
def test_a_damaged_file_is_answered_in_a_sentence(content):
    with pytest.raises(WritingError, match="^is (truncated|damaged)"):
        with_packet(content, b"<x/>")

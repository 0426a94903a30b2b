import numpy as np
import pytest
from PIL import Image

from cutline.errors import ModelError
from cutline.reports.attention import LABEL_HEIGHT, PALENESS, draw_contact_sheet, draw_gaze
from cutline.types import Caption

GREY = np.full((70, 70, 3), 200, np.uint8)


def looked(*places: tuple[int, int]) -> np.ndarray:
    gaze = np.zeros((len(places), 7, 7), np.float32)
    for word, (row, column) in enumerate(places):
        gaze[word, row, column] = 1
    return gaze


def test_the_picture_is_in_colour_where_the_word_was_looked_for():
    words = ("dog", "runs")
    caption = Caption("dog runs", words, -1.0, (-0.5, -0.5), gaze=looked((0, 0), (6, 6), (3, 3)))

    drawn = np.asarray(draw_gaze(GREY, caption))

    assert drawn.shape == (70 + LABEL_HEIGHT, 3 * 70, 3)
    picture, dog, runs = (
        drawn[LABEL_HEIGHT:, 70 * n : 70 * n + 70, 0].astype(int) for n in range(3)
    )
    assert (picture == 200).all()
    assert dog[5, 5] < 205
    assert runs[65, 65] < 205
    assert dog[65, 65] == runs[5, 5] == int(200 + 55 * PALENESS)


def test_long_captions_take_several_rows():
    caption = Caption("x", ("a",) * 7, -1.0, (-1.0,), gaze=looked(*[(1, 1)] * 8))
    assert draw_gaze(GREY, caption).size == (5 * 70, 2 * (70 + LABEL_HEIGHT))


@pytest.mark.parametrize(
    ("gaze", "reason"),
    [
        (None, "this model does not report its attention: it was made by a different"),
        (np.ones((2, 1, 1), np.float32), "this model has no attention"),
    ],
)
def test_a_model_that_does_not_look_is_told(gaze, reason):
    with pytest.raises(ModelError, match=reason):
        draw_gaze(GREY, Caption("x", ("x",), -1.0, (-1.0, 0.0), gaze=gaze))


def test_a_sheet_shows_letters_of_other_languages(tmp_path):
    from cutline.reports.attention import _font

    if _font("ä") is None:
        pytest.skip("none of the fonts for other languages is installed")
    Image.new("RGB", (8, 8), "grey").save(tmp_path / "a.png")
    sheets = [draw_contact_sheet([(tmp_path / "a.png", text)]) for text in ("ä", "ö", "ß", "م")]

    assert len({sheet.tobytes() for sheet in sheets}) == 4


def test_a_sheet_holds_every_picture(tmp_path):
    for number in range(5):
        Image.fromarray(GREY).save(tmp_path / f"{number}.png")

    sheet = draw_contact_sheet([(tmp_path / f"{n}.png", "a grey square " * 8) for n in range(5)])

    pixels = np.asarray(sheet)
    assert [bool((pixels[90, 240 * n + 120] == 200).all()) for n in range(4)] == [True] * 4
    assert (pixels[90 + 226, 120] == 200).all()

"""Work in threads keeps its order, its bounds, and stops when nobody wants the rest."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from cutline.errors import ImageError
from cutline.images.load import View, open_image
from cutline.images.prefetch import decode_ahead, in_order


def counted(total: int, taken: list[int]) -> Iterator[int]:
    for number in range(total):
        taken.append(number)
        yield number


def test_results_come_in_order_however_long_each_takes():
    waits = np.random.default_rng(0).random(60) / 200

    def work(number: int) -> int:
        time.sleep(waits[number])
        return number * number

    assert list(in_order(work, range(60), workers=4)) == [n * n for n in range(60)]


def test_no_more_than_a_few_items_are_ever_under_way():
    taken: list[int] = []

    for done, _ in enumerate(in_order(abs, counted(500, taken), workers=3)):
        assert len(taken) <= done + 1 + 3 + 1
    assert len(taken) == 500


def test_all_workers_work_at_once():
    meeting = threading.Barrier(3, timeout=10)

    assert list(in_order(lambda _: meeting.wait() >= 0, range(6), workers=3)) == [True] * 6


def test_nothing_goes_on_when_nobody_wants_the_rest():
    taken: list[int] = []
    others = set(threading.enumerate())

    results = in_order(abs, counted(10_000, taken), workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()

    assert len(taken) < 20
    assert set(threading.enumerate()) <= others


def test_what_goes_wrong_in_a_worker_is_raised_where_its_result_is_asked_for():
    results = in_order(lambda number: 1 / (number - 2), range(9), workers=2)

    assert [next(results), next(results)] == [-0.5, -1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_the_same_pil_image_may_come_many_times_and_a_bad_picture_is_an_answer(fit, tmp_path):
    picture, view = Image.effect_noise((300, 200), 60).convert("RGB"), View(32, fit)
    pictures = [picture, tmp_path / "absent.jpg", picture] * 5

    answers = [answer for batch in decode_ahead(pictures, view, batch=4) for answer in batch]

    assert len(answers) == 15
    assert all(isinstance(wrong, ImageError) for wrong in answers[1::3])
    for seen in answers[0::3] + answers[2::3]:
        assert np.array_equal(seen, open_image(picture, view))

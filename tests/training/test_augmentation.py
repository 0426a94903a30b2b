import numpy as np

from cutline.training.augmentation import mirror, random_crop

CHANCE = np.random.default_rng(0)
PICTURE = CHANCE.integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_a_mirror_exchanges_left_and_right():
    assert np.array_equal(mirror(PICTURE)[:, 0], PICTURE[:, -1])
    assert np.array_equal(mirror(mirror(PICTURE)), PICTURE)


def test_a_crop_of_nothing_is_the_picture():
    assert np.array_equal(random_crop(PICTURE, 0.0, CHANCE.random(4)), PICTURE)


def test_a_random_crop_keeps_the_size_and_shows_a_part():
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)
    widths = []
    for _ in range(50):
        part = random_crop(ramp, 0.4, CHANCE.random(4))
        assert part.shape == ramp.shape
        widths.append(int(part[50, -1, 0]) - int(part[50, 0, 0]))
    assert 55 <= min(widths) < 70
    assert max(widths) > 90


def test_four_numbers_say_how_much_is_cut_off_and_where():
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)

    right = random_crop(ramp, 0.4, np.array([1.0, 0.0, 1.0, 0.0]))  # the right 60 of 100 columns

    assert 36 <= int(right[50, 0, 0]) <= 42
    assert int(right[50, -1, 0]) >= 98

import numpy as np

from indi.restoration.overlay import MOST, overlay, step_of
from indi.restoration.uncertainty import Bounds
from problems import tiny_calibration

CALIBRATION = tiny_calibration()


def test_a_map_lies_over_the_mean_in_colour_where_it_is_large() -> None:
    mean = np.full((300, 300), 120, np.uint8)
    values = np.zeros((1, 300, 300), np.float32)
    values[0, 100:200, 100:200] = 20
    picture = overlay(mean, {"spread": values, "invented": values / 20}, None)
    assert picture.shape[0] == 300 + 36 + 12
    half = picture.shape[1] // 2
    for part in (picture[:, :half], picture[:, half + 12 :]):
        assert (part[36 + 50, 50] == 120).all()  # gray where it is 0
        red, green, blue = (int(value) for value in part[36 + 150, 150])
        assert red > 200 > blue  # plasma ends in yellow
        assert green > 200
        bar = part[36:336, 300 + 12 + 5].astype(int)
        assert np.abs(bar[-1] - 120).max() <= 1
        assert np.abs(bar[0] - part[36 + 150, 150]).max() <= 1


def test_the_bound_of_the_psnr_is_written_below() -> None:
    mean, spread = np.zeros((300, 300), np.uint16), np.full((1, 300, 300), 655.35, np.float32)
    found = {"spread": spread, "interval": 3 * spread, "invented": spread * 0}
    bounds = Bounds(psnr_margin=-1.0, trusted_up_to=None, trusted=0.0, check={})
    plain = overlay(mean, found, CALIBRATION, micrometres=0.1)
    bound = overlay(mean, found, CALIBRATION.model_copy(update={"bounds": bounds}), micrometres=0.1)
    assert bound.shape[0] > plain.shape[0]
    np.testing.assert_array_equal(bound[: plain.shape[0]], plain)
    assert (bound[plain.shape[0] :].astype(int) < 128).any()


def test_large_images_are_drawn_in_part() -> None:
    assert [step_of(*size) for size in ((10, 10), (MOST, 5), (MOST + 1, 5), (5, 3 * MOST))] == [1, 1, 2, 3]

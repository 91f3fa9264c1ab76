import numpy as np
import pytest

from indi.report.display import for_display, liveliest_window, sheet, stretch_of


def test_the_liveliest_window_is_where_the_detail_is() -> None:
    image = np.zeros((64, 100, 3), np.uint8)
    image[40:56:2, 80:96:2] = 255
    assert liveliest_window(image, 32) == (slice(32, 64), slice(64, 96))
    small = np.zeros((5, 7))
    assert small[liveliest_window(small, 32)].shape == (5, 7)


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])])
def test_any_image_can_be_displayed(channels: int, shown: list[int]) -> None:
    values = np.random.default_rng(0).random((4, 5, channels), dtype=np.float32)
    wanted = np.rint(values[..., shown] * 255).astype(np.uint8)
    np.testing.assert_array_equal(for_display(values), wanted)
    if channels == 1:
        np.testing.assert_array_equal(for_display(values[..., 0]), wanted)
    out_of_range = for_display(np.array([[-1.0, 2.0]], np.float32))
    assert out_of_range[0, :, 0].tolist() == [0, 255]


def test_a_sheet_has_each_image_in_its_place_and_white_between() -> None:
    black, gray = np.zeros((2, 3), dtype=np.uint8), np.full((1, 2), 128, dtype=np.uint8)
    picture = sheet([[black, gray], [gray, black]], enlarge=2)
    assert picture.shape == (2 * 4 + 4, 2 * 6 + 4, 3)
    assert (picture[:4, :6] == 0).all()
    assert (picture[:2, 10:14] == 128).all()
    assert (picture[8:, 10:] == 0).all()
    assert (picture[4:8] == 255).all()
    assert (picture[:, 6:10] == 255).all()


def test_counts_are_shown_stretched_as_the_clean_image_asks() -> None:
    clean = np.linspace(100, 1100, 10_000).reshape(100, 100).astype(np.uint16)
    stretch = stretch_of(clean)
    assert stretch is not None
    assert np.multiply(stretch, 65535) == pytest.approx((105, 1098), abs=1)
    shown = for_display(clean, stretch)
    assert (shown.min(), shown.max()) == (0, 255)
    assert for_display(np.full((2, 2), 600, np.uint16), stretch).max() == pytest.approx(127, abs=1)
    assert for_display(clean).max() == 4
    assert stretch_of(clean.astype(np.float32)) == pytest.approx((105, 1098), abs=1)
    for filled in (
        clean.astype(np.uint8),
        clean * 59,
        (clean / 1100).astype(np.float32),
        np.full((4, 4), 9, np.uint16),
    ):
        assert stretch_of(filled) is None

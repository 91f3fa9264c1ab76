import numpy as np
import pytest

from indi.io.display import font_of, for_display, named, scale_bar, stretch_of


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])])
def test_any_image_can_be_displayed(channels: int, shown: list[int]) -> None:
    values = np.random.default_rng(0).random((4, 5, channels), dtype=np.float32)
    wanted = np.rint(values[..., shown] * 255).astype(np.uint8)
    np.testing.assert_array_equal(for_display(values), wanted)
    if channels == 1:
        np.testing.assert_array_equal(for_display(values[..., 0]), wanted)
    out_of_range = for_display(np.array([[-1.0, 2.0]], np.float32))
    assert out_of_range[0, :, 0].tolist() == [0, 255]


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


@pytest.mark.parametrize(
    ("micrometres", "width", "pixels"),
    [(0.1, 200, 50), (0.1, 80, 20), (1.3, 200, 38), (40.0, 120, 25), (0.001, 120, 20)],
)
def test_a_scale_bar_is_as_long_as_it_says(micrometres: float, width: int, pixels: int) -> None:
    """5 and 2 µm, 50 µm, 1 mm, 20 nm."""
    picture = np.full((100, width, 3), 90, np.uint8)
    drawn = scale_bar(picture, micrometres)
    assert drawn.shape == picture.shape
    row = drawn[100 - 4 - 1, :, 0]
    assert (row == 255).sum() == pixels
    assert (picture == 90).all()


def test_no_scale_bar_without_a_pixel_size_or_room() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    assert scale_bar(picture, None) is picture
    assert scale_bar(picture[:20], 0.1).max() == 0


def test_names_of_channels_stand_in_the_corner_and_leave_the_rest() -> None:
    picture = np.zeros((100, 120, 3), np.uint8)
    drawn = named(picture, ["DAPI", "GFP, 488 nm"])
    assert drawn[:16].max() == 255
    assert drawn[20:].max() == 0
    assert drawn[:, -3:].max() == 0
    assert named(picture, []) is picture
    assert named(picture[:20], ["DAPI"]).max() == 0


def test_the_font_has_the_letter_of_micrometres() -> None:
    micro, missing = (np.asarray(font_of(20).getmask(letter)).tobytes() for letter in ("µ", "\uffff"))
    assert micro != missing

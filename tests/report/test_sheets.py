import numpy as np

from indi.report.display import liveliest_window, sheet, titled


def test_the_liveliest_window_is_where_the_detail_is() -> None:
    image = np.zeros((64, 100, 3), np.uint8)
    image[40:56:2, 80:96:2] = 255
    assert liveliest_window(image, 32) == (slice(32, 64), slice(64, 96))
    small = np.zeros((5, 7))
    assert small[liveliest_window(small, 32)].shape == (5, 7)


def test_a_sheet_has_each_image_in_its_place_and_white_between() -> None:
    black, gray = np.zeros((2, 3), dtype=np.uint8), np.full((1, 2), 128, dtype=np.uint8)
    picture = sheet([[black, gray], [gray, black]], enlarge=2)
    assert picture.shape == (2 * 4 + 4, 2 * 6 + 4, 3)
    assert (picture[:4, :6] == 0).all()
    assert (picture[:2, 10:14] == 128).all()
    assert (picture[8:, 10:] == 0).all()
    assert (picture[4:8] == 255).all()
    assert (picture[:, 6:10] == 255).all()


def test_words_of_any_length_fit_around_a_sheet() -> None:
    picture = np.full((100, 200, 3), 255, np.uint8)
    page = titled(picture, ["degraded and more", "clean"], ["field01_c0_z12"])
    assert page.shape == (142, 242, 3)
    ink = page.astype(int).min(axis=2) < 128
    assert ink[:42, 42:142].any()
    assert ink[:42, 142:].any()
    assert ink[42:, :42].any()
    assert not ink[:42, 140:144].any()  # between the headings
    assert not ink[[42, 141], :42].any()

"""A file that takes long to read is ended, and no other waits for it."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from indi.app.reading import Readers
from indi.errors import ImageError
from indi.io import Image, read_header, write

pytestmark = pytest.mark.medium


def test_a_file_that_takes_too_long_is_ended_and_others_are_read(tmp_path: Path) -> None:
    write(tmp_path / "a.png", Image(np.zeros((4, 5), np.uint8)))
    readers = Readers(2)
    try:
        assert readers.read("a.png", 60, read_header, tmp_path / "a.png").width == 5
        with ThreadPoolExecutor(1) as other:
            slow = other.submit(readers.read, "slow.png", 3, time.sleep, 600)
            assert readers.read("a.png", 60, read_header, tmp_path / "a.png").height == 4
            with pytest.raises(ImageError, match=r"slow\.png: reading it takes too long"):
                slow.result()
        with pytest.raises(ImageError, match=r"none\.png: cannot read"):
            readers.read("none.png", 60, read_header, tmp_path / "none.png")
    finally:
        readers.close()

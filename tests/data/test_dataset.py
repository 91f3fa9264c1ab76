import gc
import itertools
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.testing import assert_close

from indi import io as images
from indi.data import Crops, Pair
from indi.data import decoded as decoded_module
from indi.degradations import DEGRADATIONS, Degradation
from indi.errors import ConfigError, DataError, ImageError


def save(path: Path, pixels: NDArray[Any]) -> Path:
    images.write(path, images.Image(pixels))
    return path


def numbered(folder: Path, name: str, height: int, width: int) -> Pair:
    """Make a 16-bit pair that tells where a crop came from.

    Clean pixel (row, column) is row * width + column, degraded is 65535 minus that.
    """
    clean = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    return Pair(
        name,
        save(folder / "clean" / f"{name}.png", clean),
        save(folder / "degraded" / f"{name}.png", np.uint16(65535) - clean),
    )


def colour_only(folder: Path, count: int = 3) -> list[Pair]:
    random = np.random.default_rng(0)
    return [
        Pair(str(k), save(folder / f"{k}.png", random.integers(0, 256, (20, 24 + k, 3), np.uint8)))
        for k in range(count)
    ]


def as_numbers(crop: Tensor) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.rint(crop.double().numpy() * 65535).astype(np.int64)
    return numbers


def eight_turns(window: NDArray[Any]) -> list[NDArray[Any]]:
    return [np.rot90(flipped, k) for flipped in (window, window.T) for k in range(4)]


@pytest.fixture
def crops(tmp_path: Path) -> Crops:
    pairs = [numbered(tmp_path, "a", 30, 40), numbered(tmp_path, "b", 25, 19)]
    return Crops(pairs, crop=8, channels=1, seed=5)


def test_a_batch_has_the_promised_shape_and_type(tmp_path: Path) -> None:
    clean, degraded = Crops(colour_only(tmp_path), crop=8, channels=3, seed=0, task="denoise").batch(0, 5)
    for part in (clean, degraded):
        assert part.shape == (5, 3, 8, 8)
        assert part.dtype == torch.float32
        assert part.is_contiguous()
    assert clean.min() >= 0
    assert clean.max() <= 1


def test_each_crop_is_a_window_and_both_images_go_through_the_same_turn(crops: Crops) -> None:
    widths = {"a": (30, 40), "b": (25, 19)}
    turns: Counter[int] = Counter()
    for clean, degraded in (crops.batch(k, 16) for k in range(20)):
        np.testing.assert_array_equal(as_numbers(degraded), 65535 - as_numbers(clean))
        for crop in as_numbers(clean)[:, 0]:
            found = []
            for height, width in widths.values():
                image = np.arange(height * width).reshape(height, width)
                top, left = divmod(int(crop.min()), width)
                window = image[top : top + 8, left : left + 8]
                found += [turn for turn, turned in enumerate(eight_turns(window)) if np.array_equal(turned, crop)]
            assert len(found) == 1, "not a window of either image"
            turns[found[0]] += 1
    assert len(turns) == 8
    assert all(abs(number - 40) < 5 * (320 / 8 * 7 / 8) ** 0.5 for number in turns.values())


def test_colours_stay_together(tmp_path: Path) -> None:
    gray = np.arange(400, dtype=np.uint16).reshape(20, 20)
    planes = np.stack([gray, gray + 1000, gray + 2000], axis=2)
    pair = Pair("a", save(tmp_path / "c" / "a.png", planes), save(tmp_path / "d" / "a.png", planes + np.uint16(9)))
    clean, degraded = Crops([pair], crop=6, channels=3, seed=0).batch(0, 20)
    numbers = as_numbers(clean)
    np.testing.assert_array_equal(numbers[:, 1], numbers[:, 0] + 1000)
    np.testing.assert_array_equal(numbers[:, 2], numbers[:, 0] + 2000)
    np.testing.assert_array_equal(as_numbers(degraded), numbers + 9)


@pytest.mark.medium
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(iterations=st.lists(st.integers(0, 10**12), min_size=1, max_size=6), size=st.integers(1, 5))
def test_a_crop_depends_on_its_number_alone(crops: Crops, iterations: list[int], size: int) -> None:
    first = [crops.batch(iteration, size) for iteration in iterations]
    for iteration, batch in zip(reversed(iterations), reversed(first), strict=True):
        assert_close(crops.batch(iteration, size), batch, rtol=0, atol=0)
        singles = [crops.batch(iteration * size + k, 1) for k in range(size)]
        for side in (0, 1):
            assert_close(torch.cat([single[side] for single in singles]), batch[side], rtol=0, atol=0)


def test_another_object_of_the_same_seed_gives_the_same_and_another_seed_does_not(tmp_path: Path) -> None:
    pairs = [numbered(tmp_path, "a", 30, 40)]
    ours, same, other = (Crops(pairs, crop=8, channels=1, seed=seed).batch(3, 16)[0] for seed in (5, 5, 6))
    assert_close(ours, same, rtol=0, atol=0)
    assert not torch.equal(ours, other)


def test_images_are_drawn_by_area(tmp_path: Path) -> None:
    dark, light = np.zeros((10, 10), np.uint8), np.full((10, 30), 255, np.uint8)
    pairs = [Pair(n, save(tmp_path / f"{n}.png", p), tmp_path / f"{n}.png") for n, p in (("d", dark), ("l", light))]
    clean, _ = Crops(pairs, crop=1, channels=1, seed=0).batch(0, 2000)
    assert abs(clean.mean().item() - 0.75) < 4 * (0.75 * 0.25 / 2000) ** 0.5


def test_no_image_is_left_out(tmp_path: Path) -> None:
    pixels = [np.full((1, 1), value, np.uint8) for value in (10, 20, 30)]
    paths = [save(tmp_path / f"{k}.png", pixel) for k, pixel in enumerate(pixels)]
    pairs = [Pair(path.stem, path, path) for path in paths]
    clean, _ = Crops(pairs, crop=1, channels=1, seed=0).batch(0, 100)
    assert set((clean * 255).round().flatten().tolist()) == {10, 20, 30}


def test_every_place_is_reached(tmp_path: Path) -> None:
    clean, _ = Crops([numbered(tmp_path, "a", 6, 5)], crop=4, channels=1, seed=0).batch(0, 200)
    corners = Counter(int(crop.min()) for crop in as_numbers(clean))
    assert corners.keys() == {row * 5 + column for row in range(3) for column in range(2)}


def test_a_small_image_is_mirrored_to_fill_the_crop(tmp_path: Path) -> None:
    pair = numbered(tmp_path, "a", 2, 3)
    clean, degraded = Crops([pair], crop=5, channels=1, seed=0).batch(0, 40)
    mirrored = np.array([[0, 1, 2, 2, 1], [3, 4, 5, 5, 4], [3, 4, 5, 5, 4], [0, 1, 2, 2, 1], [0, 1, 2, 2, 1]])
    allowed = {turned.tobytes() for turned in (np.ascontiguousarray(t) for t in eight_turns(mirrored))}
    assert {crop.tobytes() for crop in as_numbers(clean)[:, 0]} == allowed
    np.testing.assert_array_equal(as_numbers(degraded), 65535 - as_numbers(clean))


def test_an_image_small_in_one_direction_keeps_its_places_in_the_other(tmp_path: Path) -> None:
    clean, _ = Crops([numbered(tmp_path, "a", 3, 9)], crop=4, channels=1, seed=0).batch(0, 200)
    assert {int(crop.min()) for crop in as_numbers(clean)} == set(range(6))


def test_lower_resolution_is_brought_to_the_clean_grid_only_when_asked(tmp_path: Path) -> None:
    pair = Pair(
        "a",
        save(tmp_path / "c" / "a.png", np.full((16, 16), 51, np.uint8)),
        save(tmp_path / "d" / "a.png", np.full((8, 8), 102, np.uint8)),
    )
    _, degraded = Crops([pair], crop=8, channels=1, seed=0, resample=True).batch(0, 3)
    assert_close(degraded, torch.full_like(degraded, 0.4))
    with pytest.raises(DataError, match="2 times lower"):
        Crops([pair], crop=8, channels=1, seed=0).batch(0, 1)


# Tasks


@pytest.mark.parametrize("task", list(DEGRADATIONS))
def test_a_task_degrades_each_crop_as_its_number_says(tmp_path: Path, task: str) -> None:
    pairs = colour_only(tmp_path)
    crops = Crops(pairs, crop=16, channels=3, seed=2, task=task)
    batch = crops.batch(3, 4)
    crops.batch(0, 7)
    assert_close(crops.batch(3, 4), batch, rtol=0, atol=0)
    assert not torch.equal(*batch)


def test_a_task_sees_the_finished_clean_crop_and_a_generator_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def invert_and_sign(clean: Tensor, generator: Generator) -> Tensor:
        degraded = 1 - clean
        degraded[:, 0, 0] = torch.rand(3, generator=generator)
        return degraded

    row = Degradation("invert", "for this test", train=invert_and_sign, test=invert_and_sign)
    monkeypatch.setitem(DEGRADATIONS, "invert", row)
    crops = Crops(colour_only(tmp_path), crop=8, channels=3, seed=0, task="invert")
    clean, degraded = crops.batch(0, 50)
    assert_close(degraded[..., 1:], 1 - clean[..., 1:], rtol=0, atol=0)
    signs = degraded[:, :, 0, 0]
    assert len(set(signs.flatten().tolist())) == signs.numel()
    assert abs(signs.mean().item() - 0.5) < 4 * (1 / 12 / 150) ** 0.5
    plain = Crops([Pair(p.name, p.clean, p.clean) for p in colour_only(tmp_path)], crop=8, channels=3, seed=0).batch(
        0, 50
    )
    assert_close(clean, plain[0], rtol=0, atol=0)  # the same crops as those of pairs


def test_a_task_sees_as_much_around_the_crop_as_it_looks_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def move(clean: Tensor, generator: Generator) -> Tensor:
        return clean.roll((3, -2), (1, 2))

    monkeypatch.setitem(DEGRADATIONS, "move", Degradation("move", "for this test", train=move, test=move, reach=3))
    pairs = colour_only(tmp_path)
    clean, degraded = Crops(pairs, crop=8, channels=3, seed=0, task="move").batch(0, 50)
    same_crops, _ = Crops([Pair(p.name, p.clean, p.clean) for p in pairs], crop=8, channels=3, seed=0).batch(0, 50)
    assert_close(clean, same_crops, rtol=0, atol=0)
    assert_close(degraded[:, :, 3:, :-2], clean[:, :, :-3, 2:], rtol=0, atol=0)
    # Beyond the crop lies the rest of the image, or at its edge the mirror, not the crop's other side.
    wrapped = (degraded[:, :, :3, :-2] == clean[:, :, -3:, 2:]).all(dim=(1, 2, 3))
    assert not wrapped.any()


def test_gray_crops_are_gray_before_they_are_degraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def note(clean: Tensor, generator: Generator) -> Tensor:
        return 1 - clean if len(clean) == 1 else clean

    monkeypatch.setitem(DEGRADATIONS, "note", Degradation("note", "for this test", train=note, test=note))
    pairs = colour_only(tmp_path)
    colour, _ = Crops(pairs, crop=8, channels=3, seed=0, task="note").batch(0, 100)
    clean, degraded = Crops(pairs, crop=8, channels=3, seed=0, task="note", gray=0.25).batch(0, 100)
    luma = torch.tensordot(colour, torch.tensor([0.299, 0.587, 0.114]), dims=([1], [0]))[:, None].expand_as(colour)
    gray = (clean[:, 0] == clean[:, 2]).all(dim=(1, 2))
    assert 12 <= gray.sum() <= 40
    assert_close(clean[gray], luma[gray], rtol=0, atol=1e-6)
    assert_close(degraded[gray], 1 - clean[gray], rtol=0, atol=0)
    assert_close(clean[~gray], colour[~gray], rtol=0, atol=0)
    assert_close(degraded[~gray], colour[~gray], rtol=0, atol=0)


# Decoded images


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.medium
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_images_beyond_the_memory_limit_give_the_same_crops(tmp_path: Path, temporary_folder: Path, kept: int) -> None:
    pairs = [numbered(tmp_path, "a", 30, 40), numbered(tmp_path, "b", 30, 40)]
    limit = kept * 2 * 2 * 30 * 40  # clean and degraded, two bytes a pixel
    in_memory = Crops(pairs, crop=8, channels=1, seed=0)
    limited = Crops(pairs, crop=8, channels=1, seed=0, memory_bytes=limit)
    for iteration in (4, 0, 4):
        assert_close(limited.batch(iteration, 16), in_memory.batch(iteration, 16), rtol=0, atol=0)
    assert len(list(temporary_folder.rglob("*-*-*"))) == (kept < 2)
    assert sum(path.is_file() for path in temporary_folder.rglob("*")) == 2 * (2 - kept)
    del limited
    gc.collect()
    assert not list(temporary_folder.iterdir())


def test_colour_pairs_and_clean_images_alone_are_mapped_too(tmp_path: Path, temporary_folder: Path) -> None:
    pairs = colour_only(tmp_path)
    ours, limited = (
        Crops(pairs, crop=8, channels=3, seed=0, task="denoise", memory_bytes=limit) for limit in (None, 0)
    )
    assert_close(limited.batch(0, 16), ours.batch(0, 16), rtol=0, atol=0)
    assert sum(path.is_file() for path in temporary_folder.rglob("*")) == 3


def test_each_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: Counter[Path] = Counter()
    read = images.read

    def counting(path: Path) -> images.Image:
        reads[path] += 1
        return read(path)

    monkeypatch.setattr(images, "read", counting)
    pairs = [numbered(tmp_path, "a", 30, 40), numbered(tmp_path, "b", 30, 40)]
    for limit in (None, 0):
        crops = Crops(pairs, crop=8, channels=1, seed=0, memory_bytes=limit)
        assert not reads
        for iteration in range(5):
            crops.batch(iteration, 8)
        assert reads == {file: 1 for pair in pairs for file in pair.files}
        reads.clear()


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    crops = Crops([numbered(tmp_path, "a", 30, 40)], crop=8, channels=1, seed=0, memory_bytes=0)
    with pytest.raises(DataError, match=r"do not fit into .*No space left on device.*TMPDIR"):
        crops.batch(0, 1)


# The stream


def makers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("crops")]


@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize("start", [0, 7])
def test_a_stream_is_the_batches_in_order_from_any_start(crops: Crops, start: int, ahead: int) -> None:
    with closing(crops.stream(start, 4, ahead=ahead)) as stream:
        for expected, (iteration, batch) in zip(range(start, start + 6), stream, strict=False):
            assert iteration == expected
            assert_close(batch, crops.batch(iteration, 4), rtol=0, atol=0)
    assert not makers()


def test_a_stream_works_ahead_and_stops_there(crops: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    made, enough = [], threading.Event()
    batch = crops.batch

    def noting(iteration: int, size: int, share: slice, *, pinned: bool) -> tuple[Tensor, Tensor]:
        made.append(iteration)
        if len(made) == 4:
            enough.set()
        return batch(iteration, size, share)

    monkeypatch.setattr(crops, "batch", noting)
    stream = crops.stream(10, 2, ahead=3)
    assert not makers()  # nothing is made before it is asked for
    next(stream)
    assert enough.wait(10)
    assert not threading.Event().wait(0.05)
    assert made == [10, 11, 12, 13]
    stream.close()
    assert not makers()


@pytest.mark.parametrize("task", [None, "denoise"])
def test_several_makers_give_the_batches_of_one_in_order(tmp_path: Path, task: str | None) -> None:
    numbers = [numbered(tmp_path, "a", 30, 40), numbered(tmp_path, "b", 25, 19)]
    pairs = numbers if task is None else [Pair(pair.name, pair.clean) for pair in numbers]
    crops = Crops(pairs, crop=8, channels=1, seed=5, task=task)
    with closing(crops.stream(3, 4, makers=3)) as stream:
        for expected, (iteration, batch) in zip(range(3, 23), stream, strict=False):
            assert iteration == expected
            assert_close(batch, crops.batch(iteration, 4), rtol=0, atol=0)
        assert len(makers()) == 3
    assert not makers()


def test_makers_work_at_the_same_time(crops: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    both, batch = threading.Barrier(2, timeout=10), crops.batch

    def meeting(iteration: int, size: int, share: slice, *, pinned: bool) -> tuple[Tensor, Tensor]:
        if iteration < 2:
            both.wait()
        return batch(iteration, size, share)

    monkeypatch.setattr(crops, "batch", meeting)
    with closing(crops.stream(0, 2, makers=2)) as stream:
        assert [next(stream)[0] for _ in range(3)] == [0, 1, 2]


def test_two_images_are_decoded_at_the_same_time_and_none_twice() -> None:
    both, loads = threading.Barrier(2, timeout=10), Counter[int]()

    def load(index: int) -> tuple[NDArray[Any], ...]:
        loads[index] += 1
        both.wait()
        return (np.full((2, 2), index, np.uint8),)

    kept = decoded_module.DecodedPairs(load, memory_bytes=2**20)
    with ThreadPoolExecutor(4) as pool:
        images_of = list(pool.map(kept.__getitem__, (0, 0, 1, 1)))
    assert [int(image[0, 0]) for (image,) in images_of] == [0, 0, 1, 1]
    assert loads == {0: 1, 1: 1}


def test_makers_compute_on_one_core_each_and_leave_the_others_as_they_are(
    crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_makers: set[int] = set()
    batch, before = crops.batch, torch.get_num_threads()

    def noting(iteration: int, size: int, share: slice, *, pinned: bool) -> tuple[Tensor, Tensor]:
        in_makers.add(torch.get_num_threads())
        return batch(iteration, size, share)

    monkeypatch.setattr(crops, "batch", noting)
    try:
        torch.set_num_threads(3)
        with closing(crops.stream(0, 2, makers=2)) as stream:
            for _ in range(6):
                next(stream)
        assert in_makers == {1}
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.medium
def test_a_dropped_stream_ends_its_thread(crops: Crops) -> None:
    stream: Iterator[Any] = crops.stream(0, 2)
    next(stream)
    assert len(makers()) == 1
    del stream
    gc.collect()
    assert not makers()


def test_an_error_reaches_the_consumer_names_the_file_and_ends_the_thread(tmp_path: Path) -> None:
    good, bad = numbered(tmp_path, "good", 30, 40), numbered(tmp_path, "bad", 30, 40)
    assert bad.degraded is not None
    bad.degraded.write_bytes(bad.degraded.read_bytes()[:-40])
    crops = Crops([good, bad], crop=8, channels=1, seed=0)
    stream = crops.stream(0, 1)
    with pytest.raises(ImageError, match=r"bad\.png"):
        for _ in itertools.islice(stream, 100):
            pass
    assert not makers()


# Refusals


def test_no_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="no pair"):
        Crops([], crop=8, channels=1, seed=0)


@pytest.mark.parametrize(("crop", "seed"), [(0, 0), (-3, 0), (8, -1)])
def test_a_crop_or_seed_out_of_range_is_refused(tmp_path: Path, crop: int, seed: int) -> None:
    with pytest.raises(ConfigError, match=f"crop is {crop} and seed is {seed}"):
        Crops([numbered(tmp_path, "a", 9, 9)], crop=crop, channels=1, seed=seed)


def test_a_task_and_degraded_files_exclude_each_other(tmp_path: Path) -> None:
    pair = numbered(tmp_path, "a", 9, 9)
    with pytest.raises(ConfigError, match="'denoise' makes degraded images, but a has one"):
        Crops([pair], crop=8, channels=1, seed=0, task="denoise")
    with pytest.raises(ConfigError, match="1 of 2 clean images have no degraded one"):
        Crops([pair, Pair("b", pair.clean)], crop=8, channels=1, seed=0)


def test_an_unknown_task_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"denoize.*denoise"):
        Crops(colour_only(tmp_path), crop=8, channels=3, seed=0, task="denoize")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png"):
        Crops([Pair("gone", tmp_path / "gone.png")], crop=8, channels=1, seed=0, task="denoise")


@pytest.mark.parametrize(("memory", "limit"), [(8 * 2**30, 2 * 2**30), (2**30, 2**30), (0, 2**30)])
def test_the_default_limit_is_a_quarter_of_the_memory_but_a_gigabyte_at_least(
    monkeypatch: pytest.MonkeyPatch, memory: int, limit: int
) -> None:
    assert decoded_module._memory_bytes() > 2**28
    monkeypatch.setattr(decoded_module, "_memory_bytes", lambda: memory)
    assert decoded_module.default_memory_bytes(1) == limit
    assert decoded_module.default_memory_bytes(4) == limit // 4


def test_crops_lie_where_there_is_signal(tmp_path: Path) -> None:
    image = np.zeros((256, 256), np.uint8)
    image[96:128, 96:128] = np.random.default_rng(0).integers(0, 256, (32, 32))
    pairs = [Pair("a", save(tmp_path / "a.png", image))]
    asked: dict[str, Any] = {"crop": 32, "channels": 1, "seed": 0, "task": "denoise"}
    shares = {}
    for signal in (0.0, 0.5, 1.0):
        crops = Crops(pairs, **asked, signal=signal)
        clean, _ = crops.batch(0, 200)
        shares[signal] = float((clean.amax(dim=(1, 2, 3)) > 0).float().mean())
        assert torch.equal(crops.batch(0, 3)[0], crops.batch(0, 200)[0][:3])
    # A crop meets the square with a chance of (63 / 225)^2 = 0.078, the best of four with 1 - (1 - 0.078)^4 = 0.278.
    assert shares[0.0] == pytest.approx(0.078, abs=0.04)
    assert shares[1.0] == pytest.approx(0.278, abs=0.07)
    assert shares[0.0] < shares[0.5] < shares[1.0]


def test_the_best_of_four_places_may_lie_in_another_image(tmp_path: Path) -> None:
    images_ = [np.zeros((64, 64), np.uint8) for _ in range(3)]
    images_.append(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    pairs = [Pair(str(number), save(tmp_path / f"{number}.png", image)) for number, image in enumerate(images_)]
    clean, _ = Crops(pairs, crop=32, channels=1, seed=0, task="denoise", signal=1.0).batch(0, 200)
    share = float((clean.amax(dim=(1, 2, 3)) > 0).float().mean())
    assert share == pytest.approx(1 - 0.75**4, abs=0.08)

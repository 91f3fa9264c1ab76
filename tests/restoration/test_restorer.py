from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from indi import load
from indi.errors import ConfigError, DeviceError, ImageError, IndiError, ModelError, ShapeError
from indi.models.checkpoint import save_model
from indi.process.sampling import Sampling
from indi.restoration.restorer import Restorer
from problems import tiny_model

GENERATOR = np.random.default_rng(0)


def picture(*shape: int, dtype: str = "uint8") -> np.ndarray:
    if dtype == "float32":
        return GENERATOR.random(shape, dtype=np.float32)
    return GENERATOR.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@pytest.fixture(scope="module")
def gray() -> Restorer:
    return Restorer(tiny_model(1, epsilon=0.05), precision="float32")


@pytest.fixture(scope="module")
def colour() -> Restorer:
    return Restorer(tiny_model(3, epsilon=0.05, conditioned=True), precision="float32")


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["uint8", "uint16", "float32"]), st.booleans())
def test_shape_and_type_stay(gray: Restorer, height: int, width: int, dtype: str, axis: bool) -> None:
    image = picture(height, width, *([1] if axis else []), dtype=dtype)
    restored = gray.restore(image, steps=2)
    assert restored.shape == image.shape
    assert restored.dtype == image.dtype
    assert image.dtype == np.dtype(dtype)


def test_samples_are_stacked_and_differ(colour: Restorer) -> None:
    image = picture(20, 30, 3)
    samples = colour.restore(image, steps=3, samples=3)
    assert samples.shape == (3, 20, 30, 3)
    assert np.array_equal(samples[0], colour.restore(image, steps=3)), "the first sample is what one restoration gives"
    assert not np.array_equal(samples[0], samples[1])


def test_seed_decides_all(colour: Restorer) -> None:
    image = picture(33, 21, 3)
    assert np.array_equal(colour.restore(image, seed=4), colour.restore(image, seed=4))
    assert not np.array_equal(colour.restore(image, seed=4), colour.restore(image, seed=5))


def test_one_step_is_the_network_on_degraded_plus_noise() -> None:
    from indi.process.noise import normal

    model = tiny_model(1, epsilon=0.05)
    image = picture(16, 24, dtype="float32")
    start = torch.from_numpy(image)[None, None] + 0.05 * normal(7, channels=1, size=(16, 24))[None]
    wanted = start + model.network(start, torch.ones(1))
    restored = Restorer(model, precision="float32").restore(image, steps=1, seed=7)
    np.testing.assert_allclose(restored, wanted[0, 0].numpy(), atol=1e-6)


def test_the_network_gets_float32_times_of_the_grid() -> None:
    """The same kind of time as in training, from exactly 1: not an index, not (N - 1) / N."""
    model = tiny_model(1)
    seen: list[torch.Tensor] = []
    restorer = Restorer(model, precision="float32")
    inner = restorer._network

    def spy(inputs: torch.Tensor, t: torch.Tensor, /, progress: object = None) -> torch.Tensor:
        seen.append(t)
        return inner(inputs, t)

    restorer._network = spy
    restorer.restore(picture(8, 8), steps=4)
    assert all(t.dtype == torch.float32 and t.shape == (1,) for t in seen)
    assert [t.item() for t in seen] == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.medium
@pytest.mark.parametrize("steps", [1, 5])
def test_tile_size_does_not_change_the_result(steps: int) -> None:
    model = tiny_model(1, epsilon=0.05, noise="brownian")
    image = picture(150, 131, dtype="float32")
    whole = Restorer(model, precision="float32", tile=1000).restore(image, steps=steps)
    parts = Restorer(model, precision="float32", tile=40).restore(image, steps=steps)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_bfloat16_is_close() -> None:
    model = tiny_model(1)
    image = picture(64, 64, dtype="float32")
    exact, fast = (Restorer(model, precision=p).restore(image, steps=5) for p in ("float32", "bfloat16"))
    assert 0 < np.abs(exact - fast).max() < 0.05


def test_gray_through_a_colour_model_and_the_reverse(gray: Restorer, colour: Restorer) -> None:
    image = picture(12, 13)
    assert colour.restore(image, steps=1).shape == (12, 13)
    repeated = np.repeat(image[..., None], 3, axis=-1)
    restored = gray.restore(repeated, steps=1)
    assert restored.shape == repeated.shape
    assert all(np.array_equal(restored[..., channel], gray.restore(image, steps=1)) for channel in range(3))
    with pytest.raises(IndiError, match="colour"):
        gray.restore(picture(12, 13, 3))


def test_what_is_no_image_is_refused(gray: Restorer) -> None:
    holes = picture(8, 8, dtype="float32")
    holes[3, 4] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        gray.restore(holes)
    with pytest.raises(ImageError, match="int64"):
        gray.restore(np.zeros((8, 8), dtype=np.int64))
    for shape in ((0, 4), (4,), (2, 3, 4, 5)):
        with pytest.raises(ShapeError, match="shape"):
            gray.restore(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"samples": 0}, "samples is 0"),
        ({"sampler": "rk4"}, "euler, heun, multistep"),
        ({"times": "linear"}, "uniform, geometric, power"),
        ({"times": [1.0, 0.5]}, "end at 0"),
        ({"times": [0.9, 0.0]}, "exactly 1"),
        ({"strength": 0.0}, "strength is 0"),
        ({"strength": 1.5}, "strength is 1.5"),
    ],
)
def test_wrong_options_are_named(gray: Restorer, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        gray.restore(picture(8, 8), **options)  # type: ignore[arg-type]


def test_a_list_of_times_is_walked(gray: Restorer) -> None:
    image = picture(9, 9, dtype="float32")
    by_name = gray.restore(image, steps=4)
    np.testing.assert_array_equal(gray.restore(image, times=[1, 0.75, 0.5, 0.25, 0]), by_name)


def test_strength_is_where_the_walk_begins(gray: Restorer) -> None:
    from indi.process.noise import normal

    image = picture(16, 24, dtype="float32")
    mild = gray.restore(image, steps=2, strength=0.2, seed=3)
    np.testing.assert_array_equal(gray.restore(image, times=[1, 0.5, 0], strength=0.2, seed=3), mild)
    noise = normal(3, channels=1, size=(16, 24))[None]
    start = torch.from_numpy(image)[None, None] + 0.2 * gray.card.method.epsilon * noise
    with torch.no_grad():
        half = (start + start + gray.model.network(start, torch.tensor([0.2]))) / 2
        wanted = half + gray.model.network(half, torch.tensor([0.1]))
    np.testing.assert_allclose(mild, wanted[0, 0].numpy(), atol=1e-5)
    shares: list[float] = []
    gray.restore(image, steps=4, strength=0.2, progress=shares.append)
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_regression_knows_full_damage_alone() -> None:
    restorer = Restorer(tiny_model(1, name="regression"), precision="float32")
    with pytest.raises(ConfigError, match="leave strength at 1"):
        restorer.restore(picture(9, 9), strength=0.5)


def test_regression_has_one_step() -> None:
    restorer = Restorer(tiny_model(1, name="regression"), precision="float32")
    image = picture(9, 9)
    assert np.array_equal(restorer.restore(image), restorer.restore(image, steps=1))
    with pytest.raises(ConfigError, match="one step"):
        restorer.restore(image, steps=2)


def test_trajectory_starts_at_the_degraded_image_and_ends_at_the_answer(gray: Restorer) -> None:
    image = picture(9, 11)
    states = list(gray.trajectory(image, Sampling(steps=3, seed=2)))
    assert [state.network_calls for state in states] == [0, 1, 2, 3]
    assert np.array_equal(gray.pixels(states[-1].image, like=image), gray.restore(image, steps=3, seed=2))


def test_load_finds_runs_and_files(tmp_path: Path) -> None:
    save_model(tiny_model(1), tmp_path)
    image = picture(9, 9)
    assert np.array_equal(load(tmp_path).restore(image), load(str(tmp_path / "model.safetensors")).restore(image))
    with pytest.raises(ModelError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(DeviceError, match="abacus"):
        Restorer(tiny_model(1), device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="no cuda device"):
            Restorer(tiny_model(1), device="cuda")


def test_the_model_itself_is_left_as_it_was() -> None:
    model = tiny_model(1)
    before = [weight.clone() for weight in model.network.parameters()]
    Restorer(model, precision="bfloat16").restore(picture(8, 8))
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.parameters(), strict=True))


def test_samples_of_a_model_without_noise_are_refused() -> None:
    """Their spread would be zero, and read as certainty."""
    restorer = Restorer(tiny_model(1, epsilon=0.0), precision="float32")
    with pytest.raises(ConfigError, match="no noise"):
        restorer.restore(picture(8, 8), samples=2)


def test_progress_is_told_after_each_move(gray: Restorer) -> None:
    shares: list[float] = []
    gray.restore(picture(8, 8), steps=2, samples=2, progress=shares.append)
    assert shares == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]


def test_progress_is_told_tile_by_tile() -> None:
    shares: list[float] = []
    model = tiny_model(1, epsilon=0.05)
    Restorer(model, tile=16).restore(picture(16, 32), steps=2, progress=shares.append)
    assert shares == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("sampler", ["heun", "multistep"])
def test_progress_ends_where_the_walk_does(sampler: str) -> None:
    shares: list[float] = []
    Restorer(tiny_model(1, epsilon=0)).restore(picture(8, 8), steps=3, sampler=sampler, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_what_progress_raises_ends_the_work(gray: Restorer) -> None:
    def stop(share: float) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gray.restore(picture(8, 8), steps=4, progress=stop)


def test_a_dim_16_bit_image_is_remarked_where_the_model_knows_photographs(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model(1)
    counts = np.full((20, 20), 3000, np.uint16)  # of 12 bits
    for task, images, remarks in (("denoise", [counts, counts], 1), ("denoise", [counts * 16], 0), (None, [counts], 0)):
        restorer = Restorer(replace(model, card=model.card.model_copy(update={"task": task})), precision="float32")
        caplog.clear()
        for image in images:
            restorer.restore(image, steps=1)
        assert caplog.text.count("uses less than 12.5 % of its range") == remarks


def test_images_of_other_libraries_are_taken_where_it_is_plain_what_is_meant() -> None:
    restorer = Restorer(tiny_model(3, epsilon=0.05), precision="float32")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    wanted = restorer.restore(pixels, steps=2)
    taken: list[Any] = [Pillow.fromarray(pixels), torch.from_numpy(pixels)]
    for image in taken:
        np.testing.assert_array_equal(restorer.restore(image, steps=2), wanted)
    wrong: list[tuple[Any, str]] = [
        (pixels.tolist(), "this is a list, not an image; give an array"),
        ("a/b.png", r"'a/b\.png' is a path; read the file first: indi\.images\.read"),
        (Path("b.png"), "is a path"),
        (None, "this is a NoneType"),
        (Pillow.fromarray(pixels).convert("P"), "has mode P; convert it to L or RGB first"),
        (Pillow.fromarray(pixels).convert("RGBA"), "has mode RGBA"),
        (torch.zeros(1, 3, 8, 8), r"this tensor has shape \(1, 3, 8, 8\)"),
    ]
    for image, says in wrong:
        with pytest.raises(ImageError, match=says):
            restorer.restore(image, steps=1)

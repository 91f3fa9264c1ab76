"""Degradations: exact values and references first, then statistics and what holds for every row."""

import io
import math
import pickle
import unicodedata

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional
from torch.testing import assert_close

from indi.degradations import (
    DEGRADATIONS,
    add_camera_noise,
    add_gaussian_noise,
    add_photon_noise,
    add_sensor_noise,
    compress_jpeg,
    defocus,
    degradation,
    disc_kernel,
    photo,
    seed_for,
    shake,
    shake_kernel,
    shrink_and_enlarge,
)
from indi.degradations import noise as noises
from indi.degradations.light import light_of, picture_of
from indi.errors import ConfigError, ShapeError
from indi.metrics import psnr

Bytes = npt.NDArray[np.uint8]

FORMS = [(name, form) for name in DEGRADATIONS for form in ("train", "test")]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def degrade(name: str, form: str, clean: Tensor, seed: int = 0) -> Tensor:
    degraded = getattr(DEGRADATIONS[name], form)(clean, seeded(seed))
    assert isinstance(degraded, Tensor)
    return degraded


def scene(channels: int, height: int, width: int) -> Tensor:
    """Return an image in [0, 1] with smooth parts, edges and texture."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    waves = torch.stack([torch.sin(9 * x + 4 * y * (c + 1)) for c in range(channels)])
    edges = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1).float()
    texture = torch.rand(channels, height, width, generator=seeded(7))
    return (0.5 + 0.25 * waves + 0.2 * edges + 0.1 * (texture - 0.5)).clamp(0, 1)


# seed_for


def test_seed_for_is_fixed_for_all_time() -> None:
    # Published figures rest on these: sha256 of "seed/name", its first 63 bits.
    assert seed_for("a.png", 0) == 0x631D30D6A3520687
    assert seed_for("a.png", 1) == 0x09BE3ADD6561BEEB
    assert seed_for("b.png", 0) == 0x4E7ADD25F35B0460


def test_seed_for_does_not_depend_on_how_the_file_system_composes_letters() -> None:
    composed, decomposed = (unicodedata.normalize(form, "été.png") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert seed_for(composed, 3) == seed_for(decomposed, 3)


@given(name=st.text(), seed=st.integers(0, 2**63 - 1))
def test_seed_for_suits_a_generator(name: str, seed: int) -> None:
    assert 0 <= seed_for(name, seed) < 2**63
    seeded(seed_for(name, seed))


def test_seed_for_tells_names_and_seeds_apart() -> None:
    assert len({seed_for(f"{n}.png", seed) for n in range(50) for seed in range(20)}) == 1000


# Noise


def test_gaussian_noise_has_the_asked_for_statistics() -> None:
    clean = torch.full((1, 400, 500), 0.5)
    noise = add_gaussian_noise(clean, seeded(), sigma=0.1) - clean
    deviations = 4 / math.sqrt(noise.numel())  # four standard errors
    assert abs(noise.mean().item()) < 0.1 * deviations
    assert abs(noise.std().item() / 0.1 - 1) < deviations / math.sqrt(2)
    assert abs((noise[..., 1:] * noise[..., :-1]).mean().item()) < 0.01 * deviations


def test_denoise_test_form_is_sigma_25_neither_clipped_nor_rounded() -> None:
    clean = torch.cat([torch.zeros(1, 200, 200), torch.ones(1, 200, 200)])
    degraded = degrade("denoise", "test", clean)
    noise = degraded - clean
    assert abs(noise.std().item() * 255 / 25 - 1) < 0.02
    assert (degraded[0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (degraded[1] > 1).float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert len(set(degraded.flatten().tolist())) > 10_000


def test_camera_noise_grows_with_the_signal() -> None:
    shot, read = 0.01, 0.0004
    for intensity in (0.0, 0.25, 1.0):
        clean = torch.full((1, 400, 500), intensity)
        noise = add_camera_noise(clean, seeded(), shot=shot, read=read) - clean
        assert noise.mean().item() == pytest.approx(0, abs=0.001)
        assert noise.var().item() == pytest.approx(shot * intensity + read, rel=0.02)


def test_camera_noise_survives_values_below_black() -> None:
    clean = torch.full((1, 8, 8), -0.1)
    assert add_camera_noise(clean, seeded(), shot=0.01, read=0.0).equal(clean)


@pytest.mark.parametrize(("softness", "shared"), [(0.7, 0.0), (0.0, 0.6), (0.7, 0.6)])
def test_camera_noise_correlates_neighbours_and_channels_and_keeps_its_variance(softness: float, shared: float) -> None:
    clean = torch.full((3, 500, 500), 0.5)
    noise = add_camera_noise(clean, seeded(), shot=0.01, read=0.0004, softness=softness, shared=shared) - clean
    noise /= 0.0054**0.5
    assert noise.var().item() == pytest.approx(1, rel=0.02)
    # White noise under a Gaussian window has the correlation of the window with itself.
    weights = torch.exp(-(torch.arange(-3.0, 4) ** 2) / (2 * softness**2)) if softness else torch.tensor([1.0, 0.0])
    expected = float(weights[1:] @ weights[:-1] / (weights @ weights))
    for one, other in ((noise[..., 1:], noise[..., :-1]), (noise[:, 1:], noise[:, :-1])):
        assert (one * other).mean().item() == pytest.approx(expected, abs=0.01)
    assert (noise[0] * noise[1]).mean().item() == pytest.approx(shared, abs=0.01)


def test_photon_noise_has_the_variance_of_counts_and_of_reading() -> None:
    for level, photons, read in ((0.5, 40.0, 0.0), (0.5, 40.0, 3.0), (0.02, 1000.0, 1.5), (0.0, 50.0, 2.0)):
        clean = torch.full((1, 400, 400), level)
        noisy = add_photon_noise(clean, seeded(), photons=photons, read=read)
        variance = level / photons + (read / photons) ** 2
        assert noisy.mean().item() == pytest.approx(level, abs=5 * math.sqrt(variance / clean.numel()))
        assert noisy.var().item() == pytest.approx(variance, rel=0.02)
    counts = add_photon_noise(torch.full((1, 64, 64), 0.1), seeded(), photons=30.0, read=0.0) * 30
    assert_close(counts, counts.round())  # whole photons: Poisson, not its Gaussian limit
    skewness = ((counts - counts.mean()) ** 3).mean() / counts.std() ** 3
    assert skewness.item() == pytest.approx(1 / math.sqrt(3), abs=0.1)


def test_photon_noise_of_no_light_is_that_of_reading() -> None:
    below = add_photon_noise(torch.full((1, 200, 200), -0.3), seeded(), photons=100.0, read=2.0)
    assert abs(below.mean().item()) < 5 * 0.02 / 200
    assert below.std().item() == pytest.approx(0.02, rel=0.02)


def test_photon_noise_in_tests_is_of_200_photons_and_in_training_of_30_to_3000() -> None:
    clean = torch.full((1, 256, 256), 0.5)
    degraded = degrade("denoise-photons", "test", clean)
    assert degraded.var().item() == pytest.approx(0.5 / 200 + (1.5 / 200) ** 2, rel=0.02)
    deviations = [degrade("denoise-photons", "train", clean, seed).std().item() for seed in range(200)]
    least, most = math.sqrt(0.5 / 3000), math.sqrt(0.5 / 30 + (3 / 30) ** 2)
    assert 0.97 * least < min(deviations) < 1.3 * least
    assert 0.6 * most < max(deviations) < 1.03 * most


@pytest.mark.parametrize("contrast", [False, True])
def test_light_becomes_the_picture_it_came_from(contrast: bool) -> None:
    picture = torch.linspace(0, 1, 256)
    light = light_of(picture, contrast=contrast)
    torch.testing.assert_close(picture_of(light, contrast=contrast), picture, atol=1e-5, rtol=0)
    assert light.diff().min() > 0
    assert (light[0].item(), light[-1].item()) == pytest.approx((0, 1), abs=1e-6)
    half = 0.5**2.2  # the middle of the curve of contrast is where it was
    assert light_of(torch.tensor([0.5]), contrast=contrast).item() == pytest.approx(half, rel=1e-6)

    values = picture_of(torch.tensor([-0.1, 0.0, 1.0, 1.5]), contrast=contrast).tolist()
    assert values == pytest.approx([0, 0, 1, 1 if contrast else 1.5 ** (1 / 2.2)])


def test_denoise_training_draws_every_strength_and_both_kinds() -> None:
    clean = torch.cat([torch.full((1, 32, 32), 0.95), torch.full((1, 32, 32), 0.5)])
    bright, middle = torch.stack(
        [(degrade("denoise", "train", clean, seed) - clean).std(dim=(1, 2)) for seed in range(400)]
    ).T
    # A camera's noise is largest at middle intensities; 1024 pixels tell deviations 1.3 apart without doubt.
    share_of_cameras = (middle / bright > 1.3).float().mean().item()
    assert 0.3 < share_of_cameras < 0.48
    strengths = middle[middle / bright < 1.3] * 255
    assert strengths.max() < 55 * 1.1
    assert torch.histc(strengths, bins=5, min=0, max=55).min() > 30


# Blur


@pytest.mark.parametrize("length", [0.0, 0.3, 5.0, 12.0, 24.0])
def test_a_shake_is_a_path_of_its_length_around_its_centre(length: float) -> None:
    for seed in range(20):
        kernel = shake_kernel(length, seeded(seed))
        assert kernel.shape == (2 * math.ceil(length / 2) + 3,) * 2
        assert kernel.min() >= 0
        assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
        line = torch.arange(len(kernel)) - len(kernel) // 2
        rows, columns = kernel.sum(1), kernel.sum(0)
        assert (rows @ line.float()).item() == pytest.approx(0, abs=1e-4)
        assert (columns @ line.float()).item() == pytest.approx(0, abs=1e-4)
        # No path reaches further than a straight one; its points spread by length / sqrt(12), and the pixels a little.
        spread = (rows @ line.float() ** 2 + columns @ line.float() ** 2).item()
        assert spread <= length**2 / 12 * (96 + 1) / (96 - 1) + 0.5


def test_shakes_differ_in_direction_and_curl() -> None:
    angles, straightness = [], []
    for seed in range(200):
        kernel = shake_kernel(24, seeded(seed))
        y, x = torch.meshgrid(*[torch.arange(27.0) - 13] * 2, indexing="ij")
        moments = torch.tensor([[(kernel * a * b).sum() for a in (y, x)] for b in (y, x)])
        values, vectors = torch.linalg.eigh(moments)
        angles.append(math.atan2(*vectors[:, 1].tolist()) % math.pi)
        straightness.append(values.sum().item() / (24**2 / 12))
    assert torch.histc(torch.tensor(angles), bins=4, min=0, max=math.pi).min() > 30
    assert max(straightness) > 0.98  # nearly straight
    assert min(straightness) < 0.4  # curled
    assert 0.2 < sum(value > 0.9 for value in straightness) / 200 < 0.8


def test_blur_adds_up_light() -> None:
    clean = torch.zeros(1, 41, 41)
    clean[0, 20, 20] = 1
    kernel = shake_kernel(9, seeded(3))
    inner = slice(20 - len(kernel) // 2, 21 + len(kernel) // 2)
    # A point of light draws the path turned by half a turn, as correlation does.
    assert_close(shake(clean, seeded(3), length=9)[0, inner, inner] ** 2.2, kernel.flip(0, 1), atol=1e-5, rtol=0)
    disc = defocus(clean, radius=torch.full((41, 41), 3.0))
    assert_close(disc[0, 17:24, 17:24] ** 2.2, disc_kernel(3), atol=1e-5, rtol=0)


def correlated(image: Tensor, kernel: Tensor) -> Tensor:
    """Correlate (C, H, W) with an odd kernel, edges mirrored, by NumPy's padding and PyTorch's convolution."""
    reach = len(kernel) // 2
    padded = np.pad(image.numpy(), ((0, 0), (reach, reach), (reach, reach)), mode="symmetric")
    return functional.conv2d(torch.from_numpy(padded)[:, None], kernel[None, None])[:, 0]


@pytest.mark.parametrize("length", [0.0, 3.0, 11.0, 24.0])
def test_a_shake_is_the_convolution_of_light(length: float) -> None:
    clean = scene(3, 30, 41)
    wanted = correlated(light_of(clean), shake_kernel(length, seeded(5)))
    assert_close(shake(clean, seeded(5), length=length), picture_of(wanted), atol=2e-6, rtol=0)


@pytest.mark.parametrize("radius", [1, 2, 4, 6])
def test_a_defocus_is_the_convolution_of_light(radius: int) -> None:
    clean = scene(3, 30, 41)
    wanted = correlated(light_of(clean), disc_kernel(radius))
    blurred = defocus(clean, radius=torch.full((30, 41), float(radius)))
    assert_close(blurred, picture_of(wanted), atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", list(DEGRADATIONS))
def test_a_crop_is_the_middle_of_what_lies_around_it(name: str) -> None:
    row = DEGRADATIONS[name]
    inner = slice(row.reach, -row.reach or None)
    wide = scene(3, 44 + 2 * row.reach, 44 + 2 * row.reach)
    for seed in range(12):
        wanted = row.train(wide, seeded(seed))[:, inner, inner]
        assert_close(row.train_crop(wide, seeded(seed)), wanted, atol=1e-6, rtol=0)


def test_a_disc_has_its_radius_and_a_soft_edge() -> None:
    assert disc_kernel(0).equal(torch.ones(1, 1))
    for radius in (1, 3, 6):
        kernel = disc_kernel(radius)
        middle = len(kernel) // 2
        assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
        assert_close(kernel, kernel.T)
        assert_close(kernel, kernel.flip(0))
        # As much as it holds in the middle, its area is that of a disc of the radius.
        assert 1 / kernel[middle, middle].item() == pytest.approx(math.pi * radius**2, rel=0.2)
        assert kernel[middle, middle + radius] == pytest.approx(kernel[middle, middle].item() / 2)
    assert (disc_kernel(6) > 0).sum() > (disc_kernel(6) == disc_kernel(6).max()).sum() * 1.3


def test_defocus_leaves_radius_0_and_mixes_between_whole_radii() -> None:
    clean = scene(3, 30, 40)
    radius = torch.zeros(30, 40)
    assert_close(defocus(clean, radius=radius), clean, atol=1e-5, rtol=0)
    radius[:, 20:] = 2.25
    whole = [defocus(clean, radius=torch.full((30, 40), float(r))) ** 2.2 for r in (2, 3)]
    blurred = defocus(clean, radius=radius)
    assert_close(blurred[..., :20], clean[..., :20], atol=1e-5, rtol=0)
    assert_close((blurred**2.2)[..., 20:], (0.75 * whole[0] + 0.25 * whole[1])[..., 20:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", ["train", "test"])
@pytest.mark.parametrize("name", ["deblur-motion", "deblur-defocus"])
def test_blur_looks_no_further_than_its_reach(name: str, form: str) -> None:
    reach = DEGRADATIONS[name].reach
    clean = scene(1, 64, 64)
    other = clean.clone()
    other[:, :, 20:] = 1 - other[:, :, 20:]
    changed = 0
    for seed in range(30):
        one, two = degrade(name, form, clean, seed), degrade(name, form, other, seed)
        assert one[..., : 20 - reach].equal(two[..., : 20 - reach])
        changed += not one[..., :18].equal(two[..., :18])
    assert changed > 15


@pytest.mark.parametrize("name", ["deblur-motion", "deblur-defocus"])
def test_blur_has_no_edges_and_a_little_noise(name: str) -> None:
    flat = torch.full((3, 48, 48), 0.5)
    assert (degrade(name, "test", flat) - flat).std().item() == pytest.approx(0.005, rel=0.05)
    strengths = [(degrade(name, "train", flat, seed) - flat).std().item() for seed in range(50)]
    assert max(strengths) < 0.0105
    assert min(strengths) < 0.001


@pytest.mark.medium
@pytest.mark.parametrize("name", ["deblur-motion", "deblur-defocus"])
def test_some_crops_are_not_blurred_at_all(name: str) -> None:
    clean = scene(3, 32, 32)
    # Noise of up to 0.01 leaves 40 dB and more.
    unblurred = [psnr(degrade(name, "train", clean, seed)[None], clean[None]).item() > 39.9 for seed in range(200)]
    assert 6 <= sum(unblurred) <= 40


# Photographs


def test_a_mosaic_of_a_gray_ramp_is_interpolated_exactly() -> None:
    # Malvar, He and Cutler's filters reproduce what is linear: a closed form of all twelve cases at once.
    ramp = torch.linspace(0, 1, 24)[:, None] + torch.linspace(0, 2, 20)
    for down in (0, 1):
        for right in (0, 1):
            colours = noises._demosaiced(ramp, down, right)
            assert_close(colours[:, 2:-2, 2:-2], ramp.expand(3, -1, -1)[:, 2:-2, 2:-2], atol=1e-5, rtol=0)


def test_a_mosaic_keeps_each_colour_where_it_was_seen() -> None:
    colours = torch.tensor([0.1, 0.5, 0.9])[:, None, None].expand(3, 12, 12)
    for down in (0, 1):
        for right in (0, 1):
            mosaic = torch.empty(12, 12)
            for row, column, channel in noises._BAYER:
                mosaic[(row - down) % 2 :: 2, (column - right) % 2 :: 2] = colours[channel, 0, 0]
            # Malvar's filters are right for flat colours too: the high-pass parts see nothing but their own colour.
            assert_close(noises._demosaiced(mosaic, down, right)[:, 3:-3, 3:-3], colours[:, 3:-3, 3:-3])


def test_sensor_noise_is_where_the_light_is_and_shared_by_neighbours_and_colours() -> None:
    clean = torch.full((3, 256, 256), 0.5)
    noise = add_sensor_noise(clean, seeded(), shot=0.001, read=1e-6, red=2.0, blue=1.5) - clean
    assert noise.mean().abs().item() < 0.002
    normal = (noise - noise.mean(dim=(1, 2), keepdim=True)) / noise.std(dim=(1, 2), keepdim=True)
    assert (normal[..., 1:] * normal[..., :-1]).mean().item() > 0.15  # interpolation spreads it
    assert (normal[0] * normal[1]).mean().item() > 0.15
    assert noise[0].std() > noise[1].std()  # red is raised by white balance
    dark = add_sensor_noise(0 * clean, seeded(), shot=0.001, read=1e-12, red=2.0, blue=1.5)
    assert dark.std() < noise.std() / 10


def test_sensor_noise_of_a_gray_image_is_white() -> None:
    clean = torch.full((1, 256, 256), 0.5)
    noise = add_sensor_noise(clean, seeded(), shot=0.001, read=1e-6, red=2.0, blue=1.5) - clean
    assert abs((noise[..., 1:] * noise[..., :-1]).mean().item()) < 0.02 * noise.var().item()


def test_blur_has_its_deviation_and_leaves_flat_parts() -> None:
    impulse = torch.zeros(1, 41, 41)
    impulse[0, 20, 20] = 1
    spread = photo.blur(impulse, sigma=2.0)[0]
    line = torch.arange(41.0) - 20
    assert spread.sum().item() == pytest.approx(1, abs=1e-5)
    assert (spread.sum(0) @ line**2).item() == pytest.approx(4, rel=0.03)  # cut off at three deviations
    assert_close(photo.blur(torch.full((3, 9, 9), 0.3), sigma=1.0), torch.full((3, 9, 9), 0.3))


def test_sharpening_adds_what_the_blur_takes_away() -> None:
    clean = scene(3, 32, 32)
    blurred = photo.blur(clean, sigma=1.0)
    assert photo.sharpen(clean, amount=0.0, sigma=1.0).equal(clean)
    assert_close(photo.sharpen(clean, amount=1.0, sigma=1.0), 2 * clean - blurred)


def test_blocks_can_begin_anywhere() -> None:
    clean = scene(3, 40, 48)

    def compressed(image: Tensor, down: int, right: int) -> Tensor:
        return photo.compress_shifted(image, down=down, right=right, quality=30, subsampling="4:4:4")

    assert compressed(clean, 0, 0).equal(compress_jpeg(clean, quality=30, subsampling="4:4:4"))
    # Three rows and five columns into its padded self, the blocks inside are those of the image cut there.
    cut = compress_jpeg(clean[:, 5:29, 3:27], quality=30, subsampling="4:4:4")
    assert_close(compressed(clean, 3, 5)[:, 5:29, 3:27], cut)


def test_photographs_have_three_fixed_mixtures() -> None:
    clean = scene(3, 64, 64)
    made = [degradation(f"photo:{form}").test(clean, seeded()) for form in ("phone", "chat", "scan")]
    drawn = {degrade("photo", "test", clean, seed).numpy().tobytes() for seed in range(12)}
    assert len({image.numpy().tobytes() for image in made}) == 3
    assert len(drawn) > 3  # noise is drawn too
    for image in made:
        assert 18 < psnr(image[None], clean[None]).item() < 32
        assert_close(image * 255, (image * 255).round(), atol=1e-4, rtol=0)  # they are JPEG files
    with pytest.raises(ConfigError, match="photo:phone, photo:chat, photo:scan"):
        degradation("photo:fax")
    with pytest.raises(ConfigError, match="its forms: none"):
        degradation("jpeg:phone")


@pytest.mark.medium
def test_training_on_photographs_leaves_some_alone_and_harms_others_much() -> None:
    clean = (scene(3, 48, 48) * 255).round() / 255
    several = [degrade("photo", "train", clean, seed) for seed in range(400)]
    untouched = sum(image.equal(clean) for image in several)
    assert 35 < untouched < 100  # an eighth, and of the others those whom no cause befell
    closeness = sorted(psnr(image[None], clean[None]).item() for image in several if not image.equal(clean))
    assert closeness[len(closeness) // 10] < 24
    assert closeness[-len(closeness) // 10] > 30  # of a scene as rough as this one
    for image in several:
        assert_close(image * 255, (image * 255).round(), atol=1e-4, rtol=0)


# Super-resolution


def test_a_constant_stays_constant() -> None:
    for size in [(1, 1), (5, 3), (32, 32), (33, 47)]:
        clean = torch.full((3, *size), 51 / 255)
        assert_close(shrink_and_enlarge(clean, factor=4), clean, atol=1e-6, rtol=0)


@pytest.mark.parametrize("axis", [-2, -1], ids=["rows", "columns"])
def test_a_ramp_is_reproduced(axis: int) -> None:
    # The small image of this ramp falls on whole levels of 8 bit: pixel j is j + 1 of 255.
    ramp = (torch.arange(128) + 2.5) / (4 * 255)
    clean = ramp.expand(1, 48, 128) if axis == -1 else ramp[:, None].expand(1, 128, 48)
    degraded = shrink_and_enlarge(clean, factor=4)
    inside = (..., slice(16, -16)) if axis == -1 else (..., slice(16, -16), slice(None))
    assert_close(degraded[inside], clean[inside], atol=1e-6, rtol=0)


def pillow_shrink_and_enlarge(clean: Tensor, factor: int) -> Tensor:
    """Do the same with Pillow, whose bicubic has a = -0.5 and is antialiased, a channel at a time."""
    height, width = clean.shape[-2:]
    channels = []
    for channel in clean.numpy():
        small = Image.fromarray(channel).resize((width // factor, height // factor), Image.Resampling.BICUBIC)
        small = Image.fromarray((np.asarray(small).clip(0, 1) * 255).round() / np.float32(255))
        channels.append(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1))
    return torch.from_numpy(np.stack(channels))


def test_bicubic_agrees_with_pillow_inside_the_border() -> None:
    clean = scene(3, 96, 128)
    inside = (..., slice(24, -24), slice(24, -24))
    difference = (shrink_and_enlarge(clean, factor=4) - pillow_shrink_and_enlarge(clean, 4))[inside].abs()
    # The two round differently only where a small pixel lies half-way between two levels.
    assert difference.max() < 1.6 / 255
    assert (difference > 1e-5).float().mean() < 0.01


def test_bicubic_mirrors_the_edges_and_so_commutes_with_flips() -> None:
    clean = scene(1, 32, 64)
    mirrored = torch.cat([clean.flip(-1), clean, clean.flip(-1)], dim=-1)
    expected = shrink_and_enlarge(mirrored, factor=4)[..., 64:128]
    assert_close(shrink_and_enlarge(clean, factor=4), expected, atol=1e-6, rtol=0)
    for axis in (-1, -2):
        flipped = shrink_and_enlarge(clean.flip(axis), factor=4).flip(axis)
        assert_close(flipped, shrink_and_enlarge(clean, factor=4), atol=1e-6, rtol=0)


def test_an_impulse_is_spread_by_the_kernel_of_keys() -> None:
    # Small pixel j is centred on pixel 4j + 1.5. All rows are alike, so the other axis does nothing.
    def keys(d: float) -> float:
        d = abs(d)
        return 1.5 * d**3 - 2.5 * d**2 + 1 if d <= 1 else max(2 - d, 0) ** 2 * (1 - d) / 2

    clean = torch.zeros(1, 8, 80)
    clean[..., 41] = 1
    # 8 bit cannot hold the negative lobes.
    small = [max(round(255 * keys((41 - (4 * j + 1.5)) / 4) / 4) / 255, 0) for j in range(20)]
    expected = [max(sum(small[j] * keys((i + 0.5) / 4 - 0.5 - j) for j in range(20)), 0) for i in range(80)]
    assert_close(shrink_and_enlarge(clean, factor=4)[0, 3], torch.tensor(expected), atol=1e-6, rtol=0)


def test_pixels_stay_aligned_when_the_factor_does_not_divide_the_side() -> None:
    clean = scene(1, 64, 64)
    whole = shrink_and_enlarge(clean, factor=4)
    for size in (61, 62, 63):
        cut = shrink_and_enlarge(clean[..., :size, :size], factor=4)
        assert_close(cut[..., :40, :40], whole[..., :40, :40], atol=1e-6, rtol=0)


def test_the_small_image_has_8_bit() -> None:
    # A dark flat image below half a level vanishes, one above it becomes a whole level.
    for value, expected in [(0.49, 0.0), (0.51, 1.0), (1.4, 1.0)]:
        degraded = shrink_and_enlarge(torch.full((1, 16, 16), value / 255), factor=4)
        assert_close(degraded, torch.full((1, 16, 16), expected / 255), atol=1e-7, rtol=0)


def test_super_resolution_trains_on_milder_factors_too() -> None:
    clean = scene(3, 64, 64)
    fixed = degrade("super-resolve-4x", "test", clean)
    several = [degrade("super-resolve-4x", "train", clean, seed) for seed in range(100)]
    others = [image for image in several if not image.equal(fixed)]
    assert 40 <= len(others) <= 60  # a quarter by other factors; of both kinds, a third with noise or JPEG
    near = [psnr(image[None], clean[None]).item() for image in others]
    assert 1 <= sum(value > 58 for value in near) <= 12  # only rounded to 8 bit
    assert min(near) < psnr(fixed[None], clean[None]).item() + 0.5


def test_the_small_image_may_be_changed_before_it_is_rounded() -> None:
    clean = scene(3, 64, 64)
    seen = []

    def black(small: Tensor) -> Tensor:
        seen.append(small.shape)
        return 0 * small - 1

    assert shrink_and_enlarge(clean, factor=4, small=black).equal(torch.zeros_like(clean))
    assert seen == [(3, 16, 16)]


def test_super_resolution_in_tests_has_no_randomness() -> None:
    clean = scene(3, 32, 32)
    assert degrade("super-resolve-4x", "test", clean, 0).equal(degrade("super-resolve-4x", "test", clean, 1))
    assert degrade("super-resolve-4x", "test", clean).equal(shrink_and_enlarge(clean, factor=4))


# JPEG


def pillow_jpeg(pixels: Bytes, quality: int, subsampling: int) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return torch.from_numpy(np.array(Image.open(file)))


@pytest.mark.parametrize(("name", "number"), [("4:4:4", 0), ("4:2:0", 2)])
@pytest.mark.parametrize("quality", [5, 10, 95])
def test_jpeg_is_that_of_pillow(quality: int, name: str, number: int) -> None:
    pixels = (scene(3, 37, 50) * 255).round().byte()
    expected = pillow_jpeg(pixels.permute(1, 2, 0).numpy(), quality, number)
    degraded = compress_jpeg(pixels / 255, quality=quality, subsampling=name)
    assert_close(degraded, expected.permute(2, 0, 1) / 255, atol=0, rtol=0)


def test_gray_jpeg_is_that_of_pillow() -> None:
    pixels = (scene(1, 37, 50) * 255).round().byte()
    degraded = degrade("jpeg", "test", pixels / 255)
    assert_close(degraded[0], pillow_jpeg(pixels[0].numpy(), 10, 2) / 255, atol=0, rtol=0)


def test_jpeg_test_form_is_quality_10_with_halved_colours() -> None:
    clean = scene(3, 48, 48)
    assert degrade("jpeg", "test", clean).equal(compress_jpeg(clean, quality=10, subsampling="4:2:0"))


def test_jpeg_training_draws_qualities_and_both_subsamplings() -> None:
    clean = scene(3, 32, 32)
    table = {
        compress_jpeg(clean, quality=quality, subsampling=subsampling).numpy().tobytes(): (
            quality,
            subsampling,
        )
        for quality in range(5, 96)
        for subsampling in ("4:4:4", "4:2:0")
    }
    drawn = [table[degrade("jpeg", "train", clean, seed).numpy().tobytes()] for seed in range(300)]
    assert {subsampling for _, subsampling in drawn} == {"4:4:4", "4:2:0"}
    counts, _ = np.histogram([quality for quality, _ in drawn], bins=5, range=(5, 96))
    assert counts.min() > 35


def test_a_better_quality_is_closer() -> None:
    clean = scene(3, 48, 48)
    closeness = [
        psnr(compress_jpeg(clean, quality=quality, subsampling="4:4:4")[None], clean[None]).item()
        for quality in (5, 20, 50, 95)
    ]
    assert closeness == sorted(closeness)


@pytest.mark.parametrize("shape", [(2, 8, 8), (4, 8, 8), (8, 8), (1, 3, 8, 8), (1, 2, 65_501)], ids=str)
def test_jpeg_refuses_what_it_cannot_hold(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        compress_jpeg(torch.zeros(shape), quality=10, subsampling="4:2:0")
    assert str(shape) in str(caught.value)


def test_jpeg_holds_the_largest_side() -> None:
    clean = torch.full((1, 1, 65_500), 0.5)
    assert compress_jpeg(clean, quality=95, subsampling="4:4:4").shape == clean.shape


# Every row


def test_rows_are_listed_under_their_names() -> None:
    for name, row in DEGRADATIONS.items():
        assert row.name == name
        assert row.description
        assert "\n" not in row.description


@pytest.mark.parametrize(("name", "form"), FORMS)
@settings(max_examples=15, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_shape_and_dtype_are_kept(name: str, form: str, channels: int, height: int, width: int, seed: int) -> None:
    degraded = degrade(name, form, scene(channels, height, width), seed)
    assert degraded.shape == (channels, height, width)
    assert degraded.dtype == torch.float32
    assert degraded.isfinite().all()
    if name in ("super-resolve-4x", "jpeg"):  # noise is not clipped
        assert degraded.min() >= 0
        assert degraded.max() <= 1


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_the_same_seed_gives_the_same_image_and_leaves_clean_alone(name: str, form: str) -> None:
    clean = scene(3, 33, 40)
    before = clean.clone()
    torch.manual_seed(1)
    first = degrade(name, form, clean)
    torch.manual_seed(2)  # the global generator plays no part
    assert degrade(name, form, clean).equal(first)
    assert clean.equal(before)
    assert not first.equal(clean)


@pytest.mark.parametrize(
    ("name", "form"), [form for form in FORMS if form not in (("super-resolve-4x", "test"), ("jpeg", "test"))]
)
def test_another_seed_gives_another_image(name: str, form: str) -> None:
    clean = scene(3, 33, 40)
    assert not degrade(name, form, clean, 1).equal(degrade(name, form, clean, 2))


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_one_generator_serves_crop_after_crop(name: str, form: str) -> None:
    clean, generator = scene(1, 32, 32), seeded()
    function = getattr(DEGRADATIONS[name], form)
    several = [function(clean, generator) for _ in range(3)]
    again = seeded()
    for degraded in several:
        assert function(clean, again).equal(degraded)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_rows_travel_to_worker_processes(name: str) -> None:
    assert pickle.loads(pickle.dumps(DEGRADATIONS[name])) == DEGRADATIONS[name]

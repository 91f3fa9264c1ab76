"""How fast size small trains and restores, as ratios within one run.

Everything is timed in turns, several rounds over, so that a noisy moment of the machine hits all alike,
and the best round of each counts. Training is whole: data loader, noise, network, loss, optimiser and the
average of the weights. Restoring is whole too: pixels in, pixels out, through ``Restorer``. Beside size
small in the precision it chooses stand itself in float32, diffusers' ``UNet2DModel`` with as many weights
(in bfloat16, where the machine has it, with either layout of memory; and as it comes), and the machine's
best single 3x3 convolution.
"""

import argparse
import copy
import itertools
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from indi import io as images
from indi.config import Config
from indi.data import Crops, Pair, match_pairs
from indi.devices import Precision, choose_device, choose_precision, set_threads
from indi.errors import DeviceError
from indi.models.checkpoint import Card, Model, write_text
from indi.process import path as process
from indi.restoration.restorer import Restorer
from indi.training.distributed import World
from indi.training.trainer import Trainer
from indi.version import __version__

ROUNDS = 5
CHANNELS = 3
CROP, BATCH = 64, 16
SIDE, STEPS = 512, 4  # of the restored image, of its sampling
PEER_WIDTHS = (32, 64, 128)  # gives as many weights as size small
PEER_TOLERANCE = 0.05
CONVOLUTION_WIDTHS = (48, 96, 128, 192, 256)
CONVOLUTION_INPUTS = ((16, 32), (1, 128))  # images and their side, with as many pixels in all
CONVOLUTION_SHARE = 0.1  # of the seconds that the others get, since there are many of them

SMALL, FLOAT32 = "indi small", "indi small, float32"
PLAIN, AUTOCAST, TUNED = "UNet2DModel", "UNet2DModel, autocast", "UNet2DModel, autocast, channels last"

CONFIG = Config.parse({"network": {"size": "small"}, "training": {"iterations": 10**6}}, source="benchmark")
CARD = Card(version=__version__, name="speed", method=CONFIG.method, network=CONFIG.network, channels=CHANNELS)

WORK = {"training": BATCH, "restoring": STEPS * SIDE**2 / 1e6}  # of a call
UNITS = {"training": "crops/s", "restoring": "megapixels/s"}
# Aims on a CPU with bfloat16 matrix units: how many times as fast as, and the share of the best convolution.
AIMS = {
    "training": {FLOAT32: 2.0, PLAIN: 7.0, AUTOCAST: 3.0, TUNED: 3.0},
    "restoring": {FLOAT32: 3.0, PLAIN: 7.0, AUTOCAST: 3.0, TUNED: 3.0},
}
AIM_SHARES = {"training": 0.25, "restoring": 0.40}

Call = Callable[[], object]  # does its work, and returns when it is done
Batches = Iterator[tuple[int, tuple[Tensor, Tensor]]]
Pixels = NDArray[np.generic]


class Name(NamedTuple):
    """Of what is timed: a table of the result, and a row of it."""

    task: str
    row: str


@dataclass(frozen=True)
class Entry:
    """What is timed: a call, how much work it does, and for how many seconds in all."""

    call: Call
    work: float
    seconds: float


def race(entries: Mapping[Name, Entry]) -> dict[str, dict[str, float]]:
    """Return the rate of each entry in its best round, in units of work a second, by task and row."""
    for entry in entries.values():
        entry.call()  # the first call builds kernels and allocates
    best: dict[str, dict[str, float]] = {name.task: {} for name in entries}
    for _ in range(ROUNDS):
        for (task, row), entry in entries.items():
            rate = entry.work * calls_per_second(entry.call, entry.seconds / ROUNDS)
            best[task][row] = max(best[task].get(row, 0.0), rate)
    return best


def calls_per_second(call: Call, seconds: float) -> float:
    """Call until ``seconds`` have gone by, once at least, and return how often a second."""
    calls, spent = 0, 0.0
    began = time.perf_counter()
    while calls == 0 or spent < seconds:
        call()
        calls += 1
        spent = time.perf_counter() - began
    return calls / spent


class Peer(nn.Module):
    """diffusers' UNet2DModel, called as our networks are.

    Convolutions, GroupNorm and SiLU alone: the attention that it has by default would make it slower.

    Args:
        dtype: What its convolutions run in, by autocast where that is not float32.
        layout: Of weights and images in memory.
    """

    halo = None
    stride = 2 ** (len(PEER_WIDTHS) - 1)

    def __init__(self, dtype: torch.dtype, layout: torch.memory_format) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        self.dtype = dtype
        self.layout = layout
        self.unet: nn.Module = UNet2DModel(
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            block_out_channels=PEER_WIDTHS,
            down_block_types=("DownBlock2D",) * len(PEER_WIDTHS),
            up_block_types=("UpBlock2D",) * len(PEER_WIDTHS),
            add_attention=False,
        ).to(memory_format=layout)

    def forward(self, inputs: Tensor, t: Tensor) -> Tensor:
        """Return (B, C, H, W) for inputs of that shape, sides multiples of the stride, at times t (B,)."""
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            laid_out = inputs.contiguous(memory_format=self.layout)
            output: Tensor = self.unet(laid_out, 1000 * t, return_dict=False)[0]  # its times go up to 1000
        return output


def peers(dtype: torch.dtype) -> dict[str, nn.Module]:
    """Return diffusers' networks; none, and print a line that says so, where diffusers cannot be imported."""
    try:
        return {
            PLAIN: Peer(torch.float32, torch.contiguous_format),
            AUTOCAST: Peer(dtype, torch.contiguous_format),
            TUNED: Peer(dtype, torch.channels_last),
        }
    except (ImportError, RuntimeError, OSError):  # it imports torchvision where that is there, whole or broken
        print("UNet2DModel is left out: diffusers cannot be imported; install indi[diffusers]\n")
        return {}


def our_training(batches: Batches, precision: Precision, device: torch.device, run: Path) -> Call:
    """Return one iteration of our trainer on the next batch."""
    training = CONFIG.training.model_copy(update={"precision": precision})
    trainer = Trainer(CONFIG.model_copy(update={"training": training}), CARD, run, World(0, 1, device))

    def learn() -> None:
        trainer.step(*next(batches)[1])
        if trainer.is_due():  # an accelerator is left alone between
            trainer.read()

    return learn


def their_training(batches: Batches, peer: nn.Module, device: torch.device) -> Call:
    """Return one iteration of a plain loop on the next batch, with all that our trainer does."""
    method, training = CONFIG.method.build(), CONFIG.training
    peer = copy.deepcopy(peer).to(device)
    average = copy.deepcopy(peer)
    optimiser = torch.optim.Adam(peer.parameters(), lr=training.learning_rate, betas=(0.9, 0.99), fused=True)
    generator = torch.Generator().manual_seed(training.seed)

    def learn() -> float:
        _, (clean, degraded) = next(batches)
        t = process.draw_times(len(clean), method.share_at_one, generator)
        noise = torch.randn(clean.shape, generator=generator)
        clean, degraded, t, noise = (part.to(device) for part in (clean, degraded, t, noise))
        state = method.path.state(clean, degraded, t, noise)
        loss = process.loss(method.answer(peer, state, degraded, t), clean, training.norm)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(peer.parameters(), training.clip)
        optimiser.step()
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), peer.parameters(), strict=True):
                mean.lerp_(weight, 1 - training.average)
        return loss.item()

    return learn


def restoration(network: nn.Module, precision: Precision, device: torch.device, image: Pixels) -> Call:
    """Return one restoration of an image by our restorer, with any network."""
    model = Model(CARD, network)  # type: ignore[arg-type]  # a restorer asks no more of it than Network says
    restorer = Restorer(model, device=str(device), precision=precision)
    return lambda: restorer.restore(image, steps=STEPS)


def small_network() -> nn.Module:
    """Return a network without the zeros that an untrained one holds, which hardware may multiply faster."""
    network = Model.new(CARD).network
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.01)
    return network


def convolution(width: int, count: int, side: int, dtype: torch.dtype, device: torch.device) -> tuple[Call, float]:
    """Return a 3x3 convolution, channels last and forward only, and the GFLOP of a call."""
    count *= 1 if device.type == "cpu" else 16
    layer = nn.Conv2d(width, width, 3, padding=1).to(device, dtype)
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = torch.randn(count, width, side, side, dtype=dtype, device=device)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    repeats = 1 if device.type == "cpu" else 20  # waiting for an accelerator costs time that is not the convolution's

    @torch.no_grad()
    def convolve() -> None:
        for _ in range(repeats):
            layer(inputs)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)

    return convolve, repeats * 2 * 9 * width**2 * count * side**2 / 1e9


def flop_per_pixel(network: nn.Module) -> dict[str, float]:
    """Return the floating-point operations a pixel of a network's call, and of a call and its backward pass."""
    inputs = torch.rand(1, CHANNELS, CROP, CROP)
    with FlopCounterMode(display=False) as forward:
        output = network(inputs, torch.ones(1))
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    call = forward.get_total_flops() / CROP**2
    return {"training": call + backward.get_total_flops() / CROP**2, "restoring": call}


def textures(count: int, side: int) -> Iterator[Pixels]:
    """Yield colour images with detail of every scale, (side, side, 3) uint8, the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        grids = (torch.rand(1, CHANNELS, cells, cells, generator=generator) for cells in (4, 16, 64, side))
        image = torch.stack([functional.interpolate(grid, (side, side), mode="bilinear") for grid in grids]).mean(0)
        yield images.from_unit(image[0].permute(1, 2, 0).numpy(), np.uint8)


def noisy_pairs(folder: Path) -> tuple[Pair, ...]:
    """Write textures, and the same with noise, into a folder as PNG; return the pairs."""
    for number, clean in enumerate(textures(8, 256)):
        noise = np.random.default_rng(number).normal(scale=0.1, size=clean.shape)
        degraded = images.from_unit(images.to_unit(clean) + noise, np.uint8)
        images.write(folder / "clean" / f"{number}.png", images.Image(clean))
        images.write(folder / "degraded" / f"{number}.png", images.Image(degraded))
    return match_pairs(folder / "clean", folder / "degraded").pairs


def calls(
    small: nn.Module, theirs: Mapping[str, nn.Module], streams: ExitStack, folder: Path, device: torch.device
) -> dict[str, dict[str, Call]]:
    """Return an iteration of training and a restoration of each network, by task and row.

    Args:
        small: Our network.
        theirs: diffusers' networks, by row.
        streams: Ends the data loaders.
        folder: For images.
        device: Where the networks run.
    """
    crops = Crops(noisy_pairs(folder), crop=CROP, channels=CHANNELS, seed=0)
    (image,) = textures(1, SIDE)

    def batches() -> Batches:
        return streams.enter_context(closing(crops.stream(0, BATCH)))

    ours: dict[str, Precision] = {SMALL: "auto", FLOAT32: "float32"}
    training = {row: our_training(batches(), precision, device, folder) for row, precision in ours.items()}
    training |= {row: their_training(batches(), peer, device) for row, peer in theirs.items()}
    restoring = {row: restoration(small, precision, device, image) for row, precision in ours.items()}
    # It casts by itself.
    restoring |= {row: restoration(peer, "float32", device, image) for row, peer in theirs.items()}
    return {"training": training, "restoring": restoring}


def measure(device: torch.device, seconds: float) -> dict[str, Any]:
    """Time everything in one race, ``seconds`` each, and return the figures as the JSON file has them."""
    dtypes = {SMALL: choose_precision("auto", device), FLOAT32: torch.float32}
    small, theirs = small_network(), peers(dtypes[SMALL])
    weights = {row: sum(part.numel() for part in net.parameters()) for row, net in {SMALL: small, **theirs}.items()}
    if any(abs(count / weights[SMALL] - 1) > PEER_TOLERANCE for count in weights.values()):
        raise SystemExit(f"weights differ by more than {PEER_TOLERANCE:.0%} ({weights}): adapt PEER_WIDTHS")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as streams:
        entries = {
            Name(task, row): Entry(call, WORK[task], seconds)
            for task, rows in calls(small, theirs, streams, Path(folder), device).items()
            for row, call in rows.items()
        }
        for dtype, width, (count, side) in itertools.product(
            dict.fromkeys(dtypes.values()), CONVOLUTION_WIDTHS, CONVOLUTION_INPUTS
        ):
            call, work = convolution(width, count, side, dtype, device)
            name = Name(f"3x3 convolution, {spelt(dtype)}", f"{width} channels, {side} px")
            entries[name] = Entry(call, work, seconds * CONVOLUTION_SHARE)
        rates = race(entries)
    cost = flop_per_pixel(small)
    pixels = {"training": CROP**2, "restoring": 1e6}
    speeds = {task: {row: rates[task][row] * pixels[task] * cost[task] / 1e9 for row in dtypes} for task in cost}
    limits = {row: max(rates[f"3x3 convolution, {spelt(dtype)}"].values()) for row, dtype in dtypes.items()}
    return {
        "machine": machine(device),
        "weights": weights,
        "precision": {row: spelt(dtype) for row, dtype in dtypes.items()},
        "flop_per_pixel": cost,
        "rates": rates,
        "times_as_fast": {task: {row: rates[task][SMALL] / rate for row, rate in rates[task].items()} for task in cost},
        "gflop_per_second": speeds,
        "share_of_convolution": {
            task: {row: speed / limits[row] for row, speed in rows.items()} for task, rows in speeds.items()
        },
    }


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the figures depend on beside the code."""
    has = torch.cpu.get_capabilities()
    return {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu": has.get("cpu_name") or platform.processor() or platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "bfloat16_units": [name for name in ("amx_bf16", "avx512_bf16") if has.get(name)],
        "torch": torch.__version__,
        "indi": __version__,
    }


def spelt(dtype: torch.dtype) -> str:
    """Return a type's name without the library's."""
    return str(dtype).removeprefix("torch.")


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures as lines of text."""
    for name, value in figures["machine"].items():
        yield f"{name:16}{', '.join(value) or 'none' if isinstance(value, list) else value}"
    for task, unit in UNITS.items():
        yield f"\n{task:40}{unit:>14}  {SMALL} is"
        for row, rate in figures["rates"][task].items():
            ratio, aim = figures["times_as_fast"][task][row], AIMS[task].get(row)
            yield f"  {row:38}{rate:14.3g}" + (f"  {ratio:.2f} times as fast (aim {aim:g})" if aim else "")
        yield f"  {figures['flop_per_pixel'][task] / 1e3:.0f} thousand FLOP a pixel"
        for row, precision in figures["precision"].items():
            speed, share = figures["gflop_per_second"][task][row], figures["share_of_convolution"][task][row]
            aimed = f" (aim {AIM_SHARES[task]:.0%})" if row == SMALL else ""
            yield f"  {row:38}{speed:14.3g}  GFLOP/s, {share:.0%} of the best {precision} convolution{aimed}"
    yield ""
    for task in sorted(figures["rates"].keys() - UNITS.keys()):
        row, rate = max(figures["rates"][task].items(), key=lambda item: item[1])
        yield f"{task}: at best {rate:.0f} GFLOP/s ({row})"
    yield "weights: " + ", ".join(f"{row} {count / 1e6:.2f} million" for row, count in figures["weights"].items())


def main() -> None:
    """Measure, print, and write the figures where asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6, help="that each training and restoration is timed for")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", type=Path, help="file for all figures")
    arguments = parser.parse_args()
    try:
        device = choose_device(arguments.device)
    except DeviceError as error:
        parser.error(str(error))
    set_threads(None)
    figures = measure(device, arguments.seconds)
    print("\n".join(table(figures)))
    if arguments.json:
        write_text(arguments.json, json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

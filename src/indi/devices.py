"""Which device, how many threads, which precision: chosen for the user, the same way every time.

What a machine can do is read from what it says of itself, never from a stopwatch, so that one
command gives one result however busy the machine is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from indi.errors import DeviceError

Precision = Literal["auto", "float32", "bfloat16"]


def choose_device(name: str = "auto") -> torch.device:
    """Return the device: cuda, else mps, else cpu for ``auto``; ``cuda:1`` is the second of several.

    Raises:
        DeviceError: The device asked for is unknown or not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, found in there.items() if found))
    kind, colon, number = name.partition(":")
    if kind not in there or (colon and not number.isdecimal()):
        raise DeviceError(f"unknown device {name!r}; give auto, {', '.join(there)}")
    if not there[kind]:
        found = ", ".join(device for device, is_there in there.items() if is_there)
        raise DeviceError(f"no {kind} device on this machine; it has {found}")
    if not number:
        return torch.device(kind)
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if int(number) >= count:
        raise DeviceError(f"no device {name} on this machine; it has {count} of the kind, counted from 0")
    return torch.device(kind, int(number))


def choose_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type that convolutions run in: bfloat16 for ``auto`` where the hardware multiplies in it."""
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    if device.type == "cuda":
        # Cards before Ampere (8.0) emulate bfloat16, slowly.
        fast = torch.cuda.get_device_capability(device)[0] >= 8
    elif device.type == "cpu":
        has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not there in older versions of torch
        fast = any(has.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32


@dataclass(frozen=True)
class Arithmetic:
    """What training computes in, on one device, as the asked-for precision sets it.

    On a CUDA device float32 means the convolutions of float32, and the same ones every time. Any other precision asks
    for speed: what stays in float32 is multiplied in TF32, and the fastest convolutions are looked for, whose sums
    may differ from run to run by rounding.

    Attributes:
        dtype: Of the convolutions.
        exact: Whether the precision asked for is float32.
        device: Where.
    """

    dtype: torch.dtype
    exact: bool
    device: torch.device

    @classmethod
    def choose(cls, precision: Precision, device: torch.device) -> "Arithmetic":
        """Return that of a precision: as `choose_precision`, but float16 on cards whose bfloat16 is slow.

        Those from Volta (7.0) to before Ampere (8.0) multiply fast in float16; the loss has to be scaled for it.
        """
        dtype = choose_precision(precision, device)
        is_slow = precision == "auto" and dtype == torch.float32 and device.type == "cuda"
        if is_slow and torch.cuda.get_device_capability(device)[0] >= 7:
            dtype = torch.float16
        return cls(dtype, precision == "float32", device)

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        if self.device.type != "cuda":
            return name
        return f"{name}, deterministic convolutions" if self.exact else f"{name}, TF32, fastest convolutions"

    @contextmanager
    def used(self) -> Iterator[None]:
        """Compute so on a CUDA device; nothing is changed on others, and all is as before afterwards."""
        if self.device.type != "cuda":
            yield
            return
        multiply = "ieee" if self.exact else "tf32"
        flags = torch.backends.cudnn.flags  # the switches of matrix products too
        with flags(True, not self.exact, 10, self.exact, not self.exact, multiply):
            yield


def cores() -> int:
    """Return how many cores this process may use; a container's quota counts."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(there, _quota() or there))


def set_threads(threads: int | None) -> int:
    """Set and return the number of CPU threads: ``threads``, or as many cores as this process may use.

    A container's quota counts: with more threads than cores, two wait for each other and all is slower.

    Raises:
        DeviceError: ``threads`` is below 1.
    """
    if threads is None:
        threads = max(1, min(torch.get_num_threads(), cores()))
    if threads < 1:
        raise DeviceError(f"threads is {threads}; give 1 or more")
    torch.set_num_threads(threads)
    return threads


def _quota(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    """Return the cores that a Linux control group grants, rounded up; None without one."""
    try:
        granted, period = file.read_text().split()
        return -(-int(granted) // int(period))
    except (OSError, ValueError):  # not Linux, or "max"
        return None

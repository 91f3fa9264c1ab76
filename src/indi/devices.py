"""Which device, how many threads, which precision: chosen for the user, the same way every time.

What a machine can do is read from what it says of itself, never from a stopwatch, so that one
command gives one result however busy the machine is.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from indi.errors import DeviceError

if TYPE_CHECKING:  # imported where it is used: the command line needs the names of the precisions alone for its help
    import torch

Precision = Literal["auto", "float32", "bfloat16"]


def choose_device(name: str = "auto") -> "torch.device":
    """Return the device: cuda, else mps, else cpu for ``auto``; ``cuda:1`` is the second of several.

    Raises:
        DeviceError: The device asked for is unknown or not there.
    """
    import torch

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


def choose_precision(precision: Precision, device: "torch.device") -> "torch.dtype":
    """Return the type that convolutions run in: bfloat16 for ``auto`` where the hardware multiplies in it."""
    import torch

    if precision != "auto":
        there = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        if precision not in there:
            raise DeviceError(f"unknown precision {precision!r}; give auto, {', '.join(there)}")
        return there[precision]
    if device.type == "cuda":
        # Cards before Ampere (8.0) emulate bfloat16, slowly.
        fast = torch.cuda.get_device_capability(device)[0] >= 8
    elif device.type == "cpu":
        has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not there in older versions of torch
        fast = any(has.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32


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
    import torch

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

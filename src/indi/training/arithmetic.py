"""What training computes in: the type of convolutions, and whether they are exact or fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import torch

from indi.devices import Precision, choose_precision


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
    def choose(cls, precision: Precision, device: torch.device) -> Self:
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

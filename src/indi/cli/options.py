"""Options that several commands share, and how their text becomes values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Parameter, Token

from indi.config import MethodSettings, NetworkSettings, Settings, TrainingSettings
from indi.devices import Precision
from indi.errors import ConfigError
from indi.process import DEFAULT_REALISM, DEFAULT_SAMPLER

_N = TypeVar("_N", int, float)


def _whole(type_: Any, tokens: Sequence[Token]) -> int:
    """Return a whole number; cyclopts itself would round 2.6 to 3."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is not a whole number") from None


def explained(settings: type[Settings], name: str) -> str:
    """Return what the tree of settings says of one, with its default."""
    field = settings.model_fields[name]
    return f"{field.description}; by default {field.default}"


# The names in the tables, which help lists. The tables themselves take torch with them, seconds that help has no time
# for; a test holds both to each other.
METHODS = ("indi", "regression", "flow", "diffusion", "bridge", "distributional")
TASKS = ("photo", "denoise", "denoise-photons", "deblur-motion", "deblur-defocus", "super-resolve-4x", "jpeg")
TIMES = ("uniform", "geometric", "power")
SAMPLERS = ("euler", "heun", "multistep")
ExportTo = Literal["onnx", "bioimageio", "darktable"]

WHOLE = Parameter(converter=_whole)
Model = Annotated[str, Parameter(help="a pretrained model (see indi models), a run folder or a model file")]
Task = Annotated[str | None, Parameter(help=f"make the degraded images from the clean ones: {', '.join(TASKS)}")]
Times = Annotated[str, Parameter(help=f"{', '.join(TIMES)}, or the times in place of steps, such as 1,0.5,0.2,0")]
Sampler = Annotated[
    str | None,
    Parameter(help=f"{', '.join(SAMPLERS)}; by default {DEFAULT_SAMPLER}, or what the model is best with"),
]
Strength = Annotated[float, Parameter(help="below 1 for degradation milder than most in training: it changes less")]
Realism = Annotated[
    float | None,
    Parameter(
        help=f"of a model that draws: 0 is the least error, 1 a draw from all clean images that fit; by default "
        f"{DEFAULT_REALISM} or what the model is best with; 1 where there are samples"
    ),
]
Seed = Annotated[int, WHOLE, Parameter(help="of everything random")]
Tile = Annotated[int, WHOLE, Parameter(help="side of a tile in pixels: less needs less memory, the result is the same")]
Convolutions = Annotated[Precision, Parameter(help="of the convolutions; auto: bfloat16 where the hardware has it")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda or mps")]
Size = Annotated[str | None, Parameter(help=explained(NetworkSettings, "size"))]
Epsilon = Annotated[float | None, Parameter(help=explained(MethodSettings, "epsilon"))]
SettingOfSeed = Annotated[int | None, WHOLE, Parameter(help=explained(TrainingSettings, "seed"))]
SettingOfPrecision = Annotated[Precision | None, Parameter(help=explained(TrainingSettings, "precision"))]
Whole = Annotated[int, WHOLE]
Inputs = Annotated[Path, Parameter(required=True)]  # one or more
Recursive = Annotated[bool, Parameter(help="folders below too; the tree of them is kept", negative="")]
Overwrite = Annotated[bool, Parameter(help="write over files that indi did not make from these inputs", negative="")]
Range = Annotated[
    str | None,
    Parameter(
        help="peak of PSNR and SSIM; by default the type's range, 1 for floats; image: the span of each clean one"
    ),
]
Threads = Annotated[int | None, WHOLE, Parameter(help="CPU threads; by default as many as there are cores")]
Json = Annotated[bool, Parameter(help="print one JSON object and nothing else", negative="")]


def times_of(times: str) -> str | tuple[float, ...]:
    """Return the name of a grid, or the times themselves where there are several with commas between."""
    return tuple(_number(part, float, "--times") for part in times.split(",")) if "," in times else times


def numbers_of(steps: str) -> tuple[int, ...]:
    """Return whole numbers with commas between.

    Raises:
        ConfigError: One is no whole number.
    """
    return tuple(_number(part, int, "--steps") for part in steps.split(","))


def shares_of(realism: str) -> tuple[float, ...]:
    """Return numbers with commas between.

    Raises:
        ConfigError: One is no number.
    """
    return tuple(_number(part, float, "--realism") for part in realism.split(","))


def range_of(data_range: str | None) -> float | Literal["image"] | None:
    """Return the range to measure against: a number, "image", or None for that of the type.

    Raises:
        ConfigError: It is none of them.
    """
    if data_range is None or data_range == "image":
        return data_range  # type: ignore[return-value]
    return _number(data_range, float, "--data-range")


def _number(text: str, kind: type[_N], option: str) -> _N:
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a number; give numbers with commas between") from None

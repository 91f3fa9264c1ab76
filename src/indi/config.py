"""The one tree of settings: defaults live here, and the command line, files and models read them.

Frozen pydantic models, read from TOML or JSON. An unknown key is an error that names the nearest known one.
The tables of methods and networks are imported where a name is checked: they take torch with them, and help needs none.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from indi.devices import Precision
from indi.errors import ConfigError
from indi.process import Noise

if TYPE_CHECKING:
    from indi.io.neighbours import Neighbours
    from indi.process.methods import Method

# Defaults of restoring and measuring that, as those of training below, the command line shows without importing torch.
DEFAULT_TILE = 1024  # pixels
STEPS = (1, 2, 5, 10, 20)  # that an evaluation compares
MOST_NEIGHBOURS = 8  # planes on each side that a network sees
RATE, SAMPLES = 0.9, 8  # of intervals: the share of the pixels they are to hold, restorations of each image

RECIPES = Path(__file__).parent / "recipes"

Share = Annotated[float, Field(ge=0, le=1)]


def _check_name(what: str, name: str, table: Mapping[str, Any]) -> None:
    if name not in table:
        raise ValueError(f"unknown {what} {name!r}; there are {', '.join(table)}{nearest(name, table)}")


def nearest(name: str, known: Any) -> str:
    """Return the end of a sentence that names the known word nearest to a name; "" where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


class Settings(BaseModel):
    """Base of all settings: frozen, strict about names, and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MethodSettings(Settings):
    """How degraded becomes clean (methods.py, path.py)."""

    name: str = Field("indi", description="indi, regression, flow, diffusion, bridge or distributional")
    epsilon: float = Field(
        0.01,
        ge=0,
        le=1,
        description="strength of the noise, in intensities; regression has none, diffusion and distributional have "
        "their own",
    )
    noise: Noise = Field("constant", description="the schedule eps(t)")
    conditioned: bool = Field(
        False,
        description="the network sees the degraded image beside the state; diffusion and distributional always, "
        "regression never",
    )
    share_at_one: Share = Field(0.5, description="weight of the point mass at t = 1 in training; of distributional 0.9")

    @model_validator(mode="before")
    @classmethod
    def _share(cls, values: Any) -> Any:
        from indi.process.methods import SHARES_AT_ONE

        if isinstance(values, dict) and values.get("name") in SHARES_AT_ONE:
            return {"share_at_one": SHARES_AT_ONE[values["name"]]} | values
        return values

    @model_validator(mode="after")
    def _known(self) -> Self:
        from indi.process.methods import METHODS

        _check_name("method", self.name, METHODS)
        return self

    def build(self) -> "Method":
        """Return the method that these settings describe."""
        from indi.process.methods import METHODS

        return METHODS[self.name](self.epsilon, self.noise, self.conditioned, self.share_at_one)


class NetworkSettings(Settings):
    """Which network, and how large."""

    name: str = Field("unet", description="a row of the table of networks")
    size: str = Field("small", description="tiny, small, fine, base or large")

    @model_validator(mode="after")
    def _known(self) -> Self:
        from indi.networks import NETWORKS

        _check_name("network", self.name, NETWORKS)
        _check_name("size", self.size, NETWORKS[self.name].sizes)
        return self


class DataSettings(Settings):
    """Where pairs come from, and how they are cut into crops."""

    clean: str | None = Field(None, description="folder of clean images")
    degraded: str | None = Field(None, description="folder of degraded images, with the names of the clean ones")
    task: str | None = Field(None, description="make the degraded images from the clean ones instead")
    gray: Share = Field(0.0, description="share of a task's crops turned gray, so that a colour model serves gray too")
    channels: int | None = Field(None, ge=1, le=64, description="channels to train on; None: those of the images")
    axes: str | None = Field(None, description="of stacks, such as ZCYX, where the files do not know or are wrong")
    apart: bool = Field(False, description="channels of stacks are images of their own, as for a model of colours")
    neighbours: int = Field(
        0, ge=0, le=MOST_NEIGHBOURS, description="planes of a stack that the network sees before and after each"
    )
    neighbours_axis: Literal["Z", "T"] = Field("Z", description="the axis of stacks along which they lie")
    crop: int = Field(64, ge=16, le=1024, description="side of a training crop, in pixels")
    signal: Share = Field(
        0.0, description="share of the crops that are the best of four places: that of most contrast in the clean image"
    )
    batch: int = Field(16, ge=1, le=4096, description="crops an iteration")
    validation: Share | Annotated[int, Field(ge=0)] = Field(
        0.1, description="share of the images kept from training, for validation; a whole number is how many"
    )
    split_seed: int | None = Field(None, ge=0, description="of the split into training and validation; None: the seed")
    normalise: Literal["none", "deviation", "quantiles"] = Field(
        "none", description="scale intensities as the training images ask for: by mean and deviation, or by quantiles"
    )
    group: str | None = Field(None, description="pattern whose match names an image's scene; scenes are not split")
    resample: bool = Field(False, description="bring degraded images of a whole-number lower size to the clean grid")

    @property
    def around(self) -> "Neighbours":
        """Which planes of a stack the network sees around each."""
        from indi.io.neighbours import Neighbours

        return Neighbours(self.neighbours, self.neighbours_axis)


class TrainingSettings(Settings):
    """How the network learns."""

    minutes: float | None = Field(None, gt=0, description="budget in minutes of training")
    iterations: int | None = Field(None, ge=1, description="budget in iterations")
    learning_rate: float = Field(1e-3, gt=0, description="its highest value")
    warmup: Share = Field(0.03, description="share of the budget over which it is reached")
    cooldown: Share = Field(0.5, description="share of the budget, at the end, over which it falls to nothing")
    norm: Literal[1, 2] = Field(1, description="p of the loss |F - x|^p; distributional has a loss of its own")
    clip: float = Field(1.0, gt=0, description="highest norm of a gradient")
    average: float = Field(0.999, ge=0, lt=1, description="decay of the averaged weights, an iteration")
    checkpoint_every: int = Field(500, ge=1, description="iterations between checkpoints")
    preview_steps: int = Field(10, ge=1, description="steps of the preview pictures")
    precision: Precision = Field("auto", description="of the convolutions")
    seed: int = Field(0, ge=0, lt=2**63, description="of everything random")

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.minutes is not None and self.iterations is not None:
            raise ValueError("give one budget, minutes or iterations, not both")
        return self


class Config(Settings):
    """Everything that decides what a training run does."""

    method: MethodSettings = Field(default_factory=MethodSettings)
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    data: DataSettings = Field(default_factory=DataSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)

    @property
    def split_seed(self) -> int:
        """The seed of the split into training and validation."""
        return self.training.seed if self.data.split_seed is None else self.data.split_seed

    @classmethod
    def parse(cls, values: dict[str, Any], *, source: str) -> Self:
        """Return the settings that ``values`` describe, defaults for the rest.

        Raises:
            ConfigError: A key is unknown or a value out of range; the message names it and ``source``.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{source}: {_first_problem(error, cls)}") from error

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """Return the raw tree of a TOML or JSON file.

        Raises:
            ConfigError: The file cannot be read or is neither.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")  # Windows editors put a byte-order mark first
            values: dict[str, Any] = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a TOML or JSON file") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not text in UTF-8; save it as UTF-8") from error
        except RecursionError as error:
            raise ConfigError(f"{path}: nested too deeply; give a TOML or JSON file") from error
        except ValueError as error:
            raise ConfigError(f"{path}: not valid TOML or JSON ({error}); fix that line") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: holds no settings by name; give a TOML or JSON file")
        return values

    def dump(self) -> str:
        """Return the settings as indented JSON, every value written out."""
        return self.model_dump_json(indent=2) + "\n"


def find_config(name: str | Path) -> Path:
    """Return the file of settings that is meant: a path, or the name of a recipe that comes with the package.

    Raises:
        ConfigError: The name, which has no suffix, is neither that of a file nor of a recipe.
    """
    path = Path(name)
    if path.suffix or len(path.parts) > 1 or path.is_file():
        return path
    recipes = {file.stem: file for file in sorted(RECIPES.glob("*.toml"))}
    if str(path) not in recipes:
        raise ConfigError(f"{path}: no such file or recipe; recipes: {', '.join(recipes)}{nearest(str(path), recipes)}")
    return recipes[str(path)]


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return the tree ``under`` with the values of ``over`` put over it."""
    tree = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(tree.get(key), dict)
        tree[key] = merged(tree[key], value) if both else value
    return tree


def _first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    problem = error.errors()[0]
    *parents, name = [str(part) for part in problem["loc"]] or ["settings"]
    where = ".".join([*parents, name])
    if problem["type"] != "extra_forbidden":
        value = "" if isinstance(problem["input"], dict | BaseModel) else f" (got {problem['input']!r})"
        return f"{where}: {problem['msg'].removeprefix('Value error, ')}{value}"
    for parent in parents:
        model = model.model_fields[parent].annotation  # type: ignore[assignment]
    return f"{where}: unknown setting; known are {', '.join(model.model_fields)}{nearest(name, model.model_fields)}"

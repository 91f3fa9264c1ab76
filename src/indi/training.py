"""Training: one generator that yields a record an iteration.

The command line, the app, notebooks and tests are all its consumers. Everything random is a pure
function of the seed and the iteration, so a resumed run is the run that was never stopped, bit for
bit on one machine and thread count.
"""

import json
import logging
import math
import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from indi import process
from indi.checkpoint import (
    STATE_FILE,
    Card,
    Model,
    load_model,
    read_tensors,
    save_model,
    write_tensors,
    write_text,
)
from indi.config import Config, DataSettings, merged
from indi.data import Crops, Pair, PairReport, check_pairs, match_pairs, split_pairs
from indi.degradations import degradation
from indi.devices import Precision, choose_device, choose_precision
from indi.errors import ConfigError, ModelError, TrainingError
from indi.previews import Preview
from indi.version import __version__

log = logging.getLogger("indi")

CONFIG_FILE = "config.json"
LOG_FILE = "training.jsonl"
PREVIEWS = "previews"
SPLIT_FILE = "split.json"
_GIVE_UP = 10  # iterations in a row that were not finite
_SPEED_WINDOW = 5.0  # seconds over which the speed is measured


@dataclass(frozen=True)
class Record:
    """One iteration of training, as the log holds it.

    Attributes:
        iteration: Its number, from 1.
        loss: Of its batch, Eq. (2); not finite where the iteration was skipped.
        lr: Learning rate it used.
        seconds: Training time so far, over all sessions of the run.
        crops_per_second: Over the last iterations.
        progress: Share of the budget that is spent, 0 to 1.
        skipped: Iterations so far that were skipped since their loss or gradient was not finite.
        psnr: Mean over the preview crops in dB, by steps; None between previews.
    """

    iteration: int
    loss: float
    lr: float
    seconds: float
    crops_per_second: float
    progress: float
    skipped: int
    psnr: dict[str, float] | None = None


CLOCK_FIELDS = ("seconds", "crops_per_second")  # the fields of a record that a clock decides


class Trainer:
    """One run: its network, its optimiser, its place on the way. Use ``train``, which drives it."""

    def __init__(self, config: Config, card: Card, run: Path, device: torch.device) -> None:
        self.config = config
        self.card = card
        self.run = run
        self.device = device
        self.method = config.method.build()
        with torch.random.fork_rng(devices=[]):  # weights begin from torch's own generator: lend it, give it back
            torch.manual_seed(config.training.seed)
            self.network: nn.Module = Model.new(card).network.to(device)
        self.average = Model.new(card)
        self.average.network.to(device).requires_grad_(False).load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=config.training.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.dtype = choose_precision(config.training.precision, device)
        self.iteration = 0
        self.seconds = 0.0
        self.skipped = 0
        self.in_a_row = 0

    def begin_from(self, model: Model) -> None:
        """Start from another model's weights.

        Raises:
            ModelError: Its network is another.
        """
        theirs, ours = model.card, self.card
        if (theirs.network, theirs.channels) != (ours.network, ours.channels) or (
            theirs.method.build().conditioned != self.method.conditioned
        ):
            raise ModelError(
                f"cannot start from {theirs.name}: its network is {theirs.network.size} with {theirs.channels} "
                f"channels, this run's {ours.network.size} with {ours.channels}; choose the same size and mode"
            )
        self.network.load_state_dict(model.network.state_dict())
        self.average.network.load_state_dict(model.network.state_dict())

    def progress(self) -> float:
        """Return the share of the budget that is spent."""
        training = self.config.training
        if training.iterations is not None:
            return min(self.iteration / training.iterations, 1.0)
        assert training.minutes is not None
        return min(self.seconds / (60 * training.minutes), 1.0)

    def learn(self, clean: Tensor, degraded: Tensor) -> tuple[float, float]:
        """Take one optimiser step on a batch; return its loss and learning rate.

        Raises:
            TrainingError: Ten iterations in a row were not finite.
        """
        training = self.config.training
        generator = torch.Generator().manual_seed(_mixed(training.seed, self.iteration))
        t = process.draw_times(len(clean), self.method.share_at_one, generator)
        noise = torch.randn(clean.shape, generator=generator)
        clean, degraded, t, noise = (part.to(self.device) for part in (clean, degraded, t, noise))

        state = self.method.path.state(clean, degraded, t, noise)
        with self._autocast():
            output = self.network(self.method.inputs(state, degraded), t)
        loss = process.loss(self.method.clean(output, state), clean, training.norm)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        size = nn.utils.clip_grad_norm_(self.network.parameters(), training.clip, foreach=True)
        rate = learning_rate(training.learning_rate, self.progress(), training.warmup, training.cooldown)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if bool(size.isfinite() & loss.isfinite()):
            self.in_a_row = 0
            self.optimiser.step()
            self._average()
        else:
            self.skipped += 1
            self.in_a_row += 1
        self.iteration += 1
        if self.in_a_row >= _GIVE_UP:
            raise TrainingError(
                f"{self.run}: loss or gradient was not finite {_GIVE_UP} times in a row at iteration "
                f"{self.iteration}; the last checkpoint is kept: lower the learning rate and resume"
            )
        return loss.item(), rate

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    @torch.no_grad()
    def _average(self) -> None:
        # Early weights are poor: the window of the average opens with the iterations (as diffusers' warm-up does).
        decay = min(self.config.training.average, (1 + self.iteration) / (10 + self.iteration))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self.average.network.parameters()), list(self.network.parameters()), self.iteration)

    def model(self) -> Model:
        """Return the averaged weights as a model, with what it has seen so far."""
        card = self.card.model_copy(
            update={
                "iterations": self.iteration,
                "images_seen": self.iteration * self.config.data.batch,
                "seconds": round(self.seconds, 3),
            }
        )
        return Model(card, self.average.network)

    def save(self) -> None:
        """Write the state first, which resuming reads, then the model, which everything else reads."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.network.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        header: dict[str, Any] = {"iteration": self.iteration, "seconds": self.seconds, "skipped": self.skipped}
        header |= {"in_a_row": self.in_a_row, "precision": str(self.dtype).removeprefix("torch.")}
        write_tensors(self.run / STATE_FILE, tensors, header)
        save_model(self.model(), self.run)

    def resume(self) -> None:
        """Read the state that ``save`` wrote.

        Raises:
            ModelError: It is damaged, or of another network.
        """
        tensors, header = read_tensors(self.run / STATE_FILE)
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        weights = list(self.network.parameters())
        optimiser: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimiser"].items():
            number, _, rest = name.partition(".")
            weight = weights[int(number)]
            # The fused optimiser walks memory, so its averages must lie as the weights do (channels last).
            laid = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
            optimiser.setdefault(int(number), {})[rest] = laid
        self.network.load_state_dict(parts["network"])
        self.average.network.load_state_dict(parts["average"])
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": optimiser})
        self.dtype = getattr(torch, header.pop("precision"))
        for name, value in header.items():
            setattr(self, name, value)


def learning_rate(highest: float, progress: float, warmup: float, cooldown: float) -> float:
    """Return the learning rate at a share of the budget: a rise, a plateau, and half a cosine to 1 % of it."""
    rise = min(1.0, (progress + 1e-3) / max(warmup, 1e-3))
    fall = max(0.0, (progress - (1 - cooldown)) / cooldown) if cooldown else 0.0
    return highest * rise * (0.01 + 0.99 * (1 + math.cos(math.pi * fall)) / 2)


def train(
    *,
    run: str | Path,
    clean: str | Path | None = None,
    degraded: str | Path | None = None,
    task: str | None = None,
    method: str | None = None,
    size: str | None = None,
    epsilon: float | None = None,
    minutes: float | None = None,
    iterations: int | None = None,
    checkpoint_every: int | None = None,
    seed: int | None = None,
    precision: Precision | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
) -> Generator[Record, None, None]:
    """Train a restorer, and yield a record an iteration.

    The run folder gets config.json, model.safetensors (the averaged weights) and model.json,
    training.jsonl, previews/, and state.safetensors for resuming. Closing the generator early, or
    an interrupt, saves a checkpoint first. Loop over it: it does nothing before.

    Args:
        run: The run folder; made if it is not there.
        clean: Folder of clean images.
        degraded: Folder of degraded images with the names of the clean ones; or else ``task``.
        task: Makes the degraded images from the clean ones: a key of ``DEGRADATIONS``.
        method: indi, regression.
        size: tiny, small, base, large.
        epsilon: Standard deviation of the noise at t = 1, in intensities.
        minutes: Budget: minutes of training.
        iterations: Budget: iterations; instead of ``minutes``.
        checkpoint_every: Iterations between checkpoints.
        seed: Of everything random.
        precision: auto, float32 or bfloat16, of the convolutions.
        config: More settings, a TOML or JSON file or a tree (config.py); the arguments above go over it.
        start: A run folder or model file whose weights to start from.
        resume: Go on from the run's last checkpoint with its settings; from the start where there is none.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: A needed setting is missing or wrong, or differs from those of the run to be resumed.
        DataError, ImageError: The pairs cannot be used.
        ModelError: ``start`` or the state to resume does not fit.
        TrainingError: The run exists already, or training diverged.
    """
    given: dict[str, Any] = {
        "method": {"name": method, "epsilon": epsilon},
        "network": {"size": size},
        "data": {"clean": _text(clean), "degraded": _text(degraded), "task": task},
        "training": {
            "minutes": minutes,
            "iterations": iterations,
            "checkpoint_every": checkpoint_every,
            "seed": seed,
            "precision": precision,
        },
    }
    given = {part: {name: v for name, v in values.items() if v is not None} for part, values in given.items()}
    run = Path(run)
    tree: dict[str, Any] = {}
    if isinstance(config, Mapping):
        tree = dict(config)
    elif config is not None:
        tree = Config.read(Path(config))
    resuming = _is_to_resume(run, resume)
    if resuming:
        before = Config.read(run / CONFIG_FILE)
        if minutes is not None or iterations is not None:  # a new budget takes the place of the old
            before["training"] |= {"minutes": None, "iterations": None}
        settings = Config.parse(merged(before, merged(tree, given)), source=str(run))
        _check_unchanged(Config.parse(before, source=str(run)), settings, run)
    else:
        settings = Config.parse(merged(tree, given), source="settings" if config is None else str(config))
    if settings.training.minutes is None and settings.training.iterations is None:
        raise ConfigError("no budget; give minutes or iterations")
    yield from _train(settings, run, resuming, None if start is None else load_model(Path(start)), device)


def _train(
    config: Config, run: Path, resuming: bool, start: Model | None, device: str
) -> Generator[Record, None, None]:
    report = _find_pairs(config.data)
    training_pairs, validation_pairs = split_pairs(
        report.pairs, validation=config.data.validation, seed=config.training.seed, group=config.data.group
    )
    card = Card(
        version=__version__,
        name=run.name,
        method=config.method,
        network=config.network,
        channels=report.channels,
        task=config.data.task,
        pairs=len(training_pairs),
    )
    trainer = Trainer(config, card, run, choose_device(device))
    if start is not None:
        trainer.begin_from(start)
    if resuming:
        trainer.resume()
    write_text(run / CONFIG_FILE, config.dump())
    names = {"training": [p.name for p in training_pairs], "validation": [p.name for p in validation_pairs]}
    write_text(run / SPLIT_FILE, json.dumps(names, indent=1) + "\n")
    yield from _loop(trainer, training_pairs, validation_pairs)


def _find_pairs(data: DataSettings) -> PairReport:
    """Return the pairs to train on, after every image was read; say what is odd about them."""
    if data.clean is None or (data.degraded is None) == (data.task is None):
        raise ConfigError("give the clean images, and the degraded ones or a task that makes them: one of the two")
    if data.task is not None:
        degradation(data.task)
    degraded = None if data.degraded is None else Path(data.degraded)
    report = check_pairs(match_pairs(Path(data.clean), degraded, channels=data.channels, resample=data.resample))
    report.raise_if_unusable()
    for line in report.summary().splitlines():
        log.info(line)
    return report


def _loop(trainer: Trainer, training_pairs: list[Pair], validation_pairs: list[Pair]) -> Generator[Record, None, None]:
    config, run = trainer.config, trainer.run
    spent = trainer.seconds
    began = time.perf_counter()
    crops = Crops(
        training_pairs,
        crop=config.data.crop,
        channels=trainer.card.channels,
        seed=config.training.seed,
        task=config.data.task,
        resample=config.data.resample,
    )
    preview = Preview(validation_pairs or training_pairs, config, trainer.card.channels)
    _cut_log(run / LOG_FILE, trainer.iteration)
    recent = (trainer.iteration, began)
    with (
        (run / LOG_FILE).open("a", encoding="utf-8") as records,
        closing(crops.stream(trainer.iteration, config.data.batch)) as batches,
    ):
        try:
            while trainer.progress() < 1:
                _, (clean, degraded) = next(batches)
                value, rate = trainer.learn(clean, degraded)
                now = time.perf_counter()
                trainer.seconds = spent + now - began
                psnr = None
                if trainer.iteration % config.training.checkpoint_every == 0 or trainer.progress() >= 1:
                    trainer.save()
                    psnr = preview.draw(trainer.model(), trainer.iteration, run / PREVIEWS, trainer.dtype)
                    trainer.seconds = spent + time.perf_counter() - began
                speed = config.data.batch * (trainer.iteration - recent[0]) / (now - recent[1])
                if now - recent[1] > _SPEED_WINDOW:
                    recent = (trainer.iteration, now)
                record = Record(
                    iteration=trainer.iteration,
                    loss=value,
                    lr=rate,
                    seconds=trainer.seconds,
                    crops_per_second=speed,
                    progress=trainer.progress(),
                    skipped=trainer.skipped,
                    psnr=psnr,
                )
                _write_record(records, record)
                yield record
        except TrainingError:
            raise  # the last checkpoint, from before it went wrong, is the one to keep
        except BaseException:
            trainer.save()
            raise


def _write_record(records: TextIO, record: Record) -> None:
    values = {name: value for name, value in asdict(record).items() if value is not None}
    records.write(json.dumps(values) + "\n")
    records.flush()


def _cut_log(file: Path, iterations: int) -> None:
    """Drop the records of iterations after the checkpoint: they are about to be made again."""
    if file.exists():
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(file, "".join(lines[:iterations]))


def _is_to_resume(run: Path, resume: bool) -> bool:
    """Return whether there is a checkpoint to go on from; refuse to write over a run."""
    there = (run / STATE_FILE).exists()
    if there and not resume:
        raise TrainingError(f"{run}: holds a run already; go on with --resume, or give another folder")
    return there


def _check_unchanged(before: Config, now: Config, run: Path) -> None:
    """Raise where a setting other than the budget differs from what the run was begun with."""
    for part, values in before:
        for name, value in values:
            asked = getattr(getattr(now, part), name)
            if asked != value and name not in ("minutes", "iterations"):
                raise ConfigError(f"{run}: begun with {part}.{name} {value}, not {asked}; leave it out, or start anew")


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _mixed(seed: int, iteration: int) -> int:
    """Return one 63-bit seed for an iteration of a run (SplitMix64's mixing step)."""
    value = (seed * 0x9E3779B97F4A7C15 + iteration + 1) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    value = (value ^ value >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return (value ^ value >> 31) >> 1

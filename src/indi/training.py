"""Training: one generator that yields a record an iteration.

The command line, the app, notebooks and tests are all its consumers. Everything random is a pure
function of the seed and the iteration, so a resumed run is the run that was never stopped, bit for
bit on one machine and thread count.
"""

import json
import logging
import math
import os
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from indi.checkpoint import (
    STATE_FILE,
    Card,
    Model,
    load_model,
    write_text,
)
from indi.config import Config, DataSettings, merged
from indi.data import Crops, Pair, PairReport, check_pairs, match_pairs, measure_normalisation, split_pairs
from indi.degradations import degradation
from indi.devices import Precision
from indi.distributed import World, joined
from indi.errors import ConfigError, DataError, TrainingError
from indi.previews import Preview
from indi.shipped import existing_model
from indi.trainer import Trainer
from indi.version import __version__

log = logging.getLogger("indi")

CONFIG_FILE = "config.json"
LOG_FILE = "training.jsonl"
PREVIEWS = "previews"
SPLIT_FILE = "split.json"
_BUDGETS = ("minutes", "iterations")
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
        psnr: Mean over the preview crops in dB, by steps ("0": degraded) or "realism 1"; None between previews.
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


def train(
    *,
    run: str | Path,
    clean: str | Path | None = None,
    degraded: str | Path | None = None,
    task: str | None = None,
    method: str | None = None,
    size: str | None = None,
    epsilon: float | None = None,
    resample: bool = False,
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

    In processes that torchrun started all train one model together, and the first writes (distributed.py).

    The run folder gets config.json, model.safetensors (the averaged weights) and model.json,
    training.jsonl, previews/, and state.safetensors for resuming. Closing the generator early saves
    a checkpoint first; an interrupt amid an iteration keeps the last one. Loop over it: it does nothing before.

    Args:
        run: The run folder; made if it is not there.
        clean: Folder of clean images.
        degraded: Folder of degraded images with the names of the clean ones; or else ``task``.
        task: Makes the degraded images from the clean ones: a key of ``DEGRADATIONS``.
        method: A row of the table of methods, such as indi, regression, distributional.
        size: tiny, small, fine, base, large.
        epsilon: Standard deviation of the noise at t = 1, in intensities.
        resample: Bring degraded images of a whole-number lower size to the clean grid.
        minutes: Budget: minutes of training.
        iterations: Budget: iterations; instead of ``minutes``.
        checkpoint_every: Iterations between checkpoints.
        seed: Of everything random.
        precision: auto, float32 or bfloat16, of the convolutions.
        config: More settings, a TOML or JSON file or a tree (config.py); the arguments above go over it.
        start: A shipped name, a run folder or a model file whose weights to start from, with its method, network and
            channels unless told otherwise.
        resume: Go on from the run's last checkpoint with its settings; from the start where there is none.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: A needed setting is missing or wrong, or differs from those of the run to be resumed.
        DataError, ImageError: The pairs cannot be used.
        ModelError: ``start`` or the state to resume does not fit.
        TrainingError: The run exists already, or training diverged.
    """
    asked = settings_tree(
        config,
        clean=clean,
        degraded=degraded,
        task=task,
        method=method,
        size=size,
        epsilon=epsilon,
        resample=resample,
        minutes=minutes,
        iterations=iterations,
        checkpoint_every=checkpoint_every,
        seed=seed,
        precision=precision,
    )
    run = Path(run)
    if not resume and (run / STATE_FILE).exists():
        raise TrainingError(f"{run}: holds a run already; go on with --resume, or give another folder")
    model = None if start is None else load_model(existing_model(start))
    settings = _settings(run, asked, resume, under={} if model is None else _settings_of(model.card, asked))
    with joined(device) as world:
        yield from _train(settings, run, model, world)


def settings_tree(
    config: str | Path | Mapping[str, Any] | None,
    *,
    clean: str | Path | None = None,
    degraded: str | Path | None = None,
    task: str | None = None,
    method: str | None = None,
    size: str | None = None,
    epsilon: float | None = None,
    resample: bool = False,
    minutes: float | None = None,
    iterations: int | None = None,
    checkpoint_every: int | None = None,
    seed: int | None = None,
    precision: Precision | None = None,
) -> dict[str, Any]:
    """Return the settings of a file or tree, with the given ones, named as in ``train``, put over them.

    Raises:
        ConfigError: The file cannot be read or is neither TOML nor JSON.
    """
    given: dict[str, Any] = {
        "method": {"name": method, "epsilon": epsilon},
        "network": {"size": size},
        "data": {"clean": clean, "degraded": degraded, "task": task, "resample": resample or None},
        "training": {
            "minutes": minutes,
            "iterations": iterations,
            "checkpoint_every": checkpoint_every,
            "seed": seed,
            "precision": precision,
        },
    }
    given = {part: {name: v for name, v in values.items() if v is not None} for part, values in given.items()}
    return _one_budget(_resolved(_tree(config)), given)


def _tree(config: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    if config is None:
        return {}
    tree = dict(config) if isinstance(config, Mapping) else Config.read(Path(config))
    for part, values in tree.items():
        if not isinstance(values, Mapping):
            raise ConfigError(f"settings: {part} is {values!r}; put settings under [{part}], each by its name")
    return tree


def _settings_of(card: Card, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a model's weights were trained with and fit; the kind of noise for its method only."""
    method = card.method.model_dump() | {"conditioned": card.method.build().conditioned}
    if asked["method"].get("name", card.method.name) != card.method.name:
        del method["noise"], method["share_at_one"]  # which each method has its own of
    data: dict[str, Any] = {"channels": card.channels, "apart": card.apart}
    if card.normalisation is not None and card.normalisation.kind is not None:
        data["normalise"] = card.normalisation.kind
    return {"method": method, "network": card.network.model_dump(), "data": data}


def _settings(run: Path, asked: dict[str, Any], resume: bool, *, under: dict[str, Any]) -> Config:
    """Return the settings: what is asked for, over those of the run that is resumed, or of a new one over ``under``.

    Raises:
        ConfigError: There is no budget, or a setting differs from what the run was begun with.
    """
    begun = resume and (run / CONFIG_FILE).exists()
    before: dict[str, Any] = Config.read(run / CONFIG_FILE) if begun else under
    settings = Config.parse(_one_budget(before, asked), source=str(run) if begun else "settings")
    if begun:
        _check_unchanged(Config.parse(before, source=str(run)), settings, run)
    if settings.training.minutes is None and settings.training.iterations is None:
        where = f"{run}: no run to resume here; to begin one, " if resume and not begun else "no budget; "
        raise ConfigError(f"{where}give minutes or iterations")
    return settings


def _one_budget(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return the trees merged; a budget given over another takes its place, also where it is of the other kind."""
    tree, above = merged(under, {}), _resolved(over)
    if set(_BUDGETS) & above.get("training", {}).keys():
        kept = {name: value for name, value in tree.get("training", {}).items() if name not in _BUDGETS}
        tree["training"] = kept
    return merged(tree, above)


def _resolved(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tree with whole paths, so that a run finds its images from any folder."""
    data = tree.get("data")
    if not isinstance(data, dict):
        return tree
    given = {name: data.get(name) for name in ("clean", "degraded")}
    paths = {name: str(Path(value).resolve()) for name, value in given.items() if isinstance(value, str | Path)}
    return {**tree, "data": {**data, **paths}}


def _train(config: Config, run: Path, start: Model | None, world: World) -> Generator[Record, None, None]:
    report = _find_pairs(config.data)
    training_pairs, validation_pairs = split_pairs(
        report.pairs, validation=config.data.validation, seed=config.split_seed, group=config.data.group
    )
    if config.data.validation and not validation_pairs:
        log.info("one scene in all: nothing is kept for validation")
    card = Card(
        version=__version__,
        name=run.name,
        method=config.method,
        network=config.network,
        channels=report.channels,
        colour=report.colour,
        task=config.data.task,
        normalisation=measure_normalisation(
            training_pairs, config.data.normalise, channels=report.channels, resample=config.data.resample
        ),
        pairs=len(training_pairs),
    )
    trainer = Trainer(config, card, run, world)
    names = {"training": [p.name for p in training_pairs], "validation": [p.name for p in validation_pairs]}
    if (run / STATE_FILE).exists():
        _check_same_images(run, names)
        trainer.resume()
        left_out = "" if start is None else "; what it was to start from is left out"
        log.info("going on from iteration %d%s", trainer.iteration, left_out)
    elif start is not None:
        trainer.begin_from(start)
        if start.card.licence is not None:
            log.info("the terms of %s go on with this run's model: %s", start.card.name, start.card.licence)
    if world.writes:
        write_text(run / SPLIT_FILE, json.dumps(names, indent=1) + "\n")
        if start is not None and trainer.iteration == 0:  # a run that is stopped early goes on from there
            trainer.save()
        write_text(run / CONFIG_FILE, config.dump())
    yield from _loop(trainer, training_pairs, validation_pairs)


def match_training_pairs(data: DataSettings) -> PairReport:
    """Return the pairs to train on, from names and file headers only.

    Raises:
        ConfigError: The settings do not say where pairs come from.
        DataError, ImageError: They cannot be used.
    """
    if data.clean is None or (data.degraded is None) == (data.task is None):
        raise ConfigError("give the clean images, and the degraded ones or a task that makes them: one of the two")
    if data.task is not None:
        degradation(data.task)
    degraded = None if data.degraded is None else Path(data.degraded)
    report = match_pairs(
        Path(data.clean), degraded, channels=data.channels, axes=data.axes, apart=data.apart, resample=data.resample
    )
    report.raise_if_unusable()
    return report


def _find_pairs(data: DataSettings) -> PairReport:
    """Return the pairs to train on, after every image was read; say what is odd about them."""
    report = check_pairs(match_training_pairs(data), any_scale=data.normalise != "none")
    report.raise_if_unusable()
    for line in report.summary().splitlines():
        log.info(line)
    return report


def _loop(trainer: Trainer, training_pairs: list[Pair], validation_pairs: list[Pair]) -> Generator[Record, None, None]:
    config, run, world = trainer.config, trainer.run, trainer.world
    share = world.share(config.data.batch)
    spent = trainer.seconds
    began = time.perf_counter()
    crops = Crops(
        training_pairs,
        crop=config.data.crop,
        channels=trainer.card.channels,
        seed=config.training.seed,
        task=config.data.task,
        gray=config.data.gray,
        resample=config.data.resample,
    )
    preview = Preview(validation_pairs or training_pairs, config, trainer.card.channels) if world.writes else None
    if world.writes:
        _cut_log(run / LOG_FILE, trainer.iteration)
    recent = (trainer.iteration, began)
    with (
        (run / LOG_FILE if world.writes else Path(os.devnull)).open("a", encoding="utf-8") as records,
        closing(crops.stream(trainer.iteration, config.data.batch, share=share)) as batches,
    ):
        try:
            while trainer.progress() < 1:
                _, (clean, degraded) = next(batches)
                value, rate = trainer.learn(clean, degraded)
                now = time.perf_counter()
                trainer.seconds = world.first(spent + now - began)
                psnr = None
                is_checkpoint = trainer.iteration % config.training.checkpoint_every == 0 or trainer.progress() >= 1
                if is_checkpoint and preview is not None:
                    psnr = preview.draw(trainer.model(), trainer.iteration, run / PREVIEWS, trainer.dtype)
                if is_checkpoint:
                    trainer.seconds = world.first(spent + time.perf_counter() - began)
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
                if psnr is not None:
                    trainer.save()  # after its record: a log that is ahead of the state is cut, one behind has a hole
                yield record
        except GeneratorExit:  # between two iterations; an error or interrupt amid one keeps the last checkpoint
            if world.writes:
                trainer.save()
            raise


def _write_record(records: TextIO, record: Record) -> None:
    values = {name: value for name, value in asdict(record).items() if value is not None}
    values["loss"] = record.loss if math.isfinite(record.loss) else None  # JSON has no NaN
    records.write(json.dumps(values, allow_nan=False) + "\n")
    records.flush()


def _cut_log(file: Path, iterations: int) -> None:
    """Drop the records of iterations after the checkpoint, which are about to be made again, and a torn last line."""
    if file.exists():
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(file, "".join(line for line in lines if line.endswith("}\n") and _iteration(line) <= iterations))


def _iteration(line: str) -> int:
    return int(json.loads(line)["iteration"])


def _check_same_images(run: Path, names: dict[str, list[str]]) -> None:
    """Raise where the images are not those that the run was begun with: its crops and its split would be others."""
    before = json.loads((run / SPLIT_FILE).read_text(encoding="utf-8"))
    if before != names:
        old, new = ({name for part in split.values() for name in part} for split in (before, names))
        what = f"{', '.join(sorted(old ^ new)[:3])} came or went" if old ^ new else "their split is another"
        raise DataError(f"{run}: its images have changed since it began ({what}); put them back, or start a new run")


def _check_unchanged(before: Config, now: Config, run: Path) -> None:
    """Raise where a setting other than the budget differs from what the run was begun with."""
    for part, values in before:
        for name, value in values:
            asked = getattr(getattr(now, part), name)
            if asked != value and name not in _BUDGETS:
                raise ConfigError(f"{run}: begun with {part}.{name} {value}, not {asked}; leave it out, or start anew")

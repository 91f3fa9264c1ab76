"""Training: one generator that yields a record an iteration.

The command line, the app, notebooks and tests are all its consumers. Everything random is a pure
function of the seed and the iteration, so a resumed run is the run that was never stopped, bit for
bit on the CPU of one machine at one thread count. On an accelerator records come several at a time (trainer.py).
"""

import logging
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from indi.config import Config, DataSettings
from indi.data import Crops, Pair, PairReport, check_pairs, match_pairs, measure_normalisation, split_pairs
from indi.data.wording import few
from indi.degradations import check_planes, degradation
from indi.errors import ConfigError, DataError, TrainingError
from indi.models.checkpoint import MODEL_FILE, STATE_FILE, Card, Model, load_model, write_text
from indi.models.pretrained import existing_model
from indi.models.runs import CONFIG_FILE, LOG_FILE, PREVIEWS, Split, held
from indi.plugins import load_plugins, loaded_plugins
from indi.training.distributed import World, joined
from indi.training.feeding import fed
from indi.training.previews import Preview
from indi.training.records import CLOCK_FIELDS, Log, Record
from indi.training.settings import check_utf8, settings_of_model, settings_of_run, settings_tree
from indi.training.trainer import Trainer
from indi.version import __version__

__all__ = ["CLOCK_FIELDS", "Record", "match_training_pairs", "train"]

log = logging.getLogger("indi")

_SPEED_WINDOW = 5.0  # seconds over which the speed is measured


def train(
    *,
    run: str | Path,
    config: str | Path | Mapping[str, Any] | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    **settings: Any,
) -> Generator[Record, None, None]:
    """Train a restorer, and yield a record an iteration.

    In processes that torchrun started all train one model together, and the first writes (distributed.py).

    The run folder gets config.json, model.safetensors (the averaged weights) and model.json,
    training.jsonl, previews/, and state.safetensors for resuming. Closing the generator early saves
    a checkpoint first; an interrupt amid an iteration keeps the last one. Loop over it: it does nothing before.

    Args:
        run: The run folder; made if it is not there.
        config: Settings: a TOML or JSON file, or a tree (config.py).
        start: A pretrained model's name, a run folder or a model file whose weights to start from, with its method,
            network and channels unless told otherwise.
        resume: Go on from the run's last checkpoint with its settings; from the start where there is none.
        device: auto, cpu, cuda or mps.
        settings: Settings by name, over those of ``config``: ``clean`` and ``degraded`` (folders), or ``clean`` and
            ``task``; ``minutes`` or ``iterations``; ``method``, ``size``, ``crop``, ``seed`` and any other (config.py).

    Raises:
        ConfigError: A needed setting is missing or wrong, or differs from those of the run to be resumed.
        DataError, ImageError: The pairs cannot be used.
        ModelError: ``start`` or the state to resume does not fit.
        TrainingError: The run exists already, or training diverged.
    """
    load_plugins()
    asked = settings_tree(config, **settings)
    run = Path(run)
    check_utf8(str(run.resolve()))
    _check_resumed(run, resume)
    model = None if start is None else load_model(existing_model(start))
    under = {} if model is None else settings_of_model(model.card, asked)
    whole = settings_of_run(run, asked, resume=resume, under=under)
    with joined(device) as world, held(run) if world.writes else nullcontext():
        if world.writes:
            _check_resumed(run, resume)  # another training may have ended there meanwhile
        yield from _train(whole, run, model, world)


def _check_resumed(run: Path, resume: bool) -> None:
    if not resume and (run / STATE_FILE).exists():
        raise TrainingError(f"{run}: holds a run already; go on with --resume, or give another folder")


def _train(config: Config, run: Path, start: Model | None, world: World) -> Generator[Record, None, None]:
    is_resumed = (run / STATE_FILE).exists()
    for folder in (config.data.clean, config.data.degraded):
        if is_resumed and folder is not None and not Path(folder).is_dir():
            advice = "give where they are with --clean and --degraded"
            raise DataError(f"{run}: its images are not in {folder} any more; {advice}")
    report = world.from_first(lambda: _find_pairs(config.data))
    for name in {pair.name for pair in report.pairs}:
        check_utf8(name)
    training_pairs, validation_pairs = split_pairs(
        report.pairs, validation=config.data.validation, seed=config.split_seed, group=config.data.group
    )
    if config.data.validation and not validation_pairs:
        log.info("one scene in all: nothing is kept for validation")
    split = Split(
        training=tuple(pair.name for pair in training_pairs),
        validation=tuple(pair.name for pair in validation_pairs),
        digests=dict(report.digests),
    )
    if is_resumed:
        _check_same_images(run, split)
    is_measured = is_resumed and config.data.normalise != "none" and (run / MODEL_FILE).exists()
    if is_measured:  # the weights fit the scale that was measured at first
        normalisation = load_model(run).card.normalisation
    else:
        data = config.data
        normalisation = world.from_first(
            lambda: measure_normalisation(
                training_pairs, data.normalise, channels=report.channels, resample=data.resample
            )
        )
    card = Card(
        version=__version__,
        name=run.name,
        method=config.method,
        network=config.network,
        channels=report.channels,
        colour=report.colour,
        task=config.data.task,
        normalisation=normalisation,
        pairs=len(training_pairs),
        neighbours=config.data.neighbours,
        neighbours_axis=config.data.neighbours_axis,
        plugins=loaded_plugins(),
    )
    trainer = Trainer(config, card, run, world)
    if is_resumed:
        trainer.resume()
        left_out = "" if start is None else "; what it was to start from is left out"
        log.info("going on from iteration %d%s", trainer.iteration, left_out)
        if world.writes:
            _say_new_rate(trainer)
    elif start is not None:
        trainer.begin_from(start)
        if start.card.licence is not None:
            log.info("the terms of %s go on with this run's model: %s", start.card.name, start.card.licence)
    if world.writes:
        split.write(run)
        if start is not None and trainer.iteration == 0:  # a run that is stopped early goes on from there
            trainer.save()
        write_text(run / CONFIG_FILE, config.dump())
    yield from _loop(trainer, training_pairs, validation_pairs, split)


def match_training_pairs(data: DataSettings) -> PairReport:
    """Return the pairs to train on, from names and file headers only.

    Raises:
        ConfigError: The settings do not say where pairs come from.
        DataError, ImageError: They cannot be used.
    """
    if data.clean is None or (data.degraded is None) == (data.task is None):
        raise ConfigError("give the clean images, and the degraded ones or a task that makes them: one of the two")
    if data.task is not None:
        (check_planes if data.neighbours else degradation)(data.task)
    degraded = None if data.degraded is None else Path(data.degraded)
    report = match_pairs(
        Path(data.clean),
        degraded,
        channels=data.channels,
        axes=data.axes,
        apart=data.apart,
        resample=data.resample,
        neighbours=data.around,
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


def _loop(
    trainer: Trainer, training_pairs: list[Pair], validation_pairs: list[Pair], split: Split
) -> Generator[Record, None, None]:
    config, run, world = trainer.config, trainer.run, trainer.world
    preview = records = None
    with ExitStack() as open_:
        if world.writes:
            preview = Preview(validation_pairs or training_pairs, config, trainer.card.channels)
            records = open_.enter_context(closing(Log(run / LOG_FILE, trainer.iteration)))
            _catch_up(trainer, preview, records)
        spent = trainer.seconds
        began = time.perf_counter()
        recent = (trainer.iteration, began)
        crops = Crops(
            training_pairs,
            crop=config.data.crop,
            channels=trainer.card.channels,
            seed=config.training.seed,
            task=config.data.task,
            gray=config.data.gray,
            signal=config.data.signal,
            resample=config.data.resample,
            processes=world.neighbours,
        )
        batches = open_.enter_context(closing(fed(crops, trainer, world.share(config.data.batch))))
        try:
            while trainer.progress() < 1:
                trainer.step(*next(batches))
                if not trainer.is_due():
                    continue
                taken = trainer.read()
                now = time.perf_counter()
                trainer.seconds = world.first(spent + now - began)
                speed = config.data.batch * (trainer.iteration - recent[0]) / (now - recent[1])
                if now - recent[1] > _SPEED_WINDOW:
                    recent = (trainer.iteration, now)
                made = [
                    Record(
                        iteration=each.iteration,
                        loss=each.loss,
                        lr=each.rate,
                        seconds=trainer.seconds,
                        crops_per_second=speed,
                        progress=trainer.progress(),
                        skipped=each.skipped,
                    )
                    for each in taken
                ]
                if records is not None:
                    for record in made:
                        records.write(record)
                if trainer.is_checkpoint():
                    psnr = None
                    if preview is not None and records is not None:
                        # After its record: a log that is ahead of the state is cut, one behind has a hole. And before
                        # the preview: whatever is wrong with that, the work is kept.
                        _save(trainer, records, split)
                        psnr = preview.draw(trainer.model(), trainer.iteration, run / PREVIEWS, trainer.dtype)
                    trainer.seconds = world.first(spent + time.perf_counter() - began)
                    is_last = trainer.progress() >= 1 > made[-1].progress  # the preview took the rest of the budget
                    record = made[-1] = replace(
                        made[-1], seconds=trainer.seconds, progress=trainer.progress(), psnr=psnr
                    )
                    if records is not None:
                        records.complete(**record.values())
                        if is_last:
                            trainer.save()
                yield from made
        except GeneratorExit:  # between two iterations; an error or interrupt amid one keeps the last checkpoint
            if records is not None:
                _save(trainer, records, split)
            raise


def _catch_up(trainer: Trainer, preview: Preview, records: Log) -> None:
    """Draw the preview before the first iteration, which shows that one can be drawn, or one that a kill cut off."""
    is_due = trainer.is_checkpoint() and records.last is not None and "psnr" not in records.last
    if trainer.iteration == 0 or is_due:
        psnr = preview.draw(trainer.model(), trainer.iteration, trainer.run / PREVIEWS, trainer.dtype)
        records.complete(psnr=psnr)


def _save(trainer: Trainer, records: Log, split: Split) -> None:
    """Save a checkpoint.

    Raises:
        TrainingError: The run folder was removed or moved meanwhile; the checkpoint is saved again where it was, unless
            another run is there.
    """
    run = trainer.run
    if records.is_there():
        trainer.save()
        return
    what = f"{run}: the folder was removed or moved while training"
    if (run / LOG_FILE).exists():
        raise TrainingError(f"{what}, and another run is there; nothing is saved, start a new run in another folder")
    split.write(run)
    trainer.save()
    write_text(run / CONFIG_FILE, trainer.config.dump())
    raise TrainingError(f"{what}; iteration {trainer.iteration} is saved there again, without the log: use --resume")


def _say_new_rate(trainer: Trainer) -> None:
    """Say where the learning rate goes up, since the run is resumed with another budget."""
    file = trainer.run / CONFIG_FILE
    before = Config.parse(Config.read(file), source=str(file)).training if file.exists() else trainer.config.training
    old, new = trainer.rate(before), trainer.rate()
    if new > 1.05 * old:
        log.info("another budget: the learning rate goes from %.2g up to %.2g, and falls by the new end", old, new)


def _check_same_images(run: Path, now: Split) -> None:
    """Raise where the images are not those that the run was begun with: its crops and its split would be others."""
    before = Split.read(run)
    if before is None:  # a run without is resumed on its word
        return
    old, new = ({*split.training, *split.validation} for split in (before, now))
    what = ""
    if changed := sorted(old ^ new):
        what = f"{few(changed)} came or went"
    elif changed := [name for name, digests in before.digests.items() if digests != now.digests.get(name)]:
        what = f"{few(changed)} {'has' if len(changed) == 1 else 'have'} other pixels"
    elif (before.training, before.validation) != (now.training, now.validation):
        what = "their split is another"
    if what:
        raise DataError(f"{run}: its images have changed since it began ({what}); put them back, or start a new run")

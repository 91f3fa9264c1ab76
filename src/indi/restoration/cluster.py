"""Restore on many machines: files, and the pictures of stacks, are tasks of a Dask cluster.

All machines see the same files. A task writes files that no other task writes, whole or not at all, so one that is done
again after a worker was lost does no harm; the result is that of one machine.
"""

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from indi.config import DEFAULT_TILE
from indi.devices import Precision, set_threads
from indi.errors import ConfigError, IndiError, MissingExtraError, ModelError
from indi.io.atomic import marked, remove_marked
from indi.io.manifest import Manifest
from indi.io.stacks import is_stack
from indi.models.pretrained import pretrained_names
from indi.restoration.batch import Job, Outcome, clashes, restore_files
from indi.restoration.intensities import subject
from indi.restoration.outputs import Restoration
from indi.restoration.restorer import Restorer, load
from indi.restoration.stacks import IN_MEMORY, StackJob
from indi.restoration.uncertainty import Calibration

log = logging.getLogger("indi")

_TRIES = 3  # of a task whose worker was lost
_PATIENCE = 30  # seconds, for a scheduler to answer


@dataclass(frozen=True)
class Worker:
    """What a worker restores with: the model, which every machine finds under this name, and how it computes.

    ``weights`` is the fingerprint of the model that is meant: what a worker finds under the name, or has kept since it
    found it, may be another.
    """

    model: str
    device: str = "auto"
    precision: Precision = "auto"
    tile: int = DEFAULT_TILE
    threads: int | None = None
    weights: str | None = None

    def restorer(self) -> Restorer:
        """Return the restorer, which a process loads once.

        Raises:
            ModelError: It is not there, or another than is meant.
        """
        return _loaded(self)


def restore_on_cluster(scheduler: str, worker: Worker, jobs: Sequence[Job], asked: Restoration) -> Iterator[Outcome]:
    """Restore files on a Dask cluster, and yield what became of each as it is done.

    Args:
        scheduler: Address of the scheduler, such as tcp://node1:8786.
        worker: What the workers restore with.
        jobs: What to restore; paths that all machines see.
        asked: What is asked of every file.

    Raises:
        ConfigError: The options are wrong, or there is no scheduler at that address.
        MissingExtraError: dask.distributed cannot be imported.
    """
    distributed = _distributed()
    model = Path(worker.model)
    if worker.model not in pretrained_names() and model.exists():
        worker = replace(worker, model=str(model.absolute()))
    restorer = load(worker.model, device=worker.device, precision=worker.precision, tile=worker.tile)
    worker = replace(worker, weights=restorer.fingerprint)
    jobs = [
        replace(job, source=job.source.absolute(), target=job.target.absolute(), mask=job.mask and job.mask.absolute())
        for job in jobs
    ]
    asked = replace(asked, sampling=restorer.resolve(asked.sampling))
    calibration = restorer.calibration_for(asked.sampling)
    try:
        client = distributed.Client(scheduler, timeout=_PATIENCE)
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]  # of tls:// it is a TypeError where certificates are not configured
        raise ConfigError(
            f"{scheduler}: no Dask scheduler answers there ({reason}); start one, or leave it out"
        ) from error
    manifest = asked.manifest(restorer, calibration, jobs)
    mark = secrets.token_hex(6)
    with client:
        if not client.scheduler_info()["workers"]:
            log.warning("no worker is at %s yet: waiting for one (dask worker %s)", scheduler, scheduler)
        for outcome in _outcomes(client, worker, restorer, jobs, asked, calibration, manifest, mark):
            if outcome.error is None and not outcome.kept:
                try:
                    manifest.add(outcome.source, outcome.written)
                except IndiError as error:
                    outcome = Outcome(outcome.source, error=error)
            yield outcome
    remove_marked({job.target.parent for job in jobs}, mark)  # of workers that were killed amid a file


def _outcomes(
    client: Any,
    worker: Worker,
    restorer: Restorer,
    jobs: Sequence[Job],
    asked: Restoration,
    calibration: Calibration | None,
    manifest: Manifest,
    mark: str,
) -> Iterator[Outcome]:
    distributed = _distributed()
    unusable = clashes(jobs, asked, calibration)
    tasks: dict[Any, Job | tuple[StackJob, Job]] = {}
    waiting: dict[StackJob, int] = {}
    for job in jobs:
        targets = [] if job.error else asked.targets(job, calibration)
        refused = job.error or unusable.get(job)
        kept = refused is None and len(jobs) > 1 and manifest.has(job.source, targets)
        if refused is None and not kept and not asked.overwrite:
            refused = _refusal(lambda: manifest.check(job.source, targets))  # noqa: B023 - called at once
        if refused is not None:
            yield Outcome(job.source, error=refused)
        elif kept:
            yield Outcome(job.source, tuple(targets), kept=True)
        elif is_stack(job.source, IN_MEMORY):
            try:
                stack = asked.stack(job, restorer, calibration)
                numbers = stack.begin(restorer)
            except IndiError as error:
                yield Outcome(job.source, error=error)
                continue
            waiting[stack] = len(numbers)
            for number in numbers:
                future = client.submit(_restore_picture, worker, stack, number, pure=False, retries=_TRIES)
                tasks[future] = (stack, job)
            if not numbers:
                yield _finished(stack, manifest)
        elif job.source.exists() and (cannot := _refusal(lambda: manifest.begin(job.source, targets))):  # noqa: B023
            yield Outcome(job.source, error=cannot)
        else:
            future = client.submit(_restore_file, worker, job, asked, mark, pure=False, retries=_TRIES)
            tasks[future] = job
    failed: dict[StackJob, IndiError] = {}
    for future, result in distributed.as_completed(list(tasks), with_results=True, raise_errors=False):
        task = tasks.pop(future)
        future.release()  # a worker that is lost later would otherwise have this done again
        if isinstance(task, Job):
            yield result if isinstance(result, Outcome) else Outcome(task.source, error=_problem(task, result))
            continue
        stack, job = task
        waiting[stack] -= 1
        problem = result if result is None or isinstance(result, IndiError) else _problem(job, result)
        if problem is not None:
            failed.setdefault(stack, problem)
        if waiting[stack] == 0:
            if stack in failed:
                stack.abandon()
            yield Outcome(job.source, error=failed[stack]) if stack in failed else _finished(stack, manifest)


def _restore_file(worker: Worker, job: Job, asked: Restoration, mark: str) -> Outcome:
    with marked(mark):
        (outcome,) = restore_files(worker.restorer(), [job], asked, is_noted=False)
    return outcome


def _restore_picture(worker: Worker, stack: StackJob, number: int) -> IndiError | None:
    """Restore a picture; return what the user is to fix, if anything."""
    try:
        with stack.opened() as opened, subject(str(stack.source)):
            stack.restore(worker.restorer(), opened, number)
    except IndiError as error:
        return error
    return None


def _refusal(act: Callable[[], None]) -> IndiError | None:
    try:
        act()
    except IndiError as error:
        return error
    return None


def _finished(stack: StackJob, manifest: Manifest) -> Outcome:
    try:
        manifest.begin(stack.source, stack.written)
        stack.finish()
    except IndiError as error:
        return Outcome(stack.source, error=error)
    return Outcome(stack.source, stack.written)


def _problem(job: Job, result: object) -> IndiError:
    """Return as our error what happened to a task, such as workers that were lost with it again and again."""
    error = result[1] if isinstance(result, tuple) and len(result) > 1 else result
    return IndiError(f"{job.source}: not restored: {' '.join(str(error).split())[:200]}; see the workers' logs")


@lru_cache(maxsize=2)
def _loaded(worker: Worker) -> Restorer:
    set_threads(worker.threads)
    restorer = load(worker.model, device=worker.device, precision=worker.precision, tile=worker.tile)
    if worker.weights not in (None, restorer.fingerprint):
        raise ModelError(
            f"{worker.model}: a worker finds other weights there; give it the same files, then start again"
        )
    return restorer


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError("restoring on a cluster needs dask.distributed; install indi[cluster]") from error
    return distributed

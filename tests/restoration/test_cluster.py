"""A Dask cluster restores what one machine does, also when a worker is lost."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from indi.errors import ConfigError, ModelError
from indi.io import Image, read, write
from indi.io.atomic import temporary_beside
from indi.io.manifest import MANIFEST
from indi.models.checkpoint import save_model
from indi.restoration import cluster
from indi.restoration.batch import plan, restore_files
from indi.restoration.cluster import Worker, restore_on_cluster
from indi.restoration.outputs import Restoration
from indi.restoration.restorer import load
from problems import asking, tiny_model

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.medium,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of workers that are killed
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    import dask

    with (
        dask.config.set({"distributed.worker.daemon": False}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=":0"
        ) as local,
    ):
        yield local


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    folder = tmp_path_factory.mktemp("model")
    save_model(tiny_model(1, epsilon=0.05), folder)
    return Worker(str(folder), precision="float32", threads=1)


def archive(folder: Path) -> Path:
    """Write eleven images, a stack of six pictures, a broken file and an image in colour, which the model refuses."""
    random = np.random.default_rng(0)
    for number in range(11):
        write(folder / f"{number}.png", Image(random.integers(0, 256, (40, 50), np.uint8)))
    tifffile.imwrite(folder / "stack.tif", random.integers(0, 60000, (6, 40, 50)).astype(np.uint16), imagej=True)
    (folder / "broken.png").write_text("no")
    write(folder / "colour.png", Image(random.integers(0, 256, (40, 50, 3), np.uint8)))
    return folder


def test_a_stack_that_is_refused_leaves_nothing(tmp_path: Path, scheduler: Any, worker: Worker) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pictures, photometric="rgb")
    jobs = plan([tmp_path / "a.tif"], tmp_path / "out")
    (outcome,) = restore_on_cluster(scheduler.scheduler_address, worker, jobs, asking(steps=1))
    assert "gray is needed" in str(outcome.error)
    assert list((tmp_path / "out").iterdir()) == []


def test_it_restores_what_one_machine_does(tmp_path: Path, scheduler: Any, worker: Worker) -> None:
    jobs = plan([archive(tmp_path / "in")], tmp_path / "many")
    asked = asking(steps=3, samples=2)
    many = {one.source.name: one for one in restore_on_cluster(scheduler.scheduler_address, worker, jobs, asked)}
    alone = restore_files(worker.restorer(), plan([tmp_path / "in"], tmp_path / "one"), asked)
    one = {outcome.source.name: outcome for outcome in alone}
    assert many.keys() == one.keys()
    for name, outcome in one.items():
        assert [path.name for path in many[name].written] == [path.name for path in outcome.written]
        assert (many[name].error is None) == (outcome.error is None), name
        for path, other in zip(outcome.written, many[name].written, strict=True):
            assert path.read_bytes() == other.read_bytes()
    assert sorted(name for name, outcome in many.items() if outcome.error) == ["broken.png", "colour.png"]
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )


def test_a_model_that_draws_is_the_same_on_a_cluster(tmp_path: Path, scheduler: Any) -> None:
    save_model(tiny_model(1, name="distributional"), tmp_path / "model")
    worker, asked = Worker(str(tmp_path / "model"), precision="float32", threads=1), asking(samples=2, realism=0.9)
    jobs = plan([archive(tmp_path / "in")], tmp_path / "many")
    many = {one.source.name: one for one in restore_on_cluster(scheduler.scheduler_address, worker, jobs, asked)}
    for outcome in restore_files(worker.restorer(), plan([tmp_path / "in"], tmp_path / "one"), asked):
        assert [path.name for path in many[outcome.source.name].written] == [path.name for path in outcome.written]
        for path in outcome.written:
            assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()


def test_masks_are_the_same_on_a_cluster(
    tmp_path: Path, scheduler: Any, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, 40, 50), np.uint8)
    mask = np.zeros((40, 50), np.uint8)
    mask[5:20, 10:30] = 1
    monkeypatch.chdir(tmp_path)  # of which workers know nothing
    write("mask.png", Image(mask))
    write("in/a.png", Image(values[0]))
    tifffile.imwrite("in/b.tif", values, imagej=True)
    jobs = plan(["in"], "out", mask=Path("mask.png"))
    outcomes = list(restore_on_cluster(scheduler.scheduler_address, worker, jobs, asking(steps=1)))
    assert [outcome.error for outcome in outcomes] == [None, None]
    wanted = [worker.restorer().restore(plane, steps=1, plane=number) for number, plane in enumerate(values)]
    wanted = [np.where(mask > 0, plane, each) for plane, each in zip(values, wanted, strict=True)]
    np.testing.assert_array_equal(read("out/a.png").pixels, wanted[0])
    np.testing.assert_array_equal(tifffile.imread("out/b.tif"), wanted)
    again = restore_on_cluster(scheduler.scheduler_address, worker, jobs, asking(steps=1))
    assert [outcome.kept for outcome in again] == [True, True]


def test_a_lost_worker_loses_nothing(tmp_path: Path, scheduler: Any, worker: Worker) -> None:
    jobs = plan([archive(tmp_path / "in")], tmp_path / "out")
    with distributed.Client(scheduler.scheduler_address) as client:
        client.run(cluster._loaded, worker)
        pids = client.run(os.getpid)
    outcomes = []
    for outcome in restore_on_cluster(scheduler.scheduler_address, worker, jobs, asking(steps=20)):
        outcomes.append(outcome)
        if len(outcomes) == 3:
            os.kill(next(iter(pids.values())), signal.SIGKILL)
    assert len(outcomes) == len({outcome.source for outcome in outcomes}) == 14
    assert sorted(outcome.source.name for outcome in outcomes if outcome.error) == ["broken.png", "colour.png"]
    restorer = worker.restorer()
    for number in range(11):
        wanted = restorer.restore(read(tmp_path / "in" / f"{number}.png").pixels, steps=20)
        np.testing.assert_array_equal(read(tmp_path / "out" / f"{number}.png").pixels, wanted)
    assert tifffile.imread(tmp_path / "out" / "stack.tif").shape == (6, 40, 50)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == [MANIFEST]
    again = list(restore_on_cluster(scheduler.scheduler_address, worker, jobs, asking(steps=20)))
    assert sum(outcome.kept for outcome in again) == 12
    assert [outcome.written for outcome in again if outcome.kept] == [
        outcome.written for job in jobs for outcome in outcomes if outcome.source == job.source and not outcome.error
    ]
    deadline = time.monotonic() + 60
    while len(scheduler.scheduler.workers) < 2 and time.monotonic() < deadline:  # for the tests that follow
        time.sleep(0.1)


def test_workers_that_live_on_use_the_weights_of_now(tmp_path: Path, scheduler: Any) -> None:
    random = np.random.default_rng(0)
    for number in range(4):
        write(tmp_path / "in" / f"{number}.png", Image(random.integers(0, 256, (40, 50), np.uint8)))
    jobs, asked = plan([tmp_path / "in"], tmp_path / "far"), asking(steps=2)
    worker = Worker(str(tmp_path / "model"), precision="float32", threads=1)
    for seed in (0, 1):  # trained, and trained again
        save_model(tiny_model(1, seed, epsilon=0.05), tmp_path / "model")
        outcomes = list(restore_on_cluster(scheduler.scheduler_address, worker, jobs, asked))
        assert [outcome.error for outcome in outcomes] == [None] * 4
        near = plan([tmp_path / "in"], tmp_path / f"near{seed}")
        list(restore_files(load(tmp_path / "model", precision="float32"), near, asking(steps=2)))
        for job in near:
            found, wanted = read(tmp_path / "far" / job.target.name).pixels, read(job.target).pixels
            np.testing.assert_array_equal(found, wanted)


def test_what_killed_workers_left_is_looked_for_under_the_mark_they_wrote_with(
    tmp_path: Path, scheduler: Any, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[tuple[set[Path], str]] = []
    monkeypatch.setattr(cluster, "remove_marked", lambda folders, mark: removed.append((folders, mark)))
    write(tmp_path / "in" / "a.png", Image(np.zeros((40, 50), np.uint8)))
    jobs = plan([tmp_path / "in"], tmp_path / "out")
    for _ in range(2):
        list(restore_on_cluster(scheduler.scheduler_address, worker, jobs, Restoration()))
    assert [folders for folders, _ in removed] == [{tmp_path / "out"}] * 2
    assert len({mark for _, mark in removed}) == 2, "of other runs nothing is removed"

    def name_of_a_file(*_: object, **__: object) -> list[str]:
        return [temporary_beside(tmp_path / "a.png", ".png").name]

    monkeypatch.setattr(cluster, "restore_files", name_of_a_file)
    assert str(cluster._restore_file(worker, jobs[0], Restoration(), "mark")).startswith(".indi-mark")


def test_a_worker_that_finds_other_weights_says_so(tmp_path: Path) -> None:
    save_model(tiny_model(1), tmp_path / "model")
    with pytest.raises(ModelError, match="a worker finds other weights there"):
        Worker(str(tmp_path / "model"), weights="others").restorer()


def test_an_input_is_never_written_over(tmp_path: Path, scheduler: Any, worker: Worker) -> None:
    folder = archive(tmp_path / "in")
    before = (folder / "3.png").read_bytes()
    jobs = plan([folder / "3.png"], folder)
    (outcome,) = restore_on_cluster(scheduler.scheduler_address, worker, jobs, asking(steps=1))
    assert "is an input" in str(outcome.error)
    assert (folder / "3.png").read_bytes() == before


def test_what_cannot_work_is_said_at_once(
    tmp_path: Path, scheduler: Any, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = plan([archive(tmp_path / "in")], tmp_path / "out")
    with pytest.raises(ConfigError, match="steps is 0"):
        list(restore_on_cluster(scheduler.scheduler_address, worker, jobs, asking(steps=0)))
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with pytest.raises(ConfigError, match="no Dask scheduler answers there"):
        list(restore_on_cluster("tcp://127.0.0.1:1", worker, jobs, asking(steps=1)))


def test_a_shipped_model_goes_before_a_folder_of_its_name(
    tmp_path: Path, scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jpeg").mkdir()
    write(tmp_path / "in" / "a.png", Image(np.zeros((8, 8, 3), np.uint8)))
    jobs = plan([tmp_path / "in"], tmp_path / "out")
    (outcome,) = restore_on_cluster(scheduler.scheduler_address, Worker("jpeg"), jobs, asking(steps=1))
    assert outcome.error is None

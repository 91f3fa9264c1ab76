import itertools
import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import indi
from indi.errors import ConfigError, DataError, ModelError, TrainingError
from indi.io import Image, read, write
from indi.models.checkpoint import load_model, read_tensors, save_model, write_tensors
from indi.restoration.restorer import Restorer
from indi.training.run import CLOCK_FIELDS, Record, train
from indi.training.trainer import Trainer, learning_rate
from problems import tiny_model, write_pairs

pytestmark = pytest.mark.medium  # nearly every one trains

TINY: dict[str, Any] = {
    "network": {"size": "tiny"},
    "data": {"crop": 16, "batch": 4, "validation": 0.25},
    "training": {"checkpoint_every": 5, "preview_steps": 2},
}


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, Any]:
    return write_pairs(tmp_path / "data", count=4)


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "training.jsonl").read_text().splitlines()]


def without_clock(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name not in CLOCK_FIELDS} for line in lines]


def same_weights(first: Path, second: Path) -> bool:
    a, b = (read_tensors(run / "state.safetensors")[0] for run in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_holds_what_it_should(pairs: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    made = list(train(**pairs, run=run, iterations=12, config=TINY))
    assert [record.iteration for record in made] == list(range(1, 13))
    names = {file.name for file in run.iterdir()}
    written = "config.json model.json model.safetensors previews split.json state.safetensors training.jsonl"
    assert names == set(written.split())
    previews = [file.name for file in sorted((run / "previews").iterdir())]
    assert previews == ["0000000.png", "0000005.png", "0000010.png", "0000012.png"]
    lines = records(run)
    assert len(lines) == 12
    for name in ("iteration", "loss", "lr", "seconds", "crops_per_second"):
        assert all(name in line for line in lines), name
    assert set(lines[-1]["psnr"]) == {"0", "1", "2"}
    card = load_model(run).card
    assert (card.iterations, card.images_seen, card.channels, card.pairs) == (12, 48, 1, 3)
    split = json.loads((run / "split.json").read_text())
    assert not set(split["training"]) & set(split["validation"])
    assert len(split["training"]) + len(split["validation"]) == 4


def test_training_learns(pairs: dict[str, Any], tmp_path: Path) -> None:
    """The degraded images are darker by a constant: after a few dozen iterations the network undoes most of it."""
    made = list(train(**pairs, run=tmp_path / "run", iterations=60, config=TINY, epsilon=0.0))
    first, last = (np.mean([record.loss for record in part]) for part in (made[:5], made[-5:]))
    assert last < first / 3
    psnr = made[-1].psnr
    assert psnr is not None
    assert psnr["1"] > psnr["0"] + 3


def test_resumed_equals_unbroken(pairs: dict[str, Any], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    list(train(**pairs, run=whole, iterations=14, config=TINY))
    stream = train(**pairs, run=broken, iterations=14, config=TINY)
    for _ in itertools.islice(stream, 7):
        pass
    stream.close()
    rest = list(train(run=broken, resume=True))
    assert rest[0].iteration == 8
    assert same_weights(whole, broken)
    assert without_clock(records(whole)) == without_clock(records(broken))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_killed_and_resumed_equals_unbroken(pairs: dict[str, Any], tmp_path: Path) -> None:
    """SIGKILL at any moment: the run goes on from its last checkpoint and ends as if nothing had happened."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    list(train(**pairs, run=whole, iterations=40, config=TINY))
    program = (
        "import json, sys\nfrom indi import train\n"
        "pairs, run, config, threads = json.loads(sys.argv[1])\n"
        "import torch; torch.set_num_threads(threads)\n"
        "for record in train(**pairs, run=run, iterations=40, config=config): print(record.iteration, flush=True)"
    )
    given = [{name: str(path) for name, path in pairs.items()}, str(killed), TINY, torch.get_num_threads()]
    process = subprocess.Popen([sys.executable, "-c", program, json.dumps(given)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 13:
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    done = list(train(run=killed, resume=True))
    assert 5 < done[0].iteration <= 40
    assert same_weights(whole, killed)
    assert without_clock(records(whole)) == without_clock(records(killed))


def test_resuming_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: no run to resume here"):
        list(train(run=tmp_path / "nowhere", resume=True))


def test_resume_without_a_checkpoint_begins(pairs: dict[str, Any], tmp_path: Path) -> None:
    assert next(train(**pairs, run=tmp_path / "run", iterations=2, config=TINY, resume=True)).iteration == 1


def test_a_longer_budget_goes_on(pairs: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    list(train(**pairs, run=run, iterations=4, config=TINY))
    assert list(train(run=run, resume=True)) == []
    assert [record.iteration for record in train(run=run, resume=True, iterations=6)] == [5, 6]


def test_a_run_is_never_written_over(pairs: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    list(train(**pairs, run=run, iterations=2, config=TINY))
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="--resume"):
        list(train(**pairs, run=run, iterations=2, config=TINY))
    with pytest.raises(ConfigError, match=r"method\.epsilon"):
        list(train(**pairs, run=run, iterations=3, resume=True, epsilon=0.3))
    assert (run / "model.safetensors").read_bytes() == before


def test_a_minutes_budget_is_spent_and_its_schedule_follows(pairs: dict[str, Any], tmp_path: Path) -> None:
    began = time.perf_counter()
    made = list(train(**pairs, run=tmp_path / "run", minutes=0.03, config=TINY))
    assert made[-1].progress == 1.0
    assert made[-2].seconds < 1.8 <= made[-1].seconds <= time.perf_counter() - began
    for before, record in itertools.pairwise(made):
        wanted = learning_rate(1e-3, min(1.0, before.seconds / 1.8), 0.03, 0.5)
        assert record.lr == pytest.approx(wanted, rel=0.05)


def test_learning_rate_rises_holds_and_falls() -> None:
    rates = [learning_rate(1.0, share, 0.1, 0.5) for share in (0.0, 0.05, 0.1, 0.3, 0.5, 0.75, 1.0)]
    assert rates[0] < rates[1] < rates[2] == rates[3] == rates[4] == 1.0 > rates[5] > rates[6] > 0
    assert rates[5] == pytest.approx(0.505)


class Broken(Trainer):
    """A trainer whose batches go bad at an iteration."""

    bad: range = range(0)

    def step(self, clean: torch.Tensor, degraded: torch.Tensor) -> None:
        super().step(clean * (math.nan if self.iteration in self.bad else 1.0), degraded)


def test_a_batch_that_is_not_finite_is_skipped_and_counted(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indi.training.run.Trainer", Broken)
    monkeypatch.setattr(Broken, "bad", range(2, 5))
    made = list(train(**pairs, run=tmp_path / "run", iterations=8, config=TINY))
    assert [record.skipped for record in made] == [0, 0, 1, 2, 3, 3, 3, 3]
    assert [math.isfinite(record.loss) for record in made] == [True] * 2 + [False] * 3 + [True] * 3
    assert all(bool(weight.isfinite().all()) for weight in load_model(tmp_path / "run").network.parameters())


def test_ten_in_a_row_stop_the_run_and_keep_the_last_checkpoint(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indi.training.run.Trainer", Broken)
    monkeypatch.setattr(Broken, "bad", range(7, 1000))
    run = tmp_path / "run"
    with pytest.raises(TrainingError, match="10 times in a row at iteration 17"):
        list(train(**pairs, run=run, iterations=100, config=TINY))
    assert load_model(run).card.iterations in (5, 10, 15)


def test_starting_from_a_model(pairs: dict[str, Any], tmp_path: Path) -> None:
    list(train(**pairs, run=tmp_path / "a", iterations=60, config=TINY))
    fresh = next(train(**pairs, run=tmp_path / "b", iterations=10, config=TINY))
    warm = next(train(**pairs, run=tmp_path / "c", iterations=10, config=TINY, start=tmp_path / "a"))
    assert warm.loss < fresh.loss / 2
    with pytest.raises(ModelError, match=r"denoize: no such run folder or model file; .* comes with indi: .*denoise"):
        list(train(**pairs, run=tmp_path / "d", iterations=1, start="denoize"))
    with pytest.raises(ModelError, match=r"cannot start from a: .* leave size, network and channels out"):
        list(train(**pairs, run=tmp_path / "d", iterations=1, config=TINY, size="small", start=tmp_path / "a"))


def test_what_is_not_asked_for_is_as_in_the_model_that_is_started_from(pairs: dict[str, Any], tmp_path: Path) -> None:
    """Gray pairs serve a colour model and its method goes on, but for what is asked; a resumed run keeps its own."""
    save_model(tiny_model(3, epsilon=0.05, conditioned=True), tmp_path / "first")
    begun = {**pairs, "run": tmp_path / "run", "start": tmp_path / "first"}
    list(train(**begun, iterations=2, config={"data": TINY["data"]}, epsilon=0.02))
    card = load_model(tmp_path / "run").card
    assert (card.channels, card.network.size) == (3, "tiny")
    assert (card.method.epsilon, card.method.conditioned) == (0.02, True)
    *_, last = train(**begun, iterations=3, resume=True)
    assert last.iteration == 3
    assert load_model(tmp_path / "run").card.method == card.method


@pytest.mark.parametrize(
    "method", [{"name": "regression"}, {"conditioned": True}, {"noise": "brownian", "epsilon": 0.05}]
)
def test_every_kind_of_method_trains(pairs: dict[str, Any], tmp_path: Path, method: Mapping[str, object]) -> None:
    made = list(train(**pairs, run=tmp_path / "run", iterations=3, config={**TINY, "method": dict(method)}))
    assert isinstance(made[-1], Record)
    assert load_model(tmp_path / "run").card.method.model_dump()["name"] == method.get("name", "indi")


@pytest.mark.parametrize("task", ["denoise", "super-resolve-4x", "jpeg"])
def test_clean_images_alone_are_enough_with_a_task(pairs: dict[str, Any], tmp_path: Path, task: str) -> None:
    made = list(train(clean=pairs["clean"], task=task, run=tmp_path / "run", iterations=2, config=TINY))
    assert all(math.isfinite(record.loss) for record in made)
    assert load_model(tmp_path / "run").card.task == task


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"iterations": None}, ConfigError, "no budget"),
        ({"minutes": 1}, ConfigError, "one budget"),
        ({"task": "denoise"}, ConfigError, "one of the two"),
        ({"degraded": None}, ConfigError, "one of the two"),
        ({"degraded": None, "task": "sharpen"}, ConfigError, "sharpen"),
        ({"method": "indy"}, ConfigError, "did you mean indi"),
    ],
)
def test_wrong_settings_stop_before_anything_is_written(
    pairs: dict[str, Any], tmp_path: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    given = {**pairs, "iterations": 2, "config": TINY, **change}
    with pytest.raises(error, match=words):
        list(train(run=tmp_path / "run", **given))
    assert not (tmp_path / "run").exists()


def test_pairs_that_do_not_fit_stop_before_anything_is_written(pairs: dict[str, Any], tmp_path: Path) -> None:
    file = next(pairs["degraded"].iterdir())
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=file.stem):
        list(train(**pairs, run=tmp_path / "run", iterations=2, config=TINY))
    assert not (tmp_path / "run").exists()


def test_a_model_learns_to_look_at_the_degraded_image_too(pairs: dict[str, Any], tmp_path: Path) -> None:
    """Conditioned from one that is not: at first the same answers; the reverse would lose what was learnt."""
    first, run = tiny_model(1), tmp_path / "run"
    save_model(first, tmp_path / "first")
    conditioned = {**TINY, "method": {"conditioned": True}}
    still = {**conditioned, "training": {**TINY["training"], "learning_rate": 1e-12}}
    list(train(**pairs, run=run, iterations=1, config=still, start=tmp_path / "first"))
    image = np.random.default_rng(0).random((40, 48)).astype(np.float32)
    wanted = Restorer(first, precision="float32").restore(image, steps=3)
    np.testing.assert_allclose(indi.load(run, precision="float32").restore(image, steps=3), wanted, atol=1e-5)
    list(train(**pairs, run=tmp_path / "more", iterations=20, config=conditioned, start=run))
    head = load_model(tmp_path / "more").network.state_dict()["head.weight"]
    assert head.shape[1] == 8
    assert head[:, 4:].abs().max() > 0, "it looks at the degraded image"
    blind = {**TINY, "method": {"conditioned": False}}
    with pytest.raises(ModelError, match="cannot start from run: its network sees the degraded image beside the state"):
        list(train(**pairs, run=tmp_path / "back", iterations=1, config=blind, start=run))


def test_terms_go_on_with_weights(pairs: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From a model that has terms of its own, through a stop and a resume, to the model that comes of it."""
    first = tiny_model(1)
    card = first.card.model_copy(update={"licence": "Not to be sold."})
    save_model(replace(first, card=card), tmp_path / "first")
    begun = {**pairs, "run": tmp_path / "run", "iterations": 3, "config": TINY}
    with caplog.at_level("INFO", logger="indi"):
        with closing(train(**begun, start=tmp_path / "first")) as stream:
            next(stream)
        assert "the terms of tiny go on with this run's model: Not to be sold." in caplog.messages
    list(train(run=tmp_path / "run", resume=True))
    last = indi.load(tmp_path / "run")
    assert (last.card.iterations, last.card.licence) == (3, "Not to be sold.")
    last.save_pretrained(tmp_path / "card")
    assert (tmp_path / "card" / "LICENSE.md").read_text() == "Not to be sold.\n"
    assert 'license_link: "LICENSE.md"' in (tmp_path / "card" / "README.md").read_text()
    list(train(**{**begun, "run": tmp_path / "own"}))
    indi.load(tmp_path / "own").save_pretrained(tmp_path / "free")
    assert not (tmp_path / "free" / "LICENSE.md").exists()


def test_the_network_sees_in_training_what_it_sees_in_restoring(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States off the line between clean and degraded by t epsilon n, and their times in float32, up to exactly 1."""
    from indi.networks import UNet
    from indi.process.path import Path as Process

    mixed: list[tuple[torch.Tensor, torch.Tensor]] = []
    spreads: list[torch.Tensor] = []
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    state, forward = Process.state, UNet.forward

    def spy_state(self: Process, x: torch.Tensor, y: torch.Tensor, t: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        made = state(self, x, y, t, n)
        line = (1 - t[:, None, None, None]) * x + t[:, None, None, None] * y
        mixed.append((made, t))
        spreads.append((made - line).flatten(1).std(dim=1))
        return made

    def spy_forward(self: UNet, inputs: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if self.training:
            seen.append((inputs, t))
        return forward(self, inputs, t)

    monkeypatch.setattr(Process, "state", spy_state)
    monkeypatch.setattr(UNet, "forward", spy_forward)
    config = {**TINY, "training": {**TINY["training"], "checkpoint_every": 100}}
    for _ in itertools.islice(train(**pairs, run=tmp_path / "run", iterations=9, config=config, epsilon=0.2), 8):
        pass
    assert len(seen) == len(mixed) == 8
    for (inputs, t), (made, drawn) in zip(seen, mixed, strict=True):
        assert t.dtype == torch.float32
        torch.testing.assert_close(t, drawn, rtol=0, atol=0)
        torch.testing.assert_close(inputs, made, rtol=0, atol=0)
    times = torch.cat([t for _, t in mixed])
    assert (times == 1).sum() == len(times) / 2, "t = 1 must be trained: every restoration begins there"
    torch.testing.assert_close(torch.cat(spreads), 0.2 * times, atol=0.03, rtol=0.15)


@pytest.mark.parametrize("moment", ["indi.training.trainer.save_model", "indi.training.run.Preview.draw"])
def test_a_kill_amid_a_checkpoint_leaves_no_hole(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Between any two writes of the second checkpoint: the resumed run ends with the log of an unbroken one."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    list(train(**pairs, run=whole, iterations=14, config=TINY))
    stream = train(**pairs, run=killed, iterations=14, config=TINY)
    for record in stream:
        if record.iteration == 9:
            break
    with monkeypatch.context() as patch:

        def die(*_: object, **__: object) -> None:
            raise MemoryError("as a kill would, without a word")

        patch.setattr(moment, die)
        with pytest.raises(MemoryError):
            next(stream)
    list(train(run=killed, resume=True))
    assert same_weights(whole, killed)
    assert without_clock(records(whole)) == without_clock(records(killed))


def test_a_preview_that_fails_costs_no_work(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first iteration it is tried; later the checkpoint comes first."""
    from indi.training.previews import Preview

    draw, at = Preview.draw, 0

    def failing(self: Preview, model: Any, iteration: int, *rest: Any) -> dict[str, float]:
        if iteration == at:
            raise RuntimeError("cannot be drawn")
        return draw(self, model, iteration, *rest)

    monkeypatch.setattr("indi.training.run.Preview.draw", failing)
    with pytest.raises(RuntimeError, match="cannot be drawn"):
        next(train(**pairs, run=tmp_path / "first", iterations=12, config=TINY))
    assert not records(tmp_path / "first")
    at = 10
    with pytest.raises(RuntimeError, match="cannot be drawn"):
        list(train(**pairs, run=tmp_path / "later", iterations=12, config=TINY))
    assert load_model(tmp_path / "later").card.iterations == 10


def test_resuming_with_other_images_is_refused(pairs: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    list(train(**pairs, run=run, iterations=2, config=TINY))
    (pairs["clean"] / "3.png").rename(tmp_path / "3.png")
    with pytest.raises(DataError, match="3 came or went"):
        list(train(run=run, resume=True, iterations=4))
    (tmp_path / "3.png").rename(pairs["clean"] / "3.png")
    assert len(list(train(run=run, resume=True, iterations=4))) == 2


def test_images_that_were_moved_are_named_anew(pairs: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    list(train(**pairs, run=run, iterations=2, config=TINY))
    moved = {side: folder.rename(tmp_path / side) for side, folder in pairs.items()}
    with pytest.raises(DataError, match=r"run: its images are not in .*clean any more; give where they are"):
        list(train(run=run, resume=True, iterations=3))
    assert len(list(train(run=run, resume=True, iterations=3, **moved))) == 1
    assert len(list(train(run=run, resume=True, iterations=4))) == 1


@pytest.mark.parametrize("side", ["clean", "degraded"])
def test_resuming_with_other_pixels_is_refused(pairs: dict[str, Any], tmp_path: Path, side: str) -> None:
    run, file = tmp_path / "run", pairs[side] / "2.png"
    list(train(**pairs, run=run, iterations=2, config=TINY))
    image = read(file)
    write(file, replace(image, pixels=image.pixels // 2))
    with pytest.raises(DataError, match=r"its images have changed since it began \(2 has other pixels\)"):
        list(train(run=run, resume=True, iterations=3))
    write(file, image)
    assert len(list(train(run=run, resume=True, iterations=3))) == 1


def test_a_resumed_run_keeps_the_scale_that_its_weights_learnt(pairs: dict[str, Any], tmp_path: Path) -> None:
    """Of an older version, whose split does not tell other pixels."""
    run = tmp_path / "run"
    config = {**TINY, "data": {**TINY["data"], "normalise": "deviation"}}
    list(train(**pairs, run=run, iterations=2, config=config))
    before, split = load_model(run).card.normalisation, json.loads((run / "split.json").read_text())
    del split["digests"]
    (run / "split.json").write_text(json.dumps(split))
    for folder in pairs.values():
        for file in folder.iterdir():
            write(file, Image(read(file).pixels // 2))
    assert len(list(train(run=run, resume=True, iterations=3))) == 1
    assert load_model(run).card.normalisation == before
    assert json.loads((run / "split.json").read_text())["digests"]


def test_one_training_at_a_time(pairs: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with closing(train(**pairs, run=run, iterations=9, config=TINY)) as stream:
        next(stream)
        for resume in (False, True):
            with pytest.raises(TrainingError, match="run: another training writes there"):
                next(train(**pairs, run=run, iterations=9, config=TINY, resume=resume))
        next(stream)
    assert [record["iteration"] for record in records(run)] == [1, 2]
    assert not (run / ".lock").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed on Windows")
@pytest.mark.parametrize("ends", ["by itself", "early"])
def test_a_run_folder_that_was_removed_meanwhile_is_an_error_and_the_work_is_kept(
    pairs: dict[str, Any], tmp_path: Path, ends: str
) -> None:
    run = tmp_path / "run"
    stream = train(**pairs, run=run, iterations=6, config=TINY)
    assert next(stream).iteration == 1
    shutil.rmtree(run)
    end: Callable[[], object] = stream.close if ends == "early" else lambda: list(stream)
    with pytest.raises(TrainingError, match=r"run: the folder was removed .*; iteration \d is saved there again"):
        end()
    rest = list(train(run=run, resume=True))
    assert rest[0].iteration == (2 if ends == "early" else 6)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed on Windows")
def test_another_run_in_its_place_is_left_alone(pairs: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with closing(train(**pairs, run=run, iterations=6, config=TINY)) as stream:
        next(stream)
        run.rename(tmp_path / "moved")
        list(train(**pairs, run=run, iterations=1, config=TINY))
        before = (run / "state.safetensors").read_bytes()
        with pytest.raises(TrainingError, match="another run is there; nothing is saved"):
            list(stream)
    assert (run / "state.safetensors").read_bytes() == before


def test_a_learning_rate_that_goes_up_again_is_said(
    pairs: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    with caplog.at_level("INFO", logger="indi"):
        list(train(**pairs, run=run, iterations=4, config=TINY))
        with closing(train(run=run, resume=True, iterations=40)) as stream:
            next(stream)
        assert "another budget: the learning rate goes from 1e-05 up to 0.001, and falls by the new end" in caplog.text
        caplog.clear()
        list(itertools.islice(train(run=run, resume=True), 2))
        assert "learning rate" not in caplog.text


def test_a_damaged_log_costs_its_line_and_a_damaged_split_is_named(
    pairs: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    list(train(**pairs, run=run, iterations=3, config=TINY))
    with (run / "training.jsonl").open("ab") as log:
        log.write(b'\0\0\0\0{"iteration": 2}\n')
    list(train(run=run, resume=True, iterations=4))
    assert [record["iteration"] for record in records(run)] == [1, 2, 3, 4]
    assert "1 damaged line left out" in caplog.text
    (run / "split.json").write_text("{")
    with pytest.raises(ModelError, match=r"split\.json: damaged"):
        list(train(run=run, resume=True, iterations=5))


def test_a_run_finds_its_images_from_any_folder(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    list(train(clean="data/clean", degraded="data/degraded", run="run", iterations=2, config=TINY))
    monkeypatch.chdir(pairs["clean"])
    assert len(list(train(run=tmp_path / "run", resume=True, iterations=3))) == 1


def test_a_budget_takes_the_place_of_the_other_kind(pairs: dict[str, Any], tmp_path: Path) -> None:
    config = {**TINY, "training": {**TINY["training"], "iterations": 3}}
    made = list(train(**pairs, run=tmp_path / "run", minutes=0.01, config=config))
    assert made[-1].seconds >= 0.6
    assert list(train(run=tmp_path / "run", resume=True, iterations=1)) == []


def test_resume_before_the_first_checkpoint_needs_no_settings(pairs: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    list(train(**pairs, run=run, iterations=3, config=TINY))
    for name in ("state.safetensors", "model.safetensors", "training.jsonl"):
        (run / name).unlink()
    assert [record.iteration for record in train(run=run, resume=True)] == [1, 2, 3]


def test_equal_images_do_not_stop_a_preview(tmp_path: Path) -> None:
    clean = write_pairs(tmp_path / "data")["clean"]
    degraded = Path(shutil.copytree(clean, tmp_path / "same"))
    made = list(train(clean=clean, degraded=degraded, run=tmp_path / "run", iterations=1, config=TINY))
    assert made[-1].psnr is not None
    assert made[-1].psnr["0"] == 100.0


@pytest.mark.parametrize(
    "change", ["cut", "flipped", "another network", "another type", "no header", "no place", "endless place"]
)
def test_a_damaged_state_is_named(pairs: dict[str, Any], tmp_path: Path, change: str) -> None:
    run = tmp_path / "run"
    list(train(**pairs, run=run, iterations=2, config=TINY))
    file = run / "state.safetensors"
    tensors, header = read_tensors(file)
    if change == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif change == "flipped":
        file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 0x40]))
    elif change == "another type":
        write_tensors(file, {name: value.double() for name, value in tensors.items()}, header)
    elif change.endswith("place"):
        write_tensors(file, tensors, header | ({"iteration": -1} if change == "no place" else {"seconds": 1e999}))
    elif change == "another network":
        write_tensors(file, {name: value for name, value in tensors.items() if "tail" not in name}, header)
    else:
        write_tensors(file, tensors, {})
    with pytest.raises(ModelError, match=r"state\.safetensors"):
        list(train(run=run, resume=True, iterations=4))


def test_the_model_holds_the_averaged_weights(pairs: dict[str, Any], tmp_path: Path) -> None:
    """Decay (1 + i) / (10 + i) at iteration i, up to the setting's: recomputed here from each iteration's weights."""
    run = tmp_path / "run"
    config = {**TINY, "training": {**TINY["training"], "checkpoint_every": 1, "average": 0.3}}
    means: dict[str, torch.Tensor] = {}
    for record in train(**pairs, run=run, iterations=6, config=config):
        state, _ = read_tensors(run / "state.safetensors")
        decay = min(0.3, record.iteration / (9 + record.iteration))
        for name, value in state.items():
            part, _, rest = name.partition(".")
            if part == "network":
                before = means.get(rest)
                means[rest] = state[f"average.{rest}"] if before is None else torch.lerp(before, value, 1 - decay)
    model = load_model(run).network.state_dict()
    assert any(not torch.equal(model[name], state[f"network.{name}"]) for name in model)
    for name, mean in means.items():
        torch.testing.assert_close(model[name], mean, atol=1e-7, rtol=1e-6)


def test_a_run_that_starts_from_a_model_and_is_stopped_at_once_goes_on_from_it(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its first checkpoint, with its terms; and where it goes on, nothing is started from."""
    first = tiny_model(1)
    save_model(replace(first, card=first.card.model_copy(update={"licence": "Not to be sold."})), tmp_path / "first")
    begun = {**pairs, "iterations": 4, "config": TINY, "start": tmp_path / "first"}
    list(train(**begun, run=tmp_path / "whole"))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("indi.training.run.Trainer.step", stopped)
        with pytest.raises(KeyboardInterrupt):
            list(train(**begun, run=tmp_path / "run"))
    list(train(run=tmp_path / "run", resume=True))
    assert same_weights(tmp_path / "whole", tmp_path / "run")
    assert load_model(tmp_path / "run").card.licence == "Not to be sold."
    list(train(**{**begun, "run": tmp_path / "own", "start": None}))
    list(train(**{**begun, "run": tmp_path / "own", "iterations": 5}, resume=True))
    assert load_model(tmp_path / "own").card.licence is None


def test_the_scale_of_intensities_goes_on_with_the_weights(pairs: dict[str, Any], tmp_path: Path) -> None:
    scaled = {**TINY, "data": {**TINY["data"], "normalise": "quantiles"}}
    list(train(**pairs, run=tmp_path / "first", iterations=1, config=scaled))
    list(train(**pairs, run=tmp_path / "next", iterations=1, config=TINY, start=tmp_path / "first"))
    assert load_model(tmp_path / "next").card.normalisation == load_model(tmp_path / "first").card.normalisation
    plain = {**TINY, "data": {**TINY["data"], "normalise": "none"}}
    list(train(**pairs, run=tmp_path / "plain", iterations=1, config=plain, start=tmp_path / "first"))
    assert load_model(tmp_path / "plain").card.normalisation is None


def test_a_kind_of_noise_stays_with_its_method(pairs: dict[str, Any], tmp_path: Path) -> None:
    save_model(tiny_model(1, noise="brownian", epsilon=0.05), tmp_path / "first")
    list(train(**pairs, run=tmp_path / "run", iterations=1, config=TINY, start=tmp_path / "first", method="bridge"))
    method = load_model(tmp_path / "run").card.method
    assert (method.name, method.noise, method.epsilon) == ("bridge", "constant", 0.05)


def test_a_training_that_diverges_at_once_has_nothing_to_start_from(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indi.training.run.Trainer", Broken)
    monkeypatch.setattr(Broken, "bad", range(1000))
    config = {**TINY, "training": {**TINY["training"], "checkpoint_every": 100}}
    with pytest.raises(TrainingError, match=r"at iteration 10; start a new run with a lower training.learning_rate"):
        list(train(**pairs, run=tmp_path / "run", iterations=100, config=config))


@pytest.mark.parametrize("text", ["[1]", '"a"', "5", '{"training": 5}', '{"data": {"clean": 5}}'])
def test_settings_that_are_none_are_said(pairs: dict[str, Any], tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match=r"by (its )?name|clean"):
        list(train(run=tmp_path / "run", iterations=1, config=tmp_path / "a.json"))
    with pytest.raises(ConfigError, match="seed"):
        list(train(**pairs, run=tmp_path / "run", iterations=1, seed=2**64))

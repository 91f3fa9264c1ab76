"""The guarantees of the library hold for networks that draw: tiles, seeds, resume, stacks, export, scheduler."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

import indi
from indi.errors import ConfigError, ModelError
from indi.evaluation.benchmark import find_test_pairs
from indi.evaluation.evaluate import Evaluation, evaluate
from indi.evaluation.means import Row
from indi.io import Image, read, write
from indi.models.checkpoint import load_model, read_tensors, save_model
from indi.process.noise import normal
from indi.process.sampling import Sampling
from indi.report import table_rows
from indi.restoration import stacks
from indi.restoration.batch import plan, restore_files
from indi.restoration.restorer import Restorer
from indi.training.run import train
from problems import asking, tiny_model, write_pairs

RANDOM = np.random.default_rng(0)
CONFIG: dict[str, Any] = {
    "method": {"name": "distributional"},
    "network": {"size": "tiny"},
    "data": {"crop": 16, "batch": 4, "validation": 0.25},
    "training": {"checkpoint_every": 5},
}

Pixels = NDArray[Any]


def picture(*shape: int) -> Pixels:
    return RANDOM.random(shape, dtype=np.float32)


@pytest.fixture(scope="module")
def gray() -> Restorer:
    return Restorer(tiny_model(1, name="distributional"), precision="float32")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    pairs: dict[str, Any] = write_pairs(folder / "data", count=6)
    list(train(**pairs, run=folder / "run", iterations=6, config=CONFIG))
    return folder / "run"


def test_one_call_is_the_network_on_degraded_noise_and_dial(gray: Restorer) -> None:
    image = picture(16, 24)
    y = torch.from_numpy(image)[None, None]
    noise = normal(7, channels=1, size=(16, 24), draw=1, sample=2)[None]
    inputs = torch.cat([y, y, 0.6 * noise, torch.full_like(y, 0.6)], dim=1)
    with torch.no_grad():
        wanted = y + gray.model.network(inputs, torch.ones(1))
    restored = gray.restore(image, realism=0.6, samples=3, seed=7)[2]
    np.testing.assert_allclose(restored, wanted[0, 0].numpy(), atol=1e-6)


def test_one_call_is_what_nobody_says_otherwise(gray: Restorer) -> None:
    image = picture(16, 24)
    (_, last) = gray.trajectory(image, Sampling())
    assert last.network_calls == 1
    np.testing.assert_array_equal(gray.restore(image), gray.restore(image, realism=0.6, steps=1))
    np.testing.assert_array_equal(gray.restore(image, samples=1)[0], gray.restore(image, realism=1))


def test_the_seed_decides_but_at_realism_0_nothing_is_drawn(gray: Restorer) -> None:
    image = picture(20, 30)
    same, other = (gray.restore(image, realism=0.7, seed=seed) for seed in (4, 5))
    np.testing.assert_array_equal(gray.restore(image, realism=0.7, seed=4), same)
    assert not np.array_equal(same, other)
    np.testing.assert_array_equal(gray.restore(image, realism=0, seed=4), gray.restore(image, realism=0, seed=5))


@pytest.mark.medium
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("size", [(70, 101), (1, 5), (64, 64)])
def test_tiled_equals_whole(steps: int, size: tuple[int, int]) -> None:
    model, image = tiny_model(3, name="distributional"), picture(*size, 3)
    whole, tiled = (Restorer(model, precision="float32", tile=tile) for tile in (4096, 16))
    options: dict[str, Any] = {"steps": steps, "realism": 1.0, "seed": 3}
    np.testing.assert_allclose(tiled.restore(image, **options), whole.restore(image, **options), atol=2e-5)


def test_each_step_draws_anew(gray: Restorer) -> None:
    """The noise of a step is that of its number: the same walk again, and other noise in every call."""
    image = picture(16, 16)
    seen: list[torch.Tensor] = []
    inner = gray._network
    spying = Restorer(gray.model, precision="float32")

    def spy(inputs: torch.Tensor, t: torch.Tensor, /, progress: object = None) -> torch.Tensor:
        seen.append(inputs[:, 2:3].clone())
        return inner(inputs, t)

    spying._network = spy
    spying.restore(image, steps=3, realism=1)
    wanted = [normal(0, channels=1, size=(16, 16), draw=number)[None] for number in (1, 2, 3)]
    assert all(torch.equal(noise, other) for noise, other in zip(seen, wanted, strict=True))


@pytest.mark.medium
def test_a_picture_that_memory_does_not_hold_is_drawn_the_same(
    gray: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "in.tif", (60000 * picture(2, 90, 70)).astype(np.uint16), imagej=True)
    restorer = Restorer(gray.model, precision="float32", tile=16)
    written = []
    for limit in (2**25, 100):
        monkeypatch.setattr(stacks, "IN_MEMORY", limit)
        out = tmp_path / str(limit) / "out.tif"
        jobs = plan([tmp_path / "in.tif"], out)
        for outcome in restore_files(restorer, jobs, asking(steps=2, realism=0.8, samples=2)):
            assert outcome.error is None
        written.append(tifffile.imread(out.with_name("out_s02.tif")).astype(int))
    assert np.abs(written[0] - written[1]).max() <= 1  # of 65,535: rounding
    assert len(np.unique(written[0][0] - written[0][1])) > 2  # planes have noise of their own


def test_models_without_a_dial_refuse_it_and_others_refuse_what_makes_no_sense(gray: Restorer) -> None:
    image = picture(16, 16)
    with pytest.raises(ConfigError, match="of the method indi, which has no dial of realism; use steps instead"):
        Restorer(tiny_model(1)).restore(image, realism=0.5)
    for realism in (-0.1, 1.5, float("nan"), "0.6", [0, 1], True):
        with pytest.raises(ConfigError, match=r"realism is .*; give 0, the least error, to 1"):
            gray.restore(image, realism=realism)
    with pytest.raises(ConfigError, match="at realism 0 samples would all be equal"):
        gray.restore(image, realism=0, samples=2)
    with pytest.raises(ConfigError, match="draws in each call; use euler"):
        gray.restore(image, steps=3, sampler="heun")


@pytest.mark.medium
def test_a_resumed_training_is_the_unbroken_one(tmp_path: Path) -> None:
    pairs: dict[str, Any] = write_pairs(tmp_path / "data")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    last = list(train(**pairs, run=whole, iterations=12, config=CONFIG))[-1]
    assert last.psnr is not None
    assert list(last.psnr) == ["0", "realism 0", "realism 1"]
    stream = train(**pairs, run=broken, iterations=12, config=CONFIG)
    for _ in itertools.islice(stream, 7):
        pass
    stream.close()
    list(train(run=broken, resume=True))
    one, other = (read_tensors(run / "state.safetensors")[0] for run in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.medium
def test_it_can_start_from_a_restorer_that_steps_but_not_the_other_way_round(tmp_path: Path, run: Path) -> None:
    pairs: dict[str, Any] = write_pairs(tmp_path / "data")
    save_model(tiny_model(1), tmp_path / "steps")
    stream = train(**pairs, run=tmp_path / "begun", start=tmp_path / "steps", iterations=1, config=CONFIG)
    next(stream)
    stream.close()
    old, new = (load_model(tmp_path / name).network.state_dict()["head.weight"] for name in ("steps", "begun"))
    assert old.shape[1] == 4
    assert new.shape[1] == 16  # state, degraded, noise and dial, unshuffled
    assert (new[:, :4] - old).abs().max() < 0.01  # one iteration later
    assert new[:, 4:].abs().max() < 0.01
    with pytest.raises(ModelError, match="its network takes noise, this run's does not; leave method out"):
        list(train(**pairs, run=tmp_path / "back", start=run, iterations=1, config=CONFIG, method="indi"))
    again = list(train(**pairs, run=tmp_path / "on", start=run, iterations=1, config={"data": CONFIG["data"]}))
    assert len(again) == 1  # its method is taken from the model


@pytest.mark.medium
def test_evaluate_goes_over_the_dial(run: Path, tmp_path: Path) -> None:
    table = evaluate(run, out=tmp_path)
    assert [(row["steps"], row["realism"]) for row in table["rows"]] == [(1, r) for r in (0, 0.25, 0.5, 0.75, 1)]
    assert {row["network_calls"] for row in table["rows"]} == {1}
    assert "realism" not in table["per_image"][0]  # the degraded image
    assert table == json.loads((tmp_path / "metrics.json").read_text())
    head, degraded, *rows = table_rows(table)
    assert head[:3] == ["steps", "realism", "calls"]
    assert degraded[:3] == ["degraded", "", ""]
    assert [row[1] for row in rows] == ["0", "0.25", "0.5", "0.75", "1"]
    page = (tmp_path / "report.html").read_text()
    assert "realism 0.25" in page
    for row in table["rows"]:
        psnr = [each["psnr"] for each in table["per_image"] if each.get("realism") == row["realism"]]
        assert row["psnr"] == pytest.approx(np.mean(psnr))


@pytest.mark.medium
def test_each_number_of_steps_meets_each_realism(run: Path) -> None:
    table = evaluate(run, steps=[2, 1], realism=[1, 0])
    rows = [(row["steps"], row["realism"], row["network_calls"]) for row in table["rows"]]
    assert rows == [(1, 0, 1), (1, 1, 1), (2, 0, 2), (2, 1, 2)]
    unasked = [(row["steps"], row["realism"]) for row in evaluate(run, steps=[2, 1])["rows"]]
    assert unasked == [(1, 0.6), (2, 0.6)]  # as restore does, where nothing is said of it
    found = find_test_pairs(run, clean=None, degraded=None, task=None)
    only = Evaluation(indi.load(run), *found, chosen=(Row(1, 0.3),))
    assert only.rows() == (Row(1, 0.3),)
    with pytest.raises(ConfigError, match="realism is 2"):
        Evaluation(indi.load(run), *found, realism=(2.0,))
    with pytest.raises(ConfigError, match="no dial of realism"):
        Evaluation(Restorer(tiny_model(1)), *found, realism=(0.5,))


@pytest.mark.medium
def test_a_calibration_is_of_one_realism(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = indi.calibrate(run, samples=3)
    assert (found.steps, found.realism) == (1, 1.0)
    write(tmp_path / "in.png", Image(read(next((run.parent / "data" / "degraded").iterdir())).pixels))
    restorer = indi.load(run)
    for realism, has_interval in ((None, True), (0.7, False)):
        jobs = plan([tmp_path / "in.png"], tmp_path / f"out-{realism}" / "in.png")
        (outcome,) = restore_files(restorer, jobs, asking(samples=3, realism=realism))
        assert any("interval" in path.name for path in outcome.written) == has_interval
    assert "calibrated for realism 1.0, not 0.7" in caplog.text


def test_a_finished_folder_is_drawn_again_only_at_another_realism(tmp_path: Path, gray: Restorer) -> None:
    for number in range(2):
        write(tmp_path / "in" / f"{number}.png", Image(RANDOM.integers(0, 256, (20, 20), np.uint8)))
    jobs = plan([tmp_path / "in"], tmp_path / "out")
    kept = [
        sum(outcome.kept for outcome in restore_files(gray, jobs, asking(realism=realism)))
        for realism in (0.6, 0.6, None, 0.5)
    ]
    assert kept == [0, 2, 2, 0]


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore")
def test_noise_and_dial_are_inputs_of_an_exported_model(tmp_path: Path, gray: Restorer) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from indi.export.onnx import METADATA, export

    export(gray.model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["state", "degraded", "noise", "realism", "t"]
    assert json.loads(session.get_modelmeta().custom_metadata_map[METADATA])["draws"] is True
    for size in ((33, 20), (64, 64)):
        image = picture(*size)
        noise = normal(5, channels=1, size=(size[0], size[1]), draw=1)[None].numpy()
        one = np.ones(1, np.float32)
        state = image[None, None]
        (clean,) = session.run(
            None, {"state": state, "degraded": state, "noise": noise, "realism": 0.8 * one, "t": one}
        )
        np.testing.assert_allclose(clean[0, 0], gray.restore(image, realism=0.8, seed=5), atol=1e-4)


def test_the_scheduler_of_diffusers_walks_as_ours(gray: Restorer) -> None:
    pytest.importorskip("diffusers")
    from indi.export.diffusers import InDIScheduler
    from indi.process.objectives import Draw

    image = picture(24, 20)
    degraded = sample = gray.unit(image)
    one = InDIScheduler(epsilon=0.0)
    one.set_timesteps(3)
    for number, t in enumerate(one.timesteps, start=1):
        noise = normal(0, channels=1, size=(24, 20), draw=number)[None]
        draw = Draw.of(sample, 1.0, lambda noise=noise: noise)  # type: ignore[misc]
        clean = gray.method.estimate(gray.model.network, sample, degraded, t.expand(1), draw)
        sample = one.step(clean, t, sample).prev_sample
    *_, last = gray.trajectory(image, Sampling(steps=3, realism=1.0))
    torch.testing.assert_close(sample, last.image, rtol=0, atol=1e-6)


def test_it_goes_to_the_hub_and_back(tmp_path: Path, gray: Restorer) -> None:
    gray.save_pretrained(tmp_path / "folder")
    back = Restorer.from_pretrained(tmp_path / "folder", precision="float32")
    image = picture(20, 20)
    np.testing.assert_array_equal(back.restore(image, realism=0.4), gray.restore(image, realism=0.4))
    readme = (tmp_path / "folder" / "README.md").read_text()
    assert "--realism 0.6" in readme
    assert "--steps" not in readme


def test_least_spread_is_not_that_of_a_noise_it_does_not_have(gray: Restorer) -> None:
    noisy = replace(gray.model, card=gray.model.card.model_copy(update={"method": gray.card.method}))
    assert gray.card.method.epsilon == 0.01
    assert Restorer(noisy).least_spread == pytest.approx(0.001)

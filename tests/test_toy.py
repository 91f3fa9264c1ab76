"""The paper's Figure 1: the closed form against independent arithmetic, trained networks against the closed form."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from indi import cli, toy
from indi.errors import IndiError
from indi.process import path as process
from indi.toy import (
    DRAWS,
    SET1,
    SET2,
    STEPS,
    WITHOUT_NOISE,
    Problem,
    Sample,
    demonstrate,
    measure_sampler,
    score,
    starts,
    states,
    train,
    train_sampler,
)

SETS = {"set1": SET1, "set2": SET2}
POINTS = torch.tensor(list(product((-1.0, 1.0), repeat=2)))
TARGETS = {  # steps: mse and hit of the closed form, derived from the paper's settings
    "set1": {1: (1.35, 0.001), 2: (1.53, 0.18), 3: (1.77, 0.57), 5: (1.96, 0.92), 10: (2.00, 0.998)},
    "set2": {1: (1.00, 0.00), 2: (1.80, 0.65), 3: (1.98, 0.99), 5: (1.99, 1.00), 10: (1.99, 1.00)},
}
# Upper 0.1 % point of chi-square with 3 degrees of freedom: NIST/SEMATECH e-Handbook, section 1.3.6.7.4.
CHI_SQUARE_3 = 16.266


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small wait for each other on more
    yield
    torch.set_num_threads(threads)


def point(*coordinates: float) -> Tensor:
    return torch.tensor(coordinates).reshape(1, 2, 1, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The closed form


@pytest.mark.parametrize("t", [0.05, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("name", SETS)
def test_estimate_is_the_mean_of_the_four_points_by_their_likelihood(name: str, t: float) -> None:
    problem = SETS[name]
    state = 3 * torch.randn(500, 2, 1, 1, generator=generator(), dtype=torch.float64)
    means = POINTS.double() * torch.tensor([(1 - t) + t * share for share in problem.kept])
    squares = (state.flatten(1)[:, None] - means).square().sum(dim=2)
    weights = torch.softmax(-squares / (2 * (t * problem.noise) ** 2), dim=1)
    wanted = weights @ POINTS.double()
    torch.testing.assert_close(problem.predict(state, t).flatten(1), wanted, atol=1e-6, rtol=0)


def test_without_noise_the_estimate_is_the_limit_of_little_noise() -> None:
    little = Problem(kept=WITHOUT_NOISE.kept, noise=1e-4)
    clean, degraded = WITHOUT_NOISE.draw(50, generator())
    for t in (0.3, 0.9, 1.0):
        state = process.indi(0.0).state(clean, degraded, torch.full((50,), t), torch.zeros_like(clean))
        torch.testing.assert_close(WITHOUT_NOISE.predict(state, t), little.predict(state, t))


@pytest.mark.parametrize("name", SETS)
def test_draws_are_what_they_say(name: str) -> None:
    problem = SETS[name]
    clean, degraded = problem.draw(100_000, generator())
    assert clean.shape == degraded.shape == (100_000, 2, 1, 1)
    assert torch.equal(clean.abs(), torch.ones_like(clean))
    assert clean.mean(dim=0).abs().max() < 0.015
    added = degraded - clean * torch.tensor(problem.kept).reshape(2, 1, 1)
    torch.testing.assert_close(added.std(dim=0), torch.full((2, 1, 1), problem.noise), rtol=0.01, atol=0)
    assert added.mean(dim=0).abs().max() < 4 * problem.noise / 100_000**0.5


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("name", SETS)
def test_closed_form_meets_the_papers_targets(name: str, steps: int) -> None:
    clean, degraded = SETS[name].draw(DRAWS, generator(1))
    measured = score(states(SETS[name].predict, degraded, process.uniform_times(steps))[-1], clean)
    mse, hit = TARGETS[name][steps]
    assert measured["mse"] == pytest.approx(mse, abs=0.06)  # four standard errors
    assert measured["hit"] == pytest.approx(hit, abs=0.015)


@pytest.mark.parametrize("name", SETS)
def test_closed_form_reaches_each_point_by_a_quarter(name: str) -> None:
    _, degraded = SETS[name].draw(DRAWS, generator(2))
    restored = states(SETS[name].predict, degraded, process.uniform_times(50))[-1].flatten(1)
    counts = ((restored[:, None] - POINTS).abs().amax(dim=2) < 0.05).sum(dim=0)
    assert counts.sum() == DRAWS
    assert ((counts - DRAWS / 4).square() / (DRAWS / 4)).sum() < CHI_SQUARE_3


def test_trajectories_are_those_of_the_papers_figure() -> None:
    times = process.geometric_times(20)
    first = starts(SET1)[:1]
    torch.testing.assert_close(first, point(2.49, 0.25), atol=0.005, rtol=0)
    torch.testing.assert_close(SET1.predict(first, 1.0), point(0.80, 0.11), atol=0.005, rtol=0)
    walked = torch.cat(states(SET1.predict, first, times)[1:5]).flatten(1)
    wanted = torch.tensor([[2.07, 0.21], [1.78, 0.20], [1.58, 0.22], [1.44, 0.29]])
    torch.testing.assert_close(walked, wanted, atol=0.006, rtol=0)

    torch.testing.assert_close(SET2.predict(point(0.02, 0.2), 1.0), point(0.31, 0.0), atol=0.005, rtol=0)
    walked = torch.cat(states(SET2.predict, point(-1.5, 0.2), times)[1:7]).flatten(1)
    torch.testing.assert_close(walked[:, 1], torch.tensor([0.15, 0.31, 0.48, 0.61, 0.71, 0.78]), atol=0.006, rtol=0)


@pytest.mark.parametrize("name", SETS)
def test_from_every_start_steps_end_on_a_point_and_one_step_between_them(name: str) -> None:
    problem = SETS[name]
    begin = starts(problem)
    assert begin.shape == (20, 2, 1, 1)
    ends = states(problem.predict, begin, process.geometric_times(20))[-1]
    torch.testing.assert_close(ends.abs(), torch.ones_like(ends), atol=1e-3, rtol=0)
    between = problem.predict(begin, 1.0).abs().amin(dim=1)
    assert between.max() < 0.95, "one step lands on a point"


def test_noise_of_the_process_on_data_without_noise_is_set_2() -> None:
    """So InDI needs its epsilon where the data have no noise of their own."""
    clean, degraded = WITHOUT_NOISE.draw(1000, generator())
    noise, t = torch.randn(1000, 2, 1, 1, generator=generator(1)), torch.rand(1000, generator=generator(2))
    by_process = process.indi(SET2.noise).state(clean, degraded, t, noise)
    in_the_data = process.indi(0.0).state(clean, degraded + SET2.noise * noise, t, torch.zeros_like(noise))
    torch.testing.assert_close(by_process, in_the_data, atol=1e-6, rtol=0)


def test_without_noise_the_closed_form_never_moves() -> None:
    _, degraded = WITHOUT_NOISE.draw(1000, generator())
    for state in states(WITHOUT_NOISE.predict, degraded, process.uniform_times(10)):
        torch.testing.assert_close(state, degraded, atol=1e-6, rtol=0)


def test_score_by_hand() -> None:
    restored = torch.tensor([[1.0, 0.96], [1.0, 0.94], [0.0, 0.0], [-1.04, 1.0]]).reshape(4, 2, 1, 1)
    clean = torch.tensor([[1.0, 0.96], [1.0, 0.94], [1.0, 1.0], [-1.04, -1.0]]).reshape(4, 2, 1, 1)
    assert score(restored, clean) == {"mse": 1.5, "hit": 0.5}


# What is asked of one call of a sampler, and what must not pass for one


def exact_draw(problem: Problem, normal: Callable[[Tensor], Tensor] = lambda noise: noise) -> Sample:
    """Return a sampler of the closed form: a coordinate is +1 where its noise is below the quantile of its chance."""
    return lambda degraded, noise: (
        1 - 2 * (torch.special.ndtr(normal(noise)) > (1 + problem.predict(degraded, 1.0)) / 2).to(torch.float32)
    )


def check_draws(problem: Problem, measured: dict[str, Any], hit: float, off: float) -> None:
    """Hold one call of a sampler against an exact draw, whose squared error is twice the least."""
    clean, degraded = problem.draw(DRAWS, generator(1))
    least = score(problem.predict(degraded, 1.0), clean)["mse"]
    assert measured["network_calls"] == 1
    assert measured["hit"] >= hit, "hits"
    assert measured["mse"] == pytest.approx(2 * least, rel=0.05), "error"
    assert measured["shares"] == [pytest.approx(0.25, abs=off)] * 4, "shares"
    assert sum(measured["shares"]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", SETS)
def test_an_exact_draw_passes_for_one(name: str) -> None:
    measured = measure_sampler(SETS[name], exact_draw(SETS[name]), seed=0)
    check_draws(SETS[name], measured, hit=1.0, off=0.012)  # four standard errors


FAKES: dict[str, tuple[Problem, Sample, str]] = {
    "set 1, deaf to its noise": (SET1, lambda degraded, noise: SET1.predict(degraded, 1.0), "hits"),
    "set 2, deaf to its noise": (SET2, lambda degraded, noise: SET2.predict(degraded, 1.0), "hits"),
    "set 1, the nearest point": (SET1, lambda degraded, noise: degraded.sign(), "error"),
    "set 1, blind to the degraded": (SET1, lambda degraded, noise: noise.sign(), "error"),
    "set 1, one coin for both": (SET1, exact_draw(SET1, lambda noise: noise[:, :1].expand_as(noise)), "shares"),
    "set 2, one point of a side": (SET2, exact_draw(SET2, lambda noise: -noise.abs()), "shares"),
}


@pytest.mark.parametrize("name", FAKES)
def test_nothing_else_passes_for_a_draw(name: str) -> None:
    problem, fake, complaint = FAKES[name]
    measured = measure_sampler(problem, fake, seed=0)
    with pytest.raises(AssertionError, match=complaint):
        check_draws(problem, measured, hit=0.8, off=0.04)


# The trained networks


@dataclass(frozen=True)
class Made:
    table: dict[str, Any]
    out: Path
    progress: list[float]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return what the command makes with its default settings: most of a minute."""
    out, progress = tmp_path_factory.mktemp("toy") / "new", list[float]()
    return Made(demonstrate(out, progress=progress.append), out, progress)


@pytest.mark.medium
@pytest.mark.parametrize("name", SETS)
def test_trained_network_is_close_to_the_closed_form_at_every_number_of_steps(made: Made, name: str) -> None:
    rows = made.table[name]["rows"]
    assert [row["steps"] for row in rows] == list(STEPS)
    for row in rows:
        assert row["mse"] == pytest.approx(row["mse_closed_form"], rel=0.05), row
        assert row["hit"] == pytest.approx(row["hit_closed_form"], abs=0.10), row
        if row["steps"] in TARGETS[name]:
            mse, hit = TARGETS[name][row["steps"]]
            assert row["mse_closed_form"] == pytest.approx(mse, abs=0.06)
            assert row["hit_closed_form"] == pytest.approx(hit, abs=0.015)


@pytest.mark.medium
@pytest.mark.parametrize("name", SETS)
def test_each_point_is_reached_by_a_quarter(made: Made, name: str) -> None:
    assert made.table[name]["points"] == [pytest.approx(0.25, abs=0.02)] * 4


@pytest.mark.medium
@pytest.mark.parametrize("name", SETS)
def test_one_call_of_the_sampler_is_a_draw(made: Made, name: str) -> None:
    check_draws(SETS[name], made.table[name]["distributional"], hit={"set1": 0.85, "set2": 0.92}[name], off=0.04)


@pytest.mark.medium
@pytest.mark.parametrize("name", SETS)
def test_regression_has_the_least_error_and_reaches_no_point(made: Made, name: str) -> None:
    regression = made.table[name]["regression"]
    assert regression["mse"] == pytest.approx(TARGETS[name][1][0], rel=0.05)
    assert regression["hit"] < 0.005
    assert all(row["mse"] > 1.1 * regression["mse"] for row in made.table[name]["rows"][1:])


@pytest.mark.medium
def test_without_noise_it_never_splits(made: Made) -> None:
    without = made.table["set2"]["without_noise"]
    assert without["answers"] == 2, "20,000 draws of two degraded points"
    assert without["steps"] == STEPS[-1]
    assert 0.9 < without["mse"] < 2.1


@pytest.mark.medium
def test_the_files(made: Made) -> None:
    assert sorted(file.name for file in made.out.iterdir()) == ["toy.gif", "toy.json", "toy.png"]
    table = json.loads((made.out / "toy.json").read_text())
    assert table == made.table
    for name in SETS:
        assert set(table[name]["distributional"]) == {"network_calls", "mse", "hit", "shares"}
        assert set(table[name]["regression"]) == {"mse", "hit"}
        for row in table[name]["rows"]:
            assert set(row) == {"steps", "mse", "hit", "mse_closed_form", "hit_closed_form"}
    with Image.open(made.out / "toy.png") as picture:
        assert min(picture.size) > 800
    animation = (made.out / "toy.gif").read_bytes()
    assert len(animation) < 1_500_000
    with Image.open(io.BytesIO(animation)) as frames:
        assert frames.info["loop"] == 0
        durations = []
        for number in range(getattr(frames, "n_frames", 1)):
            frames.seek(number)
            durations.append(frames.info["duration"])
    assert 4000 <= sum(durations) <= 6000
    assert durations[-1] == max(durations), "it pauses at the end"


@pytest.mark.medium
def test_progress_rises_to_one(made: Made) -> None:
    assert made.progress == sorted(made.progress)
    assert made.progress[-1] == 1.0


@pytest.mark.medium
def test_one_seed_is_one_result() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    state = SET1.draw(100, generator())[1]
    first, same, other = (train(SET1, iterations=15, seed=seed)(state, 0.5) for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    noise = torch.randn(100, 2, 1, 1, generator=generator())
    first, same, other = (train_sampler(SET1, iterations=5, seed=seed)(state, noise) for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before), "torch's own generator was touched"


@pytest.mark.medium
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "demonstrate", partial(demonstrate, iterations=8))
    first, second = tmp_path / "a" / "b", tmp_path / "c"
    assert cli.main(["toy", "--out", str(first), "--json", "--seed", "1"]) == 0
    shown = capsys.readouterr()
    tables = [json.loads(shown.out), json.loads((first / "toy.json").read_text())]
    assert tables[0] == tables[1]
    assert tables[0]["set1"]["settings"]["seed"] == 1

    assert cli.main(["toy", "--out", str(second), "--seed", "1"]) == 0
    shown = capsys.readouterr()
    tables.append(json.loads((second / "toy.json").read_text()))
    for table in tables:
        assert list(table) == list(SETS)
        for name in SETS:
            del table[name]["settings"]["seconds"]
    assert tables[2] == tables[0], "one seed gave two results"
    lines = shown.out.splitlines()
    assert len(lines) == 1 + 2 * (2 + len(STEPS))
    assert lines[0].split() == ["steps", "mse", "mse", "exact", "hit", "hit", "exact"]
    assert [line.split()[:4] for line in lines if "drawn" in line] == [["set", n, "1", "drawn"] for n in "12"]
    assert str(second / "toy.png") in shown.err.replace("\n", "")


def test_a_folder_that_cannot_be_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((IndiError, OSError)):
        demonstrate(tmp_path / "file", iterations=10**9)

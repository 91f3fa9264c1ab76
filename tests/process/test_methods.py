"""Every row of the table of methods against closed forms, and the relations between the rows."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from indi.config import MethodSettings
from indi.errors import ConfigError
from indi.process import path as process
from indi.process.methods import METHODS, Method
from indi.process.objectives import Draw
from indi.process.path import uniform_times
from indi.process.samplers import SAMPLERS, trajectory
from indi.restoration.restorer import Restorer
from problems import tiny_model

EPSILON = 0.3
METHOD_NAMES = sorted(METHODS)
WALKING = [name for name in METHOD_NAMES if name != "regression"]

within = st.floats(0.02, 1.0)
times_in_order = st.tuples(within, st.floats(0.0, 0.99)).map(lambda pair: (pair[0], pair[0] * pair[1]))


def method(name: str, *, conditioned: bool = False, epsilon: float = EPSILON) -> Method:
    return MethodSettings(name=name, epsilon=epsilon, conditioned=conditioned).build()


def images(count: int = 1, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return clean, degraded and noise, (count, 1, 2, 3) float64."""
    generator = torch.Generator().manual_seed(seed)
    clean, degraded = torch.rand(2, count, 1, 2, 3, generator=generator, dtype=torch.float64)
    return clean, degraded, torch.randn(count, 1, 2, 3, generator=generator, dtype=torch.float64)


def at(t: float, count: int = 1) -> Tensor:
    return torch.full((count,), t, dtype=torch.float64)


def noises(count: int, seed: int = 7) -> Callable[[int], Tensor]:
    """Return standard normal draws of (count, 1, 1, 1) float64."""
    generator = torch.Generator().manual_seed(seed)
    return lambda number: torch.randn(count, 1, 1, 1, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "a", "b", "c"),
    [
        ("indi", lambda t: 1 - t, lambda t: t, lambda t: EPSILON * t),
        ("regression", lambda t: 1 - t, lambda t: t, lambda t: 0.0),
        ("flow", lambda t: 1 - t, lambda t: t, lambda t: EPSILON * t),
        ("bridge", lambda t: 1 - t, lambda t: t, lambda t: EPSILON * math.sqrt(t * (1 - t))),
        # The odds of signal to noise, 2 / tan, written as a and c with squares that sum to 1.
        ("diffusion", lambda t: 2 / math.hypot(2, math.tan(math.pi * t / 2)), lambda t: 0.0, None),
    ],
)
@given(t=st.floats(0.0, 0.999))
def test_the_table(
    name: str,
    a: Callable[[float], float],
    b: Callable[[float], float],
    c: Callable[[float], float] | None,
    t: float,
) -> None:
    path = method(name).path
    spread = math.sqrt(1 - a(t) ** 2) if c is None else c(t)
    assert float(path.a(t)) == pytest.approx(a(t), abs=1e-12)
    assert float(path.b(t)) == b(t)
    assert float(path.c(t)) == pytest.approx(spread, abs=1e-7)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_time_and_a_batch_of_times_have_the_same_coefficients(name: str) -> None:
    path = method(name).path
    times = [0.0, 0.1, 0.5, 1.0]
    for coefficient in (path.a, path.b, path.c, path.r):
        together = torch.as_tensor(coefficient(torch.tensor(times)))
        torch.testing.assert_close(
            together.expand(4).float(), torch.tensor([float(coefficient(t)) for t in times]), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_every_path_begins_at_clean_and_its_start_is_its_state_at_one(name: str) -> None:
    clean, degraded, noise = images()
    path = method(name).path
    torch.testing.assert_close(path.state(clean, degraded, at(0.0), noise), clean)
    torch.testing.assert_close(path.state(clean, degraded, at(1.0), noise), path.start(degraded, lambda: noise))


def test_diffusion_ends_in_noise_alone() -> None:
    clean, degraded, noise = images()
    path = method("diffusion").path
    torch.testing.assert_close(path.state(clean, degraded, at(1.0), noise), noise)
    assert float(path.a(1.0)) == pytest.approx(0.0, abs=1e-15)


def test_the_bridge_has_no_noise_at_either_end() -> None:
    path = process.bridge(EPSILON)
    assert path.c(0.0) == path.c(1.0) == 0.0
    assert path.c(0.5) == EPSILON / 2
    degraded = images()[1]
    assert path.start(degraded, lambda: pytest.fail("a draw")) is degraded


@given(times_in_order)
def test_moves_of_the_bridge_are_its_posterior(times: tuple[float, float]) -> None:
    """The Brownian bridge from x at 0 through x_t has mean (1 - s/t) x + (s/t) x_t and variance eps^2 s (t - s) / t."""
    t, s = times
    clean, degraded, noise = images()
    path = process.bridge(EPSILON)
    moved = path.step(noise, degraded, clean, t, s)
    torch.testing.assert_close(moved, (1 - s / t) * clean + (s / t) * noise)
    assert path.fresh(t, s) == pytest.approx(EPSILON * math.sqrt(s * (t - s) / t), abs=1e-6)


@pytest.mark.parametrize("name", METHOD_NAMES)
@given(times=times_in_order)
def test_kept_and_fresh_noise_add_up_to_the_noise_of_training(name: str, times: tuple[float, float]) -> None:
    t, s = times
    path = method(name).path
    total = math.hypot(path.k(s, t) * float(path.c(t)), path.fresh(t, s))
    assert total == pytest.approx(float(path.c(s)), rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("name", METHOD_NAMES)
@given(times=times_in_order)
def test_a_perfect_estimate_lands_on_the_path(name: str, times: tuple[float, float]) -> None:
    """With what noise is left of the state's own, where no fresh noise is added."""
    t, s = times
    clean, degraded, noise = images()
    path = method(name).path
    if path.fresh(t, s) == 0:
        moved = path.step(path.state(clean, degraded, at(t), noise), degraded, clean, t, s)
        torch.testing.assert_close(moved, path.state(clean, degraded, at(s), noise))


@pytest.mark.medium
@pytest.mark.parametrize("name", METHOD_NAMES)
@given(t=within)
def test_the_answer_that_training_wants_gives_clean_back(name: str, t: float) -> None:
    clean, degraded, noise = images()
    this = method(name)
    state = this.path.state(clean, degraded, at(t), noise)
    wanted = this.target_of(clean, degraded, noise, at(t))
    output = wanted - state if this.target.added_to_state else wanted
    torch.testing.assert_close(this.answer(lambda inputs, t: output, state, degraded, at(t)).double(), wanted)
    estimate = this.estimate(lambda inputs, t: output, state, degraded, at(t))
    torch.testing.assert_close(estimate.double(), clean, atol=1e-5, rtol=0)


@given(t=within)
def test_velocity_is_the_derivative_of_the_path(t: float) -> None:
    """In t for flow; for diffusion in the angle whose cosine and sine are its coefficients."""
    clean, degraded, noise = images()
    flow, step = method("flow"), 1e-6
    ends = [flow.path.state(clean, degraded, at(t + side), noise) for side in (-step, step)]
    torch.testing.assert_close(
        flow.target_of(clean, degraded, noise, at(t)), (ends[1] - ends[0]) / (2 * step), atol=1e-6, rtol=1e-6
    )
    diffusion = method("diffusion")
    angle = math.asin(float(diffusion.path.c(t)))
    ends = [math.cos(angle + side) * clean + math.sin(angle + side) * noise for side in (-step, step)]
    torch.testing.assert_close(
        diffusion.target_of(clean, degraded, noise, at(t)), (ends[1] - ends[0]) / (2 * step), atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("name", METHOD_NAMES)
def test_what_the_network_sees(name: str, conditioned: bool) -> None:
    """Diffusion cannot do without the degraded image; regression starts from it, so needs no second one."""
    this = method(name, conditioned=conditioned)
    seen: list[Tensor] = []

    def network(inputs: Tensor, t: Tensor) -> Tensor:
        seen.append(inputs)
        return torch.zeros_like(inputs[:, :1])

    state, degraded = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    this.estimate(network, state, degraded, at(0.5))
    sees_degraded = {"diffusion": True, "distributional": True, "regression": False}.get(name, conditioned)
    assert this.conditioned == sees_degraded
    wanted = torch.cat([state, degraded], dim=1) if sees_degraded else state
    if this.draws:  # noise and the dial besides, both 0 where no draw is asked for
        wanted = torch.cat([wanted, torch.zeros(1, 2, 2, 2)], dim=1)
    assert torch.equal(seen[0], wanted)


def test_the_image_is_never_rounded_to_the_networks_precision() -> None:
    state = torch.rand(1, 1, 8, 8)
    estimate = method("indi").estimate(lambda inputs, t: torch.zeros_like(inputs).bfloat16(), state, state, at(0.5))
    assert torch.equal(estimate, state)


@pytest.mark.parametrize("name", ["flow", "diffusion", "bridge"])
def test_a_noise_of_its_own_refuses_another(name: str) -> None:
    with pytest.raises(ConfigError, match="has a noise of its own"):
        MethodSettings(name=name, noise="brownian").build()


# The Gaussian problem: x ~ N(0, 1), y = x + 2 n. Then everything is known for every path.


def posterior(name: str, state: Tensor, y: Tensor, t: float, *, sees_y: bool) -> Tensor:
    """Return E[x | state], or E[x | state, y]: linear, from the joint covariance of x, state and y."""
    path = method(name).path
    a, b, c = float(path.a(t)), float(path.b(t)), float(path.c(t))
    x_state, variance, state_y = a + b, (a + b) ** 2 + 4 * b**2 + c**2, a + 5 * b
    if not sees_y:
        return state * x_state / variance
    covariance = torch.tensor([[variance, state_y], [state_y, 5.0]], dtype=torch.float64)
    # At the end of a path without noise, state and y are one and the same number.
    weights = torch.linalg.pinv(covariance, hermitian=True) @ torch.tensor([x_state, 1.0], dtype=torch.float64)
    return float(weights[0]) * state + float(weights[1]) * y


def restored(name: str, y: Tensor, steps: int, *, sees_y: bool) -> Tensor:
    *_, last = trajectory(
        lambda state, t: posterior(name, state, y, t, sees_y=sees_y),
        method(name).path,
        y,
        uniform_times(steps),
        noise=noises(len(y)),
    )
    return last.image


def gaussian_pairs(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, n = torch.randn(2, count, 1, 1, 1, generator=generator, dtype=torch.float64)
    return x, x + 2 * n


@pytest.mark.parametrize("name", ["indi", "flow", "bridge"])
@pytest.mark.parametrize("steps", [1, 2, 8, 32, 128])
def test_spread_rises_to_that_of_clean_images(name: str, steps: int) -> None:
    """Regression to the mean and its cure, on every path that starts at the degraded image.

    The exact spread is followed through the linear walk: var(x_s) from var(x_t), with F = g x_t.
    """
    path = method(name).path
    variance = 5.0 + float(path.c(1.0)) ** 2
    for t, s in itertools.pairwise(uniform_times(steps)):
        gain = path.step(
            torch.ones(1), torch.zeros(1), posterior(name, torch.ones(1), torch.ones(1), t, sees_y=False), t, s
        )
        variance = float(gain) ** 2 * variance + path.fresh(t, s) ** 2
    _, y = gaussian_pairs(40_000)
    assert restored(name, y, steps, sees_y=False).std().item() == pytest.approx(math.sqrt(variance), rel=0.02)
    if steps == 1:  # a full step is the estimate: its spread is far below that of clean images, 1
        assert math.sqrt(variance) == pytest.approx(1 / math.sqrt(5), abs=0.01)
    if steps == 128:
        assert math.sqrt(variance) == pytest.approx(1.0, abs=0.02)


def test_conditioned_diffusion_draws_from_the_posterior() -> None:
    """N(y / 5, 4 / 5) for one degraded image; one step gives its mean, whatever the noise."""
    y = torch.full((40_000, 1, 1, 1), 1.5, dtype=torch.float64)
    one = restored("diffusion", y, 1, sees_y=True)
    torch.testing.assert_close(one, torch.full_like(y, 0.3), atol=1e-6, rtol=0)
    many = restored("diffusion", y, 200, sees_y=True)
    assert many.mean().item() == pytest.approx(0.3, abs=0.02)
    assert many.std().item() == pytest.approx(math.sqrt(0.8), rel=0.03)


@pytest.mark.parametrize("name", WALKING)
def test_fidelity_is_paid_for_the_spread(name: str) -> None:
    """The squared error of one step is the least there is, 4/5; that of a posterior draw is at most twice it."""
    sees_y = name == "diffusion"
    x, y = gaussian_pairs(40_000)
    one, many = ((restored(name, y, steps, sees_y=sees_y) - x).square().mean().item() for steps in (1, 100))
    assert one == pytest.approx(0.8, rel=0.04)
    assert one < many < 2.1 * one


# Relations between methods.


def toy(state: Tensor, t: float) -> Tensor:
    """Return E[x | x_t] for x = +-1 and y = x + 1.5 n: not linear, so that nothing agrees by chance."""
    return torch.tanh(state / (1.5 * t) ** 2)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_indi_is_the_flow_matching_walk_of_its_velocity(steps: int) -> None:
    """Step for step: Euler's rule on v = (x_t - F) / t, and the method flow with a network that gives it."""
    _, y = gaussian_pairs(50)
    y = y.float()
    flow = method("flow", epsilon=0.0)

    def network(inputs: Tensor, t: Tensor) -> Tensor:
        return (inputs - toy(inputs, t[0].item())) / t[0]

    def predict(state: Tensor, time: float) -> Tensor:
        return flow.estimate(network, state, y, torch.full((len(y),), time))

    times = uniform_times(steps)
    ours = list(trajectory(toy, process.indi(0.0), y, times, noise=noises(50)))
    theirs = list(trajectory(predict, flow.path, y, times, noise=noises(50)))
    state = y
    for number, (t, s) in enumerate(itertools.pairwise(times), start=1):
        state = state + (s - t) * network(state, at(t).float())
        torch.testing.assert_close(ours[number].image, state)
        torch.testing.assert_close(theirs[number].image, state)


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_flow_agrees_with_diffusers_flow_matching(steps: int) -> None:
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    times = uniform_times(steps)
    scheduler.set_timesteps(sigmas=times[:-1])
    _, y = gaussian_pairs(50)
    ours = [state.image for state in trajectory(toy, process.indi(0.0), y, times, noise=noises(50))]
    state = y
    for number, step in enumerate(scheduler.timesteps, start=1):
        t = times[number - 1]
        state = scheduler.step((state - toy(state, t)) / t, step, state, return_dict=False)[0]
        torch.testing.assert_close(state, ours[number], atol=1e-6, rtol=1e-5)


def test_flow_agrees_with_facebooks_solver() -> None:
    """Their time runs from 0 at the source, here degraded, to 1 at clean, so velocities change their sign."""
    pytest.importorskip("flow_matching")
    from flow_matching.solver import ODESolver
    from flow_matching.utils import ModelWrapper

    class Velocity(ModelWrapper):  # type: ignore[misc]
        def forward(self, x: Tensor, t: Tensor, **extras: object) -> Tensor:
            time = 1 - float(t)
            return (toy(x, time) - x) / time

    times = [1.0, 0.7, 0.45, 0.2, 0.05]
    _, y = gaussian_pairs(50)
    theirs = ODESolver(velocity_model=Velocity(torch.nn.Identity())).sample(
        x_init=y,
        method="euler",
        step_size=None,
        time_grid=1 - torch.tensor(times, dtype=torch.float64),
        return_intermediates=True,
    )
    ours = [state.image for state in trajectory(toy, process.indi(0.0), y, times, noise=noises(50))]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers, under numpy 2
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_denoising_is_the_variance_exploding_sampler(steps: int) -> None:
    """With y = x + sigma n, InDI walks as the deterministic sampler with sigma(t) = t sigma, of us and of diffusers."""
    diffusers = pytest.importorskip("diffusers")
    times = uniform_times(steps)
    _, y = gaussian_pairs(50)
    ours = [state.image for state in trajectory(toy, process.indi(0.0), y, times, noise=noises(50))]

    scheduler = diffusers.EulerDiscreteScheduler(prediction_type="epsilon")
    scheduler.set_timesteps(steps)
    scheduler.sigmas = 1.5 * torch.tensor(times)
    scheduler.is_scale_input_called = True  # theirs divides what the network sees; our F takes the state itself
    state, other = y, y.float()
    for number, (t, s) in enumerate(itertools.pairwise(times), start=1):
        score = (toy(state, t) - state) / (1.5 * t) ** 2  # Tweedie
        state = state - (1.5 * t) * score * (1.5 * s - 1.5 * t)  # dx = -sigma score dsigma
        torch.testing.assert_close(state, ours[number])
        noise = (other - toy(other, t)) / (1.5 * t)
        other = scheduler.step(noise, scheduler.timesteps[number - 1], other, return_dict=False)[0]
        torch.testing.assert_close(other.double(), ours[number], atol=1e-5, rtol=1e-4)


def test_diffusion_agrees_with_diffusers_ddim() -> None:
    """Step for step, on our schedule, with v-prediction."""
    diffusers = pytest.importorskip("diffusers")
    steps = 20
    this, times = method("diffusion"), uniform_times(steps)
    scheduler = diffusers.DDIMScheduler(
        num_train_timesteps=steps,
        prediction_type="v_prediction",
        clip_sample=False,
        timestep_spacing="trailing",
        set_alpha_to_one=True,
    )
    scheduler.set_timesteps(steps)
    scheduler.alphas_cumprod = torch.tensor([float(this.path.a(t)) ** 2 for t in reversed(times[:-1])]).double()
    y = torch.zeros(50, 1, 1, 1, dtype=torch.float64)
    noise = noises(50)(0)

    def answer(state: Tensor, t: float) -> Tensor:
        return torch.tanh(state + t)

    def predict(state: Tensor, t: float) -> Tensor:
        return float(this.path.a(t)) * state - float(this.path.c(t)) * answer(state, t)

    ours = [state.image for state in trajectory(predict, this.path, y, times, noise=lambda number: noise)]
    state = noise
    for number, (step, t) in enumerate(zip(scheduler.timesteps, times, strict=False), start=1):
        state = scheduler.step(answer(state, t), step, state, return_dict=False)[0]
        torch.testing.assert_close(state, ours[number], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("sampler", "order", "grid"),
    [
        ("euler", 1, lambda share: 1 - 0.8 * share),
        ("heun", 2, lambda share: 1 - 0.8 * share),
        ("multistep", 2, lambda share: 0.2**share),
    ],
)
def test_small_steps_converge_to_the_residual_flow(sampler: str, order: int, grid: Callable[[float], float]) -> None:
    """dx/dt = (x - F) / t from t = 1 to 0.2, solved by scipy, on a problem that is not linear."""
    integrate = pytest.importorskip("scipy.integrate")
    start = torch.linspace(-3, 3, 13, dtype=torch.float64).reshape(-1, 1, 1, 1)

    def slope(t: float, state: Any) -> Any:
        return (state - toy(torch.from_numpy(state), t).numpy()) / t

    exact = integrate.solve_ivp(slope, (1.0, 0.2), start.flatten().numpy(), method="DOP853", rtol=1e-11, atol=1e-12)
    counts = [40, 80, 160, 320]
    errors = []
    for count in counts:
        times = [1.0, *(grid(number / count) for number in range(1, count + 1))]
        *_, last = trajectory(toy, process.indi(0.0), start, times, noise=noises(13), sampler=SAMPLERS[sampler])
        errors.append(float((last.image.flatten() - torch.from_numpy(exact.y[:, -1])).abs().max()))
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2)])
def test_samplers_keep_their_order_on_the_diffusion_path(sampler: str, order: int) -> None:
    """On x ~ N(1/2, 1/16), whose exact walk keeps the draw: x_0 = 1/2 + n / 4."""
    path = method("diffusion").path
    noise = torch.full((1, 1, 1, 1), 0.7, dtype=torch.float64)

    def predict(state: Tensor, t: float) -> Tensor:
        a, c = float(path.a(t)), float(path.c(t))
        return 0.5 + a / 16 / (a**2 / 16 + c**2) * (state - a / 2)

    counts, errors = [32, 64, 128, 256], []
    for count in counts:
        how: dict[str, Any] = {"noise": lambda number: noise, "sampler": SAMPLERS[sampler]}
        *_, last = trajectory(predict, path, torch.zeros_like(noise), uniform_times(count), **how)
        errors.append(abs(last.image.item() - (0.5 + 0.7 / 4)))
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(order, abs=0.1)


# The toy sets of the paper: x is one of (+-1, +-1); y = keeps * x + sigma n.

POINTS = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
SETS = {"set 1": (torch.tensor([1.0, 1.0]).double(), 1.5), "set 2": (torch.tensor([1.0, 0.0]).double(), 0.25)}


def toy_walk(name: str, keeps: Tensor, sigma: float, steps: int, count: int = 4000) -> Tensor:
    """Return the ends of walks with the exact E[x | state] (for diffusion E[x | state, y]), as (count, 2)."""
    generator = torch.Generator().manual_seed(3)
    path = method(name, epsilon=0.1).path
    x = POINTS[torch.randint(4, (count,), generator=generator)]
    y = keeps * x + sigma * torch.randn(count, 2, generator=generator, dtype=torch.float64)

    def predict(state: Tensor, t: float) -> Tensor:
        a, b, c = float(path.a(t)), float(path.b(t)), float(path.c(t))
        flat = state.reshape(count, 1, 2)
        if name == "diffusion":
            odds = -((flat - a * POINTS).square() / (2 * c**2)).sum(-1)
            odds = odds - ((y[:, None] - keeps * POINTS).square() / (2 * sigma**2)).sum(-1)
        else:
            odds = -((flat - (a + b * keeps) * POINTS).square() / (2 * (b**2 * sigma**2 + c**2))).sum(-1)
        return (odds.softmax(dim=1) @ POINTS).reshape(state.shape)

    def draw(number: int) -> Tensor:
        return torch.randn(count, 2, 1, 1, generator=generator, dtype=torch.float64)

    *_, last = trajectory(predict, path, y.reshape(count, 2, 1, 1), uniform_times(steps), noise=draw)
    return last.image.reshape(count, 2)


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("name", WALKING)
def test_small_steps_end_on_the_points_and_one_step_between_them(name: str, which: str) -> None:
    ends = toy_walk(name, *SETS[which], steps=50)
    near = (ends[:, None] - POINTS).abs().amax(-1) < 0.05
    shares = near.double().mean(0)
    assert shares.sum().item() > 0.985
    # A quarter each: four standard errors of 4000 draws.
    assert shares.tolist() == pytest.approx([0.25] * 4, abs=4 * math.sqrt(0.25 * 0.75 / 4000))
    one = toy_walk(name, *SETS[which], steps=1)
    assert ((one[:, None] - POINTS).abs().amax(-1) < 0.05).double().mean().item() < 0.01


@pytest.mark.parametrize("name", ["indi", "flow"])
@pytest.mark.parametrize("conditioned", [False, True])
def test_one_move_that_sees_the_degraded_image_has_no_noise(name: str, conditioned: bool) -> None:
    """Noise is there for later moves to grow detail from."""
    restorer = Restorer(tiny_model(1, name=name, conditioned=conditioned, epsilon=0.1), precision="float32")
    image = np.random.default_rng(0).random((24, 24)).astype(np.float32)

    def differ(steps: int) -> bool:
        one, other = (restorer.restore(image, steps=steps, seed=seed) for seed in (0, 1))
        return not np.array_equal(one, other)

    assert (differ(1), differ(2)) == (not conditioned, True)
    if conditioned:
        batch = torch.from_numpy(image)[None, None]
        with torch.no_grad():
            wanted = restorer.method.estimate(restorer.model.network, batch, batch, torch.ones(1))
        np.testing.assert_allclose(restorer.restore(image, steps=1), wanted[0, 0].numpy(), atol=1e-6)
        with pytest.raises(ConfigError, match=r"draws no noise, .* take more steps"):
            restorer.restore(image, steps=1, samples=2)


def test_diffusion_starts_from_noise_in_one_move_too() -> None:
    restorer = Restorer(tiny_model(1, name="diffusion"), precision="float32")
    assert float(restorer.method.path_of([1.0, 0.0]).c(1.0)) == 1


@pytest.mark.parametrize("name", ["indi", "distributional"])
def test_planes_around_come_last_and_in_their_order(name: str) -> None:
    """What a network saw in training stands in its weights: any other order would make it another model."""
    row = MethodSettings(name=name).build()
    state, own, earlier, later = (torch.full((2, 1, 4, 4), value) for value in (0.1, 0.2, 0.3, 0.4))
    shown: list[torch.Tensor] = []

    def network(inputs: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        shown.append(inputs)
        return torch.zeros_like(inputs[:, :1])

    draw = Draw(torch.full_like(state, 2.0), torch.full((2,), 0.25)) if row.draws else None
    row.answer(network, state, torch.cat([own, earlier, later], dim=1), torch.ones(2), draw)
    (inputs,) = shown
    assert inputs.shape[1] == row.inputs(1, neighbours=1)
    wanted = {"indi": [0.1, 0.3, 0.4], "distributional": [0.1, 0.2, 0.5, 0.25, 0.3, 0.4]}[name]
    assert inputs[0, :, 0, 0].tolist() == pytest.approx(wanted)

"""One run of training: its network, its optimiser, its place on the way, and one iteration of it.

Everything random is a pure function of the seed and the iteration, so a resumed run is the run that was never stopped:
bit for bit on the CPU of one machine at one thread count, and up to the rounding of sums on other devices.

An accelerator works on while this process prepares what comes next, as long as nothing is read from it. So there
losses are read for several iterations together, and what is not finite is left out by the accelerator itself.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from indi.config import Config, TrainingSettings
from indi.errors import ModelError, TrainingError
from indi.models.checkpoint import STATE_FILE, Card, Model, check_weights, read_tensors, save_model, write_tensors
from indi.process import objectives
from indi.process import path as process
from indi.restoration.tiling import is_out_of_memory
from indi.training import averaging
from indi.training.arithmetic import Arithmetic
from indi.training.distributed import World
from indi.training.fitting import SMALLEST, fitting_crops
from indi.training.starting import check_start, widened

_GIVE_UP = 10  # iterations in a row that were not finite
_UNREAD = 16  # iterations at most whose losses stay on an accelerator


@dataclass(frozen=True)
class Taken:
    """One iteration as it went: its number, from 1, its loss and learning rate, and how many were skipped so far."""

    iteration: int
    loss: float
    rate: float
    skipped: int


class Trainer:
    """One run: its network, its optimiser, its place on the way. Use ``train``, which drives it."""

    def __init__(self, config: Config, card: Card, run: Path, world: World) -> None:
        self.config = config
        self.arithmetic = Arithmetic.choose(config.training.precision, world.device)
        self.card = card.model_copy(update={"precision": str(self.arithmetic)})
        self.run = run
        self.world = world
        self.device = device = world.device
        self.method = config.method.build()
        self.network: nn.Module = Model.new(card, seed=config.training.seed).network.to(device)
        self.average = Model.new(card)
        self.average.network.to(device).requires_grad_(False).eval().load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=config.training.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.parallel = world.wrapped(self.network)
        self.scaler = _scaler(self.arithmetic)
        self.reads_each = device.type == "cpu"
        self.unread: list[tuple[Tensor, Tensor, float]] = []  # loss, whether it and the gradient are finite, rate
        self.iteration = 0
        self.seconds = 0.0
        self.skipped = 0
        self.in_a_row = 0

    def begin_from(self, model: Model) -> None:
        """Start from another model's weights; terms that they have of their own go on with them.

        What this network sees and the other did not, the degraded image beside the state or noise, it begins blind to.

        Raises:
            ModelError: Its network is another.
        """
        check_start(model.card, self.card)
        weights = widened(model.network.state_dict(), self.network.state_dict())
        self.network.load_state_dict(weights)
        self.average.network.load_state_dict(weights)
        self.card = self.card.model_copy(update={"licence": model.card.licence})

    def progress(self, budget: TrainingSettings | None = None) -> float:
        """Return the share of the budget, or of another one, that is spent."""
        training = budget or self.config.training
        if training.iterations is not None:
            return min(self.iteration / training.iterations, 1.0)
        assert training.minutes is not None
        return min(self.seconds / (60 * training.minutes), 1.0)

    def rate(self, budget: TrainingSettings | None = None) -> float:
        """Return the learning rate of the next iteration, or what it would be with another budget."""
        training = self.config.training
        return learning_rate(training.learning_rate, self.progress(budget), training.warmup, training.cooldown)

    def is_checkpoint(self) -> bool:
        """Return whether the state is to be kept here."""
        return self.iteration % self.config.training.checkpoint_every == 0 or self.progress() >= 1

    @property
    def dtype(self) -> torch.dtype:
        """What convolutions run in."""
        return self.arithmetic.dtype

    def learn(self, clean: Tensor, degraded: Tensor) -> tuple[float, float]:
        """Take one optimiser step on this process's share of a batch; return the batch's loss and learning rate.

        Raises:
            TrainingError: As ``step`` and ``read``.
        """
        self.step(clean, degraded)
        taken = self.read()[-1]
        return taken.loss, taken.rate

    def step(self, clean: Tensor, degraded: Tensor) -> None:
        """Take one optimiser step on this process's share of a batch, which ``read`` tells of.

        Raises:
            TrainingError: It does not fit in memory.
        """
        try:
            with self.arithmetic.used():
                self._step(clean, degraded)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise self._too_large(error, clean, degraded) from error

    def is_due(self) -> bool:
        """Return whether to read now what was learned: each time on a CPU, where it costs nothing."""
        return self.reads_each or len(self.unread) >= _UNREAD or self.is_checkpoint()

    def read(self) -> list[Taken]:
        """Return the iterations since the last call, in order; wait until they are done.

        Raises:
            TrainingError: Ten iterations in a row were not finite.
        """
        unread, self.unread = self.unread, []
        losses, goods = (torch.stack(part).tolist() for part in list(zip(*unread, strict=True))[:2])
        taken: list[Taken] = []
        for place, (loss, is_good) in enumerate(zip(losses, goods, strict=True), self.iteration - len(unread)):
            self.skipped += not is_good
            self.in_a_row = 0 if is_good else self.in_a_row + 1
            if self.in_a_row >= _GIVE_UP:
                raise self._diverged(place + 1)
            taken.append(Taken(place + 1, loss, unread[len(taken)][2], self.skipped))
        return taken

    def _step(self, clean: Tensor, degraded: Tensor) -> None:
        batch = len(clean) * self.world.size
        loss = self._backward(clean, degraded, batch, self.world.share(batch))
        if self.scaler is not None:
            self.scaler.unscale_(self.optimiser)
        loss = self.world.mean(loss)
        size = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.training.clip)
        rate = self.rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        good = size.isfinite() & loss.isfinite()
        if not self.reads_each:
            self.optimiser.found_inf = (~good).float()  # type: ignore[attr-defined]
            self.optimiser.step()
            averaging.add_where(good, self.average.network, self.network, self._decay())
        elif good:
            self.optimiser.step()
            averaging.add(self.average.network, self.network, self._decay())
        else:
            averaging.copy_buffers(self.average.network, self.network)  # statistics may hold what is not finite
        if self.scaler is not None:
            self.scaler.update()
        self.iteration += 1
        self.unread.append((loss, good, rate))

    def _backward(self, clean: Tensor, degraded: Tensor, batch: int, ours: slice) -> Tensor:
        """Return the loss of ``ours`` of a batch, whose gradient the weights have then."""
        training = self.config.training
        seed = _mixed(training.seed, self.iteration)
        generator = torch.Generator().manual_seed(seed)
        t = process.draw_times(batch, self.method.share_at_one, generator)[ours]
        noise = torch.randn((batch, *clean.shape[1:]), generator=generator)[ours]
        clean, degraded, t, noise = (part.to(self.device) for part in (clean, degraded, t, noise))
        if self.card.normalisation is not None:
            clean = self.card.normalisation.clean.apply(clean)
            degraded = self.card.normalisation.degraded.apply(degraded)

        own = degraded[:, : clean.shape[1]]  # without the planes around it
        state = self.method.path.state(clean, own, t, noise)
        wanted = self.method.target_of(clean, own, noise, t)
        examples = objectives.Examples(state, degraded, wanted, t, batch, ours)
        with self._drawing(seed):
            loss = objectives.OBJECTIVES[self.method.objective](self._answer, examples, training.norm, generator)
            self.optimiser.zero_grad()
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _rehearse(self, clean: Tensor, degraded: Tensor) -> None:
        parallel, self.parallel = self.parallel, self.network  # on this process alone
        try:
            self._backward(clean, degraded, len(clean), slice(None))
        finally:
            self.parallel = parallel
            self.optimiser.zero_grad()

    def _too_large(self, error: BaseException, clean: Tensor, degraded: Tensor) -> TrainingError:
        """Return an error that says which batch or crop would fit."""
        size, side = self.world.size, clean.shape[-1]
        found = f"{self.run}: a batch of {len(clean) * size} crops of {side} px does not fit in memory"
        self.optimiser.zero_grad()
        fitting = fitting_crops(error, self._rehearse, clean, degraded)
        if fitting is None:
            return TrainingError(f"{found}, nor does one crop of {SMALLEST} px; free memory, or use a smaller size")
        crop = "" if fitting[1] == side else f" and data.crop = {fitting[1]}"
        return TrainingError(f"{found}; start a new run with data.batch = {fitting[0] * size}{crop}, which does")

    def _diverged(self, iteration: int) -> TrainingError:
        advice = "start a new run with"
        if (self.run / STATE_FILE).exists():
            advice = f"its last checkpoint is kept: start a new run with --from {self.run} and"
        return TrainingError(
            f"{self.run}: loss or gradient was not finite {_GIVE_UP} times in a row at iteration "
            f"{iteration}; {advice} a lower training.learning_rate"
        )

    def _answer(self, state: Tensor, degraded: Tensor, t: Tensor, draw: objectives.Draw | None) -> Tensor:
        with self._autocast():
            return self.method.answer(self.parallel, state, degraded, t, draw)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    @contextmanager
    def _drawing(self, seed: int) -> Iterator[None]:
        """Let layers that draw, as dropout does, draw the same in this iteration whatever was drawn before."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed((seed + self.world.rank) % 2**63)
            yield

    def _decay(self) -> float:
        # Early weights are poor: the window of the average opens with the iterations (as diffusers' warm-up does).
        return min(self.config.training.average, (1 + self.iteration) / (10 + self.iteration))

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
        header |= {"licence": self.card.licence}
        if self.scaler is not None:
            header["scaler"] = self.scaler.state_dict()
        write_tensors(self.run / STATE_FILE, tensors, header)
        save_model(self.model(), self.run)

    def resume(self) -> None:
        """Read the state that ``save`` wrote.

        Raises:
            ModelError: It is damaged, or of another network.
        """
        file = self.run / STATE_FILE
        tensors, header = read_tensors(file)
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
        try:
            for name, value in tensors.items():
                part, _, rest = name.partition(".")
                parts[part][rest] = value
            for part, network in (("network", self.network), ("average", self.average.network)):
                check_weights(parts[part], network, file)
                network.load_state_dict(parts[part])
            self._resume_optimiser(parts["optimiser"])
            dtype = {str(dtype).removeprefix("torch."): dtype for dtype in _DTYPES}[header["precision"]]
            self.arithmetic = replace(self.arithmetic, dtype=dtype)
            self.scaler = _scaler(self.arithmetic)
            if self.scaler is not None:
                self.scaler.load_state_dict(header["scaler"])
            self.iteration, self.seconds = int(header["iteration"]), float(header["seconds"])
            self.skipped, self.in_a_row = int(header["skipped"]), int(header["in_a_row"])
            if self.iteration < 0 or not 0 <= self.seconds < math.inf:
                raise ValueError("its place on the way is none")
            update = {"licence": header.get("licence"), "precision": str(self.arithmetic)}  # old states have no licence
            self.card = self.card.model_copy(update=update)
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError, OverflowError) as error:
            raise ModelError(f"{file}: not the state of this run, or damaged; start a new run with --from") from error

    def _resume_optimiser(self, tensors: dict[str, Tensor]) -> None:
        weights = list(self.network.parameters())
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, _, rest = name.partition(".")
            weight = weights[int(number)]
            # The fused optimiser walks memory, so its averages must lie as the weights do (channels last). And a tensor
            # as it was read maps its file, which on Windows could not be replaced then.
            laid = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value.clone()
            state.setdefault(int(number), {})[rest] = laid
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def _scaler(arithmetic: Arithmetic) -> torch.amp.GradScaler | None:
    """Return what keeps small gradients from vanishing in float16; None for types as wide as float32."""
    return torch.amp.GradScaler(arithmetic.device.type) if arithmetic.dtype == torch.float16 else None


def learning_rate(highest: float, progress: float, warmup: float, cooldown: float) -> float:
    """Return the learning rate at a share of the budget: a rise, a plateau, and half a cosine to 1 % of it."""
    rise = min(1.0, (progress + 1e-3) / max(warmup, 1e-3))
    fall = max(0.0, (progress - (1 - cooldown)) / cooldown) if cooldown else 0.0
    return highest * rise * (0.01 + 0.99 * (1 + math.cos(math.pi * fall)) / 2)


def _mixed(seed: int, iteration: int) -> int:
    """Return one 63-bit seed for an iteration of a run (SplitMix64's mixing step)."""
    value = (seed * 0x9E3779B97F4A7C15 + iteration + 1) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    value = (value ^ value >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return (value ^ value >> 31) >> 1

"""One run of training: its network, its optimiser, its place on the way, and one iteration of it.

Everything random is a pure function of the seed and the iteration, so a resumed run is the run that
was never stopped, bit for bit on one machine and thread count.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from indi.config import Config, TrainingSettings
from indi.data.wording import count
from indi.devices import choose_precision
from indi.errors import ModelError, TrainingError
from indi.models.checkpoint import STATE_FILE, Card, Model, check_weights, read_tensors, save_model, write_tensors
from indi.process import objectives
from indi.process import path as process
from indi.training.distributed import World

_GIVE_UP = 10  # iterations in a row that were not finite


class Trainer:
    """One run: its network, its optimiser, its place on the way. Use ``train``, which drives it."""

    def __init__(self, config: Config, card: Card, run: Path, world: World) -> None:
        self.config = config
        self.card = card
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
        self.dtype = choose_precision(config.training.precision, device)
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
        theirs, ours = model.card, self.card
        if theirs.method.build().conditioned and not self.method.conditioned:
            raise ModelError(
                f"cannot start from {theirs.name}: its network sees the degraded image beside the state, this run's "
                "does not; leave method and conditioned out"
            )
        if theirs.method.build().draws and not self.method.draws:
            raise ModelError(
                f"cannot start from {theirs.name}: its network takes noise, this run's does not; leave method out"
            )
        if (theirs.network, theirs.channels) != (ours.network, ours.channels):
            raise ModelError(
                f"cannot start from {theirs.name}: its network is {_said(theirs)}, this run's {_said(ours)}; leave "
                "size, network and channels out"
            )
        weights = _widened(model.network.state_dict(), self.network.state_dict())
        self.network.load_state_dict(weights)
        self.average.network.load_state_dict(weights)
        self.card = self.card.model_copy(update={"licence": theirs.licence})

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

    def learn(self, clean: Tensor, degraded: Tensor) -> tuple[float, float]:
        """Take one optimiser step on this process's share of a batch; return the batch's loss and learning rate.

        Raises:
            TrainingError: Ten iterations in a row were not finite.
        """
        training = self.config.training
        seed = _mixed(training.seed, self.iteration)
        generator = torch.Generator().manual_seed(seed)
        batch = len(clean) * self.world.size
        ours = self.world.share(batch)
        t = process.draw_times(batch, self.method.share_at_one, generator)[ours]
        noise = torch.randn((batch, *clean.shape[1:]), generator=generator)[ours]
        clean, degraded, t, noise = (part.to(self.device) for part in (clean, degraded, t, noise))
        if self.card.normalisation is not None:
            clean = self.card.normalisation.clean.apply(clean)
            degraded = self.card.normalisation.degraded.apply(degraded)

        state = self.method.path.state(clean, degraded, t, noise)
        wanted = self.method.wanted(clean, degraded, noise, t)
        examples = objectives.Examples(state, degraded, wanted, t, batch, ours)
        with self._drawing(seed):
            loss = objectives.OBJECTIVES[self.method.objective](self._answer, examples, training.norm, generator)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        loss = self.world.mean(loss)
        size = nn.utils.clip_grad_norm_(self.network.parameters(), training.clip)
        rate = self.rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if bool(size.isfinite() & loss.isfinite()):
            self.in_a_row = 0
            self.optimiser.step()
            self._average()
        else:
            self.skipped += 1
            self.in_a_row += 1
            _copy_buffers(self.average.network, self.network)  # its statistics may have taken in what is not finite
        self.iteration += 1
        if self.in_a_row >= _GIVE_UP:
            advice = "start anew with"
            if (self.run / STATE_FILE).exists():
                advice = f"its last checkpoint is kept: start a new run with --from {self.run} and"
            raise TrainingError(
                f"{self.run}: loss or gradient was not finite {_GIVE_UP} times in a row at iteration "
                f"{self.iteration}; {advice} a lower training.learning_rate"
            )
        return loss.item(), rate

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

    @torch.no_grad()
    def _average(self) -> None:
        # Early weights are poor: the window of the average opens with the iterations (as diffusers' warm-up does).
        decay = min(self.config.training.average, (1 + self.iteration) / (10 + self.iteration))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self.average.network.parameters()), list(self.network.parameters()), self.iteration)
        _copy_buffers(self.network, self.average.network)

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
            self.dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[header["precision"]]
            self.iteration, self.seconds = int(header["iteration"]), float(header["seconds"])
            self.skipped, self.in_a_row = int(header["skipped"]), int(header["in_a_row"])
            if self.iteration < 0 or not 0 <= self.seconds < math.inf:
                raise ValueError("its place on the way is none")
            self.card = self.card.model_copy(update={"licence": header.get("licence")})  # old states have none
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError, OverflowError) as error:
            raise ModelError(f"{file}: not the state of this run, or damaged; start anew with --from") from error

    def _resume_optimiser(self, tensors: dict[str, Tensor]) -> None:
        weights = list(self.network.parameters())
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, _, rest = name.partition(".")
            weight = weights[int(number)]
            # The fused optimiser walks memory, so its averages must lie as the weights do (channels last).
            laid = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
            state.setdefault(int(number), {})[rest] = laid
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


@torch.no_grad()
def _copy_buffers(source: nn.Module, target: nn.Module) -> None:
    """Copy what is no weight, such as the statistics of batches."""
    for theirs, ours in zip(source.buffers(), target.buffers(), strict=True):
        ours.copy_(theirs)


def _said(card: Card) -> str:
    return f"{card.network.name} of size {card.network.size} with {count(card.channels, 'channel')}"


def _widened(weights: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with zeros for the inputs that they lack, which come last."""
    found = {}
    for name, weight in weights.items():
        lacking = wanted[name].shape[1] - weight.shape[1] if weight.ndim > 1 else 0
        found[name] = (
            torch.cat([weight, weight.new_zeros(len(weight), lacking, *weight.shape[2:])], 1) if lacking else weight
        )
    return found


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

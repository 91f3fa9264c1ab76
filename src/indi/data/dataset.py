"""The endless stream of training crops."""

import itertools
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from indi import io as images
from indi.data.decoded import DecodedPairs, default_memory_bytes
from indi.data.loading import Pair, Pixels, load_pair
from indi.data.registration import LUMA_BT601
from indi.degradations import check_planes, degradation
from indi.errors import ConfigError, DataError

Batch = tuple[Tensor, Tensor]


class Crops:
    """Crops of pairs, numbered without end: crop i is a pure function of (pairs, seed, i).

    An image is drawn by its area, so that every pixel is equally likely to be trained on; then a place, and
    one of the eight flips and quarter turns, the same for clean and degraded. An image smaller than the crop
    is mirrored at its lower and right edge until it fills it.

    Each image is decoded once, when first drawn, and kept in its own type: in memory up to a limit, and from
    there on as raw files in a temporary folder, of which a crop reads only its own rows.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        crop: int,
        channels: int,
        seed: int,
        task: str | None = None,
        gray: float = 0.0,
        signal: float = 0.0,
        resample: bool = False,
        memory_bytes: int | None = None,
        processes: int = 1,
    ) -> None:
        """Read the headers of the clean images; nothing is decoded yet.

        Args:
            pairs: with degraded files, or all without and a ``task``.
            crop: side in pixels.
            channels: of the model; see `load_pair`.
            seed: 0 or above.
            task: name of the degradation that makes each degraded crop from the finished clean one, with as much
                around it as the degradation looks at.
            gray: share of the crops of a task that are turned gray before they are degraded, so that a colour
                model serves gray images too.
            signal: share of the crops that are the best of four: of four places in all images that with the most
                contrast in the clean one, so that training meets empty background less often.
            resample: see `load_pair`.
            memory_bytes: limit for decoded images; None for a quarter of the memory, at least 1 GiB, shared by
                ``processes``.
            processes: how many on this machine cut crops of their own.

        Raises:
            DataError: there are no pairs.
            ConfigError: ``crop``, ``seed`` or ``task`` is out of range or unknown, or ``task`` is given with
                degraded files or missing without them.
            ImageError: a header cannot be read.
        """
        if not pairs:
            raise DataError("there is no pair to cut crops from; give folders with images")
        if crop < 1 or seed < 0:
            raise ConfigError(f"crop is {crop} and seed is {seed}; give a crop of 1 px or more and a seed from 0")
        _check_sources(pairs, task)
        self._crop, self._channels, self._seed = crop, channels, seed
        self._degradation = None if task is None else degradation(task)
        self._planes, sources = _with_planes(pairs)
        if task is not None and len(self._planes[0]) > 1:
            check_planes(task)
        self._gray, self._signal = gray, signal
        first_of = {pair.clean: pair for pair in reversed(pairs)}
        in_file = {
            file: images.read_headers(file, channels=channels, axes=pair.axes, apart=pair.apart)
            for file, pair in first_of.items()
        }
        headers = [in_file[pair.clean][pair.picture or 0] for pair in pairs]
        self._area_ends = np.cumsum([header.height * header.width for header in headers], dtype=np.int64)
        self._decoded = DecodedPairs(
            lambda index: load_pair(sources[index], channels=channels, resample=resample),
            default_memory_bytes(processes) if memory_bytes is None else memory_bytes,
        )

    def batch(self, iteration: int, size: int, share: slice = slice(None), *, pinned: bool = False) -> Batch:
        """Return crops iteration * size up to (iteration + 1) * size, or a share of them, as (clean, degraded).

        Both are (B, C, crop, crop) float32; integer images span [0, 1], and what a task adds may go beyond. Where pairs
        have neighbours, degraded has the channels of their degraded images too, behind its own. Pinned
        memory is copied to a CUDA device while both sides go on working.

        Raises:
            ImageError: a file cannot be read.
            DataError: a pair does not fit, or the temporary folder cannot hold it.
        """
        numbers = range(iteration * size, (iteration + 1) * size)[share]
        clean, degraded = (
            torch.empty(len(numbers), channels, self._crop, self._crop, pin_memory=pinned)
            for channels in (self._channels, self._channels * len(self._planes[0]))
        )
        for place, number in enumerate(numbers):
            self._cut(number, clean[place], degraded[place])
        return clean, degraded

    def stream(
        self,
        start: int,
        size: int,
        *,
        ahead: int = 2,
        share: slice = slice(None),
        makers: int = 1,
        pinned: bool = False,
    ) -> Generator[tuple[int, Batch], None, None]:
        """Yield (iteration, batch) in order from iteration ``start`` on, made ahead in background threads.

        The threads end when the generator is closed or an error is raised from it. Each computes on one core, and lets
        the others compute meanwhile. How many there are changes no crop.

        Args:
            start: first iteration; resuming there gives the batches that would have come.
            size: crops a batch.
            ahead: batches made before they are asked for; never fewer than makers, of which each makes one.
            share: which of the crops of each batch are wanted.
            makers: threads.
            pinned: see `batch`.

        Raises:
            ImageError, DataError: as `batch`, at the batch that could not be made.
        """
        waiting: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(makers, thread_name_prefix="crops", initializer=_compute_on_one_core)
        try:
            for iteration in itertools.count(start):
                while len(waiting) <= max(ahead, makers):
                    waiting.append(pool.submit(self.batch, iteration + len(waiting), size, share, pinned=pinned))
                yield iteration, waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _place(self, random: np.random.Generator) -> tuple[int, int, int]:
        """Draw the pair of a crop, and the first row and column in it."""
        pixel = random.integers(self._area_ends[-1])
        index = int(np.searchsorted(self._area_ends, pixel, side="right"))
        sides = self._decoded[index][0].shape[:2]
        top, left = (int(random.integers(max(side - self._crop, 0) + 1)) for side in sides)
        return index, top, left

    def _contrast(self, place: tuple[int, int, int]) -> float:
        """Return the standard deviation of the clean image at a place; of every fourth pixel, as it is asked often."""
        index, top, left = place
        return float(_window(self._decoded[index][0], top, left, self._crop)[::4, ::4].std())

    def _cut(self, number: int, clean: Tensor, degraded: Tensor) -> None:
        """Fill ``clean`` and ``degraded``, (C, crop, crop) and as many for each plane, with one crop."""
        random = np.random.default_rng([self._seed, number])
        index, top, left = place = self._place(random)
        if self._signal and random.random() < self._signal:
            others = (self._place(random) for _ in range(_PLACES - 1))
            index, top, left = max([place, *others], key=self._contrast)
        decoded = [self._decoded[plane] for plane in self._planes[index]]
        turn = int(random.integers(8))
        if self._degradation is None:
            for pixels, tensor in (decoded[0][:1], clean), ([each[1] for each in decoded], degraded):
                for each, part in zip(pixels, torch.split(tensor, self._channels), strict=True):
                    part.numpy()[:] = _turned(images.to_unit(_window(each, top, left, self._crop)), turn)
            return
        reach = self._degradation.reach
        windows = [_window(each[0], top - reach, left - reach, self._crop + 2 * reach) for each in decoded]
        wide = torch.from_numpy(np.concatenate([_turned(images.to_unit(window), turn) for window in windows]))
        generator = torch.Generator().manual_seed(int(random.integers(2**63)))
        if random.random() < self._gray:
            wide = torch.cat([_luma(plane) for plane in torch.split(wide, self._channels)])
        inner = (slice(None), slice(reach, reach + self._crop), slice(reach, reach + self._crop))
        made = self._degradation.train_crop(wide, generator)
        planes = len(self._planes[index])
        clean[:] = wide[inner][: len(wide) // planes]  # a gray crop fills all channels
        degraded.view(planes, -1, *degraded.shape[1:])[:] = made.view(planes, -1, *made.shape[1:])


_PLACES = 4  # of which a crop with signal is chosen

_setting_threads = threading.Lock()


def _compute_on_one_core() -> None:
    """Let this thread compute on one core, and none of the others.

    PyTorch sets the number for the thread that asks and for all that have not computed yet: a third one gives it back.
    """
    with _setting_threads:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        restoring = threading.Thread(target=torch.set_num_threads, args=(threads,))
        restoring.start()
        restoring.join()


def _with_planes(pairs: Sequence[Pair]) -> tuple[list[list[int]], list[Pair]]:
    """Return for each pair which pairs its planes are of, its own first, and all these pairs: the given ones first."""
    place = {(pair.clean, pair.picture): index for index, pair in enumerate(pairs)}
    sources = list(pairs)
    planes = []
    for pair in pairs:
        for each in pair.neighbours:
            if (key := (each.clean, each.picture)) not in place:  # one that is kept for validation or cannot be used
                place[key] = len(sources)
                sources.append(each)
        planes.append([place[each.clean, each.picture] for each in (pair, *pair.neighbours)])
    return planes, sources


def _check_sources(pairs: Sequence[Pair], task: str | None) -> None:
    with_partner = [pair.name for pair in pairs if pair.degraded is not None]
    if task is None and len(with_partner) < len(pairs):
        raise ConfigError(
            f"{len(pairs) - len(with_partner)} of {len(pairs)} clean images have no degraded one; "
            "give their folder, or a task that makes them"
        )
    if task is not None and with_partner:
        raise ConfigError(f"task {task!r} makes degraded images, but {with_partner[0]} has one; give one of the two")


def _window(pixels: Pixels, top: int, left: int, side: int) -> Pixels:
    """Return a square of (H, W[, C]), mirrored wherever it goes beyond the image."""
    rows, columns = (
        slice(start, start + side) if 0 <= start <= size - side else _mirrored(start, side, size)
        for start, size in zip((top, left), pixels.shape[:2], strict=True)
    )
    return pixels[rows][:, columns]


def _mirrored(start: int, side: int, size: int) -> NDArray[np.intp]:
    """Return the positions within ``size`` that ``side`` positions from ``start`` on show, the edge pixel included."""
    positions = np.arange(start, start + side) % (2 * size)
    return np.minimum(positions, 2 * size - 1 - positions)


def _turned(pixels: Pixels, turn: int) -> Pixels:
    """Return (H, W) or (H, W, C) as (C, H, W): turn % 4 quarter turns, after a flip for turns 4 to 7."""
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.rot90(planes[..., ::-1] if turn >= 4 else planes, turn % 4, axes=(1, 2))


def _luma(planes: Tensor) -> Tensor:
    """Return (1, H, W): the luma of RGB planes, the mean of any others."""
    weights = torch.from_numpy(LUMA_BT601) if len(planes) == 3 else torch.full((len(planes),), 1 / len(planes))
    return (weights[:, None, None] * planes).sum(dim=0, keepdim=True)

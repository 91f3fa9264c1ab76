"""Files of visitors, read in processes of their own: one that takes too long is ended, and no other visitor waits."""

import atexit
import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.pool import Pool
from queue import SimpleQueue
from typing import Any, TypeVar

from indi.errors import ImageError

_T = TypeVar("_T")

LIMIT = 30.0  # seconds for a file
LIMIT_OF_ARCHIVES = 300.0


class Readers:
    """Processes that read, begun when they are first needed.

    Each is a pool of one, as a pool can be ended whatever it is at.

    Args:
        processes: How many read at once.
    """

    def __init__(self, processes: int) -> None:
        self._idle: SimpleQueue[Pool | None] = SimpleQueue()
        self._all: set[Pool] = set()
        atexit.register(self.close)
        for _ in range(processes):
            self._idle.put(None)

    def read(self, name: str, limit: float, function: Callable[..., _T], *arguments: Any) -> _T:
        """Return what a function of a module returns, which is called in another process.

        Raises:
            ImageError: It takes longer than the limit, in seconds.
        """
        pool = self._idle.get()
        try:
            if pool is None:
                pool = multiprocessing.get_context("spawn").Pool(1, _begin)
                self._all.add(pool)
                pool.apply(_ready)  # it imports first, which is no fault of the file
            return pool.apply_async(function, arguments).get(limit)
        except multiprocessing.TimeoutError as error:
            if pool is not None:
                self._all.discard(pool)
                pool.terminate()
                pool = None
            raise ImageError(f"{name}: reading it takes too long; save it again, or leave it out") from error
        finally:
            self._idle.put(pool)

    def close(self) -> None:
        """End all processes, whatever they are at."""
        for pool in list(self._all):
            pool.terminate()


READERS, UNPACKERS = Readers(2), Readers(1)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who began us ends us


def _ready() -> None:
    """Return once all is imported, as it is where this can be called."""

"""What people see and press: lines, bars and tables on the terminal, and interrupts."""

import json as json_format
import logging
import os
import signal
import stat
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
_EVERY = 10.0  # seconds between two lines, where there is no bar
_MINUTE = 60.0
STOPPING = "stopping after this iteration"


def say(text: str) -> None:
    """Write a line to stderr, above a progress bar if there is one."""
    errors.print(printable(text))


def complain(error: object) -> None:
    """Write an error to stderr, on one line."""
    errors.print(Text(printable(f"indi: {error}"), style="red"))


def printable(text: str) -> str:
    """Return the text on one line; what a file name may hold to play with the terminal is spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _LinesOfProgress(Progress):
    """What stands for a bar where stderr is no terminal: a line now and then, such as for the log of a cluster."""

    def __init__(self) -> None:
        super().__init__(console=errors, disable=True)
        self._told = time.monotonic()

    def update(self, task_id: TaskID, **changed: Any) -> None:
        super().update(task_id, **changed)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if time.monotonic() - self._told < _EVERY or task.total is None:
            return
        self._told = time.monotonic()
        done = f"{task.percentage:.0f} %" if task.total == 1 else f"{task.completed:.1f} of {task.total:.0f}"
        left = task.time_remaining
        say(f"{task.description}: {done}{'' if left is None else f', {_span(left)} left'}")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _MINUTE else f"{seconds / _MINUTE:.0f} min"


def bar_of(*columns: Any) -> Progress:
    """Return a progress bar on stderr, with what stands after the bar; lines where stderr is no terminal."""
    if not errors.is_terminal:
        return _LinesOfProgress()
    parts = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *columns)
    return Progress(*parts, console=errors, transient=True)


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    print(json_format.dumps(values, indent=1, allow_nan=False))


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows of cells, the heads first, in columns on stdout: words begin below each other, numbers end so."""
    rows = list(rows)
    columns = []
    for head, *cells in zip(*rows, strict=True):
        width = max(map(len, (head, *cells)))
        are_words = any(cell[:1].isalpha() and cell not in ("inf", "nan") for cell in cells)
        columns.append([cell.ljust(width) if are_words else cell.rjust(width) for cell in (head, *cells)])
    for line in zip(*columns, strict=True):
        print("  ".join(line).rstrip())


# What ends a command like Ctrl-C. A terminal that is closed sends SIGHUP, which Windows has not and nohup ignores.
HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
ENDINGS = (signal.SIGTERM, *([HANGUP] if HANGUP is not None else []))


@contextmanager
def on_signals(act: Callable[[int, object], None], *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals by ``act`` within the block; a hangup that is ignored stays so."""
    heeded = [number for number in numbers if number != HANGUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, act) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt(number: int, frame: object) -> None:
    """Handle a signal as Ctrl-C is."""
    _leave_terminal(number)
    raise KeyboardInterrupt


def _leave_terminal(number: int) -> None:
    """After a hangup, write to nowhere what would go to a terminal: to write to one that is closed is an error."""
    if number == HANGUP:
        with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            for stream in (1, 2):
                if stat.S_ISCHR(os.fstat(stream).st_mode):
                    os.dup2(nowhere.fileno(), stream)


@contextmanager
def patience(say: Callable[[], None]) -> Iterator[Event]:
    """Set the event at the first interrupt, for the block to stop at a good place; the second ends it at once."""
    interrupted = Event()

    def note(number: int, frame: object) -> None:
        _leave_terminal(number)
        if interrupted.is_set():
            if number == HANGUP:  # which comes twice, from the shell and from the system
                return
            raise KeyboardInterrupt
        interrupted.set()
        say()

    with on_signals(note, signal.SIGINT, *ENDINGS), suppress(KeyboardInterrupt):
        yield interrupted


class Lines(logging.Handler):
    """Writes each log record as a line to stderr, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:  # noqa: D102 - the base class says it
        say(record.getMessage())
        if record.exc_info:  # a bug of ours that did not stop us: whoever mends it needs to see where
            errors.print(Text("".join(traceback.format_exception(record.exc_info[1]))))

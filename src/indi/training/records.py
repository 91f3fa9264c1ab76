"""The log of a run, training.jsonl: a line an iteration."""

import json
import logging
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from indi.data.wording import count
from indi.io import write_atomic

log = logging.getLogger("indi")


@dataclass(frozen=True)
class Record:
    """One iteration of training, as the log holds it.

    Attributes:
        iteration: Its number, from 1.
        loss: Of its batch, Eq. (2); not finite where the iteration was skipped.
        lr: Learning rate it used.
        seconds: Training time so far, over all sessions of the run.
        crops_per_second: Over the last iterations.
        progress: Share of the budget that is spent, 0 to 1.
        skipped: Iterations so far that were skipped since their loss or gradient was not finite.
        psnr: Mean over the preview crops in dB, by steps ("0": degraded) or "realism 1"; None between previews.
    """

    iteration: int
    loss: float
    lr: float
    seconds: float
    crops_per_second: float
    progress: float
    skipped: int
    psnr: dict[str, float] | None = None

    def values(self) -> dict[str, Any]:
        """Return it as the log holds it: JSON has no NaN."""
        loss = self.loss if math.isfinite(self.loss) else None
        return {name: value for name, value in asdict(self).items() if value is not None} | {"loss": loss}


CLOCK_FIELDS = ("seconds", "crops_per_second")  # the fields of a record that a clock decides


class Log:
    """The log, open to be written on. A kill at any moment leaves it readable.

    Args:
        file: The file; made if it is not there.
        iterations: How far the state is that the run goes on from. Records after it, which are about to be made again,
            are dropped, and so are lines that are none.
    """

    def __init__(self, file: Path, iterations: int) -> None:
        self._file = file
        lines = file.read_bytes().splitlines(keepends=True) if file.is_file() else []
        records = [(line, _parsed(line)) for line in lines]
        kept = [(line, record) for line, record in records if record and record["iteration"] <= iterations]
        damaged = sum(record is None for line, record in records if line.endswith(b"\n"))  # a kill may tear the last
        if damaged:
            log.warning("warning: %s: %s left out", file, count(damaged, "damaged line"))
        if len(kept) < len(lines):
            write_atomic(file, b"".join(line for line, _ in kept))
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = file.open("r+b" if file.exists() else "w+b")
        self._place = self._end = self._stream.seek(0, 2)
        self.last: dict[str, Any] | None = None
        if kept and kept[-1][1] and kept[-1][1]["iteration"] == iterations:
            self.last = kept[-1][1]
            self._place = self._end - len(kept[-1][0])

    def write(self, record: Record) -> None:
        """Add the record of an iteration."""
        self._place = self._end
        self._put(record.values())

    def complete(self, **values: Any) -> None:
        """Write what has come to be known of the last iteration into its record, if there is one."""
        if self.last is not None:
            self._put(self.last | values)

    def is_there(self) -> bool:
        """Return whether the file is still where it was opened: its folder may have been removed or moved."""
        try:
            return os.path.samestat(self._file.stat(), os.fstat(self._stream.fileno()))
        except OSError:
            return False

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _put(self, values: dict[str, Any]) -> None:
        line = (json.dumps(values, allow_nan=False) + "\n").encode()
        self._stream.seek(self._place)
        self._stream.write(line)  # in one piece, over a shorter one of the same iteration
        self._stream.truncate()
        self._stream.flush()
        self.last, self._end = values, self._place + len(line)


def last_record(file: Path) -> dict[str, Any] | None:
    """Return the last record that was written whole; a kill may have cut the line after it."""
    lines = file.read_bytes().splitlines(keepends=True) if file.is_file() else []
    return next((record for record in map(_parsed, reversed(lines)) if record), None)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None where it is torn or damaged. What is not finite is None: JSON has no such."""
    try:
        values = json.loads(line, parse_constant=lambda _: None, parse_float=_finite) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) and type(values.get("iteration")) is int else None


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None

"""What of an archive is restored already, so that an interrupted command goes on where it was stopped.

The manifest lies in the folder of the results, hidden, with a line for each file: what it was made from, all that
decided the result, and which files it became. Where any of that has changed, the file is restored again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from indi.errors import IndiError
from indi.images import write_atomic
from indi.images.zarr_stack import fingerprint

MANIFEST = ".indi-restored.jsonl"


class Archive:
    """The manifest of one folder of results.

    Args:
        folder: Of the results.
        asked: All that decides a result beside its source: the model, the walk, the seed.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self._file = folder / MANIFEST
        self._asked = json.loads(json.dumps(asked))
        self._lines: dict[str, Any] = {}
        try:
            text = self._file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            text = ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._lines[entry["name"]] = entry
            except (ValueError, KeyError, TypeError):  # cut off while it was written: that file is restored again
                continue
        self._is_begun = False

    def has(self, source: Path, targets: Sequence[Path]) -> bool:
        """Return whether the targets are there, made from this very source by what is asked for."""
        entry = self._lines.get(targets[0].name)
        try:
            return entry is not None and entry == self._entry(source, targets)
        except OSError:  # one is not there
            return False

    def add(self, source: Path, targets: Sequence[Path]) -> None:
        """Note that the targets are made.

        Raises:
            IndiError: The manifest cannot be written, or a target is not there any more.
        """
        try:
            self._add(self._entry(source, targets))
        except OSError as error:
            what = f"{self._file}: cannot note that {source} is restored: {error.strerror or error}"
            raise IndiError(f"{what}; make room there, or the folder writable") from error

    def _add(self, entry: dict[str, Any]) -> None:
        self._lines[entry["name"]] = entry
        if not self._is_begun:  # what other commands noted twice goes
            write_atomic(self._file, "".join(map(_line, self._lines.values())).encode())
            self._is_begun = True
            return
        with self._file.open("a", encoding="utf-8", newline="\n") as file:
            file.write(_line(entry))

    def _entry(self, source: Path, targets: Sequence[Path]) -> dict[str, Any]:
        files = {target.name: state_of(target) for target in targets}
        made_from = [str(source.absolute()), *state_of(source)]
        return {"name": targets[0].name, "source": made_from, "files": files, **self._asked}


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":")) + "\n"


def state_of(path: Path) -> list[int | str]:
    """Return what tells whether a file has changed, or any file in a folder such as a Zarr volume.

    Raises:
        OSError: It is not there.
    """
    if path.is_dir():
        return [fingerprint(path)]
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]

"""What of a folder is restored already: an interrupted command goes on, and nothing else's files are written over.

A manifest lies in each folder of results, hidden, with a line for each input: what it was made from, all that decided
the result, and which files it became. Where any of that has changed, the input is restored again. What is about to be
written is noted first, without its state, so that after a kill the next command knows its own files.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from indi.errors import ImageError, IndiError
from indi.io import write_atomic
from indi.io.folders import fingerprint

MANIFEST = ".indi-restored.jsonl"
_ABOUT = (
    "indi restored images into this folder, and notes here which and how: the same command goes on from there, and "
    "writes over no other files. Without this file it takes these for the work of others."
)


class Manifest:
    """The manifests of folders of results.

    Args:
        asked: All that decides a result beside its source: the model, the sampling, the seed.
        masks: Of sources that have one.
    """

    def __init__(self, asked: Mapping[str, Any], masks: Mapping[Path, Path] | None = None) -> None:
        self._asked = json.loads(json.dumps(asked))
        self._masks = masks or {}
        self._manifests: dict[Path, _Manifest] = {}

    def has(self, source: Path, targets: Sequence[Path]) -> bool:
        """Return whether the targets are there, made from this very source by what is asked for."""
        entry = self._of(targets).entry_of(targets)
        try:
            return entry is not None and entry == self._entry(source, targets)
        except OSError:  # one is not there
            return False

    def check(self, source: Path, targets: Sequence[Path]) -> None:
        """Refuse to write over what no command like this has made from this source.

        Raises:
            ImageError: One of the targets is such a file.
        """
        for target in targets:
            if target.exists() and not self._of(targets).is_made(target.name, source):
                advice = "add --overwrite, or choose another --out"
                raise ImageError(f"{target}: is there already, and not made from {source} by indi; {advice}")

    def begin(self, source: Path, targets: Sequence[Path]) -> None:
        """Note that the targets are about to be written.

        Raises:
            IndiError: As ``add``.
        """
        self._note(source, targets, is_done=False)

    def add(self, source: Path, targets: Sequence[Path]) -> None:
        """Note that the targets are made.

        Raises:
            IndiError: The manifest cannot be written, or a target is not there any more.
        """
        self._note(source, targets, is_done=True)

    def _note(self, source: Path, targets: Sequence[Path], *, is_done: bool) -> None:
        manifest = self._of(targets)
        try:
            manifest.add(self._entry(source, targets, is_done=is_done), is_done=is_done)
        except OSError as error:
            what = f"{manifest.file}: cannot note that {source} is restored: {error.strerror or error}"
            raise IndiError(f"{what}; make room there, or the folder writable") from error

    def _of(self, targets: Sequence[Path]) -> "_Manifest":
        folder = targets[0].parent
        if folder not in self._manifests:
            self._manifests[folder] = _Manifest(folder)
        return self._manifests[folder]

    def _entry(self, source: Path, targets: Sequence[Path], *, is_done: bool = True) -> dict[str, Any]:
        files = {target.name: state_of(target) if is_done else None for target in targets}
        made_from = [str(source.absolute()), *state_of(source)]
        mask = self._masks.get(source)  # older manifests know of none
        kept = {} if mask is None else {"mask": [str(mask.absolute()), *state_of(mask)]}
        return {"name": targets[0].name, "source": made_from, "files": files, **kept, **self._asked}


class _Manifest:
    """The manifest of one folder of results."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / MANIFEST
        self._lines: dict[tuple[str, ...], dict[str, Any]] = {}  # by the names of the files
        self._with: dict[str, set[tuple[str, ...]]] = {}  # which of them a name is among
        self._is_begun = False
        try:
            text = self.file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._take(entry)
            except (ValueError, KeyError, TypeError, RecursionError):  # cut off while it was written, or of no result
                continue

    def _take(self, entry: dict[str, Any]) -> None:
        files = tuple(map(str, entry["files"]))
        self._lines[files] = entry
        for name in files:
            self._with.setdefault(name, set()).add(files)

    def entry_of(self, targets: Sequence[Path]) -> dict[str, Any] | None:
        return self._lines.get(tuple(target.name for target in targets))

    def is_made(self, name: str, source: Path | None) -> bool:
        """Return whether a file was made from the source where one is given, else from a file beside it."""
        for files in self._with.get(name, ()):
            with suppress(KeyError, TypeError, IndexError):
                made_from = Path(self._lines[files]["source"][0])
                folder = self.file.parent.absolute()
                if made_from.parent == folder if source is None else made_from == source.absolute():
                    return True
        return False

    def results(self) -> set[str]:
        """Return the names of files that were made from others beside them."""
        return {name for name in self._with if self.is_made(name, None)}

    def add(self, entry: dict[str, Any], *, is_done: bool) -> None:
        self._take(entry)
        if self._is_begun:
            with self.file.open("a", encoding="utf-8", newline="\n") as file:
                file.write(_line(entry))
            return
        lines = [_line({"about": _ABOUT}), *map(_line, self._lines.values())]  # what was noted twice goes
        write_atomic(self.file, "".join(lines).encode())
        self._is_begun = is_done


def results_in(folder: Path) -> set[str]:
    """Return the names of files that ``indi restore`` made in a folder from others beside them: they are no inputs."""
    return _Manifest(folder).results() if (folder / MANIFEST).is_file() else set()


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

"""Every command of the documents is held against what it calls, and run on tiny data where that takes seconds."""

import argparse
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch.distributed.run
from cyclopts import MissingArgumentError
from PIL import Image as Pillow

import indi
from documents import DOCUMENTS, NAMES, ROOT, blocks, commands, fences, mentions, run, shell_lines
from indi.cli import app
from indi.io import Image, write

LANGUAGES = {"python", "toml", "sh", "text", "math"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_a_fence_says_what_it_holds(document: Path) -> None:
    """A fence without a label would be code that nobody tries; text is what is no code."""
    for label, body in fences(document):
        assert label in LANGUAGES or label == "{toctree}", f"{document.name}: {label!r} of {body[:60]!r}"
        if label == "text":
            assert not re.search(r"^(import |from \w+ import |indi [a-z]+ -|pip |make |python )", body, re.MULTILINE)


# Parsed


class _ParsedError(Exception):
    """The options of a script were understood, and nothing was done yet."""


def parse_indi(words: list[str]) -> None:
    function, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert function.__name__ == words[0]
    assert bound.arguments or len(words) == 1  # a command that needs no options, such as indi toy


def parse_python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if words[0] == "-m":
        assert words[1:] == ["venv", ".venv"]
        return
    if words[0] == "-c":
        compile(words[1], "-c", "exec")
        return
    script = ROOT / words[0]
    if "argparse" not in script.read_text(encoding="utf-8"):  # tables.py and reference.py, which other tests run
        return
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> None:
        parse(parser, arguments)
        raise _ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(_ParsedError):
        runpy.run_path(str(script), run_name="__main__")


def parse_pip(words: list[str]) -> None:
    assert words[0] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in words[1:]:
        assert not (found := re.fullmatch(r"(?:\.|indi)\[(\w+)\]", word)) or found[1] in extras


def parse_make(words: list[str]) -> None:
    if shutil.which("make"):
        dry = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert dry.returncode == 0, dry.stderr


def parse_dask(words: list[str]) -> None:
    pytest.importorskip("distributed")
    from distributed.cli import dask_scheduler, dask_worker

    {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[words[0]].make_context(words[0], words[1:])


def parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = re.sub(r"^INDI_\w+=\S+ ", "", line)
    program, *words = shlex.split(line.replace("…", "x"), comments=True)
    program = program.removeprefix(".venv/bin/")
    if program == "indi":
        parse_indi(words)
    elif program == "python":
        parse_python(words, monkeypatch)
    elif program == "pip":
        parse_pip(words)
    elif program == "make":
        parse_make(words)
    elif program == "dask":
        parse_dask(words)
    elif program == "torchrun":
        found = torch.distributed.run.parse_args(words)  # type: ignore[no-untyped-call]
        parse(shlex.join([found.training_script, *found.training_script_args]), monkeypatch)
    elif program == "srun":
        parse(re.sub(r"^srun --ntasks=\d+ --exact ", "", line.removesuffix(" &")), monkeypatch)
    else:  # what needs no check, and nothing else
        assert program in (".", "sleep") or program.startswith("ADDRESS="), f"{program}: say here how to check it"


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of dask's command line
@pytest.mark.parametrize("line", commands())
def test_commands_parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse(line, monkeypatch)


@pytest.mark.parametrize("line", mentions())
def test_what_is_said_of_commands_is_so(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with suppress(MissingArgumentError):  # within a line an option may stand alone; one that is not there is an error
        parse(line, monkeypatch)


def test_there_are_commands_to_parse() -> None:
    assert {line.split()[0] for line in commands()} >= {"indi", "python", "make", "dask", "srun", "torchrun"}
    assert {line.split()[0] for line in mentions()} >= {"indi", "python", "pip", "make"}
    assert {line.split()[1] for line in commands() if line.startswith("indi ")} >= {"train", "restore", "evaluate"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_shell_blocks_are_shell(document: Path) -> None:
    for block in blocks(document, "sh"):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# Run

# What is parsed above and not run, and why.
NOT_RUN = {
    r"^(make|pip|\.) ": "sets up an environment, from the network",
    r"^python benchmarks/": "takes minutes to hours, on data sets that are not here",
    r"^indi app": "serves until it is stopped: tests/app does",
    r"^indi toy": "takes a minute: tests/test_toy.py cuts it short",
    r"^indi export": "takes ten seconds: tests/export does",
    r"--model photo\.zip": "needs a package that was exported: tests/export does",
    r"hf:": "fetches from the hub: tests/test_hub.py does, from a hub of its own",
    r"^dask |--scheduler": "needs machines of these names: tests/test_cluster.py has workers on this one",
    r"^torchrun ": "starts processes of its own: tests/test_distributed.py does",
    r"^(srun|sleep|ADDRESS=)": "needs SLURM: nothing of it was ever run",
}
# Documents whose commands are of hours of training on data sets that are not here: all of them are parsed only.
PARSED_ONLY = {"CONTRIBUTING.md", "docs/models.md", "docs/results.md"}
# test_plugins.py and test_docs.py run these, with a look at what they leave.
ELSEWHERE = {"docs/extending.md", "docs/microscopy.md"}


def to_run(document: Path) -> list[str]:
    lines = (line.removeprefix(".venv/bin/") for line in shell_lines(document))
    return [line for line in lines if not any(re.search(pattern, line) for pattern in NOT_RUN)]


WITH_COMMANDS = [name for name, document in zip(NAMES, DOCUMENTS, strict=True) if to_run(document)]


def test_what_is_not_run_is_in_the_documents() -> None:
    lines = [line.removeprefix(".venv/bin/") for document in DOCUMENTS for line in shell_lines(document)]
    for pattern in NOT_RUN:
        assert any(re.search(pattern, line) for line in lines), f"{pattern} is in no document any more"
    assert all(shell_lines(ROOT / name) for name in PARSED_ONLY | ELSEWHERE)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the documents speak of, small: photographs, pairs of scenes, a stack, a volume."""
    zarr = pytest.importorskip("zarr")
    random = np.random.default_rng(0)

    def image(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.kron(random.integers(60, 250, (5, 6, *shape), np.uint8), np.ones((8, 8, *[1] * len(shape)), np.uint8))

    Pillow.fromarray(image(3)).save(tmp_path / "old.jpg", quality=60)
    for name in ("photo.png", "photo.jpg", "small.png", "soft.png", "mask.png", "album/1.png", "album/2.png"):
        write(tmp_path / name, Image(image(3)))
    for number in range(4):
        clean = image(3)
        for side, pixels in (("clean", clean), ("degraded", clean // 2)):
            write(tmp_path / "data" / side / f"scene{number // 2}_{number % 2}.png", Image(pixels))
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([image(), image()]), imagej=True)
    volume = zarr.open_array(tmp_path / "volume.zarr", mode="w", shape=(2, 40, 48), chunks=(1, 40, 48), dtype="uint8")
    volume[:] = np.stack([image(), image()])
    monkeypatch.chdir(tmp_path)


@pytest.mark.medium
@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("name", [name for name in WITH_COMMANDS if name not in PARSED_ONLY | ELSEWHERE])
def test_commands_run(name: str) -> None:
    lines = to_run(ROOT / name)
    if not any("--run runs/mine" in line for line in lines):  # it speaks of a run that was made before
        for _ in indi.train(clean="data/clean", degraded="data/degraded", run="runs/mine", size="tiny", iterations=1):
            pass
    for line in lines:
        run(line)

import inspect
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import indi
from indi import cli
from indi.cli.options import WHOLE
from indi.cli.terminal import ENDINGS
from indi.config import Config
from indi.degradations import DEGRADATIONS
from indi.evaluation.measurement import Subject
from indi.io import Image, read, write
from indi.io.manifest import MANIFEST
from indi.metrics import METRICS
from indi.models import pretrained
from indi.models.checkpoint import read_tensors, save_model
from indi.process.methods import METHODS
from indi.restoration.batch import Outcome, degrade_files, plan, restore_files
from indi.restoration.restorer import Restorer, load
from indi.training import run as training
from indi.training.trainer import Trainer
from indi.version import __version__
from problems import hide_perceptual, ship, tiny_model, write_pairs

COMMANDS = [name for name in cli.app if not name.startswith("-")]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Put back what the command line sets for its whole process."""
    threads, handlers = torch.get_num_threads(), list(logging.getLogger("indi").handlers)
    yield
    torch.set_num_threads(threads)
    logging.getLogger("indi").handlers = handlers


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_model(tiny_model(1, epsilon=0.05), folder)
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, Any]:
    return write_pairs(tmp_path / "data", count=4, size=(32, 40))


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def train_options(pairs: dict[str, Any], folder: Path) -> list[object]:
    settings = {"data": {"crop": 16, "batch": 2, "validation": 0.25}, "training": {"preview_steps": 2}}
    config = folder.parent / "settings.json"
    config.write_text(json.dumps(settings))
    options = ["--clean", pairs["clean"], "--degraded", pairs["degraded"], "--run", folder, "--config", config]
    return ["train", *options, "--size", "tiny"]


# What every command has


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str, capsys: Captured) -> None:
    assert run(command, "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for argument in cli.app[command].assemble_argument_collection(parse_docstring=True):
        assert argument.name in shown
        assert argument.parameter.help, argument.name
        assert "\n" not in argument.parameter.help, argument.name  # the help would break there
        default = argument.field_info.default
        if default not in (None, argument.field_info.empty):
            assert argument.show_default, argument.name


def test_help_names_every_choice_and_the_defaults_of_the_settings(capsys: Captured) -> None:
    assert run("train", "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for choice in (*DEGRADATIONS, *METHODS):
        assert choice in shown
    settings = Config()
    defaults = [settings.method.name, settings.network.size, settings.method.epsilon, settings.training.seed]
    for default in (*defaults, settings.training.checkpoint_every, settings.training.precision):
        assert f"by default {default}" in shown
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


def test_help_says_what_steps_of_a_model_that_draws_are(capsys: Captured) -> None:
    assert run("restore", "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "A model that draws, such as photo, needs 1, which is its default; more are as many draws" in shown


def test_version(capsys: Captured) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("restor", "Unknown command"),
        ("restore x.png", "x.png: cannot read: No such file"),
        (
            "restore DEEP",
            "not gray or colour of 8 bit, which photo restores; give --model: train one with indi train, or",
        ),
        ("restore IMAGE --model MODEL --steps 1.5", "--steps: '1.5' is not a whole number"),
        ("restore --model MODEL", "INPUTS requires an argument; see indi restore --help"),
        ("restore x.png --model nowhere", "nowhere: no such run folder or model file"),
        ("restore x.png --model MODEL --nope", "--nope"),
        ("restore x.png --model MODEL --steps many", "many"),
        ("restore IMAGE --model MODEL --steps 0", "steps is 0"),
        ("restore IMAGE --model MODEL --samples 0", "samples is 0"),
        ("restore IMAGE --model MODEL --enlarge 0", "enlarge is 0"),
        ("restore IMAGE --model MODEL --seed -1", "seed is -1"),
        ("restore IMAGE --model MODEL --tile 0", "tile is 0"),
        ("restore IMAGE --model MODEL --threads 0", "threads is 0"),
        ("restore IMAGE --model MODEL --device tpu", "unknown device 'tpu'"),
        ("restore IMAGE --model MODEL --precision float16", "float16"),
        ("restore IMAGE --model MODEL --times 1,zero", "--times: 'zero' is not a number"),
        ("restore IMAGE --model MODEL --times 1,0.5", "times end at 0.5"),
        ("restore IMAGE --model MODEL --sampler magic", "unknown sampler 'magic'"),
        ("degrade IMAGE", "--task"),
        ("degrade IMAGE --task blur", "no task 'blur'; choose from"),
        ("degrade --task jpeg", "INPUTS requires an argument"),
        ("evaluate --model MODEL", "kept no validation pairs"),
        ("evaluate --model MODEL --clean nowhere --task jpeg", "no such folder"),
        ("evaluate --model MODEL --clean CLEAN --task jpeg --steps 1,two", "--steps: 'two' is not a number"),
        ("evaluate --model MODEL --clean CLEAN --task jpeg --border 99 --json", "border of 99 px"),
        ("train --clean CLEAN --task jpeg", "--run"),
        ("train --clean CLEAN --task jpeg --run RUN", "no budget"),
        ("train --clean CLEAN --run RUN --iterations 1", "the degraded ones or a task"),
        ("train --clean CLEAN --task jpeg --run RUN --iterations 1 --method magic", "unknown method 'magic'"),
        ("train --clean CLEAN --task jpeg --run RUN --iterations 1 --config nowhere.toml", "nowhere.toml"),
        ("train --clean CLEAN --run RUN --config denois", "recipes: deblur-defocus, deblur-motion, denoise, "),
        ("train --clean nowhere --run RUN --config denoise", "nowhere"),
        ("info nowhere --json", "nowhere: no such file"),
        ("info", "PATH"),
        ("info " + "long" * 100, "File name too long"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: str, says: str, model: Path, pairs: dict[str, Any], tmp_path: Path, capfd: Captured
) -> None:
    if sys.platform == "win32" and says == "File name too long":
        pytest.skip("Windows says it otherwise")
    write(tmp_path / "deep.tif", Image(np.zeros((8, 8), np.uint16)))
    places = {"MODEL": model, "CLEAN": pairs["clean"], "IMAGE": pairs["clean"] / "0.png", "RUN": tmp_path / "run"}
    places["DEEP"] = tmp_path / "deep.tif"
    out = ["--out", tmp_path / "out"] if arguments.startswith(("restore", "degrade", "evaluate")) else []
    assert run(*(places.get(word, word) for word in arguments.split()), *out) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    (line,) = [line for line in shown.err.splitlines() if "pairs, " not in line]
    assert line.startswith("indi: ")
    assert says in line
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "run").exists()


def test_words_begin_below_each_other_and_numbers_end_so(capsys: Captured) -> None:
    cli.terminal.print_table([["name", "psnr", "what"], ["a", "30.10", "x y"], ["long", "inf", ""], ["", "9.99", "z"]])
    assert capsys.readouterr().out.splitlines() == [
        *["name   psnr  what", "a     30.10  x y", "long    inf", "       9.99  z"]
    ]


def test_whole_numbers_are_never_rounded() -> None:
    """Every option of whole numbers refuses fractions, which the parser itself would round."""
    for name in COMMANDS:
        for option in inspect.signature(cast(Any, cli.app[name].default_command), eval_str=True).parameters.values():
            kind, *notes = get_args(option.annotation) or (option.annotation,)
            if kind in (int, int | None):
                assert WHOLE in notes, f"{name} --{option.name}"


def test_our_own_bugs_show_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is nobody's to fix leaves main, so that Python prints it and exits with 1."""
    monkeypatch.setattr("indi.info.info", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("info", "x")


def test_an_interrupt_and_a_termination_exit_with_130(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    before = signal.getsignal(signal.SIGTERM)
    for number in (signal.SIGINT, *ENDINGS):
        monkeypatch.setattr("indi.info.info", lambda path, number=number: signal.raise_signal(number))
        assert run("info", "x") == 130
        assert capsys.readouterr().err == "interrupted\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_no_disk_space_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", "some/file")

    monkeypatch.setattr("indi.info.info", full)
    assert run("info", "x") == 2
    assert capsys.readouterr().err.startswith("indi: some/file: No space left on device; ")


def test_lines_are_never_wrapped_coloured_or_read_as_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "[red]a[/red] :smile: [link=x] " + "very " * 30 + "long.png"
    assert run("info", tmp_path / name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / name) in line
    assert "\x1b" not in line


def test_a_name_cannot_play_with_the_terminal(tmp_path: Path, capsys: Captured) -> None:
    assert run("info", tmp_path / "a\n\x1b[31mb\udcff.png") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert r"a\n\x1b[31mb\udcff.png" in line


# restore and degrade


def test_restore_is_the_restorer_on_files(model: Path, pairs: dict[str, Any], tmp_path: Path, capsys: Captured) -> None:
    options = ["--steps", 3, "--seed", 5, "--precision", "float32", "--sampler", "euler", "--times", "geometric"]
    assert run("restore", pairs["degraded"], "--model", model, "--out", tmp_path / "out", *options) == 0
    restorer = load(model, precision="float32")
    for number in range(4):
        image = read(pairs["degraded"] / f"{number}.png").pixels
        wanted = restorer.restore(image, steps=3, seed=5, times="geometric")
        np.testing.assert_array_equal(read(tmp_path / "out" / f"{number}.png").pixels, wanted)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"4 of 4 restored: see {tmp_path / 'out'}\n"


def test_an_interrupted_restoration_goes_on(
    model: Path, pairs: dict[str, Any], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["restore", pairs["degraded"], "--model", model, "--out", tmp_path / "out", "--steps", 1]
    done = []

    def interrupted(*args: Any, **options: Any) -> Iterator[Outcome]:
        done.append(next(restore_files(*args, **options)))
        yield done[0]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("indi.restoration.batch.restore_files", interrupted)
        assert run(*arguments) == 130
    assert capsys.readouterr().err == "what is restored is kept; the same command goes on from there\ninterrupted\n"
    assert run(*arguments) == 0
    shown = f"4 of 4 restored, 1 of them by an earlier command: see {tmp_path / 'out'}\n"
    assert capsys.readouterr().err == shown


def test_a_mask_keeps_what_it_marks(
    model: Path, pairs: dict[str, Any], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, mask, out = pairs["degraded"] / "0.png", tmp_path / "mask.png", tmp_path / "x.png"
    source = read(image).pixels
    kept = np.zeros(source.shape[:2], np.uint8)
    kept[:10] = 1
    write(mask, Image(kept))
    options = ["--model", model, "--steps", 1, "--precision", "float32", "--out", out]
    assert run("restore", image, "--mask", mask, *options) == 0
    restored = load(model, precision="float32").restore(source, steps=1)
    np.testing.assert_array_equal(read(out).pixels[:10], source[:10])
    np.testing.assert_array_equal(read(out).pixels[10:], restored[10:])
    capsys.readouterr()
    assert run("restore", image, "--mask", tmp_path / "none.png", *options) == 2
    assert capsys.readouterr().err.endswith(
        "none.png: no such mask; give an image, or a folder of masks with the images' names\n"
    )


@pytest.mark.medium
def test_options_reach_the_restorer(
    model: Path, pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def spy(model: str, **options: Any) -> Restorer:
        made.append({**options, "threads": torch.get_num_threads()})
        return load(model, **options)

    monkeypatch.setattr("indi.restoration.restorer.load", spy)
    options = ["--model", model, "--device", "cpu", "--tile", 16, "--precision", "bfloat16", "--threads", 1]
    assert run("restore", pairs["clean"] / "0.png", *options, "--steps", 1, "--out", tmp_path / "x.png") == 0
    assert run("evaluate", "--clean", pairs["clean"], "--task", "jpeg", "--steps", 1, *options, "--out", tmp_path) == 0
    assert made == [{"device": "cpu", "tile": 16, "precision": "bfloat16", "threads": 1}] * 2


def test_a_list_of_times_is_walked(model: Path, pairs: dict[str, Any], tmp_path: Path) -> None:
    image, out = pairs["clean"] / "0.png", tmp_path / "x.png"
    assert run("restore", image, "--model", model, "--times", "1,0.4,0", "--precision", "float32", "--out", out) == 0
    wanted = load(model, precision="float32").restore(read(image).pixels, times=[1.0, 0.4, 0.0])
    np.testing.assert_array_equal(read(out).pixels, wanted)


def test_the_default_folder_is_restored(
    model: Path, pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        run("restore", "--model", model, "--steps", 1, "data/degraded/0.png", "--samples", 2, "data/clean/1.png") == 0
    )
    stems = [
        f"{number}_{what}" for number in (0, 1) for what in ("invented", "mean", "overlay", "s01", "s02", "spread")
    ]
    assert sorted(file.stem for file in (tmp_path / "restored").iterdir() if file.name != MANIFEST) == stems


def test_one_sample_is_written_alone_and_the_command_says_so(
    model: Path, pairs: dict[str, Any], tmp_path: Path, capfd: Captured
) -> None:
    image, out = pairs["degraded"] / "0.png", tmp_path / "out"
    assert run("restore", image, "--model", model, "--steps", 1, "--samples", 1, "--out", out) == 0
    assert sorted(file.name for file in out.iterdir()) == [MANIFEST, "0_s01.png"]
    assert "use --samples 2 or more for maps" in capfd.readouterr().err


def test_broken_inputs_are_named_and_the_rest_restored(
    model: Path, pairs: dict[str, Any], tmp_path: Path, capfd: Captured
) -> None:
    folder = pairs["degraded"]
    for number in (1, 2):
        (folder / f"{number}.png").write_bytes((folder / f"{number}.png").read_bytes()[:100])
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert run("restore", folder, "nowhere.png", "--model", model, "--steps", 1, "--out", tmp_path / "out") == 2
    *failures, last = capfd.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in failures] == [
        ["indi", str(folder / "1.png")],
        ["indi", str(folder / "2.png")],
        ["indi", "nowhere.png"],
    ]
    assert last == f"2 of 5 restored: see {tmp_path / 'out'}"
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [MANIFEST, "0.png", "3.png"]
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    assert run("restore", folder / "0.png", "--model", model, "--steps", 1, "--out", folder) == 2
    assert (folder / "0.png").read_bytes() == before[folder / "0.png"]


def test_degrade(pairs: dict[str, Any], tmp_path: Path, capsys: Captured) -> None:
    (pairs["clean"] / "9.png").write_text("broken")
    out = tmp_path / "out"
    assert run("degrade", pairs["clean"], "--task", "denoise", "--seed", 2, "--out", out) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 2
    assert sorted(file.name for file in out.iterdir()) == [MANIFEST, "0.png", "1.png", "2.png", "3.png"]
    (again,) = degrade_files(plan([pairs["clean"] / "1.png"], tmp_path / "again"), task="denoise", seed=2)
    assert (out / "1.png").read_bytes() == again.written[0].read_bytes()


# evaluate, info, models


@pytest.mark.medium
def test_evaluate_prints_one_json_object(model: Path, pairs: dict[str, Any], tmp_path: Path, capfd: Captured) -> None:
    folders = ["--clean", pairs["clean"], "--degraded", pairs["degraded"]]
    out = tmp_path / "out"
    assert run("evaluate", "--model", model, *folders, "--steps", "1,3", "--border", 2, "--out", out, "--json") == 0
    shown = capfd.readouterr()
    table = json.loads(shown.out)
    assert table == json.loads((out / "metrics.json").read_text())
    assert [row["steps"] for row in table["rows"]] == [1, 3]
    assert set(METRICS) < set(table["rows"][0])
    assert table["settings"]["border"] == 2
    assert shown.err == ""


@pytest.mark.medium
def test_evaluate_prints_a_table(model: Path, pairs: dict[str, Any], tmp_path: Path, capfd: Captured) -> None:
    out = tmp_path / "out"
    options = ["--clean", pairs["clean"], "--task", "denoise", "--steps", "1", "--out", out]
    assert run("evaluate", "--model", model, *options) == 0
    shown = capfd.readouterr()
    header, degraded, one = shown.out.splitlines()
    names = ["PSNR (dB)", "SSIM", "swd", "spectrum gap (dB)", "grain", "FRC (of Nyquist)"]
    assert re.split(r"  +", header.strip()) == ["steps", "calls", *names, "s/MP"]
    assert degraded.split()[0] == "degraded"
    assert one.split()[:2] == ["1", "1"]
    assert len(header) == len(one)
    against = "PSNR and SSIM against a range of 255, the range of the type"
    assert shown.err == f"mean over 4 images; {against}; report: {out / 'report.html'}\n"


@pytest.mark.medium
def test_evaluate_goes_on_without_a_broken_image(
    model: Path, pairs: dict[str, Any], tmp_path: Path, capfd: Captured
) -> None:
    degraded = shutil.copytree(pairs["degraded"], tmp_path / "degraded")
    broken = sorted(degraded.iterdir())[-1]
    broken.write_bytes(broken.read_bytes()[:-30])
    out = tmp_path / "out"
    folders = ["--clean", pairs["clean"], "--degraded", degraded]
    assert run("evaluate", "--model", model, *folders, "--steps", 1, "--data-range", "image", "--out", out) == 2
    shown = capfd.readouterr()
    said = [line for line in shown.err.splitlines() if str(broken) in line]
    assert len(said) == 1
    assert "cut short" in said[0]
    assert "mean over 3 images; PSNR and SSIM against a range of" in shown.err
    assert f"not measured, as they cannot be read or do not fit: {broken.stem}" in shown.err
    table = json.loads((out / "metrics.json").read_text())
    assert table["settings"]["images"] == 3
    assert run("evaluate", "--model", model, *folders, "--data-range", "-5", "--out", tmp_path / "none") == 2
    assert "data range is -5" in capfd.readouterr().err
    assert run("evaluate", "--model", model, *folders, "--data-range", "much", "--out", tmp_path / "none") == 2
    assert "--data-range: 'much' is not a number" in capfd.readouterr().err
    assert not (tmp_path / "none").exists()


def compare_options(pairs: dict[str, Any], folder: Path) -> list[object]:
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"data": {"crop": 16, "batch": 2, "validation": 0.25}}))
    options = ["--clean", pairs["clean"], "--degraded", pairs["degraded"], "--config", settings, "--size", "tiny"]
    return ["compare", *options, "--iterations", 2, "--steps", "2,1", "--out", folder / "out"]


@pytest.mark.medium
def test_compare(pairs: dict[str, Any], tmp_path: Path, capsys: Captured) -> None:
    options = compare_options(pairs, tmp_path)
    assert run(*options, "--methods", "indi,regression") == 0
    shown = capsys.readouterr()
    assert [line.split()[:2] for line in shown.out.splitlines()[1:]] == [
        ["degraded", shown.out.splitlines()[1].split()[1]],
        ["indi", "1"],
        ["indi", "2"],
        ["regression", "1"],
    ]
    said = shown.err.splitlines()
    assert said[0].startswith(
        "models to train and measure: 2 of 2, the others are kept; 2 iterations of training for each"
    )
    assert [line for line in said if line.startswith(("training", "measuring"))] == [
        "training indi-s0",
        "measuring indi-s0",
        "training regression-s0",
        "measuring regression-s0",
    ]
    assert sum("4 pairs" in line for line in said) == 1  # the report on the pairs is not repeated
    assert run(*options, "--methods", "indi,regression", "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert table == json.loads((tmp_path / "out/compare.json").read_text())
    assert run(*options, "--methods", "indi,regresion") == 2
    assert "unknown method 'regresion'" in capsys.readouterr().err


@pytest.mark.medium
def test_an_interrupted_comparison_says_how_to_go_on(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    step = Trainer.step

    def interrupted(self: Trainer, *batch: Any) -> Any:
        if self.card.method.name == "flow" and self.iteration == 0:
            signal.raise_signal(signal.SIGINT)
        return step(self, *batch)

    options = [*compare_options(pairs, tmp_path), "--methods", "indi,flow"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert run(*options) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "out/compare.json").exists()
    assert (tmp_path / "out/runs/flow-s0/training.jsonl").read_text().count("\n") == 1  # the iteration was finished
    assert run(*options) == 0
    shown = capsys.readouterr()
    assert "models to train and measure: 1 of 2" in shown.err
    assert "training indi-s0" not in shown.err


def test_evaluate_with_perceptual_metrics_asks_for_their_extra(
    model: Path, pairs: dict[str, Any], tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_perceptual(monkeypatch)
    options = ["--clean", pairs["clean"], "--task", "jpeg", "--perceptual", "--out", tmp_path / "out"]
    assert run("evaluate", "--model", model, *options) == 2
    assert 'pip install "indi[perceptual]"' in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_info(model: Path, pairs: dict[str, Any], capsys: Captured) -> None:
    assert run("info", model, "--json") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "run"
    assert run("info", model) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["method.epsilon"] == "0.05"
    assert run("info", pairs["clean"] / "0.png") == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (lines["height"], lines["width"], lines["type"]) == ("32", "40", "uint8")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights"


def test_models(weights: Path, capsys: Captured) -> None:
    assert run("models", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"models": []}
    assert run("models") == 0
    assert "no models come with this version" in capsys.readouterr().out
    ship(tiny_model(3), "jpeg", weights)
    assert run("models", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["models"]
    assert {"name", "task", "channels", "size", "data", "figures"} <= listed.keys()
    assert run("models") == 0
    header, line = capsys.readouterr().out.splitlines()
    heads = ["name", "measured on", "before", "least error", "by default", "time a megapixel", "may be used", "for"]
    assert " ".join(header.split()) == " ".join(heads)
    assert " ".join(line.split()) == "jpeg none 20.00 dB 21.00 dB 23.00 dB, 3 steps 1.2 s limited for tests"
    about = json.loads((weights / "jpeg.json").read_text())
    about["figures"][0]["border"] = 4
    (weights / "jpeg.json").write_text(json.dumps(about))
    assert run("models") == 0
    assert "none, luma   30.00 dB     31.00 dB  33.00 dB, 3 steps   " in capsys.readouterr().out


@pytest.mark.medium
def test_photographs_are_restored_without_a_choice(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photo", "denoise"):
        ship(tiny_model(3), name, weights)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Pillow.fromarray(pixels).save("old.jpg", quality=60)
    write(tmp_path / "new.png", Image(pixels))
    write(tmp_path / "deep.png", Image(pixels.astype(np.uint16)))
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert run("restore", "old.jpg", "new.png") == 0
    shown = capsys.readouterr().err
    assert "model: photo, for photographs of 8 bit" in shown
    assert "others by --model: denoise, photo" in shown
    assert read(tmp_path / "restored" / "old.jpg").pixels.shape == pixels.shape
    assert run("restore", "deep.png") == 2
    assert "deep.png: not gray or colour of 8 bit, which photo restores; give --model" in capsys.readouterr().err
    assert run("restore", "empty.jpg", "old.jpg", "new.png", "--out", "all") == 2
    shown = capsys.readouterr().err
    assert "empty.jpg: cannot read: the file is empty" in shown
    assert "2 of 3 restored" in shown
    assert run("restore", "empty.jpg") == 2
    assert "empty.jpg: cannot read: the file is empty" in capsys.readouterr().err
    assert run("restore", "nowhere/") == 2
    assert "nowhere" in capsys.readouterr().err


def test_jpeg_files_keep_about_their_quality_unless_asked(weights: Path, tmp_path: Path, capsys: Captured) -> None:
    ship(tiny_model(3), "photo", weights)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    source, out = tmp_path / "a.jpg", tmp_path / "b.jpg"
    Pillow.fromarray(pixels).save(source, quality=82)
    for asked, written in (((), 82), (("--quality", 50), 75)):  # what is read is for writing again: 75 at least
        assert run("restore", source, "--out", out, *asked) == 0
        assert read(out).metadata.quality == pytest.approx(written, abs=1)
    small = out.stat().st_size
    assert run("restore", source, "--out", out, "--quality", 100) == 0
    assert out.stat().st_size > 2 * small
    capsys.readouterr()
    assert run("restore", source, "--out", out, "--quality", 101) == 2
    assert "quality is 101; JPEG has qualities from 1 to 100" in capsys.readouterr().err


def test_small_images_are_enlarged_first(weights: Path, tmp_path: Path, capsys: Captured) -> None:
    ship(tiny_model(3), "super-resolve-4x", weights)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    alpha = np.full((9, 11), 77, np.uint8)
    write(tmp_path / "small.png", Image(pixels, alpha))
    out = tmp_path / "large.png"
    task = ("--model", "super-resolve-4x", "--out", out, "--steps", 2)
    assert run("restore", tmp_path / "small.png", *task, "--enlarge", 4) == 0
    assert "--enlarge" not in capsys.readouterr().err
    large = read(out)
    wanted = load("super-resolve-4x").restore(indi.enlarge(pixels, 4), steps=2)
    assert np.array_equal(large.pixels, wanted)
    assert large.alpha is not None
    assert large.alpha.shape == (36, 44)
    assert (large.alpha == 77).all()
    assert run("restore", tmp_path / "small.png", *task) == 0
    assert "add --enlarge 4" in capsys.readouterr().err
    assert read(out).pixels.shape == pixels.shape
    assert run("restore", tmp_path / "small.png", "--out", out, "--enlarge", 4) == 0
    assert "model: super-resolve-4x, since these are to be enlarged 4 times" in capsys.readouterr().err
    assert run("restore", tmp_path / "small.png", "--out", out, "--enlarge", 3) == 2
    assert "say with --model" in capsys.readouterr().err


def test_no_model_takes_the_place_of_another_in_the_app(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs may be called as pretrained models are, as each other, and with dots."""
    served: dict[str, Path] = {}

    class Page:
        def block_thread(self) -> None: ...

    def serve(models: dict[str, Path], **_: object) -> Page:
        served.update(models)
        return Page()

    monkeypatch.setattr("indi.app.page.serve", serve)
    ship(tiny_model(3), "denoise", weights)
    folders = [tmp_path / "runs" / "denoise", tmp_path / "a" / "rr.v1", tmp_path / "b" / "rr.v1"]
    for folder in folders:
        folder.mkdir(parents=True)
        save_model(tiny_model(1), folder)
    monkeypatch.chdir(folders[0].parent)
    for place in ("indi.models.pretrained.fetch", "indi.models.hub.fetch"):  # into a folder that is called by a hash
        monkeypatch.setattr(place, lambda *_, **__: folders[1])
    assert run("app", "denoise") == 2  # which of the two is meant?
    assert not served
    assert run("app", "./denoise", *folders[1:], folders[1] / "model.safetensors", "hf:me/mine") == 0
    assert list(served.items()) == [
        *zip(["denoise, 2", "rr.v1", "rr.v1, 2"], [Path("denoise"), *folders[1:]], strict=True),
        ("model", folders[1] / "model.safetensors"),
        ("me/mine", folders[1]),
    ]


# train


def test_a_place_that_cannot_be_written_is_said_before_the_work(
    pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    save_model(tiny_model(1), tmp_path / "model")
    (tmp_path / "in-the-way").touch()
    restored: list[int] = []
    measured = Subject.measured

    def counting(*arguments: Any, **options: Any) -> Any:
        restored.append(1)
        return measured(*arguments, **options)

    monkeypatch.setattr(Subject, "measured", counting)
    folders = [word for name, folder in pairs.items() for word in (f"--{name}", folder)]
    assert run("evaluate", "--model", tmp_path / "model", *folders, "--out", tmp_path / "in-the-way") == 2
    shown = capfd.readouterr().err
    assert "in-the-way" in shown
    assert shown.count("\n") == 1
    assert len(restored) == 0


@pytest.mark.medium
def test_train_evaluate_and_go_on(pairs: dict[str, Any], tmp_path: Path, capfd: Captured) -> None:
    folder = tmp_path / "[b]run"
    options = train_options(pairs, folder)
    several = ["--seed", 3, "--epsilon", 0.05, "--precision", "float32", "--checkpoint-every", 2, "--device", "cpu"]
    assert run(*options, *several, "--iterations", 4) == 0
    shown = capfd.readouterr()
    assert shown.out == ""
    first, *checkpoints, done, hint = shown.err.splitlines()
    assert first == "4 pairs, 1 channel"
    assert [line.split(":")[0] for line in checkpoints] == ["iteration 2", "iteration 4"]
    assert re.fullmatch(
        r"iteration 4: loss [\d.]+; preview PSNR: degraded [\d.]+ dB, 1 step [\d.]+ dB, 2 steps [\d.]+ dB",
        checkpoints[1],
    )
    assert done == f"4 iterations in 0.0 min, 0 skipped; see {folder / 'previews'}"
    assert hint == f"now try: indi restore IMAGE --model {folder}"
    config = json.loads((folder / "config.json").read_text())
    assert config["method"]["epsilon"] == 0.05
    assert config["network"]["size"] == "tiny"
    found = config["training"]
    assert (found["seed"], found["precision"], found["checkpoint_every"], found["iterations"]) == (3, "float32", 2, 4)

    assert run(*options, "--iterations", 4) == 2  # never written over
    assert "holds a run already" in capfd.readouterr().err
    assert run("train", "--run", folder, "--resume") == 0
    assert "its budget is spent" in capfd.readouterr().err
    assert run("train", "--run", folder, "--resume", "--iterations", 5) == 0
    assert "5 iterations" in capfd.readouterr().err
    assert run(*train_options(pairs, tmp_path / "next"), "--from", folder, "--iterations", 1) == 0

    assert run("evaluate", "--model", folder, "--steps", 1, "--out", tmp_path / "out", "--json") == 0
    table = json.loads(capfd.readouterr().out)
    kept = json.loads((folder / "split.json").read_text())["validation"]
    assert [row["file"] for row in table["per_image"] if row["steps"] == 1] == kept
    assert table["model"] == "[b]run"


def record(iteration: int) -> training.Record:
    return training.Record(iteration, 0.5, 1e-3, 1.0, 10.0, 0.1, 0)


def test_an_interrupt_waits_for_the_end_of_the_iteration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
) -> None:
    done: list[str] = []

    def records(**options: Any) -> Iterator[training.Record]:
        try:
            yield record(1)
            signal.raise_signal(signal.SIGINT)
            done.append("iteration 2")
            yield record(2)
            done.append("iteration 3")
        finally:
            done.append("saved")

    monkeypatch.setattr(training, "train", records)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    (tmp_path / "state.safetensors").touch()
    assert run("train", "--run", tmp_path) == 130
    assert done == ["iteration 2", "saved"]
    assert capsys.readouterr().err == (
        f"interrupted; saved in {tmp_path}: go on with indi train --run {tmp_path} --resume\n"
    )
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_interrupt_does_not_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured) -> None:
    done: list[str] = []

    def records(**options: Any) -> Iterator[training.Record]:
        try:
            signal.raise_signal(signal.SIGTERM)
            done.append("still reading images")
            signal.raise_signal(signal.SIGINT)
            done.append("never")
            yield record(1)
        finally:
            done.append("closed")

    monkeypatch.setattr(training, "train", records)
    assert run("train", "--run", tmp_path / "none") == 130
    assert done == ["still reading images", "closed"]
    assert capsys.readouterr().err == "interrupted; there was nothing to save yet\n"


# In a process of its own


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    command = [sys.executable, "-m", "indi", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, env=environment, text=True, encoding="utf-8", **pipes)


@pytest.mark.medium
def test_the_module_is_the_command() -> None:
    process = start("--help")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == ""
    assert all(command in out for command in COMMANDS)
    assert "\x1b" not in out


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not deliver these signals")
@pytest.mark.parametrize("number", [signal.SIGINT, *ENDINGS])
def test_training_that_is_stopped_is_saved(pairs: dict[str, Any], tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "run"
    process = start(*train_options(pairs, folder), "--minutes", 5, "--threads", 1)
    log = folder / "training.jsonl"
    until = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == f"interrupted; saved in {folder}: go on with indi train --run {folder} --resume"
    assert "\x1b" not in err
    assert "\r" not in err
    iterations = len(log.read_text().splitlines())
    assert iterations > 0
    assert read_tensors(folder / "state.safetensors")[1]["iteration"] == iterations
    assert run("train", "--run", folder, "--resume", "--iterations", iterations + 1) == 0


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals on Windows")
def test_training_is_saved_where_its_terminal_is_closed(pairs: dict[str, Any], tmp_path: Path) -> None:
    import fcntl
    import pty
    import termios

    folder = tmp_path / "run"
    master, slave = pty.openpty()
    ends = {"stdin": slave, "stdout": slave, "stderr": slave, "start_new_session": True}
    process = start(
        *train_options(pairs, folder),
        *("--minutes", 5, "--threads", 1),
        **ends,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    log = folder / "training.jsonl"
    until = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    os.close(master)
    assert process.wait(timeout=60) == 130
    assert read_tensors(folder / "state.safetensors")[1]["iteration"] == len(log.read_text().splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP on Windows")
def test_a_hangup_may_come_twice_and_one_that_is_ignored_stays_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
) -> None:
    done: list[str] = []

    def records(**options: Any) -> Iterator[training.Record]:
        for _ in range(2):
            signal.raise_signal(signal.SIGHUP)
        done.append("iteration")
        yield record(1)
        done.append("another")

    monkeypatch.setattr(training, "train", records)
    monkeypatch.setattr("indi.cli.terminal._leave_terminal", lambda number: None)
    assert run("train", "--run", tmp_path) == 130
    assert done == ["iteration"]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run("train", "--run", tmp_path) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done == ["iteration", "iteration", "another"]


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = start("models", "--json", stdout=writing)
    finally:
        os.close(writing)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.medium
def test_a_large_image_and_a_small_tile(model: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((70, 90), dtype=np.float32)
    write(tmp_path / "x.tif", Image(values))
    for tile in (16, 1000):
        options = ["--model", model, "--steps", 2, "--tile", tile, "--precision", "float32"]
        assert run("restore", tmp_path / "x.tif", *options, "--out", tmp_path / f"{tile}.tif") == 0
    small, whole = (read(tmp_path / f"{tile}.tif").pixels for tile in (16, 1000))
    np.testing.assert_allclose(small, whole, atol=1e-5)


# Progress where stderr is no terminal


@pytest.mark.medium
def test_a_line_now_and_then_stands_for_the_bar(
    model: Path, pairs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    arguments = ["restore", pairs["degraded"], "--model", model, "--steps", 2, "--out"]
    assert run(*arguments, tmp_path / "quick") == 0
    assert len(capsys.readouterr().err.splitlines()) == 1
    monkeypatch.setattr(cli.terminal, "_EVERY", 0.0)
    assert run(*arguments, tmp_path / "slow") == 0
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"0\.png, 0\.0 megapixels: 0\.\d of 4(, \d+ s left)?", lines[1])
    assert any(line.startswith("3.png, 0.0 megapixels: 3.5 of 4, ") for line in lines)
    folders = ["--clean", pairs["clean"], "--degraded", pairs["degraded"]]
    assert run("evaluate", "--model", model, *folders, "--steps", 1, "--out", tmp_path / "report") == 0
    assert "measuring: 8.0 of 8" in capsys.readouterr().err


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not deliver these signals")
def test_an_interrupt_while_it_is_imported_is_no_traceback(tmp_path: Path) -> None:
    """A module that the import finds first sends the interrupt, as a quick hand would."""
    (tmp_path / "cyclopts.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)")
    script = tmp_path / "indi"
    script.write_text("import sys\nfrom indi.cli import main\nsys.exit(main())")
    places = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    for command in ([sys.executable, str(script)], [sys.executable, "-m", "indi"]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
        assert done.stderr == "interrupted\n"
        assert done.returncode == 130

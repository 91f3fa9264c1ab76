"""What docs/errors.md quotes is what the library says."""

import ast
import inspect
import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from documents import ROOT
from indi import errors
from indi.cli import main
from indi.io import Image, write
from indi.models.pretrained import pretrained_names

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^- `(.+?)`\\?$", PAGE, re.MULTILINE)
LEAST = 10  # letters of a message that are not filled in: with fewer it would match nearly anything
KINDS: list[type[errors.IndiError]] = [errors.IndiError, *errors.IndiError.__subclasses__()]
LONG = 40  # letters that are filled in are a message of their own


@cache
def messages() -> tuple[re.Pattern[str], ...]:
    """Return a pattern for each string in the source; what is filled in matches anything."""
    found = []
    for file in (ROOT / "src" / "indi").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)]
        parts = {id(part) for text in texts if isinstance(text, ast.JoinedStr) for part in text.values}
        found += [constants(text) for text in texts if id(text) not in parts]
    logged = [re.split(r"%(?:\.\d+)?[sdgf]", text[0].replace("%%", "%")) for text in found if len(text) == 1]
    return tuple(
        re.compile("(.*)".join(map(re.escape, text)), re.DOTALL)
        for text in [*found, *(text for text in logged if len(text) > 1)]
        if len(re.sub(r"[^a-z]", "", "".join(text))) >= LEAST
    )


def constants(text: ast.Constant | ast.JoinedStr) -> list[str]:
    """Return what stands in a string as it is: a piece before, between and after what is filled in."""
    if isinstance(text, ast.Constant):
        return [text.value] if isinstance(text.value, str) else [""]
    pieces = [""]
    for part in text.values:
        if isinstance(part, ast.Constant):
            pieces[-1] += str(part.value)
        else:
            pieces.append("")
    return pieces


def is_said(message: str) -> bool:
    """Return whether the source holds the message, or what follows the names before it, and all that is filled in."""
    while True:
        for pattern in messages():
            found = pattern.fullmatch(message)
            if found and all(is_filled(text) for text in found.groups()):
                return True
        _, colon, message = message.partition(": ")
        if not colon:
            return False


def is_filled(text: str) -> bool:
    """Return whether a text is a name, a number or a list of such, or a message of its own."""
    return all(len(part) < LONG for part in text.split(", ")) or is_said(text)


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_in_the_source(message: str) -> None:
    assert is_said(message)


def test_an_invented_message_is_not() -> None:
    assert len(QUOTED) > 60
    assert is_said("photo.png: PNG cut short: its end is missing")
    assert not is_said("photo.png: PNG cut short: its beginning is missing")
    assert not is_said("photo.png: holds a run already; go on with --resume")
    assert not is_said("photo.png: this was never said of any file; do what you like")


REFUSED = """
restore none.png --model denoise
restore https://example.org/volume.zarr --model denoise
restore cut.png --model denoise
restore cut.tif --model denoise
restore text.png --model denoise
restore double.tif --model denoise
restore print.jpg --model denoise
restore moving.png --model denoise
restore nan.tif --model denoise
restore five.tif
restore photo.png --model data
restore photo.png --model photo.png
restore photo.png --model runs/mien
restore photo.png --model denoise --out photo.png
restore photo.png --model denoise --out out.bmp
restore photo16.png --model denoise --out out.jpg
restore photo.png photo16.png --model denoise --out out.png
restore photo.png other/photo.png --model denoise
restore five.tif --model denoise
restore photo.png --model denoise --steps 0
restore photo.png --model denoise --sampler huen
restore photo.png --model denoise --times 1,0.5
restore photo.png --model denoise --times 0.5,0.7
restore stack.tif --model denoise --axes CZYX
restore photo.png --model denoise --mask mask.jpg
restore photo.png --model denoise --mask mask.png
restore mask.png --model denoise --mask mask.png
evaluate --model denoise
calibrate --model denoise
export --model denoise --out model.bin
train --clean data/clean --degraded other/degraded --run runs/new --iterations 1
train --clean data/clean --degraded cropped/degraded --run runs/new --iterations 1
train --clean data/clean --degraded small/degraded --run runs/new --iterations 1
train --clean data/clean --degraded data/clean --run runs/new --iterations 1
train --clean data/clean --run runs/new --iterations 1
train --clean data/clean --task denoise --run runs/new
train --clean data/clean --task denoise --run runs/new --iterations 1 --minutes 1
train --clean data/clean --task denoize --run runs/new --iterations 1
train --clean data/clean --task denoise --run runs/new --iterations 1 --method floww
train --clean data/clean --task denoise --run runs/new --iterations 1 --config misspelt.toml
train --clean data/clean --task denoise --run runs/new --iterations 1 --config none.toml
train --clean data/clean --task denoise --run runs/new --iterations 1 --config bridge.toml
train --clean data/clean --task denoise --run runs/new --iterations 1 --from denoise --size tiny
"""


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is wrong with files and folders."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    colour = random.integers(0, 255, (40, 48, 3), np.uint8)
    for name in ("photo.png", "other/photo.png", "data/clean/a01.png", "data/clean/a02.png", "data/clean/a03.png"):
        write(Path(name), Image(colour))
    for number in (1, 2, 3):
        write(Path(f"other/degraded/b0{number}.png"), Image(colour))
    write(Path("cropped/degraded/a01.png"), Image(colour[:30]))
    write(Path("small/degraded/a01.png"), Image(np.ascontiguousarray(colour[::4, ::4])))
    write(Path("photo16.png"), Image(colour.astype(np.uint16)))
    Path("cut.png").write_bytes(Path("photo.png").read_bytes()[:-400])
    tifffile.imwrite("whole.tif", random.integers(0, 255, (200, 200), np.uint8))
    Path("cut.tif").write_bytes(Path("whole.tif").read_bytes()[:20000])
    Path("text.png").write_text("not found")
    tifffile.imwrite("double.tif", colour / 255, photometric="rgb")
    holed = np.full((40, 48, 3), 0.5, np.float32)
    holed[0, 0] = np.nan
    tifffile.imwrite("nan.tif", holed, photometric="rgb")
    five = random.integers(0, 255, (40, 48, 5), np.uint8)
    tifffile.imwrite("five.tif", five, photometric="minisblack", planarconfig="contig")
    tifffile.imwrite("stack.tif", random.integers(0, 255, (10, 40, 48), np.uint8), imagej=True)
    picture = Picture.fromarray(colour)
    picture.convert("CMYK").save("print.jpg")
    picture.save("mask.jpg")
    write(Path("mask.png"), Image(colour[:, :30]))
    picture.save("moving.png", save_all=True, append_images=[Picture.fromarray(255 - colour)])
    Path("misspelt.toml").write_text("[training]\nlearning_rte = 1\n")
    Path("bridge.toml").write_text("[method]\nname = 'bridge'\nnoise = 'brownian'\n")


@pytest.mark.medium
@pytest.mark.usefixtures("refused")
def test_what_a_user_sees_is_quoted_to_the_letter(capsys: pytest.CaptureFixture[str]) -> None:
    quoted = {_beheaded(message) for message in QUOTED}
    seen = {}
    for line in REFUSED.split("\n")[1:-1]:
        assert main(shlex.split(line)) == 2
        said = [
            text.removeprefix("indi: ") for text in capsys.readouterr().err.splitlines() if text.startswith("indi: ")
        ]
        message = re.sub(r"(other|cropped|small)/degraded", "data/degraded", said[0])
        message = message.replace(f"{Path.cwd()}/", "").replace(", ".join(pretrained_names()), "denoise, jpeg")
        seen[line] = message
    assert [f"{line}: {message}" for line, message in seen.items() if _beheaded(message) not in quoted] == []


def _beheaded(message: str) -> str:
    """Return a message without the file or folder that it is of."""
    return re.sub(r"^\S*[./]\S*: ", "", message)


OUTCOMES: list[tuple[int, BaseException | None]] = [
    (0, None),
    (130, KeyboardInterrupt()),
    (2, OSError(28, "No space left on device")),
    *((2, kind("is wrong; fix it")) for kind in KINDS),
]


@pytest.mark.parametrize(("code", "outcome"), OUTCOMES)
def test_exit_codes_are_those_of_the_document(
    code: int, outcome: BaseException | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def info(path: Path) -> dict[str, str]:
        if outcome is not None:
            raise outcome
        return {"kind": "image"}

    monkeypatch.setattr("indi.info.info", info)
    assert main(["info", "x"]) == code
    assert f"| {code} | " in PAGE


def test_a_bug_is_no_error_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indi.info.info", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # by which Python ends with 1 and a traceback
        main(["info", "x"])
    assert "| 1 | a bug of ours, with a traceback" in PAGE


@pytest.mark.parametrize("name", [name for name, _ in inspect.getmembers(errors, inspect.isclass)])
def test_each_class_is_in_the_document(name: str) -> None:
    assert re.search(rf"`(indi\.)?{name}`", PAGE)

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from indi.cli import main
from indi.errors import ImageError, ModelError
from indi.info import info
from indi.io import Image, Metadata, Resolution, write
from indi.models.checkpoint import MODEL_FILE, save_model
from problems import tiny_model


@pytest.mark.parametrize(("name", "dtype"), [("x.png", "uint16"), ("x.JPG", "uint8"), ("x.tif", "float32")])
def test_an_image(tmp_path: Path, name: str, dtype: str) -> None:
    write(tmp_path / name, Image(np.zeros((7, 9, 3), dtype)))
    facts = {"kind": "image", "path": str(tmp_path / name), "height": 7, "width": 9, "channels": 3, "type": dtype}
    assert info(tmp_path / name) == facts | {"range": [0, 0]}


def test_a_run_and_a_model(tmp_path: Path) -> None:
    run = tmp_path / "run.png"  # a folder, whatever its name
    save_model(tiny_model(3, epsilon=0.02), run)
    facts = info(run)
    assert facts["kind"] == "run"
    assert facts["name"] == "tiny"
    assert facts["channels"] == 3
    assert facts["method"]["epsilon"] == 0.02
    assert facts["network"] == {"name": "unet", "size": "tiny"}
    assert facts["parameters"] == sum(p.numel() for p in tiny_model(3).network.parameters())
    assert facts["halo"] % facts["stride"] == 0
    assert "last" not in facts
    model = info(run / MODEL_FILE)
    assert model["kind"] == "model"
    assert {name: model[name] for name in ("name", "halo", "parameters")} == {
        name: facts[name] for name in ("name", "halo", "parameters")
    }


def test_the_last_record_is_the_last_whole_one(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path)
    log = tmp_path / "training.jsonl"
    for text, last in [
        ('{"iteration": 1, "loss": 0.5}\n{"iteration": 2, "loss": NaN}\n', {"iteration": 2, "loss": None}),
        ('{"iteration": 1, "loss": 0.5}\n{"iteration": 2, "lo', {"iteration": 1, "loss": 0.5}),
        ("", None),
    ]:
        log.write_text(text)
        assert info(tmp_path).get("last") == last
        json.dumps(info(tmp_path), allow_nan=False)


def test_what_is_none_of_these_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no")
    (tmp_path / "x.bin").write_text("no")
    (tmp_path / "x.gif").write_bytes(b"GIF89a")
    (tmp_path / "folder").mkdir()
    for name, error in [
        ("x.png", ImageError),
        ("none.png", ImageError),
        ("x.bin", ModelError),
        ("x.gif", ImageError),
        ("none", ModelError),
        ("folder", ModelError),
    ]:
        with pytest.raises(error, match=name):
            info(tmp_path / name)


def test_what_a_microscope_noted(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 8 * 9, dtype=np.uint16).reshape(2, 3, 8, 9)
    imagej = {"axes": "ZCYX", "unit": "um", "spacing": 0.5}
    tifffile.imwrite(tmp_path / "j.tif", pixels, imagej=True, metadata=imagej, resolution=(4, 5))
    facts = info(tmp_path / "j.tif")
    assert (facts["axes"], facts["pictures"], facts["range"]) == ({"Z": 2, "C": 3}, 6, [0, pixels.max()])
    assert facts["pixel_size"] == {"y": 0.2, "x": 0.25, "z": 0.5, "unit": "um"}
    ome: dict[str, Any] = {"axes": "ZCYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2, "PhysicalSizeXUnit": "µm"}
    ome["Channel"] = {"Name": ["a", "b", "c"]}
    tifffile.imwrite(tmp_path / "o.ome.tif", pixels, metadata=ome)
    facts = info(tmp_path / "o.ome.tif")
    assert facts["pixel_size"] == {"y": 0.2, "x": 0.1, "unit": "µm"}
    assert facts["channel_names"] == ["a", "b", "c"]
    write(tmp_path / "s.png", Image(np.full((4, 5), 7, np.uint8), metadata=Metadata(resolution=Resolution(4, 5, "cm"))))
    facts = info(tmp_path / "s.png")
    assert facts["range"] == [7, 7]
    assert facts["pixel_size"]["x"] == pytest.approx(2500)
    assert facts["pixel_size"]["y"] == pytest.approx(2000)
    (tmp_path / "cut.png").write_bytes((tmp_path / "s.png").read_bytes()[:-30])
    assert "cut short" in info(tmp_path / "cut.png")["damage"]
    write(tmp_path / "n.tif", Image(np.array([[0.5, np.nan]], np.float32)))
    assert info(tmp_path / "n.tif")["range"] == [0.5, 0.5]


def test_a_folder_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "album"
    for number in range(1, 23):
        write(folder / f"{number}.png", Image(np.zeros((4, 5 if number < 3 else 6, 3), np.uint8)))
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:20])
    (folder / "clip.mp4").write_bytes(b"")
    imagej = {"axes": "ZYX", "unit": "um", "spacing": 0.5}
    tifffile.imwrite(folder / "a.tif", np.zeros((2, 4, 6), np.uint16), imagej=True, metadata=imagej, resolution=(4, 5))
    assert main(["info", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    files = facts.pop("files")
    assert facts == {
        "kind": "images",
        "path": str(folder),
        "images": 23,
        "damaged": 1,
        "sizes": {"4x6": 20, "4x5": 2},
        "channels": {"3": 21, "1": 1},
        "types": {"uint8": 21, "uint16": 1},
        "passed_over": {".mp4": ["clip.mp4"]},
    }
    assert files[0] == {"name": "1.png", "height": 4, "width": 5, "channels": 3, "type": "uint8"}
    assert "cut short" in files[2]["damage"]
    assert files[-1]["axes"] == {"Z": 2}
    assert files[-1]["pixel_size"] == {"y": 0.2, "x": 0.25, "z": 0.5, "unit": "um"}
    assert main(["info", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "20.png" in shown
    assert "22.png" not in shown
    for line in (
        "and 3 more",
        "sizes: 4x6 (20), 4x5 (2)",
        f"{folder}: 23 images, 1 of them damaged",
        "passed over: 1 .mp4 (clip.mp4)",
    ):
        assert line in shown.splitlines()


def test_several_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1.png", "2.png"):
        write(tmp_path / name, Image(np.zeros((4, 5), np.uint8)))
    arguments = ["info", str(tmp_path / "*.png"), str(tmp_path / "none.png")]
    assert main([*arguments, "--json"]) == 2
    shown = capsys.readouterr()
    assert [Path(each["path"]).name for each in json.loads(shown.out)["paths"]] == ["1.png", "2.png"]
    assert "none.png" in shown.err
    assert main(arguments[:2]) == 0
    assert capsys.readouterr().out.count("kind  image") == 2

"""The script for a day with a graphics card: it goes through on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from indi.models.checkpoint import load_model
from problems import write_pairs

ROOT = Path(__file__).parents[1]


@pytest.mark.medium
@pytest.mark.timeout(900)  # it starts five programs, one after the other
@pytest.mark.skipif(sys.platform != "linux", reason="needs bash and timeout")
def test_the_script_for_a_graphics_card_goes_through_on_the_cpu(tmp_path: Path) -> None:
    clean = write_pairs(tmp_path / "data", count=3, channels=3)["clean"]
    out = tmp_path / "out"
    asked = os.environ | {"PYTHON": sys.executable, "DRY": "1", "OMP_NUM_THREADS": "1"}
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), str(out), str(clean)]
    done = subprocess.run(command, env=asked, capture_output=True, text=True, check=False)
    logs = {file.name: file.read_text()[-500:] for file in out.glob("*.log")}
    assert done.returncode == 0, (done.stdout, logs)
    steps = [line.split(":")[0] for line in (out / "steps.txt").read_text().splitlines()]
    assert steps == ["tests", "speed", "crops", "profile", "training"]
    assert json.loads((out / "profile.json").read_text())["crops_per_second"] > 0
    assert json.loads((out / "crops.json").read_text())["rates"]["pairs"]["1"][0] > 0
    assert load_model(out / "run").card.iterations == 2


def test_the_script_takes_eight_minutes_at_most() -> None:
    lines = (ROOT / "benchmarks" / "gpu.sh").read_text().splitlines()
    most = [int(line.split()[2]) for line in lines if line.startswith("step ")]
    assert len(most) == 5
    assert sum(most) <= 480

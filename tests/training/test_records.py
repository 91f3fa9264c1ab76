import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from indi.training.records import Log, Record, last_record

RECORD = Record(iteration=1, loss=0.5, lr=1e-3, seconds=0.1, crops_per_second=9.0, progress=0.2, skipped=0)


def iterations(file: Path) -> list[int]:
    return [json.loads(line)["iteration"] for line in file.read_text().splitlines()]


def test_records_are_added_and_the_last_completed(tmp_path: Path) -> None:
    file = tmp_path / "new" / "log.jsonl"
    with closing(Log(file, 0)) as log:
        log.complete(psnr={"0": 1.0})  # of nothing
        log.write(RECORD)
        log.complete(psnr={"0": 20.0})
        log.write(replace(RECORD, iteration=2, loss=float("nan")))
    first, second = map(json.loads, file.read_text().splitlines())
    assert first == {**RECORD.values(), "psnr": {"0": 20.0}}
    assert second["loss"] is None
    with closing(Log(file, 1)) as log:  # a state of iteration 1: what came after is made again
        assert log.last == first
        log.complete(psnr={"0": 3.0})
        log.write(replace(RECORD, iteration=2))
    assert iterations(file) == [1, 2]
    assert json.loads(file.read_text().splitlines()[0])["psnr"] == {"0": 3.0}


@pytest.mark.parametrize(
    "damage",
    [
        b'\0\0\0\0{"iteration": 2}\n',
        b"\xff\xfe{}\n",
        b'{"iteration": 2, x}\n',
        b"[2]\n",
        b'{"iteration": 1e999}\n',
        b'{"iteration": "2"}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_damaged_line_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'{"iteration": 1}\n' + damage + b'{"iteration": 3}\n{"iteration": 4, "lo')
    assert last_record(file) == {"iteration": 3}
    with closing(Log(file, 9)):
        pass
    assert iterations(file) == [1, 3]
    assert f"{file}: 1 damaged line left out" in caplog.text


def test_what_is_not_finite_is_none(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"iteration": 1, "loss": 1e999, "lr": NaN}\n')
    assert last_record(tmp_path / "log.jsonl") == {"iteration": 1, "loss": None, "lr": None}


def test_a_log_that_was_removed_is_known(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    with closing(Log(file, 0)) as log:
        assert log.is_there()
        file.rename(tmp_path / "other")
        assert not log.is_there()
        file.touch()
        assert not log.is_there()

"""Batches on their way to the device."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from indi.config import Config
from indi.data import Crops, match_pairs
from indi.models.checkpoint import Card
from indi.training import feeding
from indi.training.distributed import World
from indi.training.feeding import fed, makers_for, one_ahead
from indi.training.trainer import Trainer
from indi.version import __version__
from problems import write_pairs

CPU = torch.device("cpu")


def test_work_on_an_item_begins_before_the_one_before_it_is_asked_for() -> None:
    done: list[str] = []

    def items() -> Iterator[int]:
        for number in range(3):
            done.append(f"made {number}")
            yield number

    def begin(number: int) -> Callable[[], int]:
        done.append(f"begun {number}")
        return lambda: 10 * number

    found = []
    for value in one_ahead(items(), begin):
        done.append(f"used {value}")
        found.append(value)
    assert found == [0, 10, 20]
    begun = ["made 0", "begun 0", "made 1", "begun 1", "used 0", "made 2", "begun 2", "used 10", "used 20"]
    assert done == begun


def test_batches_are_those_of_this_process_from_the_trainers_place_on(tmp_path: Path) -> None:
    folders = write_pairs(tmp_path, count=2)
    config = Config.parse(
        {"data": {"batch": 4, "crop": 16}, "network": {"size": "tiny"}, "training": {"iterations": 9}}, source="test"
    )
    card = Card(version=__version__, name="test", method=config.method, network=config.network, channels=1)
    trainer = Trainer(config, card, tmp_path, World(0, 1, CPU))
    trainer.iteration = 5
    crops = Crops(match_pairs(folders["clean"], folders["degraded"]).pairs, crop=16, channels=1, seed=0)
    with closing(fed(crops, trainer, slice(1, 4, 2))) as batches:
        for number in (5, 6):
            assert_close(next(batches), crops.batch(number, 4, slice(1, 4, 2)), rtol=0, atol=0)


def test_makers_leave_the_network_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(feeding, "cores", lambda: 16)
    assert makers_for(CPU, 1) == 2
    assert makers_for(cuda, 1) == 8
    assert makers_for(cuda, 4) == 3
    assert makers_for(cuda, 16) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert makers_for(CPU, 1) == 1

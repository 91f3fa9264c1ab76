"""Fixtures for all tests: no network, real data only where there is some."""

import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # problems.py and other helpers beside this file
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))  # tables.py, which the documents come from


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a test reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real images that INDI_DATA names, or skip."""
    folder = os.environ.get("INDI_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("INDI_DATA does not name a folder of real images")
    return Path(folder)

"""Fixtures for all tests: no network beyond this machine, real data only where there is some."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # problems.py and other helpers beside this file
for folder in ("benchmarks", "docs"):  # tables.py and reference.py, which the documents come from
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def at_home(this: socket.socket, address: Any) -> None:
        """Connect to this machine's own address alone, as a local cluster does."""
        if not (isinstance(address, tuple) and str(address[0]).startswith("127.")):
            raise AssertionError("a test reached for the network")
        connect(this, address)

    monkeypatch.setattr(socket.socket, "connect", at_home)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real images that INDI_DATA names, or skip."""
    folder = os.environ.get("INDI_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("INDI_DATA does not name a folder of real images")
    return Path(folder)

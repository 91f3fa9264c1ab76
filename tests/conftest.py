"""For all tests: no network beyond this machine, real data only where there is some, and a quick tier that stays so."""

import os
import re
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from indi.restoration.restorer import Restorer

sys.path.insert(0, str(Path(__file__).parent))  # problems.py and other helpers beside this file
for folder in ("benchmarks", "docs"):  # tables.py and reference.py, which the documents come from
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))

FAST_SECONDS = 1.5  # of processors; a test that takes 0.3 is to be marked medium, the rest is for slow machines

WHOLE_FILE = re.compile(r"^pytestmark = (\[\s*)?pytest\.mark\.medium\b", re.MULTILINE)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as fast what is marked neither medium nor slow."""
    for item in items:
        if not any(item.iter_markers("medium")) and not any(item.iter_markers("slow")):
            item.add_marker("fast")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that are medium as a whole where the fast tests alone run: some take seconds to import."""
    if config.option.markexpr != "fast" or collection_path.suffix != ".py":
        return None
    return WHOLE_FILE.search(collection_path.read_text(encoding="utf-8")) is not None or None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Where the fast tests alone run, fail one whose fixtures are not."""
    yield from _quickly(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Where the fast tests alone run, fail one that is not."""
    yield from _quickly(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what is no text in a test's log, such as names not in UTF-8: processes of xdist cannot pass it on."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


def _quickly(item: pytest.Item) -> Generator[None, None, None]:
    before = sum(os.times()[:4])  # of this process and those that it waited for: a busy machine does not count
    yield
    spent = sum(os.times()[:4]) - before
    if item.config.option.markexpr == "fast" and spent > FAST_SECONDS:
        pytest.fail(f"took {spent:.1f} s of processors: mark it medium, or make it quicker", pytrace=False)


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


@pytest.fixture(scope="module")
def gray() -> "Restorer":
    """Return a restorer of gray images that draws noise."""
    from indi.restoration.restorer import Restorer
    from problems import tiny_model

    return Restorer(tiny_model(1, epsilon=0.05), precision="float32")


@pytest.fixture(scope="module")
def colour() -> "Restorer":
    """Return the same of colour images."""
    from indi.restoration.restorer import Restorer
    from problems import tiny_model

    return Restorer(tiny_model(3, epsilon=0.05), precision="float32")

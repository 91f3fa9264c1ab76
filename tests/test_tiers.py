"""The quick tier of the suite: what it holds, and that what is not quick fails in it."""

import subprocess
import sys
from pathlib import Path

import pytest

import conftest

TESTS = """
import time
import pytest

def work():
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass

def test_quick(): pass
@pytest.mark.medium
def test_marked(): work()
@pytest.mark.slow
def test_slow(): work()
def test_drifted(): work()
"""


@pytest.mark.medium
def test_a_test_that_is_not_quick_is_left_out_or_fails(tmp_path: Path) -> None:
    rules = Path(conftest.__file__).read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        rules.replace(f"FAST_SECONDS = {conftest.FAST_SECONDS}", "FAST_SECONDS = 0.25"), encoding="utf-8"
    )
    (tmp_path / "test_some.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  fast\n  medium\n  slow\n", encoding="utf-8")
    for expression, outcome in (("fast", "1 failed, 1 passed, 2 deselected"), ("not slow", "3 passed, 1 deselected")):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", expression, str(tmp_path)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        assert outcome in done.stdout, done.stdout
    # Nothing but the one expression fails a test for its time: that of make test-fast.
    makefile = Path(conftest.__file__).parent.parent / "Makefile"
    assert "pytest -m fast " in makefile.read_text(encoding="utf-8")

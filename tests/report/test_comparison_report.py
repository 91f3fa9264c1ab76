import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indi.metrics import METRICS
from indi.report import Strip, comparison_rows, write_comparison


def row(steps: int, psnr: float | None, swd: float | None) -> dict[str, Any]:
    cost = {"steps": steps, "network_calls": steps, "seconds_per_megapixel": steps / 4}
    return {**dict.fromkeys(METRICS), **cost, "psnr": psnr, "swd": swd}


def method(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    train = {"seconds": 60.0, "iterations": 100, "crops_per_second": 26.7, "parameters": 350_000}
    return {"train": train, "rows": list(rows), **more}


def table(**methods: dict[str, Any]) -> dict[str, Any]:
    return {
        "settings": {"images": 2, "seeds": [0], "clean": "a<b", "task": None},
        "degraded": row(0, 20.0, 90.0),
        "methods": methods,
    }


SPREAD = [{"steps": 1, "psnr": 0.25, "swd": 1.5}, {"steps": 10, "psnr": None, "swd": 0.5}]
TYPICAL = table(
    indi=method(row(1, 30.0, 20.0), row(10, 29.0, 8.0), spread=SPREAD), regression=method(row(1, 30.5, 24.0))
)


def test_the_table_as_text() -> None:
    assert list(comparison_rows(TYPICAL)) == [
        ["method", "calls", "PSNR (dB)", "swd", "s/MP"],
        ["degraded", "", "20.00", "90.00", ""],
        ["indi", "1", "30.00 ± 0.25", "20.00 ± 1.50", "0.25"],
        ["indi", "10", "29.00", "8.00 ± 0.50", "2.50"],
        ["regression", "1", "30.50", "24.00", "0.25"],
    ]


def drawn(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], out: Path) -> list[Any]:
    """Draw the comparison; return its axes: the plane, PSNR over calls, swd over calls."""
    from matplotlib.figure import Figure

    found: list[Any] = []
    save = Figure.savefig

    def spy(self: Figure, *args: Any, **options: Any) -> None:
        found[:] = self.axes
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    write_comparison(values, {}, out)
    with Image.open(out / "compare.png") as image:
        assert image.size == (1440, 750)
    return found


def lines(axes: Any) -> list[list[tuple[float, float]]]:
    return [list(zip(*container.lines[0].get_data(), strict=True)) for container in axes.containers]


@pytest.mark.medium
def test_every_method_is_a_line_through_its_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plane, error, texture = drawn(monkeypatch, TYPICAL, tmp_path)
    assert lines(plane) == [[(30.0, 20.0), (29.0, 8.0)], [(30.5, 24.0)]]
    assert lines(error) == [[(1, 30.0), (10, 29.0)], [(1, 30.5)]]
    assert lines(texture) == [[(1, 20.0), (10, 8.0)], [(1, 24.0)]]
    assert [text.get_text() for text in plane.get_legend().get_texts()] == ["indi", "regression"]
    assert [text.get_text() for text in plane.texts] == ["1", "10", "1"]
    looks = {(c.lines[0].get_color(), c.lines[0].get_marker()) for c in plane.containers}
    assert len(looks) == 2


@pytest.mark.medium
def test_a_method_far_behind_does_not_squeeze_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = table(good=method(row(1, 30.0, 20.0), row(2, 29.0, 9.0)), poor=method(row(1, 11.0, 80.0)))
    plane, error, texture = drawn(monkeypatch, values, tmp_path)
    assert plane.get_xlim()[0] == error.get_ylim()[0] == 22.0
    assert plane.get_ylim()[1] == texture.get_ylim()[1] == pytest.approx(1.3 * 20.0)
    assert "poor: in part below 22.0 dB, see the table" in [text.get_text() for text in plane.texts]


@pytest.mark.medium
def test_more_methods_than_looks_and_none_with_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    many = {f"method {number}": method(row(1, 30.0 + number, 20.0)) for number in range(9)}
    plane, *_ = drawn(monkeypatch, table(**many), tmp_path)
    assert len(plane.containers) == 9
    plane, *_ = drawn(monkeypatch, table(indi=method(row(1, None, None))), tmp_path)
    assert not plane.containers


@pytest.mark.medium
def test_a_method_looks_alike_in_every_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def look(*names: str) -> tuple[str, str]:
        plane, *_ = drawn(monkeypatch, table(**{name: method(row(1, 30.0, 20.0)) for name in names}), tmp_path)
        line = plane.containers[-1].lines[0]
        return line.get_color(), line.get_marker()

    assert look("indi", "regression", "flow") == look("flow")
    assert look("flow") != look("indi")


@pytest.mark.medium
def test_the_degraded_images_are_a_line_where_it_fits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for degraded, is_drawn in ((29.5, True), (20.0, False)):
        values = {**TYPICAL, "degraded": row(0, degraded, 90.0)}
        _, error, _ = drawn(monkeypatch, values, tmp_path)
        assert ("degraded" in [text.get_text() for text in error.texts]) == is_drawn


@pytest.mark.medium
def test_what_should_not_be_overlooked_is_said(tmp_path: Path) -> None:
    def page(images: int, degraded: float) -> str:
        values = {**TYPICAL, "settings": {**TYPICAL["settings"], "images": images}, "degraded": row(0, degraded, 90.0)}
        write_comparison(values, {}, tmp_path)
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    assert "1 image to test on is too few" in page(1, 20.0)
    assert "too few" not in page(5, 20.0)
    assert "trained too briefly" not in page(5, 30.4)
    assert "trained too briefly" in page(5, 30.5)


def strips(file: str, value: int) -> list[Strip]:
    image = np.full((4, 6, 3), value, np.uint8)
    return [Strip(file, [("degraded", image, {}), ("1 step", image, {"psnr": 30.126})], image)]


@pytest.mark.medium
@pytest.mark.filterwarnings("error")
def test_the_page_needs_nothing_else_and_shows_all(tmp_path: Path) -> None:
    write_comparison(TYPICAL, {"indi": strips("x<y", 7), "regression": strips("x<y", 9)}, tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|url\(|<script|<link", text)
    assert text.count("data:image/png;base64,") == 1 + 2 * 3
    assert text.index("x&lt;y: indi") < text.index("x&lt;y: regression")
    assert "a&lt;b" in text
    assert "30.13 dB" in text
    assert re.findall(r'<td class="best">([^<]*)</td>', text) == ["8.00 ± 0.50", "30.50"]
    assert "<td>0.35</td>" in text  # million weights
    assert "of one seed: small differences mean nothing" in text


@pytest.mark.medium
def test_the_page_says_over_how_many_seeds(tmp_path: Path) -> None:
    values = {**TYPICAL, "settings": {**TYPICAL["settings"], "seeds": [0, 1, 2]}}
    write_comparison(values, {}, tmp_path)
    assert "standard deviation over 3 trainings on one split" in (tmp_path / "report.html").read_text(encoding="utf-8")

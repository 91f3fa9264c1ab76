import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indi.metrics import METRICS, Metric
from indi.report import Strip, draw_curve, steps_label, table_rows, write_report


def row(psnr: float | None, swd: float | None, **others: float) -> dict[str, Any]:
    return {"psnr": psnr, "psnr_y": None, "ssim": 0.9, "ms_ssim": None, "swd": swd, **others}


def table(
    *rows: tuple[int, float | None, float | None], degraded: tuple[float, float] = (20.0, 90.0)
) -> dict[str, Any]:
    return {
        "model": "a <b>&$x",
        "method": "indi",
        "settings": {"images": 2, "clean": "a<b", "task": None},
        "degraded": row(*degraded),
        "rows": [
            {"steps": steps, "network_calls": steps, **row(psnr, swd), "seconds_per_megapixel": steps / 2}
            for steps, psnr, swd in rows
        ],
    }


TYPICAL = table((1, 30.1, 24.0), (2, 29.9, 19.0), (5, 29.4, 13.1))


def strip(file: str = "x") -> Strip:
    degraded, restored = np.full((4, 6, 3), 7, np.uint8), np.full((4, 6, 3), 9, np.uint8)
    values = {"psnr": 30.126, "swd": 4.06}
    panels: list[Any] = [("degraded", degraded, dict.fromkeys(values)), ("1 step", restored, values)]
    return Strip(file, panels, np.full((4, 6, 3), 200, np.uint8))


def test_the_table_as_text() -> None:
    assert list(table_rows(TYPICAL)) == [
        ["steps", "calls", "PSNR (dB)", "SSIM", "swd", "s/MP"],
        ["degraded", "", "20.00", "0.9000", "90.00", ""],
        ["1", "1", "30.10", "0.9000", "24.00", "0.50"],
        ["2", "2", "29.90", "0.9000", "19.00", "1.00"],
        ["5", "5", "29.40", "0.9000", "13.10", "2.50"],
    ]
    header, degraded, first = table_rows(table((1, None, 3.0)))
    assert (header[2], degraded[2], first[2]) == ("PSNR (dB)", "20.00", "-")


def test_a_metric_without_any_value_has_no_column_and_every_other_has_a_short_one() -> None:
    full = table((1, 30.0, 3.0))
    for part in (full["degraded"], *full["rows"]):
        part |= dict.fromkeys(METRICS, 0.5)
    header = next(iter(table_rows(full)))
    assert len(header) == 3 + len(METRICS)
    assert max(map(len, header)) < 20
    empty = table((1, None, None))
    empty["degraded"] = row(None, None)
    assert next(iter(table_rows(empty))) == ["steps", "calls", "SSIM", "s/MP"]


def test_a_metric_of_ones_own_has_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "mine", Metric(METRICS["psnr"].compute, "my metric", "", higher_is_better=False))
    content = table((1, 30.0, 2.0))
    for values in (content["degraded"], *content["rows"]):
        values["mine"] = 7.25
    head, *rows = table_rows(content)
    assert [each[head.index("my metric")] for each in rows] == ["7.25", "7.25"]


def test_labels_of_steps() -> None:
    assert [steps_label(steps) for steps in (0, 1, 2, 20)] == ["degraded", "1 step", "2 steps", "20 steps"]


def drawn(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Draw the curve; return each label and its box, in pixels."""
    from matplotlib.figure import Figure

    found: dict[str, Any] = {}
    save = Figure.savefig

    def spy(self: Figure, *args: Any, **options: Any) -> None:
        (axes,) = self.axes
        found.update({text.get_text(): text.get_window_extent() for text in axes.texts if text.get_text()})
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    draw_curve(values, path)
    with Image.open(path) as image:
        assert image.size == (960, 630)
    return found


@pytest.mark.parametrize(
    "points",
    [
        ((1, 30.1, 24.0), (2, 29.9, 19.0), (5, 29.4, 13.1), (10, 29.1, 11.2), (20, 29.0, 10.8)),
        ((1, 30.1, 24.0), (2, 29.9, 12.0), (5, 29.89, 11.99), (10, 29.885, 11.98), (20, 29.88, 11.975)),
        ((1, 30.0, 5.0), (2, 30.0, 5.0), (5, 30.0, 5.0)),
    ],
)
def test_labels_of_the_curve_do_not_overlap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, points: tuple[tuple[int, float, float], ...]
) -> None:
    boxes = drawn(monkeypatch, table(*points), tmp_path / "curve.png")
    labels = [label for label in boxes if label != "degraded"]
    assert labels == ["1 step", *(str(steps) for steps, _, _ in points[1:])]
    for label, box in boxes.items():
        assert not box.count_overlaps([other for name, other in boxes.items() if name != label]), label


@pytest.mark.medium
def test_the_degraded_image_is_a_point_where_it_fits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points = ((1, 30.0, 20.0), (5, 29.0, 10.0))
    for degraded, is_drawn in [((28.5, 25.0), True), ((20.0, 25.0), False), ((28.5, 90.0), False)]:
        boxes = drawn(monkeypatch, table(*points, degraded=degraded), tmp_path / "curve.png")
        assert ("degraded" in boxes) == is_drawn, degraded
    assert "degraded" in drawn(monkeypatch, table((1, 30.0, 20.0)), tmp_path / "curve.png")  # nothing to squeeze


def test_a_curve_without_values_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert list(drawn(monkeypatch, table((1, 30.0, None)), tmp_path / "curve.png")) == [
        "swd or PSNR has no value for these images"
    ]


class Page(HTMLParser):
    """What a page shows and refers to; fails where tags do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.best: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.links += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag if given.get("class") != "best" else f"{tag}.best")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().removesuffix(".best") == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1].endswith(".best"):
            self.best.append(data)
        self.texts.append((self.open[-1] if self.open else "", data))


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    write_report(TYPICAL, [strip("<i>x"), strip("y")], tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.links) == 1 + 2 * 3
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"https?:|@import|url\(|<script|<link", text)
    shown = [value for tag, value in page.texts if tag == "h3"]
    assert shown == ["<i>x", "y"]
    assert ("h1", "a <b>&$x (indi)") in page.texts
    assert ("dd", "a<b") in page.texts
    assert ("dd", "None") not in page.texts
    assert "30.13 dB" in text
    assert "swd 4.1" in text


def test_the_pictures_are_the_crops(tmp_path: Path) -> None:
    write_report(TYPICAL, [strip()], tmp_path)
    links = Page((tmp_path / "report.html").read_text(encoding="utf-8")).links[1:]
    for link, value in zip(links, (7, 9, 200), strict=True):
        with Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2]))) as image:
            assert image.size == (6, 4)
            assert np.unique(np.asarray(image)).tolist() == [value]


@pytest.mark.medium
def test_the_best_values_are_marked(tmp_path: Path) -> None:
    write_report(TYPICAL, [], tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.best == ["30.10", "0.9000", "0.9000", "0.9000", "13.10"]
    write_report(table((1, 30.0, 3.0)), [], tmp_path)
    assert Page((tmp_path / "report.html").read_text(encoding="utf-8")).best == []  # one row is no competition


def test_a_name_that_is_no_text_is_still_written(tmp_path: Path) -> None:
    write_report(TYPICAL, [strip("\udcff")], tmp_path)
    assert b"\\udcff" in (tmp_path / "report.html").read_bytes()

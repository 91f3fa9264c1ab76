"""Tables of metrics as text and as HTML."""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from indi.data import count, few
from indi.metrics import EVERY_METRIC

# What a reader of a page needs to know of the metrics in its table.
EXPLAINED = """PSNR and SSIM measure error, where few steps do well: they answer with the average of all plausible
images. <code>swd</code> and the gap between power spectra compare the texture of restored and clean, which that
average lacks. NIQE asks how unlike these clean images a restored one is. For those three, lower looks more real,
but <code>swd</code> and the spectrum take noise of the right strength for detail. Grain does not: it is the share of
local fine structure, from 0 to 1, that is beyond what the clean image has at that place. ST-LPIPS, where it is
measured, asks a network that people taught how unlike restored and clean look; lower is better. FRC, the Fourier ring
correlation, tells up to which share of the finest frequencies restored and clean agree."""
CROPS = """Crops at their most detailed place; the figures are those of the whole image. Counts, which fill a small part
of the range of their type, are shown stretched: from the 0.5 to the 99.8 % of the clean image. A scale bar stands
where the file knows the size of its pixels."""
_DIGITS = {"ssim": 4, "ms_ssim": 4, "grain": 3, "stlpips": 3}  # two for all others
Rows = Sequence[Mapping[str, Any]]


def table_rows(table: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the table of an evaluation as text: the header, the degraded image, then a row a number of steps."""
    names = known_metrics([table["degraded"], *table["rows"]])
    dial = has_dial(table["rows"])
    yield ["steps", *(["realism"] if dial else []), "calls", *map(header, names), "s/MP"]
    yield ["degraded", *([""] if dial else []), "", *(metric_text(n, table["degraded"][n]) for n in names), ""]
    for row in table["rows"]:
        values = [metric_text(name, row[name]) for name in names]
        setting = [str(row["steps"]), *([realism_text(row)] if dial else []), str(row["network_calls"])]
        yield [*setting, *values, f"{row['seconds_per_megapixel']:.2f}"]


def steps_label(steps: int) -> str:
    """Return "degraded", "1 step" or "5 steps"."""
    return "degraded" if steps == 0 else count(steps, "step")


def row_label(steps: int, realism: float | None = None) -> str:
    """Return what a way of restoring is called: "degraded", "5 steps", "realism 0.5", "5 steps, realism 1"."""
    if realism is None:
        return steps_label(steps)
    return f"realism {realism:g}" if steps == 1 else f"{steps_label(steps)}, realism {realism:g}"


def has_dial(rows: Rows) -> bool:
    """Return whether any of the rows is of a model that draws."""
    return any(row.get("realism") is not None for row in rows)


def realism_text(row: Mapping[str, Any]) -> str:
    """Return the realism of a row as a table shows it."""
    return "" if row.get("realism") is None else f"{row['realism']:g}"


def means_explained(settings: Mapping[str, Any]) -> list[str]:
    """Return sentences on what the means of a table are over, and against which range they were measured.

    Args:
        settings: Of metrics.json or compare.json; those of earlier versions say less.
    """
    lines = [f"mean over {count(settings['images'], 'image')}{_against(settings)}"]
    if missing := settings.get("not_measured"):
        lines.append(f"not measured, as they cannot be read or do not fit: {few(missing)}")
    by_images: dict[tuple[str, ...], list[str]] = {}
    for name, images in (settings.get("left_out") or {}).items():
        by_images.setdefault(tuple(images), []).append(EVERY_METRIC[name].label)
    for images, labels in by_images.items():
        rest = f"over {settings['images'] - len(images)} images in every row"
        lines.append(f"{', '.join(labels)}: {rest}; infinite (equal to the clean image) or undefined: {few(images)}")
    return lines


def means_tags(settings: Mapping[str, Any], spread: str = "") -> str:
    """Return ``means_explained`` as HTML, with what the spread behind a mean is."""
    first, *more = means_explained(settings)
    lines = [f"{first[0].upper()}{first[1:]}{spread}", *(f"{line[0].upper()}{line[1:]}" for line in more)]
    return "".join(f'<p class="quiet">{html.escape(line)}.</p>' for line in lines)


def _against(settings: Mapping[str, Any]) -> str:
    """Return which range the images were measured against."""
    if "peak" not in settings:
        return ""
    low, high = settings["peak"]
    peak = f"{low:.5g}" if low == high else f"{low:.5g} to {high:.5g}"
    kind = {None: "the range of the type", "image": "what each clean image spans"}
    return f"; PSNR and SSIM against a range of {peak}, {kind.get(settings['data_range'], 'as asked')}"


def known_metrics(rows: Rows) -> list[str]:
    """Return the metrics that have a meaning for these images."""
    return [name for name in EVERY_METRIC if any(row.get(name) is not None for row in rows)]


def header(name: str) -> str:
    """Return a metric's name for the head of a column, with its unit."""
    metric = EVERY_METRIC[name]
    label = name if name == "swd" else metric.label
    return f"{label} ({metric.unit})" if metric.unit else label


def metric_text(name: str, value: float | None) -> str:
    """Return a metric's value with the digits that mean something."""
    return "-" if value is None else f"{value:.{_DIGITS.get(name, 2)}f}"


def best_rows(name: str, rows: Rows) -> Iterator[int]:
    """Yield the numbers of the rows with a metric's best value, all that read the same; none where one has a value."""
    values = [row[name] for row in rows]
    known = [value for value in values if value is not None]
    if len(known) > 1:
        best = metric_text(name, max(known) if EVERY_METRIC[name].higher_is_better else min(known))
        yield from (number for number, value in enumerate(values) if metric_text(name, value) == best)


def html_table(head: Sequence[str], body: Sequence[Sequence[str]], best: set[tuple[int, int]]) -> str:
    """Return an HTML table, the cells of ``best``, by (row, column), in bold."""
    heads = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    rows = ""
    for number, row in enumerate(body):
        cells = ((' class="best"' if (number, column) in best else "", cell) for column, cell in enumerate(row))
        rows += "<tr>" + "".join(f"<td{mark}>{html.escape(cell)}</td>" for mark, cell in cells) + "</tr>"
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'

"""Rows of a table of metrics, and their means: always over the same images."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One way to restore: a number of steps, 0 for the degraded image itself, and the realism of a model that draws."""

    steps: int
    realism: float | None = None


def with_means(tables: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tables with the mean of each metric in each row, always over the same images.

    Those are the images that have the metric in every row of all tables: one that is restored to its clean image in one
    row has an infinite PSNR there, and would make the other rows look worse. Who is left out so is in the settings.
    """
    images = [image for table in tables for image in table["per_image"]]
    names = [name for name in images[0] if name not in ("file", *Row._fields)]
    lacking = {name: list(dict.fromkeys(image["file"] for image in images if image[name] is None)) for name in names}
    known = {name for name in names for image in images if image[name] is not None}
    left_out = {name: lacking[name] for name in names if lacking[name] and name in known}

    def means(table: Mapping[str, Any], row: Row) -> dict[str, float | None]:
        ours = [image for image in table["per_image"] if row_of(image) == row]
        values = {name: [image[name] for image in ours if image["file"] not in lacking[name]] for name in names}
        return {name: sum(some) / len(some) if some else None for name, some in values.items()}

    return [
        {
            **table,
            "settings": {**table["settings"], "left_out": left_out or None},
            "degraded": {**table["degraded"], **means(table, Row(0))},
            "rows": [{**row, **means(table, row_of(row))} for row in table["rows"]],
        }
        for table in tables
    ]


def row_of(values: Mapping[str, Any]) -> Row:
    """Return which way of restoring the entry of a table is about."""
    return Row(values["steps"], values.get("realism"))

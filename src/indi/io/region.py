"""Rectangles of pixels, and how they cover an image."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

_Image = TypeVar("_Image", bound=Any)  # a tensor or an array


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels: rows top to bottom, columns left to right, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def cut(self, image: _Image) -> _Image:
        """Return this part of a (..., H, W) image, as a view."""
        part: _Image = image[..., self.top : self.bottom, self.left : self.right]
        return part

    def grown(self, margin: int, height: int, width: int) -> "Region":
        """Return this region with a margin around it, ended at the image's edges."""
        return Region(
            max(self.top - margin, 0),
            max(self.left - margin, 0),
            min(self.bottom + margin, height),
            min(self.right + margin, width),
        )

    def shared(self, other: "Region") -> "Region | None":
        """Return the region that both have in common, if there is one."""
        region = Region(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )
        return region if region.height > 0 and region.width > 0 else None

    def seen_from(self, outer: "Region") -> "Region":
        """Return this region in the coordinates of one that holds it."""
        return Region(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)


def cores(area: Region, tile: int) -> Iterator[Region]:
    """Yield the regions of side ``tile`` that cover ``area`` without overlap, row by row; the last are cut to fit."""
    for top in range(area.top, area.bottom, tile):
        for left in range(area.left, area.right, tile):
            yield Region(top, left, min(top + tile, area.bottom), min(left + tile, area.right))

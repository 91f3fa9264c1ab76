"""TIFF files of many pictures, or of one too large for memory: read region by region, and written again as they were.

A restored stack has the shape and type of the stack it came from, so all that its directories say stays true and is
copied as it is: axes, pixel sizes and channel names of ImageJ and OME, descriptions, tags nobody here knows. Only how
the pixels are stored is written again.

Source: TIFF 6.0 (Adobe, 1992); ImageJ keeps a stack behind one directory, its pictures uncompressed one after another.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indi.errors import ImageError
from indi.io.atomic import atomic
from indi.io.convert import Array, to_unit
from indi.io.formats import imagej, ome, tiff, tiff_notes, tiff_write
from indi.io.formats.format import ReadRows, Stack, warn_left_out
from indi.io.formats.tags import SHORT, Directory, Encoding, Name, Tag, Tree
from indi.io.formats.tiff import WHITE_IS_ZERO, Page
from indi.io.formats.tiff_axes import counted, uncounted
from indi.io.formats.tiff_directories import OF_PLACES, directories, ome_notes
from indi.io.formats.tiff_write import Rows
from indi.io.image import Header, MapScale, foreign_code
from indi.io.maps import of_floats
from indi.io.region import Region

_UNCOMPRESSED = 1
_KEPT_BYTES = 2**26  # of decoded pieces: neighbouring regions share them


@dataclass(frozen=True)
class _Piece:
    """A strip or tile: which part of the picture it holds, and where it lies in the file."""

    number: int
    region: Region
    samples: slice
    offset: int
    length: int


class TiffStack(Stack):
    """The pictures of a TIFF file; see ``format.Stack``. Samples are pixels with their alpha, (H, W, samples).

    Args:
        path: The file.
        by_axes: Number the pictures by the axes that its description gives them, and not as they lie in the file.

    Attributes:
        headers: Of each picture.
        pages: What the directory of each picture says.
        in_file: The pictures in the order in which they lie in the file.
        is_contiguous: Whether the pictures lie behind one directory, as ImageJ writes large stacks.

    Raises:
        ImageError: The file is missing, damaged, cut short or of a kind that is refused.
    """

    suffixes: Sequence[str] = (".tif", ".tiff")

    def __init__(self, path: Path, by_axes: bool = True) -> None:
        from tifffile import TiffFile

        self.path = path
        self._stack = ExitStack()
        try:
            with ExitStack() as opening:
                self._file = opening.enter_context(path.open("rb"))
                found = directories(self._file)
                self.is_contiguous = found.behind > 1
                first = found.directories[0]
                self.pages: Sequence[Page] = [tiff.page_of(directory, first) for directory in found.directories]
                self._check(found.behind)
                with foreign_code("damaged TIFF"):
                    notes = ome_notes(first)  # of this file alone: else tifffile opens the others of its set
                    self._decoder = opening.enter_context(TiffFile(path, omexml=notes, is_ome=notes is not None))
                self._stack = opening.pop_all()
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error
        except OSError as error:
            reason = error.strerror or error
            raise ImageError(f"{path}: cannot read: {reason}; check the name and the permissions") from error
        self.pages = list(self.pages) * found.behind
        self._places = found.places * found.behind
        self._left_out = found.left_out
        count = len(self.pages)
        self.axes, self.places, order = (
            counted(self._decoder, self._places, contiguous=self.is_contiguous) if by_axes else uncounted(count)
        )
        self.pages = [self.pages[index] for index in order]
        self._places = [self._places[index] for index in order]
        self.in_file = sorted(range(len(order)), key=order.__getitem__)
        self.headers: Sequence[Header] = [page.header for page in self.pages]
        self._list: tuple[Directory, list[_Piece]] | None = None
        self._kept: OrderedDict[tuple[int, int], Array] = OrderedDict()
        self._kept_bytes = 0

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    @property
    def moved(self) -> dict[int, int]:
        """Where among the directories each picture comes to lie when reduced copies are left out, by where it lies."""
        return {place: index for index, place in enumerate(sorted({*self._places}))}

    def notes(self) -> dict[str, Any]:
        """Return what OME or ImageJ noted."""
        return tiff_notes.notes(self._decoder)

    def pixels(self, number: int, region: Region) -> Array:
        """Return a region of a picture, (height, width[, C]), without its alpha."""
        return tiff.split(self.samples(number, region), self.pages[number])[0]

    def samples(self, number: int, region: Region) -> Array:
        """Return a region of a picture as (height, width, samples), in the machine's byte order.

        Raises:
            ImageError: The file is damaged.
        """
        page = self.pages[number]
        shape = (region.height, region.width, page.samples)
        values = np.empty(shape, page.stored)
        with foreign_code(f"{self.path}: damaged TIFF"):
            for piece in self._listed(number):
                part = piece.region.shared(region)
                if part is not None:
                    inner = part.seen_from(region)
                    target = values[inner.top : inner.bottom, inner.left : inner.right, piece.samples]
                    target[:] = self._part(number, page, piece, part)
        values = np.invert(values) if page.photometric == WHITE_IS_ZERO else values
        try:
            return tiff.as_read(values, page)
        except ImageError as error:
            raise ImageError(f"{self.path}: {error}") from error

    def write_like(
        self,
        path: Path,
        picture: Callable[[int], ReadRows],
        scale: MapScale | None = None,
    ) -> None:
        """Write a stack of new pictures, with everything else of this one, alpha too."""
        dtype = None if scale is None else np.float32
        warn_left_out(path, self._left_out)
        write_stack(path, self, lambda number: self._rows(number, picture(number), dtype), scale=scale)

    def _rows(self, number: int, read: ReadRows, dtype: npt.DTypeLike | None) -> Rows:
        """Return a new picture as the writer takes it: its rows with the alpha of the old one."""
        page = self.pages[number]
        header = page.header

        def samples(start: int, stop: int) -> Array:
            values = read(start, stop).reshape(stop - start, header.width, header.channels)
            if page.samples == header.channels:
                return values
            place = page.samples - len(page.extra) + next(index for index, kind in enumerate(page.extra) if kind)
            alpha = self.samples(number, Region(start, 0, stop, header.width))[..., place]
            return np.insert(values, place, alpha if values.dtype == alpha.dtype else to_unit(alpha), axis=2)

        return Rows((header.height, header.width, page.samples), np.dtype(dtype or header.dtype), samples)

    def _listed(self, number: int) -> list[_Piece]:
        """Return the pieces of a picture; those of the last one asked for are kept."""
        directory = self.pages[number].directory
        if self._list is None or self._list[0] is not directory:
            self._list = (directory, list(_pieces(self.pages[number])))
        return self._list[1]

    def _check(self, behind: int) -> None:
        """Refuse what is cut short, or says of itself that it holds more than there is.

        Raises:
            ImageError: The stack is not whole.
        """
        length = self._file.seek(0, 2)
        for page in self.pages:
            if (planes := page.directory.number(Name.DEPTH, 1)) > 1:
                raise ImageError(f"TIFF of {planes} pictures as one volume; save it as a plain stack")
            tiff.check_pieces(page, length)
            if page.bits == 1:
                raise ImageError("stack of 1-bit pictures; convert it to 8 bit first")
        if self.is_contiguous:
            page = self.pages[0]
            start, size = _contiguous(page)
            tiff.check_planes(page, behind, length)
            is_compressed = page.compression != _UNCOMPRESSED
            if is_compressed or start is None or _has_turned_bits(page):
                what = "compressed" if is_compressed else "not row by row"
                raise ImageError(f"TIFF of {behind} pictures behind one directory, {what}; save it as a plain stack")
            if start + behind * size > length:
                raise ImageError(
                    f"TIFF cut short: it says that it holds {behind:,} pictures, and does not; copy it again"
                )

    def _part(self, number: int, page: Page, piece: _Piece, part: Region) -> Array:
        """Return a part of a strip or tile, as (height, width, samples)."""
        inner = part.seen_from(piece.region)
        if page.compression == _UNCOMPRESSED and _has_whole_rows(page) and not _has_turned_bits(page):
            return self._raw(number, page, piece, inner)
        decoded = self._decoded(number, piece)
        return decoded[inner.top : inner.bottom, inner.left : inner.right]

    def _raw(self, number: int, page: Page, piece: _Piece, inner: Region) -> Array:
        """Read rows of an uncompressed strip from their place in the file: one strip may be the whole picture."""
        dtype = page.stored.newbyteorder(page.directory.encoding.order)
        samples = len(range(*piece.samples.indices(page.samples)))
        width = page.header.width
        start = piece.offset + (number * _contiguous(page)[1] if self.is_contiguous else 0)
        values = np.empty((inner.height, inner.width, samples), dtype)
        for row, line in enumerate(values, start=inner.top):
            self._file.seek(start + (row * width + inner.left) * samples * dtype.itemsize)
            if self._file.readinto(memoryview(line).cast("B")) != line.nbytes:
                raise ImageError("TIFF cut short while it was read")
        return values

    def _decoded(self, number: int, piece: _Piece) -> Array:
        """Return a whole strip or tile, decoded; the last few are kept."""
        key = (number, piece.number)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        self._file.seek(piece.offset)
        page = self._decoder.pages[self._places[number]]
        data, *_ = page.decode(self._file.read(piece.length), piece.number, jpegtables=page.jpegtables)
        if data is None:
            raise ImageError("a piece of it is empty")
        decoded: Array = np.asarray(data)[0]
        self._kept[key] = decoded
        self._kept_bytes += decoded.nbytes
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.nbytes
        return decoded


def write_stack(path: Path, like: TiffStack, picture: Callable[[int], Rows], *, scale: MapScale | None = None) -> None:
    """Write a stack with new samples and everything else of another; whole or not at all.

    Args:
        path: The file to write.
        like: Gives everything but the samples.
        picture: Returns the samples of a picture, of the shape that it has in ``like``.
        scale: Of the samples, where they are those of a map, in float32.

    Raises:
        ImageError: The file cannot be written.
    """
    first = like.pages[like.in_file[0]]
    sizes = (page.header.height * page.header.width * page.samples for page in like.pages)
    itemsize = (first.header.dtype if scale is None else np.dtype(np.float32)).itemsize
    old = first.directory.encoding
    encoding = Encoding(old.order, big=old.big or tiff_write.needs_big(sum(sizes) * itemsize))
    contiguous = like.is_contiguous and Name.METAMORPH_PLANES not in first.directory.tree  # who else knows how many?
    trees: list[Tree] = []
    moved = like.moved
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.write(encoding.start(0))
        for number in like.in_file:
            page = like.pages[number]
            stored = tiff_write.write_picture(
                file,
                picture(number),
                encoding,
                page.compression,
                page.planar,
                contiguous=contiguous,
                tile=tiff.tile_of(page),
            )
            if not (contiguous and trees):
                kept = _kept(page, moved, scale, is_first=not trees)
                if like.is_contiguous and trees:  # one description was for all
                    kept.pop(Name.DESCRIPTION, None)
                trees.append(kept | stored | _colours(page, encoding))
        tiff_write.write_directories(file, trees, encoding)


def _kept(page: Page, moved: Mapping[int, int], scale: MapScale | None, *, is_first: bool) -> Tree:
    """Return what a directory says beside how its pixels are stored; of a map, what is still true of it."""
    dropped = tiff.OF_STORAGE | OF_PLACES
    kept = {number: value for number, value in page.directory.tree.items() if number not in dropped}
    if page.directory.tree.get(Name.SUBFILE):
        kept[Name.SUBFILE] = page.directory.tree[Name.SUBFILE]
    description = kept.get(Name.DESCRIPTION)
    if isinstance(description, Tag):
        text = ome.moved(description.data, moved)
        description = tiff.typed(replace(description, count=len(text), data=text), page)
        kept[Name.DESCRIPTION] = description
    if scale is None:
        return kept
    if is_first or isinstance(description, Tag):
        kept[Name.DESCRIPTION] = of_floats(description if isinstance(description, Tag) else None, scale)
    of_values = (imagej.COUNTS, imagej.NOTES, Name.COLOUR_MAP)
    others = {number: value for number, value in kept.items() if number not in of_values}
    return others | imagej.without_values(kept, page.directory.encoding.order)


def _colours(page: Page, encoding: Encoding) -> Tree:
    stored = {WHITE_IS_ZERO: tiff.BLACK_IS_ZERO, tiff.YCBCR: tiff.RGB}.get(page.photometric, page.photometric)
    tree: Tree = {Name.PHOTOMETRIC: encoding.tag(SHORT, stored)}
    if page.extra:
        tree[Name.EXTRA] = encoding.tag(SHORT, *page.extra)
    return tree


def _pieces(page: Page) -> Iterator[_Piece]:
    """Yield the strips or tiles of a picture, in the order of the file."""
    height, width = page.header.height, page.header.width
    across, down, offsets, lengths = tiff.layout_of(page)
    number = 0
    for samples in [slice(None)] if page.planar == 1 else [slice(one, one + 1) for one in range(page.samples)]:
        for top in range(0, height, down):
            for left in range(0, width, across):
                region = Region(top, left, min(top + down, height), min(left + across, width))
                yield _Piece(number, region, samples, offsets[number], lengths[number])
                number += 1


def _has_whole_rows(page: Page) -> bool:
    """Return whether strips or tiles are as wide as the picture; a tile that is wider holds padding."""
    return tiff.layout_of(page)[0] == page.header.width


def _has_turned_bits(page: Page) -> bool:
    """Return whether the bits of each byte lie in the other order (FillOrder 2), which a decoder turns."""
    return page.directory.number(Name.FILL_ORDER, 1) != 1


def _contiguous(page: Page) -> tuple[int | None, int]:
    """Return where a picture begins and how many bytes it has, if it lies in one run; else None and its size."""
    size = page.header.height * page.header.width * page.samples * page.stored.itemsize
    pieces = list(_pieces(page))
    end = pieces[0].offset
    for piece in pieces:
        if piece.offset != end or not _has_whole_rows(page):
            return None, size
        end += piece.length
    return pieces[0].offset, size

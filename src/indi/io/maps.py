"""What metadata say of a map that was made of an image: other values, in 32-bit floats, at the same places.

Range and unit stand where ImageJ reads them, in the description, but for OME's, which has no place for them.
Source: Opener and TiffEncoder of ImageJ, https://github.com/imagej/ImageJ/tree/master/ij/io.
"""

from dataclasses import replace

from indi.errors import ImageError
from indi.io.formats import imagej, ome
from indi.io.formats.tags import ASCII, Name, Order, Tag, Tree, pack_block, read_block
from indi.io.image import MapScale, Metadata


def of_map(metadata: Metadata, scale: MapScale) -> Metadata:
    """Return the metadata of a map: size of the pixels, orientation, axes and names of channels, and its scale."""
    try:
        tree, order = read_block(metadata.exif or b"")
    except ImageError:  # a damaged block says nothing
        tree, order = {}, "<"
    exif = pack_block(_kept(tree, order, scale), order)
    return Metadata(resolution=metadata.resolution, exif=exif)


def _kept(tree: Tree, order: Order, scale: MapScale) -> Tree:
    of_place = (Name.ORIENTATION, Name.X_RESOLUTION, Name.Y_RESOLUTION, Name.UNIT)
    kept: Tree = {number: tree[number] for number in of_place if number in tree}
    description = tree.get(Name.DESCRIPTION)
    kept[Name.DESCRIPTION] = of_floats(description if isinstance(description, Tag) else None, scale)
    return kept | imagej.without_values(tree, order)


def of_floats(description: Tag | None, scale: MapScale) -> Tag:
    """Return a description, of other values: OME's names the type of the pixels, ImageJ's the range and the unit.

    Where there is none, it is one of ImageJ; one that somebody wrote stays.
    """
    description = description or Tag(ASCII, 0, imagej.START)
    text = ome.of_type(imagej.with_range(description.data, scale.high, scale.unit), "float32")
    return replace(description, count=len(text), data=text)

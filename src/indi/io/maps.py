"""What metadata say of a map that was made of an image: other values, in 32-bit floats, at the same places."""

from dataclasses import replace

from indi.errors import ImageError
from indi.io.formats import imagej, ome
from indi.io.formats.tags import Name, Order, Tag, Tree, pack_block, read_block
from indi.io.image import Metadata


def of_map(metadata: Metadata) -> Metadata:
    """Return the metadata of a map: size of the pixels, orientation, axes and names of channels; no colours."""
    exif = None
    try:
        tree, order = read_block(metadata.exif or b"")
        exif = pack_block(kept, order) if (kept := _kept(tree, order)) else None
    except ImageError:  # a damaged block says nothing
        pass
    return Metadata(resolution=metadata.resolution, exif=exif)


def _kept(tree: Tree, order: Order) -> Tree:
    of_place = (Name.ORIENTATION, Name.X_RESOLUTION, Name.Y_RESOLUTION, Name.UNIT)
    kept: Tree = {number: tree[number] for number in of_place if number in tree}
    description = tree.get(Name.DESCRIPTION)
    if isinstance(description, Tag):
        kept[Name.DESCRIPTION] = of_floats(description)
    return kept | imagej.without_values(tree, order)


def of_floats(description: Tag) -> Tag:
    """Return a description, of other values: OME's names the type of the pixels, ImageJ's the range to show."""
    text = ome.of_type(imagej.without_range(description.data), "float32")
    return replace(description, count=len(text), data=text)

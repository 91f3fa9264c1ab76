"""ImageJ's own notes in a TIFF: labels, properties and regions, and with them how to show the values.

Source: TiffDecoder of ImageJ, https://github.com/imagej/ImageJ/blob/master/ij/io/TiffDecoder.java.
"""

import re
import struct

from indi.io.formats.tags import Encoding, Order, Tag, Tree

COUNTS, NOTES = 50838, 50839  # how many bytes each note has, the list of them first; and all of them
_MARK = b"IJIJ"
_OF_VALUES = (b"rang", b"luts")  # the range to show, and colours to show it in
_RANGE = re.compile(rb"^(?:min|max|vunit)=.*\n", re.MULTILINE)
_NAME = b"ImageJ="
START = _NAME + b"1.54\n\0"  # of a description of one image


def with_range(text: bytes, high: float, unit: str) -> bytes:
    """Return a description with another range to show, from 0, and unit of the values; the same of others' ones."""
    if not text.startswith(_NAME):
        return text
    return _RANGE.sub(b"", text).rstrip(b"\0") + f"min=0.0\nmax={high:.6g}\nvunit={unit}\n\0".encode()


def without_values(tree: Tree, order: Order) -> Tree:
    """Return the two tags of notes without what is true of these values alone; none where they are not understood."""
    counts, notes = tree.get(COUNTS), tree.get(NOTES)
    if not isinstance(counts, Tag) or not isinstance(notes, Tag):
        return {}
    backwards = -1 if order == "<" else 1  # four letters are one number
    try:
        head, *sizes = struct.unpack(f"{order}{counts.count}I", counts.data)
        listed = list(struct.iter_unpack(f"{order}4sI", notes.data[4:head]))
        if notes.data[:4] != _MARK[::backwards]:
            return {}
    except struct.error:
        return {}
    kept: list[tuple[bytes, list[bytes]]] = []
    place, number = head, 0
    for name, count in listed:
        parts = []
        for size in sizes[number : number + count]:
            parts.append(notes.data[place : place + size])
            place += size
        number += count
        if name[::backwards] not in _OF_VALUES and parts:
            kept.append((name, parts))
    if not kept:
        return {}
    start = _MARK[::backwards] + b"".join(struct.pack(f"{order}4sI", name, len(parts)) for name, parts in kept)
    data = start + b"".join(part for _, parts in kept for part in parts)
    lengths = [len(start), *(len(part) for _, parts in kept for part in parts)]
    return {COUNTS: Encoding(order).tag(4, *lengths), NOTES: Tag(notes.kind, len(data), data)}

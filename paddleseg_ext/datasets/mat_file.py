"""Reading numbers from a MATLAB file of version 5; damage that this reader refuses makes SciPy's crash.

Layout: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import islice

import numpy as np

from paddleseg_ext.files import read_bytes

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
MAX_BYTES = 1 << 24  # of a variable that is unpacked


def read_mat(path: str) -> dict[str, np.ndarray]:
    """The variables that are arrays of numbers, each as one row.

    A damaged file raises whatever the damage leads to.
    """
    content = read_bytes(path)
    if content[HEADER_BYTES - 2 : HEADER_BYTES] != b"IM":
        raise ValueError("not a MATLAB file of version 5")
    variables = {}
    for kind, data in _elements(content[HEADER_BYTES:]):
        if kind == COMPRESSED:
            kind, data = next(_elements(zlib.decompressobj().decompress(data, MAX_BYTES)))
        if kind != MATRIX:
            continue
        _flags, _shape, (_, name), (number, values) = islice(_elements(data), 4)
        if number in NUMBERS:
            variables[name.decode("ascii")] = np.frombuffer(values, NUMBERS[number])
    return variables


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The types and contents of the elements that follow one another."""
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from("<II", data, place)
        if kind >> 16:  # up to four bytes, in the place of the size
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            end = place + 8
        else:
            start = place + 8
            end = start + size + (0 if kind == COMPRESSED else -size % 8)
        if start + size > min(end, len(data)):
            raise ValueError("an element goes beyond its end")
        yield kind, data[start : start + size]
        place = end

"""Reading files that may hold anything, and writing files whole or not at all."""

from __future__ import annotations

import io
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
import yaml
from PIL import Image

from paddleseg_ext.command import UserError, one_line

PICTURE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "GIF")
"""What Pillow may open: data sets have no other formats, and some of those start programs (EPS)."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""The files that the tools take for images; PaddleSeg's own tools know neither TIFF nor WebP."""

NOT_IN_NAMES = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|^\ufeff")
"""What no file name may hold: control characters, line ends, bytes that are not UTF-8, a byte order mark."""

PIXELS_PER_BYTE = 10_000
"""More than any file holds: a PNG of one colour reaches 8256 (1-bit), a JPEG 512."""

MAX_YAML_NODES = 100_000


def read_bytes(path: str, may_be_empty: bool = False) -> bytes:
    """The content of a file; raises `UserError` if it is missing, or empty unless it `may_be_empty`."""
    if not os.path.isfile(path):
        raise UserError(f"{path}: there is no such file")
    with open(path, "rb") as file:
        content = file.read()
    if not content and not may_be_empty:
        raise UserError(f"{path}: an empty file: copy or download it again")
    return content


def read_text(path: str) -> str:
    """A text file in UTF-8, without its byte order mark; raises `UserError` if there is none."""
    try:
        return read_bytes(path, may_be_empty=True).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text in UTF-8 (byte {error.start}): save it as such") from error


def read_yaml(path: str) -> dict:
    """The keys and values of a YAML file.

    Raises:
        UserError: no such file, not YAML of plain values, no keys, or aliases that multiply without end.
    """
    text = read_text(path)
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(f"{path}, line {mark.line + 1}: not valid YAML: {error.problem}") from error
    except Exception as error:  # whatever PyYAML makes of odd tags, numbers and nesting
        raise UserError(f"{path}: not valid YAML: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no keys with values: is it a YAML file of a config?")
    if expands_beyond(content, MAX_YAML_NODES):
        raise UserError(f"{path}: its aliases unfold to more than {MAX_YAML_NODES} values: take some out")
    return content


def expands_beyond(content, limit: int) -> bool:
    """Whether more than `limit` values are in nested dicts, lists, tuples and sets, shared ones counted each time."""
    todo, count = [content], 0
    while todo and count <= limit:
        value = todo.pop()
        count += 1
        if isinstance(value, dict):
            todo.extend(value.values())
        elif isinstance(value, (list, tuple, set)):
            todo.extend(value)
    return count > limit


def below(root: str | os.PathLike, name: str, outside: bool = False) -> str:
    """The path of a file that another file names, relative to `root` or not; in `root` unless `outside` is allowed.

    Raises:
        ValueError: `name` cannot be a file name, or leads out of `root`.
    """
    if NOT_IN_NAMES.search(name):
        raise ValueError(f"{name[:80]!a} is not a file name: expected UTF-8 without control characters or a BOM")
    path = os.path.normpath(os.path.join(root, name))
    first = os.path.relpath(path, root or os.curdir).split(os.sep)[0]
    if first == os.pardir:
        if outside:
            return os.path.join(root, name)  # as it is: where folders are links, .. leads elsewhere than it reads
        raise ValueError(f"{name} leads out of {root or 'its folder'}: only files in there can be named")
    if first == os.curdir:
        raise ValueError(f"an empty name: expected that of a file in {root or 'its folder'}")
    return path


def open_picture(file: str | io.BytesIO) -> Image.Image:
    """An image that is not decoded yet.

    Every image goes through here before it is decoded, since a header that declares a huge size takes that memory.
    The limits are Pillow's own, 2 * `Image.MAX_IMAGE_PIXELS` (179 million pixels, 0.5 GB), and `PIXELS_PER_BYTE`.

    Raises:
        TooLarge: the header declares more pixels.
        ValueError: no image.
        PermissionError: a file that may not be read, which need not be damaged.
    """
    size = os.path.getsize(file) if isinstance(file, str) else file.getbuffer().nbytes
    try:
        picture = Image.open(file, formats=PICTURE_FORMATS)
    except Image.DecompressionBombError as error:
        raise TooLarge(f"its header declares more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels") from error
    except PermissionError:
        raise
    except Exception as error:  # whatever a codec makes of foreign bytes
        raise ValueError(f"not a readable image ({', '.join(PICTURE_FORMATS)})") from error
    if picture.width * picture.height > PIXELS_PER_BYTE * max(size, 100):
        picture.close()
        raise TooLarge(f"its header declares {picture.width}x{picture.height} pixels, too many for {size} bytes")
    return picture


class TooLarge(ValueError):
    """An image whose header declares more pixels than there can be."""


def require_end(picture: Image.Image) -> None:
    """Refuse a JPEG that is cut short: OpenCV fills up the rest with grey, while other formats do not decode then.

    Raises:
        ValueError: the image has no end.
    """
    if picture.format not in ("JPEG", "MPO"):
        return
    picture.fp.seek(0)
    encoded = picture.fp.read()
    if encoded.rfind(b"\xff\xd9") > encoded.rfind(b"\xff\xda"):  # its last scan is followed by the mark of the end
        return
    try:
        picture.load()  # what follows the end, a film for example, may look like another scan
    except OSError as error:
        raise ValueError(f"cut short ({one_line(error)})") from error


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation that OpenCV applies to an image when it reads it; 1: none.

    In a PNG that is not decoded yet it is found only in front of the pixels, where it usually is.
    """
    try:
        # Pillow would decode a PNG without EXIF to the end, to look for it behind the pixels
        has_it = picture.format != "WEBP" and (picture.format != "PNG" or "exif" in picture.info)
        return (picture.getexif().get(0x0112) or 1) if has_it else 1
    except Exception:  # damaged EXIF, which OpenCV ignores
        return 1


def read_image(path: str) -> np.ndarray:
    """An image as uint8 BGR (H, W, 3): 16 bits become 8, alpha is left out.

    Goes through a buffer because `cv2.imread` takes no non-Latin path on Windows.
    """
    encoded = np.fromfile(path, np.uint8)
    with open_picture(io.BytesIO(encoded.data)) as picture:
        require_end(picture)
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("not a readable image")
    return image


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """A temporary name: the file that is written there appears at `path` at the end, whole or not at all.

    Each writer has a name of its own, so that two that write the same path at once do not write into each other's
    file. The file is on the disk before it is renamed: otherwise a power cut may leave `path` with nothing in it.
    """
    partial = f"{path}.{secrets.token_hex(4)}.part"
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):  # on a full disk half a checkpoint would be in the way of the next one
            os.remove(partial)
        raise


def is_left_over(path: str) -> bool:
    """Whether a writer that was killed left this temporary file behind: it has not changed for ten minutes."""
    return re.search(r"\.[0-9a-f]{8}\.part$", path) is not None and os.path.getmtime(path) < time.time() - 600


def write_image(path: str, image: np.ndarray) -> None:
    """Write a BGR or grey image whole or not at all; the suffix of `path` gives the format."""
    done, encoded = cv2.imencode(os.path.splitext(path)[1], image)
    if not done:
        raise ValueError(f"{path}: OpenCV cannot encode an image of shape {image.shape}")
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with replacing(path) as partial:
        encoded.tofile(partial)


def write_whole(path: str, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)

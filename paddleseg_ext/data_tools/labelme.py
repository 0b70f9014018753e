"""labelme's JSON polygons to label maps, drawn as labelme's own export draws them.

Format: https://github.com/wkentaro/labelme. EISeg writes the same.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX
from paddleseg_ext.datasets.description import BACKGROUND, IGNORED
from paddleseg_ext.files import open_picture, read_text

BACKGROUNDS = (BACKGROUND, "_background_")


def is_labelme(path: str, if_damaged: bool = False) -> bool:
    """Whether a JSON file is labelme's; COCO's for example is not. Of one that cannot be read: `if_damaged`."""
    try:
        content = json.loads(read_text(path))
    except (UserError, ValueError, RecursionError):
        return if_damaged
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


class Annotation:
    """The shapes of one JSON file; `size` is (width, height) of its image.

    Raises:
        UserError: not labelme's JSON; names the file.
    """

    def __init__(self, path: str):
        self.path = path
        try:
            content = json.loads(read_text(path))
            self.size = int(content["imageWidth"]), int(content["imageHeight"])
            self.shapes = [
                (str(shape["label"]), shape.get("shape_type") or "polygon", np.array(shape["points"], float), shape)
                for shape in content["shapes"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(f"{path}: not labelme's JSON: {type(error).__name__}, {one_line(error)}") from error

    @property
    def names(self) -> set[str]:
        return {name for name, *_ in self.shapes}

    def draw(self, size: tuple[int, int], index_of: dict[str, int], unpainted: int) -> np.ndarray:
        """The label map (H, W) uint8; later shapes lie over earlier ones.

        Args:
            size: (width, height) of the image.
            index_of: name -> class.
            unpainted: the value of pixels that no shape covers.

        Raises:
            UserError: the image has another size than the JSON, or a shape has no area or no class.
        """
        if size != self.size:
            raise UserError(
                f"{self.path}: drawn on {self.size[0]}x{self.size[1]} pixels, but its image has {size[0]}x{size[1]}: "
                "make them equal (an image with an EXIF rotation: rotate its pixels first)"
            )
        label = Image.new("L", size, unpainted)
        for number, (name, kind, points, shape) in enumerate(self.shapes, 1):
            if name not in index_of:
                raise UserError(f"{self.path}: shape {number} is {name!r}, which is not in classes.txt")
            try:
                _draw_shape(label, kind, points, shape, index_of[name])
            except Exception as error:  # whatever Pillow makes of odd points
                raise UserError(f"{self.path}: shape {number} ({name}): {one_line(error)}") from error
        return np.array(label)


def _draw_shape(label: Image.Image, kind: str, points: np.ndarray, shape: dict, value: int) -> None:
    corners = [tuple(point) for point in points.tolist()]
    needed = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 2}
    if kind not in needed:
        raise ValueError(f"a {kind} has no area; expected {', '.join(needed)}")
    if len(corners) < needed[kind] or not np.isfinite(points).all() or points.shape[1:] != (2,):
        raise ValueError(f"a {kind} of {len(corners)} points")
    if np.abs(points).max() > 10 * max(label.size):
        raise ValueError("its points are far outside of the image")
    canvas = ImageDraw.Draw(label)
    if kind == "polygon":
        canvas.polygon(corners, outline=value, fill=value)
    elif kind == "rectangle":
        canvas.rectangle([tuple(points.min(0)), tuple(points.max(0))], outline=value, fill=value)
    elif kind == "circle":
        (x, y), edge = corners[:2]
        radius = math.dist((x, y), edge)
        canvas.ellipse([x - radius, y - radius, x + radius, y + radius], outline=value, fill=value)
    else:
        with open_picture(io.BytesIO(base64.b64decode(shape["mask"]))) as mask:
            left, top = points.min(0).round().astype(int).tolist()
            label.paste(value, (left, top), mask.convert("L").point(lambda v: 255 * (v > 0)))


def classes_of(annotations: Iterable[Annotation]) -> tuple[str, ...]:
    """Background, then the names in the shapes, sorted."""
    names = set().union(*(annotation.names for annotation in annotations))
    return (BACKGROUND, *sorted(names - {*BACKGROUNDS, IGNORED}))


def numbering(names: tuple[str, ...]) -> tuple[dict[str, int], int]:
    """The value of each name that a shape may have, and of unpainted pixels: ignored if no class is the background."""
    index_of = {name: index for index, name in enumerate(names)} | {IGNORED: IGNORE_INDEX}
    background = next((index_of[name] for name in BACKGROUNDS if name in index_of), IGNORE_INDEX)
    return {**dict.fromkeys(BACKGROUNDS, background), **index_of}, background

"""What one image and its label hold: mistakes, sizes, and the pixels of each class."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from paddleseg.datasets import Dataset
from PIL import Image

from paddleseg_ext.command import one_line
from paddleseg_ext.data_tools.kinds import Problem
from paddleseg_ext.data_tools.splits import Sample, Split
from paddleseg_ext.datasets.base import has_one_colour
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX, LABEL_IDS
from paddleseg_ext.datasets.palettes import UNKNOWN
from paddleseg_ext.files import TooLarge, open_picture, orientation

MODES = {1: ("L",), 3: ("RGB", "RGBA", "L", "LA", "P")}
"""What OpenCV reads as so many channels without a loss that matters, by `img_channels`."""


@dataclass(frozen=True)
class Finding:
    """What one sample gave; `pixels` (num_classes,), the image's (width, height) and the hash of its pixels."""

    problems: list[Problem]
    pixels: np.ndarray
    ignored: int
    size: tuple[int, int] | None
    digest: bytes | None


def inspect(split: Split, sample: Sample) -> Finding:
    """Everything about one image and its label."""
    problems: list[Problem] = []

    def complain(kind: str, file: str, detail: str = "", extent: float = 1.0) -> None:
        problems.append(Problem(kind, split.name, file, detail, extent, sample.image, sample.label))

    image = _load(sample.image, "image", complain)
    digest = None
    if image is not None:
        digest = hashlib.blake2b(image.convert("RGB").tobytes() + repr(image.size).encode(), digest_size=16).digest()
        _inspect_image(image, sample.image, split.channels, complain)

    pixels, ignored = np.zeros(len(split.class_names), np.int64), 0
    path = sample.label
    label = _load(path, "label", complain) if path else None
    if path and label is not None:
        if image is not None and image.size != label.size:
            sizes = ["x".join(map(str, picture.size)) for picture in (image, label)]
            complain("size_mismatch", path, f"the image has {sizes[0]} pixels, the label {sizes[1]}")
        classes = _inspect_label(label, path, sample.index, split, complain)
        if classes is not None:
            counts = np.bincount(classes.ravel(), minlength=256)
            pixels, ignored = counts[: len(pixels)], int(counts[IGNORE_INDEX])
    return Finding(problems, pixels, ignored, image.size if image is not None else None, digest)


def _load(path: str, what: str, complain) -> Image.Image | None:
    if not os.path.isfile(path):
        complain(f"{what}_missing", path)
        return None
    try:
        picture = open_picture(path)
        picture.load()
    except TooLarge as error:
        complain("too_large", path, one_line(error))
    except Exception as error:  # whatever a codec makes of a broken file
        complain(f"{what}_unreadable", path, "0 bytes" if os.path.getsize(path) == 0 else one_line(error))
    else:
        return picture
    return None


def _inspect_image(image: Image.Image, path: str, channels: int, complain) -> None:
    if not cv2.haveImageReader(path):
        complain("image_unreadable", path, f"OpenCV, with which PaddleSeg reads images, has no {image.format} reader")
    depth = _png_depth(path)
    if image.mode not in MODES[channels] or depth == 16:
        what = {"RGBA": "with alpha", "LA": "grey with alpha", "P": "palette"}.get(image.mode, image.mode)
        complain("image_channels", path, f"{'16-bit ' * (depth == 16)}{what}, expected 8-bit, {channels} channels")
    if orientation(image) != 1:
        complain("image_rotated", path, f"EXIF orientation {orientation(image)}")
    if has_one_colour(image):
        complain("image_blank", path)


def _png_depth(path: str) -> int | None:
    """The bits per channel of a PNG, which Pillow does not tell."""
    with open(path, "rb") as file:
        header = file.read(25)
    return header[24] if header.startswith(b"\x89PNG") else None


def _inspect_label(label: Image.Image, path: str, index: int, split: Split, complain) -> np.ndarray | None:
    """The classes (H, W) of a label, `UNKNOWN` where it is wrong; None if it holds no classes of this data set."""
    complain = partial(complain, file=path)
    if label.format == "JPEG":
        complain("label_lossy")
        return None
    if label.mode in ("I", "F", "I;16", "I;16B") or _png_depth(path) == 16:
        complain("label_depth", detail=f"mode {label.mode}, largest value {np.asarray(label).max()}")
        return None
    if label.mode not in ("1", "L", "P") and not split.decoder.colours:
        bands = label.split()
        equal = all(band.tobytes() == bands[0].tobytes() for band in bands[1:3])
        complain("label_rgb", detail=f"{label.mode}{', three equal channels: save one' if equal else ''}")
        return None

    try:
        values = np.asarray(label) if split.dataset is None else _as_dataset_reads(split.dataset, index)
        classes = split.decoder.decode(label if split.dataset is None else Image.fromarray(values))
    except Exception as error:  # an image mode without classes, or whatever a data set of others raises
        complain("label_unreadable", detail=one_line(error))
        return None
    wrong = classes == UNKNOWN
    if values.ndim == 3 and wrong.any():
        colours, counts = np.unique(values[wrong][:, :3], axis=0, return_counts=True)
        often = ", ".join(str(tuple(colours[i].tolist())) for i in counts.argsort()[::-1][:3])
        detail = f"{len(colours)} colours in {wrong.mean():.2%} of the pixels, e.g. {often}"
        complain("label_colour", detail=detail, extent=wrong.mean())
    elif values.ndim == 2:
        kind = _wrong_numbering(path, values, wrong, split)
        if kind is not None:
            if kind == "label_0_255":
                wrong = values == 255
            found = ", ".join(map(str, _distinct(values[wrong])[:8]))
            detail = f"values {found} in {wrong.mean():.2%} of the pixels" if wrong.any() else "by its name"
            complain(kind, detail=detail, extent=wrong.mean())
            if kind != "label_range":
                return None  # its other values mean other classes, too
    if (classes == IGNORE_INDEX).all() and split.name != "test":  # all of Cityscapes' test labels are
        complain("label_empty")
    return classes


def _as_dataset_reads(dataset: Dataset, index: int) -> np.ndarray:
    return np.squeeze(dataset[index]["label"]).astype(np.uint8)


def _distinct(values: np.ndarray) -> list[int]:
    """The values below 256 that occur; much faster than `np.unique`."""
    return np.bincount(values.ravel(), minlength=256).nonzero()[0].tolist()


def _wrong_numbering(path: str, values: np.ndarray, wrong: np.ndarray, split: Split) -> str | None:
    """The kind of mistake that explains the values of a label, of which `wrong` are no class."""
    present, known = set(_distinct(values)), split.decoder.classes.keys()
    first_unknown = next(i for i in range(257) if i not in known)
    if present == {0, 255}:
        return "label_0_255"
    if path.endswith(("_labelIds.png", "_instanceIds.png")) and not split.decoder.colours:
        return "label_ids"
    if not wrong.any():
        return None
    if present - known == {first_unknown} and 0 not in present:
        return "label_one_based"
    if len(split.class_names) == 19 and max(present - {IGNORE_INDEX}) <= max(LABEL_IDS):
        return "label_ids"
    return "label_range"

"""Checks a data set: every image and label, then what only several of them show."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from paddleseg_ext.command import one_line
from paddleseg_ext.data_tools.problems import ONE_BIT, Problem
from paddleseg_ext.data_tools.splits import Sample, Split
from paddleseg_ext.datasets.base import has_one_colour
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX, LABEL_IDS
from paddleseg_ext.datasets.palettes import UNKNOWN
from paddleseg_ext.files import TooLarge, open_picture, orientation

OUTLIER = 10  # times the pixels of the median image

MODES = {1: ("L",), 3: ("RGB", "RGBA", "L", "LA", "P")}
"""What OpenCV reads as so many channels without a loss that matters, by `img_channels`."""


def check(splits: list[Split], num_workers: int) -> None:
    """Look into every file, in `num_workers` processes (0: in this one), and put what is found into the samples."""
    jobs = [(split, sample) for split in splits for sample in split.samples]
    if num_workers == 0:
        checked = [inspect(*job) for job in tqdm(jobs, unit="image")]
    else:
        with ProcessPoolExecutor(num_workers, initializer=_share, initargs=(jobs,)) as pool:
            results = pool.map(_inspect_job, range(len(jobs)), chunksize=4)
            checked = list(tqdm(results, total=len(jobs), unit="image"))
    in_order = iter(checked)
    for split in splits:
        split.samples = [next(in_order) for _ in split.samples]


_jobs: list[tuple[Split, Sample]] = []


def _share(jobs: list[tuple[Split, Sample]]) -> None:
    """Give a process the jobs once, so that a job travels as its number."""
    _jobs[:] = jobs


def _inspect_job(number: int) -> Sample:
    return inspect(*_jobs[number])


def all_problems(splits: list[Split], ignore: Iterable[str] = ()) -> list[Problem]:
    """What is wrong with the lists, with single files and with the data set as a whole, except the kinds `ignore`."""
    problems = [problem for split in splits for problem in split.problems]
    problems += [problem for split in splits for sample in split.samples for problem in sample.problems]
    problems += _find_duplicates(splits) + _find_outsized(splits)
    return [problem for problem in problems if problem.kind not in ignore]


def _find_duplicates(splits: list[Split]) -> list[Problem]:
    """Images that are in more than one split, pixel by pixel."""
    first: dict[bytes, tuple[str, str]] = {}
    problems = []
    for split in splits:
        for sample in split.samples:
            if sample.digest is None:
                continue
            other_split, other = first.setdefault(sample.digest, (split.name, sample.image))
            if other_split != split.name:
                problems.append(_about_image("duplicate", split, sample, f"equals {other} of {other_split}"))
    return problems


def _find_outsized(splits: list[Split]) -> list[Problem]:
    """Images of more than `OUTLIER` times the pixels of the median one of all splits."""
    sized = [(split, sample, *sample.size) for split in splits for sample in split.samples if sample.size]
    median = np.median([width * height for *_, width, height in sized]) if sized else 0
    return [
        _about_image(
            "size_outlier", split, sample, f"{width}x{height}, {width * height / median:.0f} times the median image"
        )
        for split, sample, width, height in sized
        if width * height > OUTLIER * median
    ]


def _about_image(kind: str, split: Split, sample: Sample, detail: str) -> Problem:
    return Problem(kind, split.name, sample.image, detail, image=sample.image, label=sample.label)


# ------------------------------------------------------------------------------------------ one image and its label


def inspect(split: Split, sample: Sample) -> Sample:
    """The sample with everything about its image and its label."""
    problems: list[Problem] = []

    def complain(kind: str, file: str, detail: str = "", extent: float = 1.0) -> None:
        problems.append(Problem(kind, split.name, file, detail, extent, sample.image, sample.label))

    image = _load(sample.image, "image", complain)
    digest = None
    if image is not None:
        digest = hashlib.blake2b(image.convert("RGB").tobytes() + repr(image.size).encode(), digest_size=16).digest()
        _inspect_image(image, sample.image, split.channels, complain)

    pixels, ignored = np.zeros(len(split.classes), np.int64), 0
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
    size = image.size if image is not None else None
    return replace(sample, problems=problems, pixels=pixels, ignored=ignored, size=size, digest=digest)


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
    if label.mode == "1" and split.dataset is None and split.classes.decoder is None:
        complain("label_0_255", detail=ONE_BIT)
        return None
    if label.mode not in ("1", "L", "P") and not split.decoder.colours:
        bands = label.split()
        equal = all(band.tobytes() == bands[0].tobytes() for band in bands[1:3])
        complain("label_rgb", detail=f"{label.mode}{', three equal channels: save one' if equal else ''}")
        return None

    try:
        if split.dataset is not None:
            label = Image.fromarray(np.squeeze(split.dataset[index]["label"]).astype(np.uint8))
        values, classes = np.asarray(label), split.decoder.decode(label)
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
    if len(split.classes) == 19 and max(present - {IGNORE_INDEX}) <= max(LABEL_IDS):
        return "label_ids"
    return "label_range"

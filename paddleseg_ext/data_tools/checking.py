"""Finds what is wrong with a data set: lists, pictures, labels, and their values."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from paddleseg.cvlibs import manager
from paddleseg.datasets import Cityscapes, Dataset
from paddleseg.utils.visualize import get_color_map_list
from PIL import Image
from tqdm import tqdm

from paddleseg_ext.command import UserError, nearest, one_line
from paddleseg_ext.datasets import cityscapes_classes
from paddleseg_ext.datasets.base import LabelTableDataset
from paddleseg_ext.datasets.description import describe
from paddleseg_ext.datasets.pairing import (
    LAYOUTS,
    SPLITS,
    Layout,
    find_layout,
    find_partners,
    list_in,
    read_list,
)
from paddleseg_ext.datasets.palettes import UNKNOWN, LabelDecoder
from paddleseg_ext.files import TooLarge, below, open_picture

IGNORED = cityscapes_classes.IGNORE_INDEX

KINDS: dict[str, tuple[str, str]] = {
    "list_missing": (
        "The list file is missing",
        "write it with tools/create_dataset_list.py, or fix the path in the YAML",
    ),
    "list_line": (
        "A line of a list is not a picture and a label",
        "write `picture label` with one separator between them, and name that separator in the YAML (`separator`)",
    ),
    "no_pictures": ("A split has no pictures", "fix dataset_root, or the list"),
    "outside_root": (
        "A list names no file of the data set",
        "write paths below dataset_root, without .., as UTF-8",
    ),
    "image_missing": ("There is no such picture", "add the file, or take its label or line out"),
    "label_missing": (
        "There is no such label",
        "add the file, or take its picture or line out (Cityscapes: convert_cityscapes.py makes *_labelTrainIds.png)",
    ),
    "pair_crossed": (
        "A picture has the label of another picture",
        "pair pictures and labels by name: tools/create_dataset_list.py does",
    ),
    "listed_twice": ("A list names the picture twice", "take one of the lines out"),
    "duplicate": (
        "The same picture is in two splits",
        "keep it in one: figures measured on pictures that were trained on are too good",
    ),
    "too_large": (
        "The header declares more pixels than there can be",
        "replace the file, or cut the picture into tiles",
    ),
    "image_unreadable": ("The picture cannot be decoded", "copy or download it again"),
    "label_unreadable": ("The label cannot be decoded", "copy or download it again"),
    "image_channels": (
        "The picture's channels are not what the data set has",
        "save it as an 8-bit picture with as many channels as img_channels says",
    ),
    "image_rotated": (
        "The picture has an EXIF rotation, which OpenCV applies to it and nothing to its label",
        "rotate the pixels and remove the EXIF tag",
    ),
    "image_blank": ("The picture has one colour only", "take it and its label out"),
    "size_mismatch": ("Picture and label have different sizes", "resize the label with nearest neighbour"),
    "label_lossy": (
        "The label is a JPEG, which changes its values",
        "export the labels again as PNG; a converted JPEG keeps the wrong values",
    ),
    "label_rgb": (
        "The label is a colour picture, expected one channel of class indices",
        "map each colour to its class index and save one channel, 0 for the first class",
    ),
    "label_depth": (
        "The label has more than 8 bits (instanceIds?)",
        "save class indices as an 8-bit PNG; for Cityscapes use *_labelTrainIds.png",
    ),
    "label_0_255": (
        "The label is a 0/255 mask",
        "divide it by 255, so that the object is class 1 (255 is ignored in training)",
    ),
    "label_ids": (
        "The label holds Cityscapes labelIds, expected trainIds",
        "convert with PaddleSeg's tools/data/convert_cityscapes.py and list *_labelTrainIds.png",
    ),
    "label_one_based": (
        "The classes are numbered from 1",
        "subtract 1 from the label, so that classes are 0 to num_classes - 1",
    ),
    "label_range": (
        "The label holds values that are no class",
        "give these pixels a class or the ignore index, or raise num_classes",
    ),
    "label_colour": (
        "The label holds colours that are no class of the data set",
        "save labels without smoothing (nearest neighbour, PNG) in the data set's colours",
    ),
    "label_empty": ("The label is ignored everywhere", "label the picture, or take it out: nothing is learnt from it"),
}
"""kind -> what it is, and the fix."""


@dataclass(frozen=True)
class Problem:
    """One mistake; `extent` is the share of the label's pixels that it concerns."""

    kind: str
    split: str
    file: str
    detail: str
    extent: float = 1.0
    image: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Sample:
    """A picture and, except in a test split, its label; index is that of the data set."""

    image: str
    label: str | None
    index: int


@dataclass
class Split:
    """What a split holds and how its labels are read; `dataset` only if it reads them in a way of its own."""

    name: str
    root: str
    class_names: list[str]
    colours: np.ndarray  # (256, 3) uint8, RGB
    decoder: LabelDecoder
    channels: int
    dataset: Dataset | None = None
    samples: list[Sample] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def complain(self, kind: str, file: str, detail: str = "") -> None:
        self.problems.append(Problem(kind, self.name, file, detail))


@dataclass(frozen=True)
class Finding:
    """What one sample gave; `pixels` (num_classes,), and the hash of the decoded picture."""

    problems: list[Problem]
    pixels: np.ndarray
    ignored: int
    digest: bytes | None


# ------------------------------------------------------------------------------------------ which files there are


def find_splits(sections: Iterable[dict]) -> list[Split]:
    """The splits of a YAML's ``train_dataset`` and ``val_dataset``, with what is wrong with their lists.

    Raises:
        UserError: a `type` that is not registered, or no `num_classes`.
    """
    candidates = [(split, _mode(settings)) for settings in sections for split in _splits_of(settings)]
    splits: dict[str, Split] = {}
    for split, _ in sorted(candidates, key=lambda candidate: candidate[0].name != candidate[1]):
        splits.setdefault(split.name, split)  # a section knows the list of its own mode best
    return list(splits.values())


def _mode(settings: dict) -> str:
    return settings.get("mode", "train").lower()


def _splits_of(settings: dict) -> list[Split]:
    type_ = settings.get("type")
    if type_ not in manager.DATASETS.components_dict:
        raise UserError(f"type: {type_} is not a data set; {nearest(str(type_), manager.DATASETS.components_dict)}")
    component = manager.DATASETS[type_]
    mode = _mode(settings)
    if not os.path.isdir(settings.get("dataset_root") or ""):
        raise UserError(f"dataset_root: {settings.get('dataset_root')}: there is no such folder")
    if not (issubclass(component, LabelTableDataset) or component in (Dataset, Cityscapes)):
        return [_from_dataset(component, settings, mode)]

    lists = {name: settings.get(f"{name}_path") for name in SPLITS}
    if issubclass(component, LabelTableDataset):
        lists = {name: path or list_in(settings["dataset_root"], name) for name, path in lists.items()}
    splits = []
    for name, list_path in lists.items():
        split = _new_split(component, settings, name)
        if list_path is not None:
            _add_list(split, list_path, settings.get("separator", " "))
        elif component is not Dataset and (name == mode or not any(lists.values())):
            layout = LAYOUTS["cityscapes"][0] if component is Cityscapes else find_layout(split.root, component.LAYOUT)
            _add_folders(split, layout)
        if not split.samples and (name == mode or split.problems):
            split.complain("no_pictures", list_path or split.root)
        if split.samples or split.problems:
            splits.append(split)
    return splits


def _new_split(component: type, settings: dict, name: str) -> Split:
    classes = describe(component, settings)
    num_classes = len(classes.names)
    colours = np.array(get_color_map_list(256), np.uint8).reshape(-1, 3)
    colours[:num_classes] = classes.colours
    indices = {i: i for i in range(num_classes)} | {classes.ignore_index: IGNORED}
    return Split(
        name=name,
        root=settings["dataset_root"],
        class_names=list(classes.names),
        colours=colours,
        decoder=classes.decoder or LabelDecoder(indices, colours={}),
        channels=getattr(component, "IMG_CHANNELS", settings.get("img_channels", 3)),
    )


def _from_dataset(component: type, settings: dict, mode: str) -> Split:
    """Of a data set that this module does not know: its own file list, and labels as it reads them."""
    split = _new_split(component, settings, mode)
    arguments = {key: value for key, value in settings.items() if key not in ("type", "transforms")}
    dataset = component(transforms=[], **arguments)
    split.samples = [Sample(image, label, i) for i, (image, label) in enumerate(dataset.file_list)]
    if component.__getitem__ is not Dataset.__getitem__:
        split.dataset = dataset
    return split


def _add_list(split: Split, list_path: str, separator: str) -> None:
    if not os.path.isfile(list_path):
        split.complain("list_missing", list_path)
        return
    seen: dict[str, int] = {}
    for number, fields in read_list(list_path, separator):
        line = f"{list_path}:{number}"
        if len(fields) != 2 and not (split.name == "test" and len(fields) == 1 and fields[0]):
            split.complain("list_line", line, _line_detail(split.root, fields, separator))
            continue
        try:
            image, *label = (below(split.root, name) for name in fields)
        except ValueError as error:
            split.complain("outside_root", line, str(error))
            continue
        if image in seen:
            split.complain("listed_twice", image, f"lines {seen[image]} and {number} of {list_path}")
        seen.setdefault(image, number)
        split.samples.append(Sample(image, label[0] if label else None, len(split.samples)))
    _find_crossed_pairs(split)


def _line_detail(root: str, fields: list[str], separator: str) -> str:
    line = separator.join(fields)
    if not line:
        return "empty line"
    for other in (",", "\t", " ", ";", "|"):
        parts = line.split(other)
        if len(parts) == 2 and all(os.path.isfile(os.path.join(root, part)) for part in parts):
            return f"the separator is {other!r}, expected {separator!r}"
    return f"{len(fields)} fields separated by {separator!r}: {line[:80]}"


def _find_crossed_pairs(split: Split) -> None:
    def key(path: str) -> str:
        return re.sub(r"(_leftImg8bit|_gtFine_\w+|_label|_mask|_L)$", "", Path(path).stem)

    labels = {key(sample.label): sample.label for sample in split.samples if sample.label}
    for sample in split.samples:
        own = labels.get(key(sample.image))
        if own and key(sample.label or own) != key(sample.image):
            split.complain("pair_crossed", sample.image, f"is listed with {sample.label}, has {own}")


def _add_folders(split: Split, layout: Layout) -> None:
    partners = find_partners(split.root, layout, split.name)
    unlabelled = split.name == "test" and partners.unlabelled
    pairs = [(image, None) for image in partners.images_alone] if unlabelled else partners.pairs
    for index, pair in enumerate(pairs):
        split.samples.append(Sample(*(file and os.path.join(split.root, file) for file in pair), index))
    if not unlabelled:
        for image in partners.images_alone:
            split.complain("label_missing", os.path.join(split.root, image), "the picture has no label")
    for label in partners.labels_alone:
        split.complain("image_missing", os.path.join(split.root, label), "the label has no picture")


# ------------------------------------------------------------------------------------------ what the files hold


def check(splits: list[Split], num_workers: int) -> dict[str, list[Finding]]:
    """Look into every file, in `num_workers` processes; the findings of each split, in its order."""
    jobs = [(split, sample) for split in splits for sample in split.samples]
    with ProcessPoolExecutor(num_workers, initializer=_share, initargs=(jobs,)) as pool:
        results = pool.map(_inspect_job, range(len(jobs)), chunksize=4)
        findings = list(tqdm(results, total=len(jobs), unit="picture"))
    by_split: dict[str, list[Finding]] = {split.name: [] for split in splits}
    for (split, _), finding in zip(jobs, findings):
        by_split[split.name].append(finding)
    return by_split


_jobs: list[tuple[Split, Sample]] = []


def _share(jobs: list[tuple[Split, Sample]]) -> None:
    """Give a process the jobs once, so that a job travels as its number."""
    _jobs[:] = jobs


def _inspect_job(number: int) -> Finding:
    return inspect(*_jobs[number])


def inspect(split: Split, sample: Sample) -> Finding:
    """Everything about one picture and its label."""
    problems: list[Problem] = []

    def complain(kind: str, file: str, detail: str = "", extent: float = 1.0) -> None:
        problems.append(Problem(kind, split.name, file, detail, extent, sample.image, sample.label))

    image = _load(sample.image, "image", complain)
    digest = None
    if image is not None:
        digest = hashlib.blake2b(image.convert("RGB").tobytes() + repr(image.size).encode(), digest_size=16).digest()
        _inspect_image(image, sample.image, split.channels, complain)

    pixels, ignored = np.zeros(len(split.class_names), np.int64), 0
    label = _load(sample.label, "label", complain) if sample.label else None
    if label is not None:
        if image is not None and image.size != label.size:
            sizes = ["x".join(map(str, picture.size)) for picture in (image, label)]
            complain("size_mismatch", sample.label, f"the picture has {sizes[0]} pixels, the label {sizes[1]}")
        classes = _inspect_label(label, sample, split, complain)
        if classes is not None:
            counts = np.bincount(classes.ravel(), minlength=256)
            pixels, ignored = counts[: len(pixels)], int(counts[IGNORED])
    return Finding(problems, pixels, ignored, digest)


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
        complain("image_unreadable", path, f"OpenCV, with which PaddleSeg reads pictures, has no {image.format} reader")
    depth = _png_depth(path)
    if image.mode != {1: "L", 3: "RGB"}[channels] or depth == 16:
        what = {"L": "grey", "RGBA": "with alpha", "LA": "grey with alpha", "P": "palette"}.get(image.mode, image.mode)
        complain("image_channels", path, f"{'16-bit ' * (depth == 16)}{what}, expected 8-bit, {channels} channels")
    orientation = _orientation(image)
    if orientation not in (0, 1):
        complain("image_rotated", path, f"EXIF orientation {orientation}")
    extrema = image.getextrema()
    if all(low == high for low, high in (extrema if isinstance(extrema[0], tuple) else [extrema])):
        complain("image_blank", path)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # damaged EXIF, which OpenCV passes over
        return 1


def _png_depth(path: str) -> int | None:
    """The bits per channel of a PNG, which Pillow does not tell."""
    with open(path, "rb") as file:
        header = file.read(25)
    return header[24] if header.startswith(b"\x89PNG") else None


def _inspect_label(label: Image.Image, sample: Sample, split: Split, complain) -> np.ndarray | None:
    """The classes (H, W) of a label, `UNKNOWN` where it is wrong; None if it holds no classes of this data set."""
    path = sample.label
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
        values = np.asarray(label) if split.dataset is None else _as_dataset_reads(split.dataset, sample.index)
        classes = split.decoder.decode(label if split.dataset is None else Image.fromarray(values))
    except Exception as error:  # a picture mode without classes, or whatever a data set of others raises
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
    if (classes == IGNORED).all() and split.name != "test":  # all of Cityscapes' test labels are
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
    if len(split.class_names) == 19 and max(present - {IGNORED}) <= max(cityscapes_classes.LABEL_IDS):
        return "label_ids"
    return "label_range"


def find_duplicates(splits: list[Split], findings: dict[str, list[Finding]]) -> list[Problem]:
    """Pictures that are in more than one split, pixel by pixel."""
    first: dict[bytes, tuple[str, str]] = {}
    problems = []
    for split in splits:
        for sample, finding in zip(split.samples, findings[split.name]):
            if finding.digest is None:
                continue
            other_split, other = first.setdefault(finding.digest, (split.name, sample.image))
            if other_split != split.name:
                detail = f"equals {other} of {other_split}"
                problems.append(Problem("duplicate", split.name, sample.image, detail, 1.0, sample.image, sample.label))
    return problems

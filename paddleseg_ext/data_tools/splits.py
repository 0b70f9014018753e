"""Which images and labels a data set's splits have, and how its labels are read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from paddleseg.cvlibs import manager
from paddleseg.datasets import Cityscapes, Dataset

from paddleseg_ext.command import UserError, nearest
from paddleseg_ext.data_tools.problems import Problem
from paddleseg_ext.datasets.base import LabelTableDataset
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX
from paddleseg_ext.datasets.description import Classes, describe
from paddleseg_ext.datasets.lists import SEPARATORS, SPLITS, list_in, read_list
from paddleseg_ext.datasets.pairing import LAYOUTS, Partners, find_layout, find_partners
from paddleseg_ext.datasets.palettes import LabelDecoder
from paddleseg_ext.files import below


@dataclass(frozen=True)
class Sample:
    """An image and, except in a test split, its label; and, once it is checked, what they hold.

    Attributes:
        index: that of the data set.
        pixels: of each class (num_classes,).
        ignored: pixels of the label that are ignored.
        size: (width, height) of the image; None if it cannot be read.
        digest: the hash of the image's pixels.
    """

    image: str
    label: str | None
    index: int
    problems: list[Problem] = field(default_factory=list)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    ignored: int = 0
    size: tuple[int, int] | None = None
    digest: bytes | None = None


@dataclass
class Split:
    """What a split holds and how its labels are read; `dataset` only if it reads them in a way of its own."""

    name: str
    root: str
    classes: Classes
    channels: int
    dataset: Dataset | None = None
    samples: list[Sample] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @cached_property
    def decoder(self) -> LabelDecoder:
        known = {i: i for i in range(len(self.classes))} | {self.classes.ignore_index: IGNORE_INDEX}
        return self.classes.decoder or LabelDecoder(known, colours={})

    def complain(self, kind: str, file: str, detail: str = "") -> None:
        self.problems.append(Problem(kind, self.name, file, detail))

    def add(self, partners: Partners, labels_optional: bool) -> None:
        """Take in files that are paired by name; those without a partner are problems."""
        for image, label in (*partners.pairs, *((image, None) for image in partners.images_alone)):
            path = os.path.join(self.root, image)
            if label or labels_optional:
                self.samples.append(Sample(path, label and os.path.join(self.root, label), len(self.samples)))
            else:
                self.complain("label_missing", path, "the image has no label")
        for label in partners.labels_alone:
            self.complain("image_missing", os.path.join(self.root, label), "the label has no image")


def find_splits(sections: Iterable[dict]) -> list[Split]:
    """The splits of a YAML's ``train_dataset`` and ``val_dataset``, with what is wrong with their lists.

    Raises:
        UserError: a `type` that is not registered, no folder `dataset_root`, or no `num_classes`.
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
    mode, root = _mode(settings), settings.get("dataset_root") or ""
    if not os.path.isdir(root):
        raise UserError(f"dataset_root: {settings.get('dataset_root')}: there is no such folder")
    classes = describe(component, settings)
    channels = getattr(component, "IMG_CHANNELS", settings.get("img_channels", 3))
    if not (issubclass(component, LabelTableDataset) or component in (Dataset, Cityscapes)):
        return [_from_dataset(component, settings, Split(mode, root, classes, channels))]

    lists = {name: settings.get(f"{name}_path") for name in SPLITS}
    if issubclass(component, LabelTableDataset):
        lists = {name: path or list_in(root, name) for name, path in lists.items()}
    splits = []
    for name, list_path in lists.items():
        split = Split(name, root, classes, channels)
        if list_path is not None:
            _add_list(split, list_path, settings.get("separator", " "))
        elif component is not Dataset and (name == mode or not any(lists.values())):
            layout = LAYOUTS["cityscapes"][0] if component is Cityscapes else find_layout(root, component.LAYOUT)
            partners = find_partners(root, layout, name)
            split.add(partners, labels_optional=name == "test" and partners.unlabelled)
        if not split.samples and (name == mode or split.problems):
            split.complain("no_images", list_path or root)
        if split.samples or split.problems:
            splits.append(split)
    return splits


def _from_dataset(component: type[Dataset], settings: dict, split: Split) -> Split:
    """Of a data set that this module does not know: its own file list, and labels as it reads them."""
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
        try:
            if len(fields) != 2 and not (split.name == "test" and len(fields) == 1):
                raise ValueError(_line_detail(split.root, fields, separator))
            image, *label = files = [below(split.root, name, outside=True) for name in fields]
            if any("\\" in name and not os.path.isfile(file) for name, file in zip(fields, files)):
                raise ValueError(f"\\ instead of /: {separator.join(fields)[:80]}")
        except ValueError as error:
            split.complain("list_line", f"{list_path}:{number}", str(error))
            continue
        if seen.setdefault(image, number) != number:
            split.complain("listed_twice", image, f"lines {seen[image]} and {number} of {list_path}")
        split.samples.append(Sample(image, label[0] if label else None, len(split.samples)))
    _find_crossed_pairs(split)


def _line_detail(root: str, fields: list[str], separator: str) -> str:
    line = separator.join(fields)
    for other in (*SEPARATORS, ";"):
        parts = line.split(other)
        if len(parts) == 2 and all(os.path.isfile(os.path.join(root, part)) for part in parts):
            return f"the separator is {other!r}, expected {separator!r}"
    spaces = ", or a space in a name, which needs another separator" if separator == " " and len(fields) > 2 else ""
    return f"{len(fields)} fields separated by {separator!r}{spaces}: {line[:80]}"


def _find_crossed_pairs(split: Split) -> None:
    def key(path: str) -> str:
        return re.sub(r"(_leftImg8bit|_gtFine_\w+|_label|_mask|_L)$", "", Path(path).stem)

    labels = {key(sample.label): sample.label for sample in split.samples if sample.label}
    for sample in split.samples:
        own = labels.get(key(sample.image))
        if own and key(sample.label or own) != key(sample.image):
            split.complain("pair_crossed", sample.image, f"is listed with {sample.label}, has {own}")

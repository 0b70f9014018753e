"""What CamVid and GTAV share: labels decoded by table look-up, with file lists or without."""

from __future__ import annotations

import os
from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
import paddleseg.transforms.functional as F
from paddleseg.datasets import Dataset
from paddleseg.transforms import Compose
from paddleseg.utils import logger
from PIL import Image

from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX
from paddleseg_ext.datasets.lists import SPLITS, list_in, read_pairs
from paddleseg_ext.datasets.pairing import find_layout, find_partners
from paddleseg_ext.datasets.palettes import LabelDecoder
from paddleseg_ext.files import open_picture

MODES = {**{split: (split,) for split in SPLITS}, "trainval": ("train", "val")}
"""The splits of each mode."""

BLANK_BYTES = 1 << 16
"""An image of one colour compresses to less than this; only such small files are opened to look for blank ones."""


class LabelTableDataset(Dataset):
    """A data set whose label images go through a `LabelDecoder`.

    Files come from a list, as `paddleseg.datasets.Dataset` has them, or from the folders of a `Layout`. Images
    without label, labels without image and blank images are skipped and counted in one warning. Mode "trainval"
    is trained like "train", on train and val together. Mode "test" is evaluated like "val"; list lines without label
    are allowed in it.

    Arguments are those of `paddleseg.datasets.Dataset`.

    Args:
        train_path: the list of train; None: `dataset_root`/train.txt if there is one, else the folders are searched.
        val_path: that of val.
        test_path: that of test.

    Raises:
        ValueError: unknown mode; a list line with a wrong number of fields or a path out of `dataset_root`.
        FileNotFoundError: no `dataset_root` or list.
        UserError: neither lists nor folders of the layout; a list of one split of "trainval" and none of the other; an
            image that is read and its label have different sizes.
    """

    NUM_CLASSES: int
    CLASSES: tuple[str, ...]
    PALETTE: tuple[tuple[int, int, int], ...]
    IGNORE_INDEX = IGNORE_INDEX
    IMG_CHANNELS = 3
    LAYOUT: str  # key of LAYOUTS

    def __init__(
        self,
        transforms: list,
        dataset_root: str,
        mode: str = "train",
        train_path: str | None = None,
        val_path: str | None = None,
        test_path: str | None = None,
        separator: str = " ",
        edge: bool = False,
    ):
        self.dataset_root = dataset_root
        self.transforms = Compose(transforms)
        self.mode = mode.lower()
        self.num_classes = self.NUM_CLASSES
        self.ignore_index = self.IGNORE_INDEX
        self.edge = edge
        if self.mode not in MODES:
            raise ValueError(f"mode: {mode}, expected one of {', '.join(MODES)}")
        if not os.path.isdir(dataset_root):
            raise FileNotFoundError(f"dataset_root: {dataset_root}: there is no such folder")

        lists = {"train": train_path, "val": val_path, "test": test_path}
        lists = {split: lists[split] or list_in(dataset_root, split) for split in MODES[self.mode]}
        files: list[list] = []
        alone = 0
        if any(lists.values()):
            for split, path in lists.items():
                files += self._from_list(split, path, separator)
        else:
            layout = find_layout(dataset_root, self.LAYOUT)
            for split in lists:
                partners = find_partners(dataset_root, layout, split)
                files += [[os.path.join(dataset_root, file) for file in pair] for pair in partners.pairs]
                alone += len(partners.images_alone) + len(partners.labels_alone)
        self.file_list = [pair for pair in files if not is_blank(pair[0])]
        blank = len(files) - len(self.file_list)
        if blank or alone:
            logger.warning(
                f"{dataset_root}, {self.mode}: skipped {blank} blank images and {alone} files without partner "
                "(tools/check_dataset.py names them)"
            )

    @classmethod
    @abstractmethod
    def decoder_of(cls, settings: dict) -> LabelDecoder:
        """How labels are read with the arguments `settings`."""

    @cached_property
    def decoder(self) -> LabelDecoder:
        return self.decoder_of({})

    def _from_list(self, split: str, path: str | None, separator: str) -> list[list[str | None]]:
        if path is None:
            raise UserError(
                f"mode {self.mode}: there is no list of {split}, neither {split}_path nor "
                f"{os.path.join(self.dataset_root, split)}.txt: write it (tools/create_dataset_list.py), or take "
                "the other list away too, and the folders are searched"
            )
        pairs = read_pairs(path, self.dataset_root, separator, labels_optional=split == "test")
        return [[image, label[0] if label else None] for image, *label in pairs]

    def __getitem__(self, index: int) -> dict:
        image, label = self.file_list[index]
        data: dict[str, Any] = {"img": image, "trans_info": [], "gt_fields": []}
        if label is not None:
            data["label"] = self.decoder.read(label)
            with open_picture(image) as picture:
                check_sizes(image, label, picture.size, data["label"].shape[::-1])
        if self.mode in ("train", "trainval"):
            data["gt_fields"].append("label")
            data = self.transforms(data)
            if self.edge:
                data["edge"] = F.mask_to_binary_edge(data["label"], radius=2, num_classes=self.num_classes)
            return data
        data = self.transforms(data)
        if label is not None:
            data["label"] = data["label"][np.newaxis]
        return data


def check_sizes(image: str, label: str, image_size: tuple[int, int], label_size: tuple[int, int]) -> None:
    """Raises `UserError` unless the sizes (width, height) of an image and its label are equal.

    A larger label would be cropped out of place without an error; GTAV has such pairs.
    """
    if image_size != label_size:
        (width, height), (label_width, label_height) = image_size, label_size
        raise UserError(
            f"{label}: {label_width}x{label_height} pixels, but its image {image} has {width}x{height}: "
            "make them equal or take the pair out of the list"
        )


def is_blank(path: str) -> bool:
    """Whether an image file is empty or of one colour; a missing one is not (it is an error later on)."""
    if not os.path.isfile(path) or os.path.getsize(path) >= BLANK_BYTES:
        return False
    if os.path.getsize(path) == 0:
        return True
    try:
        with open_picture(path) as picture:
            return has_one_colour(picture)
    except (OSError, SyntaxError, ValueError):
        return False


def has_one_colour(picture: Image.Image) -> bool:
    extrema = picture.getextrema()
    return all(low == high for low, high in (extrema if isinstance(extrema[0], tuple) else [extrema]))

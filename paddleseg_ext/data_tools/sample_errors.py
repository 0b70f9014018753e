"""Data errors that name their file: lists are checked before the first step, images as they are read."""

from __future__ import annotations

import codecs
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import paddle
from paddleseg.datasets import Dataset

from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.data_tools.problems import KINDS, ONE_BIT
from paddleseg_ext.datasets.base import check_sizes
from paddleseg_ext.datasets.lists import read_pairs
from paddleseg_ext.files import open_picture, orientation, require_end


@contextmanager
def checked_list(dataset_arguments: dict) -> Iterator[dict]:
    """The arguments of a data set after a check of the file list that they name (`<mode>_path`).

    PaddleSeg's data sets stumble over empty lines and a byte order mark, so they get a copy of a list that has any.

    Raises:
        UserError: the list is missing or empty, or a line is not as `read_pairs` wants it; names file and line.
    """
    mode = str(dataset_arguments.get("mode", "train")).lower()
    path = dataset_arguments.get(f"{mode}_path")
    if path is None:
        yield dataset_arguments
        return
    if not os.path.isfile(path):
        raise UserError(f"{mode}_path: {path}: there is no such file (tools/new_config.py makes one)")
    root, separator = dataset_arguments.get("dataset_root") or "", dataset_arguments.get("separator", " ")
    try:
        count = sum(1 for _ in read_pairs(path, root, separator, labels_optional=mode == "test"))
    except ValueError as error:
        raise UserError(str(error)) from error
    if not count:
        raise UserError(f"{path}: an empty list: write a line `image{separator}label` for each image")
    with open(path, "rb") as file:
        text = file.read()
    lines = text.removeprefix(codecs.BOM_UTF8).splitlines(keepends=True)
    if len(lines) == count and not text.startswith(codecs.BOM_UTF8):
        yield dataset_arguments
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, os.path.basename(path))
        with open(copy, "wb") as file:
            file.writelines(line for line in lines if line.strip())
        yield {**dataset_arguments, f"{mode}_path": copy}


def name_files_in_errors(dataset: paddle.io.Dataset) -> paddle.io.Dataset:
    """`dataset`, after a check that the files of its `file_list` exist, with transforms whose errors name the file.

    Raises:
        UserError: an image or a label is missing, or belongs to another image.
    """
    _check_files(getattr(dataset, "file_list", []))
    if hasattr(dataset, "transforms"):
        holds_classes = type(dataset).__getitem__ is Dataset.__getitem__  # others may change the values on the way
        classes = (dataset.num_classes, dataset.ignore_index) if holds_classes else None
        dataset.transforms = TransformsWithFileNames(dataset.transforms, classes)
    return dataset


class TransformsWithFileNames:
    """Calls `transforms`; what it raises, and what is wrong with the label, becomes one line that names the file.

    Args:
        classes: (num_classes, ignore_index) of labels that hold class indices, which are checked then: a GPU would
            stop at a wrong one with an assertion that names neither file nor value.
    """

    def __init__(self, transforms, classes: tuple[int, int] | None = None):
        self.transforms = transforms
        self.classes = classes

    def __call__(self, data: dict) -> dict:
        files = [file for file in (data.get("img"), data.get("label")) if isinstance(file, str)]
        headers = [_Header.of(file) for file in files]
        if len(files) == 2:
            _check_pair(headers[0], headers[1], holds_classes=self.classes is not None)
        try:
            data = self.transforms(data)
        except Exception as error:
            if files and cv2.imread(files[0]) is None:
                raise UserError(f"{files[0]}: a damaged image that does not decode: replace it") from error
            raise UserError(f"{' with '.join(files)}: cannot be transformed: {one_line(error)}") from error
        if len(files) == 2 and self.classes is not None:
            _check_values(files[1], data["label"], *self.classes)
        return data


@dataclass(frozen=True)
class _Header:
    """What the head of an image file says; `orientation` is that of EXIF, 1 as it lies."""

    path: str
    size: tuple[int, int]
    mode: str
    orientation: int

    @classmethod
    def of(cls, path: str) -> _Header:
        try:
            with open_picture(path) as picture:
                require_end(picture)
                return cls(path, picture.size, picture.mode, orientation(picture))
        except PermissionError:
            raise
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: {one_line(error)}: replace it") from error


def _check_pair(image: _Header, label: _Header, holds_classes: bool) -> None:
    if image.orientation != 1:
        raise UserError(_as_kind(image.path, "image_rotated", f"EXIF orientation {image.orientation}"))
    check_sizes(image.path, label.path, image.size, label.size)
    if holds_classes and label.mode == "1":
        raise UserError(_as_kind(label.path, "label_0_255", ONE_BIT))
    if holds_classes and label.mode not in ("L", "P"):
        kind = "label_depth" if label.mode.startswith(("I", "F")) else "label_rgb"
        raise UserError(_as_kind(label.path, kind, f"mode {label.mode}"))


def _check_values(path: str, label: np.ndarray, num_classes: int, ignore_index: int) -> None:
    wrong = (label >= num_classes) & (label != ignore_index)
    if wrong.any():
        values = ", ".join(map(str, np.unique(label[wrong])[:8]))
        raise UserError(_as_kind(path, "label_range", f"{values}, where classes are 0 to {num_classes - 1}"))


def _as_kind(path: str, kind: str, detail: str) -> str:
    """In the words of tools/check_dataset.py, which finds all files like this one."""
    what, fix = KINDS[kind]
    return f"{path}: {what} ({detail}): {fix}; tools/check_dataset.py finds all such files"


def _check_files(file_list) -> None:
    missing = [path for pair in file_list for path in pair if path is not None and not os.path.isfile(path)]
    if missing:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{missing[0]}: listed, but there is no such file{others}: fix the list or add the file")
    for image, label in file_list:
        # PaddleSeg's Cityscapes pairs two sorted listings, so that one missing label shifts all that follow
        scene, is_cityscapes, _ = os.path.basename(image).partition("_leftImg8bit")
        if is_cityscapes and label is not None and not os.path.basename(label).startswith(f"{scene}_gtFine"):
            raise UserError(f"{image}: it has no label, or {label} has no image: each needs its partner")

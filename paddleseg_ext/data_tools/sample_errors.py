"""Data errors that name their file: lists are checked before the first step, pictures as they are read."""

from __future__ import annotations

import os

import cv2
import paddle

from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.datasets.pairing import read_pairs
from paddleseg_ext.files import open_picture, require_end


def check_list(dataset_arguments: dict) -> None:
    """Check the file list that a data set's arguments name (`train_path`, `val_path` or `test_path` by `mode`).

    Raises:
        UserError: the list is missing or empty, or a line is not as `read_pairs` wants it; names file and line.
    """
    mode = str(dataset_arguments.get("mode", "train")).lower()
    path = dataset_arguments.get(f"{mode}_path")
    if path is None:
        return
    if not os.path.isfile(path):
        raise UserError(f"{mode}_path: {path}: there is no such file (tools/create_dataset_list.py makes one)")
    root, separator = dataset_arguments.get("dataset_root") or "", dataset_arguments.get("separator", " ")
    try:
        lines = sum(1 for _ in read_pairs(path, root, separator, labels_optional=mode == "test"))
    except ValueError as error:
        raise UserError(str(error)) from error
    if not lines:
        raise UserError(f"{path}: an empty list: write a line `image{separator}label` for each picture")


def name_files_in_errors(dataset: paddle.io.Dataset) -> paddle.io.Dataset:
    """`dataset`, after a check that the files of its `file_list` exist, with transforms whose errors name the file.

    Raises:
        UserError: an image or a label is missing, or belongs to another image.
    """
    _check_files(getattr(dataset, "file_list", []))
    if hasattr(dataset, "transforms"):
        dataset.transforms = TransformsWithFileNames(dataset.transforms)
    return dataset


class TransformsWithFileNames:
    """Calls `transforms`; what it raises becomes one line with the picture and the label."""

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, data: dict) -> dict:
        files = [data.get(key) for key in ("img", "label")]
        files = [file for file in files if isinstance(file, str)]
        sizes = [_picture_size(file) for file in files]
        if len(set(sizes)) > 1:
            (image, label), (w, h), (label_w, label_h) = files, *sizes
            raise UserError(f"{label}: {label_w}x{label_h} pixels, but its image {image} has {w}x{h}: make them equal")
        try:
            return self.transforms(data)
        except Exception as error:
            if files and cv2.imread(files[0]) is None:
                raise UserError(f"{files[0]}: a damaged picture that does not decode: replace it") from error
            raise UserError(f"{' with '.join(files)}: cannot be transformed: {one_line(error)}") from error


def _picture_size(path: str) -> tuple[int, int]:
    """(width, height) from the header of a picture that is whole."""
    try:
        with open_picture(path) as picture:
            require_end(picture)
            return picture.size
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {one_line(error)}: replace it") from error


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

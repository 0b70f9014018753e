"""What the image tools share: which images, and the loop over them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from paddleseg.cvlibs import Config
from tqdm import tqdm

from paddleseg_ext.builder import Builder
from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.datasets.lists import list_images, read_images
from paddleseg_ext.files import read_image


@dataclass(frozen=True)
class Picture:
    """An image to work on; `name` is its relative path without suffix, unique within a run."""

    path: str
    name: str
    label_path: str | None = None


def list_pictures(image_path: str, label_path: str | None = None, flag: str = "--image_path") -> list[Picture]:
    """The images of `flag`, each once, with the labels that `--label_path` or the list itself names."""
    paths, folder = list_images(image_path, flag, outside=True)
    paths = [os.path.abspath(path) for path in dict.fromkeys(paths)]
    listed = {}
    if folder is not None and os.path.isfile(image_path):  # a list
        lines = read_images(image_path, outside=True)
        listed = {os.path.abspath(image): os.path.abspath(label[0]) for image, *label in lines if label}
    names = _names(paths, image_path if os.path.isdir(image_path) else None)

    def label_of(path: str, name: Path) -> str | None:
        if label_path is None:
            return listed.get(path)
        if os.path.isdir(label_path):
            label = Path(label_path, name).with_suffix(".png")
            return str(label) if label.is_file() else None
        return label_path if len(paths) == 1 and os.path.isfile(label_path) else None

    labels = {path: label_of(path, name) for path, name in names.items()}
    if label_path is not None and not any(labels.values()):
        raise UserError(f"--label_path {label_path}: holds no label of these images; name them in a list instead")
    return _pictures(names, labels)


def list_labels(label_path: str) -> list[Picture]:
    """The label images of ``--label_path``, each as an image with itself as its label."""
    return [replace(label, label_path=label.path) for label in list_pictures(label_path, flag="--label_path")]


def validation_pictures(config: Config) -> list[Picture]:
    """The images of the config's `val_dataset` with their labels."""
    labels = {}
    for image, label in Builder(config).val_dataset.file_list:
        labels[os.path.abspath(image)] = None if label is None else os.path.abspath(label)
    return _pictures(_names(list(labels), None), labels)


def choose_pictures(config: Config, image_path: str | None, label_path: str | None = None) -> list[Picture]:
    """The images of ``--image_path`` or, without it, of the config's `val_dataset`."""
    if image_path is not None:
        return list_pictures(image_path, label_path)
    if label_path is not None:
        raise UserError(f"--label_path {label_path}: --image_path is missing: give the images of these labels")
    if not config.val_dataset_cfg:
        raise UserError("--image_path is missing, and the YAML has no val_dataset to take images from: give one")
    return validation_pictures(config)


def _names(paths: list[str], root: str | None) -> dict[str, Path]:
    """Each image's path relative to `root` (None: the folder that they have in common), with suffix."""
    root = root or os.path.commonpath([os.path.dirname(path) for path in paths])
    return {path: Path(os.path.relpath(path, root)) for path in paths}


def _pictures(names: dict[str, Path], labels: dict[str, str | None]) -> list[Picture]:
    return [Picture(path, stem, labels[path]) for path, stem in distinct_stems(names).items()]


def distinct_stems(names: dict[str, Path]) -> dict[str, str]:
    """Each name without its suffix; a.jpg beside a.png keeps it, and so does a.jpg.png beside both."""
    stems = {path: name.with_suffix("") for path, name in names.items()}
    taken = Counter([*stems.values(), *names.values()])
    return {path: (stems[path] if taken[stems[path]] == 1 else name).as_posix() for path, name in names.items()}


def for_each_picture(
    pictures: list[Picture], work: Callable[[Picture, np.ndarray], None], written: str | None = None
) -> int:
    """`work(picture, image)` on every image under a progress bar; one that fails does not stop the others.

    Args:
        written: what to tell at the end that was written, unless all images failed.

    Returns:
        The exit status: 0, or 1 when images failed, each of which is named on stderr at the end.
    """
    failed = []
    for picture in tqdm(pictures, unit="image", disable=len(pictures) == 1):
        try:
            work(picture, read_image(picture.path))
        except UserError:
            raise  # a flag is wrong, for every image
        except Exception as error:  # whatever a codec, a transform or the network makes of an odd image
            failed.append(f"{picture.path}: {one_line(error)}")
    if written is not None and len(failed) < len(pictures):
        print(f"Written: {written}")
    return tell_failed(failed, len(pictures))


def tell_failed(failed: list[str], total: int) -> int:
    """Name what failed on stderr, a line each; returns the exit status."""
    if failed:
        print(f"error: {len(failed)} of {total} failed:", *failed, sep="\n  ", file=sys.stderr)
    return 1 if failed else 0

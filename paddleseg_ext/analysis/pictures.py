"""What the picture tools share: their flags, which pictures, reading and writing, the loop, the class colours."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
from paddleseg.cvlibs import Config
from tqdm import tqdm

from paddleseg_ext.builder import Builder, list_images
from paddleseg_ext.command import UserError, nearest, one_line
from paddleseg_ext.datasets.description import describe
from paddleseg_ext.datasets.palettes import LabelDecoder
from paddleseg_ext.files import open_picture, read_image


def picture_arguments(description: str, save_dir: str) -> argparse.ArgumentParser:
    """A parser with PaddleSeg's flags for a config, weights, pictures, a folder for the results and a device."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", help="the YAML file of the network and its data set")
    parser.add_argument("--model_path", help="trained weights (.pdparams); without it the network is untrained")
    parser.add_argument(
        "--image_path",
        help="a picture, a folder of pictures, or a list: a text file with a picture a line, relative to its folder, "
        "optionally followed by its label",
    )
    parser.add_argument("--save_dir", default=save_dir, help="folder for the results (default: %(default)s)")
    parser.add_argument("--device", default="gpu", choices=["cpu", "gpu", "xpu", "npu", "mlu"])
    return parser


def add_label_path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--label_path",
        help="the picture's label, or a folder that holds each picture's label (.png) under the same relative name; "
        "a list in --image_path can name the labels itself (tools/create_dataset_list.py writes such lists)",
    )


@dataclass(frozen=True)
class Picture:
    """A picture to work on; `name` is its relative path without suffix, unique within a run."""

    path: str
    name: str
    label_path: str | None = None


def list_pictures(image_path: str | None, label_path: str | None = None, flag: str = "--image_path") -> list[Picture]:
    """The pictures of `flag`, each once, with the labels that `--label_path` or the list itself names."""
    paths, folder = list_images(image_path, flag, outside=True)
    paths = [os.path.abspath(path) for path in dict.fromkeys(paths)]
    root = image_path if os.path.isdir(image_path) else os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [Path(os.path.relpath(path, root)) for path in paths]
    stems = [name.with_suffix("") for name in names]
    taken = Counter(stems + names)
    from_list = folder is not None and os.path.isfile(image_path)
    listed = _listed_labels(image_path) if from_list else {}

    def label_of(path: str, name: Path) -> str | None:
        if label_path is None:
            return listed.get(path)
        if os.path.isdir(label_path):
            label = Path(label_path, name).with_suffix(".png")
            return str(label) if label.is_file() else None
        return label_path if len(paths) == 1 and os.path.isfile(label_path) else None

    labels = [label_of(path, name) for path, name in zip(paths, names)]
    if label_path is not None and not any(labels):
        raise UserError(f"--label_path {label_path}: holds no label of these pictures; name them in a list instead")
    return [
        # a.jpg beside a.png keeps its suffix, and so does a.jpg.png beside both
        Picture(path, (stem if taken[stem] == 1 else name).as_posix(), label)
        for path, name, stem, label in zip(paths, names, stems, labels)
    ]


def _listed_labels(image_path: str) -> dict[str, str]:
    """The second column of a list file, by picture; PaddleSeg's `get_image_list` reads the first one only."""
    folder = os.path.dirname(os.path.abspath(image_path))
    labels = {}
    with open(image_path, encoding="utf-8-sig") as file:
        for line in file:
            columns = line.split()
            if len(columns) > 1:
                image, label = (os.path.abspath(os.path.join(folder, column)) for column in columns[:2])
                labels[image] = label
    return labels


def for_each_picture(pictures: list[Picture], work: Callable[[Picture, np.ndarray], None]) -> int:
    """`work(picture, image)` on every picture under a progress bar; one that fails does not stop the others.

    Returns:
        The exit status: 0, or 1 when pictures failed, each of which is named on stderr at the end.
    """
    failed = []
    for picture in tqdm(pictures, unit="picture", disable=len(pictures) == 1):
        try:
            work(picture, read_image(picture.path))
        except UserError:
            raise  # a flag is wrong, for every picture
        except Exception as error:  # whatever a codec, a transform or the network makes of an odd picture
            failed.append(f"{picture.path}: {one_line(error)}")
    if failed:
        print(f"error: {len(failed)} of {len(pictures)} pictures failed:", *failed, sep="\n  ", file=sys.stderr)
    return 1 if failed else 0


@dataclass(frozen=True)
class Classes:
    """The classes of a data set: their names, colours (256, 3) uint8 RGB, and how its label pictures are read.

    Labels that are not a class are `ignore_index` here; their colour is black. `decoder` is that of CamVid and GTAV;
    the label pictures of other data sets hold the classes themselves.
    """

    names: tuple[str, ...]
    colours: np.ndarray
    ignore_index: int
    decoder: LabelDecoder | None = None

    @classmethod
    def of(cls, config: Config) -> Classes:
        """The classes of a config's validation data set."""
        classes = describe(Builder(config).val_dataset_class, config.val_dataset_cfg)
        colours = np.zeros((256, 3), np.uint8)
        colours[: len(classes.names)] = classes.colours
        return cls(classes.names, colours, classes.ignore_index, classes.decoder)

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The index of a class given by its name or its number."""
        if name in self.names:
            return self.names.index(name)
        if name.isdigit() and int(name) < len(self):
            return int(name)
        raise UserError(f"class {name}: {nearest(name, self.names)} (or a number below {len(self)})")

    def read_label(self, path: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """The classes (H, W) of a label picture, uint8; `size` (H, W) is what it must have."""
        if self.decoder is not None:
            label = self.decoder.read(path)
        else:
            with open_picture(path) as picture:
                label = np.asarray(picture)
        expected = label.shape[:2] if size is None else tuple(size)
        if label.shape != expected:
            raise ValueError(f"the label {path} has the shape {label.shape}; expected {expected} class indices")
        return np.where(label < len(self), label, self.ignore_index).astype(np.uint8)

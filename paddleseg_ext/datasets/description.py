"""The classes of a data set, from its type and its section of a YAML."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from paddleseg.datasets import ADE20K, Cityscapes
from paddleseg.utils.visualize import get_color_map_list

from paddleseg_ext.command import UserError, nearest
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX
from paddleseg_ext.datasets.gtav import GTAV
from paddleseg_ext.datasets.palettes import UNKNOWN, LabelDecoder
from paddleseg_ext.files import open_picture, read_text

CLASSES_FILE = "classes.txt"
BACKGROUND = "background"
IGNORED = "__ignore__"
"""labelme's name of what is not to be learnt, which is in its lists of labels, too."""

_NUMBERS_AT_END = re.compile(r"[^\s,;][\s,;]+(-?\d[\d.]*[\s,;]+){2}-?\d[\d.]*$")


@dataclass(frozen=True)
class Classes:
    """The classes of a data set: their names, colours (256, 3) uint8 RGB, and how its label images are read.

    Labels that are not a class are `ignore_index` here; their colour is black. `decoder` is that of CamVid and GTAV;
    the label images of other data sets hold the classes themselves, counted from `first_class`.
    """

    names: tuple[str, ...]
    colours: np.ndarray
    ignore_index: int
    decoder: LabelDecoder | None = None
    first_class: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The index of a class given by its name or its number; raises `UserError` for any other."""
        if name in self.names:
            return self.names.index(name)
        if name.isdigit() and int(name) < len(self):
            return int(name)
        raise UserError(f"class {name}: {nearest(name, self.names)} (or a number below {len(self)})")

    def read_label(self, path: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """The classes (H, W) of a label image, uint8; raises `ValueError` unless it has `size` (H, W), if given."""
        if self.decoder is not None:
            label = self.decoder.read(path)
        else:
            with open_picture(path) as picture:
                label = np.asarray(picture).astype(np.int32) - self.first_class
        expected = label.shape[:2] if size is None else tuple(size)
        if label.shape != expected:
            raise ValueError(f"the label {path} has the shape {label.shape}; expected {expected} class indices")
        return np.where((label >= 0) & (label < len(self)), label, self.ignore_index).astype(np.uint8)


def describe(dataset: type, settings: dict) -> Classes:
    """The classes of the registered class `dataset` with the arguments `settings`.

    Names and colours of own data (`paddleseg.datasets.Dataset`) are those of classes.txt in its `dataset_root`, if
    there is one.

    Raises:
        UserError: the number of classes is not known, or classes.txt has another one or is not as `read_classes`
            wants it.
    """
    num_classes = getattr(dataset, "NUM_CLASSES", None) or settings.get("num_classes")
    named = GTAV if dataset is Cityscapes else dataset  # GTAV has the classes and colours of Cityscapes
    names, colours = getattr(named, "CLASSES", None), getattr(named, "PALETTE", None)
    path = os.path.join(settings.get("dataset_root") or "", CLASSES_FILE)
    if names is None and os.path.isfile(path):
        names, colours = read_classes(path)
        num_classes = num_classes or len(names)
        if len(names) != num_classes:
            raise UserError(f"{path}: names {len(names)} classes, but num_classes is {num_classes}: make them equal")
    if num_classes is None or not 0 < num_classes < UNKNOWN:
        raise UserError(f"num_classes: {num_classes}: give the number of classes, up to {UNKNOWN - 1}")
    colours = np.reshape(get_color_map_list(num_classes) if colours is None else colours, (-1, 3))[:num_classes]
    return Classes(
        names=tuple(names or (f"class {index}" for index in range(num_classes))),
        colours=np.pad(colours, ((0, 256 - len(colours)), (0, 0))).astype(np.uint8),
        ignore_index=getattr(dataset, "IGNORE_INDEX", settings.get("ignore_index", IGNORE_INDEX)),
        decoder=dataset.decoder_of(settings) if hasattr(dataset, "decoder_of") else None,
        first_class=1 if issubclass(dataset, ADE20K) else 0,  # it subtracts 1 from what it reads
    )


def read_classes(path: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and colours (num_classes, 3) uint8 RGB of a classes.txt: a line `name` or `name R G B` a class.

    EISeg's list of labels is taken too: its lines start with their index, from 1, for the background is 0 there. So is
    labelme's, where `IGNORED` is no class. A class without a colour gets that of PaddleSeg's colour map.

    Raises:
        UserError: no text, no class, two classes of one name, or three numbers at the end that are no colour.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    for number, line in enumerate(lines, 1):
        if _NUMBERS_AT_END.search(line) and _colour(line) is None:
            raise UserError(f"{path}, line {number}: {line}: write `name` or `name R G B`, numbers from 0 to 255")
    lines = [line for line in lines if line and line.split()[0] != IGNORED]
    numbers = [int(match.group()) if (match := re.match(r"\d+(?=\s+\S)", line)) else None for line in lines]
    for first in (0, 1):
        if lines and numbers == list(range(first, len(lines) + first)):
            lines = [BACKGROUND] * first + [line.split(None, 1)[1] for line in lines]
            break
    colours = np.array(get_color_map_list(max(len(lines), 1)), np.uint8).reshape(-1, 3)
    names = []
    for index, line in enumerate(lines):
        colour = _colour(line)
        if colour is not None:
            colours[index] = colour
            line = " ".join(line.split()[:-3])
        if line in names:
            raise UserError(f"{path}: two classes are called {line!r}: rename one")
        names.append(line)
    if not names:
        raise UserError(f"{path}: holds no class: write a line `name` or `name R G B` for each")
    return tuple(names), colours


def _colour(line: str) -> list[int] | None:
    """R G B at the end of a line, behind a name."""
    name, *colour = line.rsplit(None, 3)
    values = [int(value) if value.isdecimal() else 256 for value in colour]
    return values if len(values) == 3 and max(values) < 256 else None


def classes_text(names: Sequence[str], colours: np.ndarray) -> str:
    """The content of a classes.txt."""
    return "".join(f"{name} {' '.join(map(str, colour))}\n" for name, colour in zip(names, colours.tolist()))
